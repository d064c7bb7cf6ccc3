// The figures of docs/reliability.md and docs/guide.md as they stand in the code, each with the tests that must notice where it is a
// tenth more or less. `text` stands once in `file` and ends in the number, or in a product of numbers.
const sender = ['test/hive/heartbeat-sender.test.ts', 'test/hive/sender-queens.test.ts'];
const liveness = ['test/queen/liveness.test.ts'];
const nvml = ['test/gpu/nvidia/nvml.test.ts'];
const session = 'lib/gpu/nvidia/nvml.ts';
const defaults = 'lib/contract/defaults.ts';

export const constants = [
  { text: 'lateAfterIntervals: 3', file: defaults, tests: liveness },
  { text: 'offlineAfterMs: 10_000', file: defaults, tests: liveness },
  { text: 'offlineAfterIntervals: 5', file: defaults, tests: liveness },
  { text: 'staleAfterMs: 90_000', file: defaults, tests: liveness },
  { text: 'warmingMs: 10_000', file: defaults, tests: liveness },
  { text: 'missingMs: 7 * 24 * 3_600_000', file: defaults, tests: ['test/queen/missing.test.ts'] },
  { text: 'sendTimeoutMs: 5000', file: defaults, tests: sender },
  { text: 'sendTryTimeoutMs: 1000', file: defaults, tests: sender },
  { text: 'backoffMinMs: 250', file: defaults, tests: sender },
  { text: 'backoffMaxMs: 2000', file: defaults, tests: sender },
  { text: 'refusedRetryMs = 10_000', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'homeAfterMs = 30_000', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'minRetryMs = 50', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'compressAboveBytes: 16 * 1024', file: defaults, tests: sender },
  { text: 'eventLogSize: 10_000', file: defaults, tests: ['test/hive/event-log.test.ts'] },
  { text: 'idleBelowCpuPercent: 5', file: defaults, tests: ['test/sampling/state.test.ts'] },
  { text: 'idleForMs: 3000', file: defaults, tests: ['test/sampling/state.test.ts'] },
  { text: 'stalledAfterMs: 30_000', file: defaults, tests: ['test/sampling/load-state.test.ts'] },
  { text: 'spinningAfterMs: 120_000', file: defaults, tests: ['test/sampling/load-state.test.ts'] },
  { text: 'commandLength: 256', file: defaults, tests: ['test/workers/shown-command.test.ts'] },
  {
    text: 'timeoutMs: 10_000',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  {
    text: 'firstTimeoutMs: 60_000',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  {
    text: 'maxOutputBytes = 4 * 1024 * 1024',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  { text: 'maxBehindMs: 30_000', file: 'lib/http/sse.ts', tests: ['test/http/sse.test.ts'] },
  {
    text: 'retryMs = 2000',
    file: 'lib/queen/kept-file.ts',
    tests: ['test/queen/kept-file.test.ts'],
  },
  { text: 'duplicateEveryMs = 60_000', file: 'lib/queen/registry.ts', tests: ['test/queen/incarnations.test.ts'] },
  { text: 'exitRetentionMs = 10 * 60_000', file: 'lib/workers/records.ts', tests: ['test/workers/records.test.ts'] },
  { text: 'hungAfterMs = 2000', file: 'lib/cgroup/failover.ts', tests: ['test/cgroup/failover.test.ts'] },
  { text: 'hungAfterMs = 1000', file: 'lib/io/guarded.ts', tests: ['test/io/guarded.test.ts'] },
  { text: 'taskHungAfterMs = 3000', file: 'lib/io/guarded.ts', tests: ['test/io/guarded.test.ts'] },
  { text: 'gpuInitializingMs: 60_000', file: defaults, tests: nvml },
  { text: 'gpuStalledMs: 2000', file: defaults, tests: nvml },
  { text: 'killAfterMs: 10_000', file: session, tests: nvml },
  { text: 'missingRetryMs: 60_000', file: session, tests: nvml },
  { text: 'replaceRetryMs: 1000', file: session, tests: nvml },
  { text: 'replaceRetryMaxMs = 30_000', file: session, tests: nvml },
  { text: 'crashWindowMs = 60_000', file: session, tests: nvml },
  { text: 'crashRetryMs = 30_000', file: session, tests: nvml },
  { text: 'queenPort: 7833', file: defaults, tests: ['test/config/settings.test.ts'] },
  { text: 'hivePort: 7835', file: defaults, tests: ['test/config/settings.test.ts'] },
  { text: 'intervalMs: 1000', file: defaults, tests: ['test/config/settings.test.ts'] },
  { text: 'ackMs = 3000', file: 'lib/hive/stream-connection.ts', tests: ['test/hive/stream-connection.test.ts'] },
  { text: 'countedMs = 60_000', file: 'lib/hive/stream-fallback.ts', tests: ['test/hive/stream-fallback.test.ts'] },
  { text: 'awayMs = 600_000', file: 'lib/hive/stream-fallback.ts', tests: ['test/hive/stream-fallback.test.ts'] },
  { text: 'headersMs: 10_000', file: 'lib/api/server.ts', tests: ['test/api/hostile-bodies.test.ts'] },
  { text: 'requestMs: 30_000', file: 'lib/api/server.ts', tests: ['test/api/hostile-bodies.test.ts'] },
  { text: 'maxUnanswered = 16', file: 'lib/http/request-limits.ts', tests: ['test/http/request-limits.test.ts'] },
  { text: 'movedShare = 1 / 8', file: 'lib/gpu/assemble.ts', tests: ['test/gpu/assemble.test.ts'] },
  { text: 'slowMs = 2000', file: 'lib/queen/kept-file.ts', tests: ['test/queen/kept-file.test.ts'] },
  { text: 'diskWaitMs = 2000', file: 'lib/cluster/memory.ts', tests: ['test/queen/reservations.test.ts'] },
  { text: 'rediscoverEvery = 60', file: 'lib/cgroup/files-pass.ts', tests: ['test/cgroup/parity-fixtures.test.ts'] },
];

const tenth = [
  ['a tenth more', '* 1.1'],
  ['a tenth less', '* 0.9'],
];

/** As faults of faults.js: each constant twice. */
export const constantFaults = constants.flatMap(({ text, file, tests }) => {
  const [, name, number] = /^(.*?[:=] )(.*)$/.exec(text);
  return tenth.map(([what, factor]) => ({
    name: `${text} (${file}) is ${what}`,
    file,
    from: text,
    to: `${name}(${number}) ${factor}`,
    tests,
  }));
});
