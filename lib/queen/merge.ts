import type { GpuSample, Pressure, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import type { Labels } from '../contract/primitives.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Fields that tick on their own: written, but no change worth telling of. */
const ticking: ReadonlySet<string> = new Set(['uptimeSeconds']);

const sameGpu = (a: WorkerGpu, b: WorkerGpu) =>
  a.uuid === b.uuid && a.memoryUsedBytes === b.memoryUsedBytes && a.utilizationPercent === b.utilizationPercent;

function sameList<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!same(a[i]!, b[i]!)) return false;
  return true;
}

const samePressure = (a: Pressure, b: Pressure) => a.cpu === b.cpu && a.memory === b.memory && a.io === b.io;

export function sameLabels(a: Labels, b: Labels): boolean {
  let count = 0;
  for (const key in a) {
    if (a[key] !== b[key]) return false;
    count++;
  }
  for (const _ in b) count--;
  return count === 0;
}

const identical = (a: string, b: string) => a === b;

type Same = (a: never, b: never) => boolean;

function writer<T extends object>(scalars: readonly (keyof T)[], structures: Partial<Record<keyof T, Same>>) {
  const nested = Object.entries(structures) as unknown as [keyof T, (a: unknown, b: unknown) => boolean][];
  return (stored: Mutable<T>, next: T): boolean => {
    let changed = false;
    for (let i = 0; i < scalars.length; i++) {
      const field = scalars[i]!;
      const value = next[field];
      if (stored[field] === value) continue;
      stored[field] = value;
      if (!ticking.has(field as string)) changed = true;
    }
    for (let i = 0; i < nested.length; i++) {
      const [field, same] = nested[i]!;
      const value = next[field];
      const old = stored[field];
      if (old === value || (old !== null && value !== null && same(old, value))) continue;
      stored[field] = value;
      changed = true;
    }
    return changed;
  };
}

const workerScalars = [
  'name',
  'pid',
  'startedAt',
  'uptimeSeconds',
  'processCount',
  'model',
  'port',
  'endpoint',
  'command',
  'cpuPercent',
  'cpuThrottledPercent',
  'cpuLimitPercent',
  'memoryBytes',
  'workingSetBytes',
  'memoryPeakBytes',
  'memoryLimitBytes',
  'memorySource',
  'oomKills',
  'ioReadBytesPerSecond',
  'ioWriteBytesPerSecond',
  'gpuUtilizationPercent',
  'vramUsedBytes',
  'vramTotalBytes',
  'state',
  'ready',
  'reservationId',
  'origin',
] as const satisfies readonly (keyof WorkerSample)[];

const gpuScalars = [
  'index',
  'name',
  'pciBusId',
  'parentUuid',
  'memoryTotalBytes',
  'memoryUsedBytes',
  'memoryReservedBytes',
  'memoryKind',
  'utilizationPercent',
  'memoryBusPercent',
  'temperatureCelsius',
  'powerWatts',
  'powerLimitWatts',
  'smClockMhz',
  'fanPercent',
  'eccUncorrected',
  'lastXid',
  'computeCapability',
  'processCount',
  'unattributedBytes',
  'health',
] as const satisfies readonly (keyof GpuSample)[];

/** Writes what differs into the sample held; true where a reader would see a change. Equal values keep their objects. */
export const mergeWorker = writer<WorkerSample>(workerScalars, {
  labels: sameLabels as Same,
  pressure: samePressure as Same,
  gpus: ((a: readonly WorkerGpu[], b: readonly WorkerGpu[]) => sameList(a, b, sameGpu)) as Same,
});

export const mergeGpu = writer<GpuSample>(gpuScalars, {
  throttleReasons: ((a: string[], b: string[]) => sameList(a, b, identical)) as Same,
  unsupported: ((a: string[], b: string[]) => sameList(a, b, identical)) as Same,
  remappedRows: ((a: NonNullable<GpuSample['remappedRows']>, b: NonNullable<GpuSample['remappedRows']>) =>
    a.pending === b.pending && a.failed === b.failed) as Same,
  nvlinks: ((a: NonNullable<GpuSample['nvlinks']>, b: NonNullable<GpuSample['nvlinks']>) =>
    a.up === b.up && a.total === b.total) as Same,
});

/** A copy with every field in one fixed order, so that all samples share one shape whatever order a hive sent. */
export function copyWorker(sample: WorkerSample): Mutable<WorkerSample> {
  return {
    id: sample.id,
    group: sample.group,
    instance: sample.instance,
    name: sample.name,
    pid: sample.pid,
    startedAt: sample.startedAt,
    uptimeSeconds: sample.uptimeSeconds,
    processCount: sample.processCount,
    model: sample.model,
    port: sample.port,
    endpoint: sample.endpoint,
    command: sample.command,
    labels: sample.labels,
    cpuPercent: sample.cpuPercent,
    cpuThrottledPercent: sample.cpuThrottledPercent,
    cpuLimitPercent: sample.cpuLimitPercent,
    memoryBytes: sample.memoryBytes,
    workingSetBytes: sample.workingSetBytes,
    memoryPeakBytes: sample.memoryPeakBytes,
    memoryLimitBytes: sample.memoryLimitBytes,
    memorySource: sample.memorySource,
    oomKills: sample.oomKills,
    ioReadBytesPerSecond: sample.ioReadBytesPerSecond,
    ioWriteBytesPerSecond: sample.ioWriteBytesPerSecond,
    pressure: sample.pressure,
    gpus: sample.gpus,
    gpuUtilizationPercent: sample.gpuUtilizationPercent,
    vramUsedBytes: sample.vramUsedBytes,
    vramTotalBytes: sample.vramTotalBytes,
    state: sample.state,
    ready: sample.ready,
    reservationId: sample.reservationId,
    origin: sample.origin,
  };
}

export const copyGpu = (sample: GpuSample): Mutable<GpuSample> => ({
  uuid: sample.uuid,
  index: sample.index,
  name: sample.name,
  pciBusId: sample.pciBusId,
  parentUuid: sample.parentUuid,
  memoryTotalBytes: sample.memoryTotalBytes,
  memoryUsedBytes: sample.memoryUsedBytes,
  memoryReservedBytes: sample.memoryReservedBytes,
  memoryKind: sample.memoryKind,
  utilizationPercent: sample.utilizationPercent,
  memoryBusPercent: sample.memoryBusPercent,
  temperatureCelsius: sample.temperatureCelsius,
  powerWatts: sample.powerWatts,
  powerLimitWatts: sample.powerLimitWatts,
  smClockMhz: sample.smClockMhz,
  fanPercent: sample.fanPercent,
  throttleReasons: sample.throttleReasons,
  eccUncorrected: sample.eccUncorrected,
  remappedRows: sample.remappedRows,
  nvlinks: sample.nvlinks,
  lastXid: sample.lastXid,
  computeCapability: sample.computeCapability,
  processCount: sample.processCount,
  unattributedBytes: sample.unattributedBytes,
  unsupported: sample.unsupported,
  health: sample.health,
});
