/** What `import ... from 'hivepulse'` gives. Everything else is internal. */

export type { ReaderChoice } from './cgroup/reader.js';
export {
  type ClientOptions,
  type Connection,
  type FleetChange,
  FleetMirror,
  HivepulseClient,
  type MirroredHive,
  type MirrorOptions,
  RequestError,
  type StreamMessage,
  type StreamOptions,
} from './client/client.js';
export type {
  GpuChoice,
  HiveOptions,
  QueenOptions,
  Role,
  Running,
  TokenGrant,
} from './config/options.js';
export type {
  BestWorker,
  Fleet,
  FleetEvent,
  GpuView,
  History,
  HiveView,
  Liveness,
  PlacementReply,
  PlacementRequest,
  Reservation,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from './contract/api.js';
export { defaults } from './contract/defaults.js';
export { freeBytes } from './contract/free-bytes.js';
export type {
  Collection,
  Fault,
  GpuSample,
  Heartbeat,
  HeartbeatReply,
  HiveEvent,
  HiveInfo,
  HostSample,
  Pressure,
  Snapshot,
  WorkerGpu,
  WorkerSample,
} from './contract/heartbeat.js';
export * as contract from './contract/index.js';
export type { Missing, MissingKind, MissingReason } from './contract/missing.js';
export type { Labels } from './contract/primitives.js';
export { type HeartbeatLimits, type HeartbeatVerdict, readHeartbeat } from './contract/validate.js';
export { type RunningHive, startHive } from './daemon/hive.js';
export { type Queen, startQueen } from './daemon/queen.js';
export { startUp, type Up, type UpOptions } from './daemon/up.js';
export type { GpuDevice, GpuEvent, GpuProcess, GpuReading, GpuSource } from './gpu/reading.js';
export { createGpuSource, type GpuSourceOptions } from './gpu/source.js';
export type { LimitOptions, NotApplied } from './launch/limits.js';
export {
  type ExitedWorker,
  type OomKill,
  ProcessMonitor,
  type ProcessMonitorEvents,
  type ProcessMonitorOptions,
  type SpawnedWorker,
  type SpawnOptions,
} from './launch/process-monitor.js';
export {
  type LivenessLimits,
  type LivenessState,
  livenessAfter,
  livenessLimits,
  nextChangeMs,
  thresholds,
} from './queen/liveness.js';
export {
  type Candidate,
  type PlacementGpu,
  type PlacementHost,
  placementCandidates,
  type Refusal,
} from './queen/placement.js';
export { isSchedulable } from './queen/records.js';
export {
  type HeartbeatOutcome,
  Registry,
  type RegistryChange,
  type RegistryListener,
  type RegistryOptions,
} from './queen/registry.js';
export {
  canServe,
  isPlaceable,
  isReady,
  leastLoaded,
  load,
  pickBest,
} from './queen/scheduling.js';
export { type Attribution, type AttributionInput, attribute, workerAt } from './sampling/attribution.js';
export type { RunningSampler } from './sampling/create.js';
export { type CreateSamplerOptions, createSampler } from './sampling/open.js';
export { type RateBaseline, type RawRow, rates, rawRow, type WorkerRates } from './sampling/rates.js';
export { type StateInput, type StateOptions, workerState } from './sampling/state.js';
export { type ErrorCode, errorCodes, HivepulseError } from './util/errors.js';
