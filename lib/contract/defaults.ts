/** The constants of the whole system. Times in milliseconds, shares in percent, sizes in bytes. */
export const defaults = {
  queenPort: 7833,
  hivePort: 7835,
  host: '127.0.0.1',

  /** Heartbeat and sampling interval. */
  intervalMs: 1000,
  /** `late` after this many granted intervals without a heartbeat. */
  lateAfterIntervals: 3,
  /** `offline` after max(offlineAfterMs, offlineAfterIntervals granted intervals). */
  offlineAfterMs: 10_000,
  offlineAfterIntervals: 5,
  /** A hive and all its workers are missing this long after the last heartbeat. */
  staleAfterMs: 90_000,
  /** What is missing is forgotten after this. */
  missingMs: 7 * 24 * 3_600_000,
  /** How long a started queen says `warming`. */
  warmingMs: 10_000,

  /** Deadline of one heartbeat exchange; of one try where several queens are named. */
  sendTimeoutMs: 5000,
  sendTryTimeoutMs: 1000,
  backoffMinMs: 250,
  backoffMaxMs: 2000,
  /** Bodies over this size are compressed. */
  compressAboveBytes: 16 * 1024,
  /** Largest heartbeat, decompressed, that a queen reads. */
  maxHeartbeatBytes: 8 * 1024 * 1024,
  /** Hive-side events kept until acknowledged. */
  eventLogSize: 10_000,
  /** Events a queen keeps for replay. */
  eventRingSize: 10_000,
  /** Those of one token are four fifths of them at most. */
  maxHives: 12_500,
  maxWorkersPerHive: 2000,
  /** Requests of one token or address. */
  requestsPerSecond: 2000,
  /** Heartbeats of one hive. */
  heartbeatsPerSecond: 20,
  maxStreams: 2000,
  /** Workers that have series of their own at a queen's /metrics. */
  metricsWorkers: 1000,
  /** GPUs that have. */
  metricsGpus: 10_000,

  idleBelowPercent: 0,
  idleBelowCpuPercent: 5,
  idleForMs: 3000,
  /** Requests of an engine without any progress: `stalled`, where its CPU and GPU do nothing, and where they work. */
  stalledAfterMs: 30_000,
  spinningAfterMs: 120_000,
  /** Figures of an engine that are older say what was. */
  servingStaleMs: 5000,

  /** How much of command lines is shown. */
  commands: 'safe',
  /** Characters of a command line that leave the host. */
  commandLength: 256,

  gpuInitializingMs: 60_000,
  gpuStalledMs: 2000,

  readinessTimeoutMs: 1000,
  readinessIntervalMs: 1000,
  /** Of a server that has answered, and about which something else has changed; else; and where nothing else shows a change. */
  readinessChangedIntervalMs: 5000,
  readinessSettledIntervalMs: 30_000,
  readinessAloneIntervalMs: 10_000,

  /** SIGTERM to SIGKILL when a worker is stopped. */
  stopGraceMs: 10_000,
  /** Longest a daemon takes to end after SIGTERM. */
  shutdownMs: 2000,
} as const;

/** A hive may send no more often, ms. */
export const shortestIntervalMs = 100;
