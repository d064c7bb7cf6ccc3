/** Enumerations of the contract for those who need no schema: the schemas take 9 MiB of a hive's memory. */

export const hiveStates = ['starting', 'ready', 'draining', 'stopping'] as const;
export const workerStates = [
  'starting',
  'loading',
  'idle',
  'busy',
  'saturated',
  'sleeping',
  'stalled',
  'unknown',
] as const;
/** What holds a worker together. */
export const workerScopes = ['cgroup', 'processes'] as const;
export type WorkerScope = (typeof workerScopes)[number];
/** By what the GPUs of a worker are inferred: all cards are mapped by its processes, or the only one is open in them. */
export const gpuEvidence = ['deviceMapped', 'deviceOpen'] as const;
export type GpuEvidence = (typeof gpuEvidence)[number];
/** Why a worker has no endpoint that others can use. */
export const endpointReasons = [
  'notListening',
  'loopbackOnly',
  'otherNamespace',
  'severalCandidates',
  'addressUnknown',
  'unidentified',
  'socketsUnknown',
] as const;
export type EndpointReason = (typeof endpointReasons)[number];
/** Why an engine's load is not known, or not all of it that it could tell. */
export const servingReasons = [
  'noEngine',
  'unsupported',
  'noAddress',
  'notAsked',
  'refused',
  'silent',
  'loading',
  'keyNeeded',
  'metricsOff',
  'unreadable',
] as const;
export type ServingReason = (typeof servingReasons)[number];
/** Why a value of a worker is null, where neither a fault nor another field of the heartbeat says it. */
export const nullReasons = [
  'noEarlierReading',
  'processesHidden',
  'processEnded',
  'noProcess',
  'uptimeUnknown',
  'notInFile',
  'commandUnread',
  'commandWithheld',
  'engineUnknown',
  'modelUnnamed',
  'notByGpu',
  'noCgroup',
  'keyNeeded',
  'certificateNeeded',
  'serverUnreachable',
  'serverUnknown',
  'socketsUnknown',
  'notListening',
  'onUnixSocket',
  'noAnswerYet',
  'notProbed',
] as const;
export type NullReason = (typeof nullReasons)[number];
export const gpuHealths = [
  'ok',
  'degraded',
  'lost',
  'resetRequired',
  'initializing',
  'stalled',
  'noPermission',
  'suspended',
] as const;
export const hiveEventKinds = [
  'workerStarted',
  'workerExited',
  'workerStalled',
  'workerRecovered',
  'oomKill',
  'gpuLost',
  'gpuRecovered',
  'xid',
] as const;
export const gpuReaders = ['nvml', 'nvidiaSmi', 'drm', 'none'] as const;
export type GpuReaderName = (typeof gpuReaders)[number];
/** What people call them. */
export const gpuReaderLabels: Readonly<Record<GpuReaderName, string>> = {
  nvml: 'NVML',
  nvidiaSmi: 'nvidia-smi',
  drm: 'DRM',
  none: 'none',
};

/** Whether it is known which GPUs a host has. none: there is evidence that it has none. */
export const gpuKnowledge = ['known', 'none', 'unknown'] as const;
export type GpuKnowledge = (typeof gpuKnowledge)[number];

/** How much of a command line is shown: what is known to be harmless, all but what looks like a secret, or nothing. */
export const commandModes = ['safe', 'full', 'none'] as const;
export type CommandMode = (typeof commandModes)[number];
