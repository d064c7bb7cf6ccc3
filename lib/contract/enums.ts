/** Enumerations of the contract for those who need no schema: the schemas take 9 MiB of a hive's memory. */

export const hiveStates = ['starting', 'ready', 'draining', 'stopping'] as const;
export const workerStates = ['starting', 'idle', 'busy', 'unknown'] as const;
export const gpuHealths = [
  'ok',
  'degraded',
  'lost',
  'resetRequired',
  'initializing',
  'stalled',
  'noPermission',
] as const;
export const hiveEventKinds = ['workerStarted', 'workerExited', 'oomKill', 'gpuLost', 'gpuRecovered', 'xid'] as const;
