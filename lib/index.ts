/** What `import ... from 'hivepulse'` gives. Everything else is internal. */

export {
  type ClientOptions,
  HivepulseClient,
  RequestError,
  type StreamMessage,
  type StreamOptions,
} from './client/client.js';
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
export type { Labels } from './contract/primitives.js';
export { type HeartbeatLimits, type HeartbeatVerdict, readHeartbeat } from './contract/validate.js';
export { defaults } from './defaults.js';
export { type ErrorCode, errorCodes, HivepulseError } from './errors.js';
export type { GpuDevice, GpuEvent, GpuProcess, GpuReading, GpuSource } from './gpu/reading.js';
export { createGpuSource, type GpuSourceOptions } from './gpu/source.js';
export { type RunningHive, startHive } from './hive/hive.js';
export type { LimitOptions, NotApplied } from './hive/limits.js';
export {
  type ExitedWorker,
  type OomKill,
  ProcessMonitor,
  type ProcessMonitorEvents,
  type ProcessMonitorOptions,
  type SpawnedWorker,
  type SpawnOptions,
} from './hive/process-monitor.js';
export type { GpuChoice, HiveOptions, QueenOptions, ReaderChoice, Role, Running, TokenGrant } from './options.js';
export {
  type LivenessLimits,
  livenessLimits,
  nextChangeMs,
  type Standing,
  standing,
  thresholds,
} from './queen/liveness.js';
export { type Candidate, type PlacementGpu, type PlacementHost, plan, type Refusal } from './queen/placement.js';
export { type Queen, startQueen } from './queen/queen.js';
export {
  type HeartbeatOutcome,
  Registry,
  type RegistryChange,
  type RegistryListener,
  type RegistryOptions,
} from './queen/registry.js';
export {
  canServe,
  freeBytes,
  isPlaceable,
  isReady,
  isSchedulable,
  leastLoaded,
  load,
  pickBest,
} from './queen/scheduling.js';
export { type Attribution, type AttributionInput, attribute, workerAt } from './sampling/attribution.js';
export type { RunningSampler } from './sampling/create.js';
export { type CreateSamplerOptions, createSampler } from './sampling/open.js';
export { type RateBaseline, type RawRow, rates, rawRow, type WorkerRates } from './sampling/rates.js';
export { type StateInput, type StateOptions, workerState } from './sampling/state.js';
export { startUp, type Up, type UpOptions } from './up.js';
