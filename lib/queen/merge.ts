import type { GpuSample, Pressure, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import type { Labels } from '../contract/primitives.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const sameGpuUse = (a: WorkerGpu, b: WorkerGpu) =>
  a.uuid === b.uuid && a.memoryUsedBytes === b.memoryUsedBytes && a.utilizationPercent === b.utilizationPercent;

const sameUuid = (a: WorkerGpu, b: WorkerGpu) => a.uuid === b.uuid;

const identical = (a: string, b: string) => a === b;

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

/** What a merge found. `holding`: also the GPUs that the worker holds are others. */
export type Change = 'none' | 'values' | 'holding';

/**
 * Writes what differs into the sample held; equal values keep their objects, so an unchanged worker leaves no garbage.
 * Field by field in plain code: it runs for every worker of every beat, and loops over names cost ten times as much.
 * The uptime ticks on its own, which is no change worth telling of.
 */
export function mergeWorker(stored: Mutable<WorkerSample>, next: WorkerSample): Change {
  const same =
    stored.name === next.name &&
    stored.pid === next.pid &&
    stored.startedAt === next.startedAt &&
    stored.processCount === next.processCount &&
    stored.model === next.model &&
    stored.port === next.port &&
    stored.endpoint === next.endpoint &&
    stored.command === next.command &&
    stored.cpuPercent === next.cpuPercent &&
    stored.cpuThrottledPercent === next.cpuThrottledPercent &&
    stored.cpuLimitPercent === next.cpuLimitPercent &&
    stored.memoryBytes === next.memoryBytes &&
    stored.workingSetBytes === next.workingSetBytes &&
    stored.memoryPeakBytes === next.memoryPeakBytes &&
    stored.memoryLimitBytes === next.memoryLimitBytes &&
    stored.memorySource === next.memorySource &&
    stored.oomKills === next.oomKills &&
    stored.ioReadBytesPerSecond === next.ioReadBytesPerSecond &&
    stored.ioWriteBytesPerSecond === next.ioWriteBytesPerSecond &&
    stored.gpuUtilizationPercent === next.gpuUtilizationPercent &&
    stored.vramUsedBytes === next.vramUsedBytes &&
    stored.vramTotalBytes === next.vramTotalBytes &&
    stored.state === next.state &&
    stored.ready === next.ready &&
    stored.reservationId === next.reservationId &&
    stored.origin === next.origin &&
    samePressure(stored.pressure, next.pressure) &&
    sameLabels(stored.labels, next.labels) &&
    sameList(stored.gpus, next.gpus, sameGpuUse);
  stored.uptimeSeconds = next.uptimeSeconds;
  if (same) return 'none';
  if (stored.name !== next.name) stored.name = next.name;
  if (stored.pid !== next.pid) stored.pid = next.pid;
  if (stored.startedAt !== next.startedAt) stored.startedAt = next.startedAt;
  if (stored.processCount !== next.processCount) stored.processCount = next.processCount;
  if (stored.model !== next.model) stored.model = next.model;
  if (stored.port !== next.port) stored.port = next.port;
  if (stored.endpoint !== next.endpoint) stored.endpoint = next.endpoint;
  if (stored.command !== next.command) stored.command = next.command;
  if (stored.cpuPercent !== next.cpuPercent) stored.cpuPercent = next.cpuPercent;
  if (stored.cpuThrottledPercent !== next.cpuThrottledPercent) stored.cpuThrottledPercent = next.cpuThrottledPercent;
  if (stored.cpuLimitPercent !== next.cpuLimitPercent) stored.cpuLimitPercent = next.cpuLimitPercent;
  if (stored.memoryBytes !== next.memoryBytes) stored.memoryBytes = next.memoryBytes;
  if (stored.workingSetBytes !== next.workingSetBytes) stored.workingSetBytes = next.workingSetBytes;
  if (stored.memoryPeakBytes !== next.memoryPeakBytes) stored.memoryPeakBytes = next.memoryPeakBytes;
  if (stored.memoryLimitBytes !== next.memoryLimitBytes) stored.memoryLimitBytes = next.memoryLimitBytes;
  if (stored.memorySource !== next.memorySource) stored.memorySource = next.memorySource;
  if (stored.oomKills !== next.oomKills) stored.oomKills = next.oomKills;
  if (stored.ioReadBytesPerSecond !== next.ioReadBytesPerSecond)
    stored.ioReadBytesPerSecond = next.ioReadBytesPerSecond;
  if (stored.ioWriteBytesPerSecond !== next.ioWriteBytesPerSecond)
    stored.ioWriteBytesPerSecond = next.ioWriteBytesPerSecond;
  if (stored.gpuUtilizationPercent !== next.gpuUtilizationPercent)
    stored.gpuUtilizationPercent = next.gpuUtilizationPercent;
  if (stored.vramUsedBytes !== next.vramUsedBytes) stored.vramUsedBytes = next.vramUsedBytes;
  if (stored.vramTotalBytes !== next.vramTotalBytes) stored.vramTotalBytes = next.vramTotalBytes;
  if (stored.state !== next.state) stored.state = next.state;
  if (stored.ready !== next.ready) stored.ready = next.ready;
  if (stored.reservationId !== next.reservationId) stored.reservationId = next.reservationId;
  if (stored.origin !== next.origin) stored.origin = next.origin;
  if (!samePressure(stored.pressure, next.pressure)) stored.pressure = next.pressure;
  if (!sameLabels(stored.labels, next.labels)) stored.labels = next.labels;
  if (sameList(stored.gpus, next.gpus, sameGpuUse)) return 'values';
  const former = stored.gpus;
  const holding = sameList(former, next.gpus, sameUuid);
  stored.gpus = next.gpus;
  if (!holding) return 'holding';
  for (let i = 0; i < former.length; i++) next.gpus[i]!.uuid = former[i]!.uuid;
  return 'values';
}

/** As `mergeWorker`. */
export function mergeGpu(stored: Mutable<GpuSample>, next: GpuSample): void {
  if (stored.index !== next.index) stored.index = next.index;
  if (stored.name !== next.name) stored.name = next.name;
  if (stored.pciBusId !== next.pciBusId) stored.pciBusId = next.pciBusId;
  if (stored.parentUuid !== next.parentUuid) stored.parentUuid = next.parentUuid;
  if (stored.migMode !== (next.migMode ?? null)) stored.migMode = next.migMode ?? null;
  if (stored.memoryTotalBytes !== next.memoryTotalBytes) stored.memoryTotalBytes = next.memoryTotalBytes;
  if (stored.memoryUsedBytes !== next.memoryUsedBytes) stored.memoryUsedBytes = next.memoryUsedBytes;
  if (stored.memoryReservedBytes !== next.memoryReservedBytes) stored.memoryReservedBytes = next.memoryReservedBytes;
  if (stored.memoryKind !== next.memoryKind) stored.memoryKind = next.memoryKind;
  if (stored.utilizationPercent !== next.utilizationPercent) stored.utilizationPercent = next.utilizationPercent;
  if (stored.memoryBusPercent !== next.memoryBusPercent) stored.memoryBusPercent = next.memoryBusPercent;
  if (stored.temperatureCelsius !== next.temperatureCelsius) stored.temperatureCelsius = next.temperatureCelsius;
  if (stored.powerWatts !== next.powerWatts) stored.powerWatts = next.powerWatts;
  if (stored.powerLimitWatts !== next.powerLimitWatts) stored.powerLimitWatts = next.powerLimitWatts;
  if (stored.smClockMhz !== next.smClockMhz) stored.smClockMhz = next.smClockMhz;
  if (stored.fanPercent !== next.fanPercent) stored.fanPercent = next.fanPercent;
  if (stored.eccUncorrected !== next.eccUncorrected) stored.eccUncorrected = next.eccUncorrected;
  if (stored.lastXid !== next.lastXid) stored.lastXid = next.lastXid;
  if (stored.computeCapability !== next.computeCapability) stored.computeCapability = next.computeCapability;
  if (stored.processCount !== next.processCount) stored.processCount = next.processCount;
  if (stored.unattributedBytes !== next.unattributedBytes) stored.unattributedBytes = next.unattributedBytes;
  if (stored.health !== next.health) stored.health = next.health;
  if (!sameList(stored.throttleReasons, next.throttleReasons, identical)) stored.throttleReasons = next.throttleReasons;
  if (!sameList(stored.unsupported, next.unsupported, identical)) stored.unsupported = next.unsupported;
  if (!sameRows(stored.remappedRows, next.remappedRows)) stored.remappedRows = next.remappedRows;
  if (!sameLinks(stored.nvlinks, next.nvlinks)) stored.nvlinks = next.nvlinks;
}

const sameRows = (a: GpuSample['remappedRows'], b: GpuSample['remappedRows']) =>
  a?.pending === b?.pending && a?.failed === b?.failed;

const sameLinks = (a: GpuSample['nvlinks'], b: GpuSample['nvlinks']) => a?.up === b?.up && a?.total === b?.total;

/** What a hive says alike of all its GPUs is kept once. */
export function shareGpu(sample: Mutable<GpuSample>, like: GpuSample): void {
  if (sample.name === like.name) sample.name = like.name;
  if (sample.computeCapability === like.computeCapability) sample.computeCapability = like.computeCapability;
  if (sameList(sample.unsupported, like.unsupported, identical)) sample.unsupported = like.unsupported;
  if (sameList(sample.throttleReasons, like.throttleReasons, identical)) sample.throttleReasons = like.throttleReasons;
  if (sameRows(sample.remappedRows, like.remappedRows)) sample.remappedRows = like.remappedRows;
  if (sameLinks(sample.nvlinks, like.nvlinks)) sample.nvlinks = like.nvlinks;
}

/** Most workers have none: they need not each keep an object of their own. */
const noLabels: Labels = Object.freeze({});

function sharedLabels(labels: Labels): Labels {
  for (const _ in labels) return labels;
  return noLabels;
}

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
    labels: sharedLabels(sample.labels),
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
  migMode: sample.migMode ?? null,
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
