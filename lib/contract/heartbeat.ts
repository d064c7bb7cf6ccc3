import { type Static, Type } from 'typebox';
import { shortestIntervalMs } from './defaults.js';
import { gpuHealths, hiveEventKinds, hiveStates, workerStates } from './enums.js';
import { Amount, Id, Labels, Measured, Nullable, OneOf } from './primitives.js';

export { gpuHealths, hiveEventKinds, hiveStates, workerStates } from './enums.js';

export const HiveInfo = Type.Object({
  id: Id('The hive: --id, else the hostname.'),
  hostname: Type.String({ maxLength: 253 }),
  version: Type.String({ maxLength: 64, description: 'Version of hivepulse on the host.' }),
  incarnation: Type.String({ format: 'uuid', description: 'One run of one hive process.' }),
  startedAt: Type.String({ format: 'date-time' }),
  address: Nullable(Type.String({ maxLength: 255, description: 'Where the host is reached, as it was told.' })),
  labels: Labels,
  state: OneOf(hiveStates),
});
export type HiveInfo = Static<typeof HiveInfo>;

const SomeAvg10 = (what: string) =>
  Measured(`Share of the last 10 s in which some task waited for ${what}.`, { minimum: 0, maximum: 100 });

export const Pressure = Type.Object({
  cpu: SomeAvg10('CPU'),
  memory: SomeAvg10('memory'),
  io: SomeAvg10('I/O'),
});
export type Pressure = Static<typeof Pressure>;

export const HostSample = Type.Object({
  cpuCount: Type.Integer({ minimum: 1 }),
  cpuPercent: Amount('CPU in use; 100 = one whole core.'),
  memoryTotalBytes: Amount('MemTotal.'),
  memoryAvailableBytes: Amount('MemAvailable.'),
  load1: Amount('Load average over one minute.'),
  uptimeSeconds: Amount('Seconds since boot (CLOCK_BOOTTIME).'),
  pressure: Pressure,
});
export type HostSample = Static<typeof HostSample>;

export const GpuSample = Type.Object({
  uuid: Type.String({ minLength: 1, maxLength: 96 }),
  index: Type.Integer({ minimum: 0, description: 'Order of the driver; not the order of CUDA.' }),
  name: Nullable(Type.String({ maxLength: 96 })),
  pciBusId: Nullable(Type.String({ maxLength: 32 })),
  parentUuid: Nullable(Type.String({ maxLength: 96, description: 'Of a MIG device: the GPU it is cut from.' })),
  migMode: Type.Optional(
    Nullable(
      Type.Boolean({
        description:
          'Only its MIG devices can be used, whether any is cut and listed or not. Absent from hives before this field.',
      }),
    ),
  ),
  memoryTotalBytes: Amount('Memory of this GPU; null on unified memory of which the driver tells none (see host).'),
  memoryUsedBytes: Amount('Without what the driver reserves; on unified memory what processes hold.'),
  memoryReservedBytes: Amount('Kept by driver and firmware.'),
  memoryKind: OneOf(['device', 'unified']),
  utilizationPercent: Measured('Share of time in which a kernel ran.', { minimum: 0, maximum: 100 }),
  memoryBusPercent: Measured('Share of time in which memory was read or written.', { minimum: 0, maximum: 100 }),
  temperatureCelsius: Measured('GPU core.'),
  powerWatts: Amount('Draw.'),
  powerLimitWatts: Amount('Enforced limit.'),
  smClockMhz: Amount('SM clock.'),
  fanPercent: Amount('Of the rated speed; may pass 100.'),
  throttleReasons: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 16 }),
  eccUncorrected: Amount('Uncorrected ECC errors since the driver loaded.'),
  remappedRows: Nullable(Type.Object({ pending: Type.Boolean(), failed: Type.Boolean() })),
  nvlinks: Nullable(Type.Object({ up: Type.Integer({ minimum: 0 }), total: Type.Integer({ minimum: 0 }) })),
  lastXid: Nullable(Type.Integer({ minimum: 0, description: 'Newest Xid since the hive started.' })),
  computeCapability: Nullable(Type.String({ maxLength: 8 })),
  processCount: Nullable(Type.Integer({ minimum: 0 })),
  unattributedBytes: Amount('Memory of processes that belong to no worker.'),
  unsupported: Type.Array(Type.String({ maxLength: 64 }), {
    maxItems: 64,
    description: 'Fields that this device cannot tell at all.',
  }),
  health: OneOf(gpuHealths),
});
export type GpuSample = Static<typeof GpuSample>;

export const WorkerGpu = Type.Object({
  uuid: Type.String({ minLength: 1, maxLength: 96 }),
  memoryUsedBytes: Amount('Held by the worker on this GPU.'),
  utilizationPercent: Amount('Of this GPU by the worker.'),
});
export type WorkerGpu = Static<typeof WorkerGpu>;

export const WorkerSample = Type.Object({
  id: Type.String({ maxLength: 257, description: 'group/instance' }),
  group: Id('First part of the id.'),
  instance: Id('Second part of the id.'),
  name: Nullable(Type.String({ maxLength: 512, description: 'Container or pod name.' })),
  pid: Nullable(Type.Integer({ minimum: 1 })),
  startedAt: Nullable(Type.String({ format: 'date-time' })),
  uptimeSeconds: Amount('Of the main process.'),
  processCount: Nullable(Type.Integer({ minimum: 0 })),
  model: Nullable(Type.String({ maxLength: 512 })),
  port: Nullable(Type.Integer({ minimum: 1, maximum: 65535 })),
  endpoint: Nullable(Type.String({ maxLength: 512, description: 'URL at which requests go to it.' })),
  command: Nullable(Type.String({ maxLength: 256, description: 'Command line, secrets redacted.' })),
  labels: Labels,
  cpuPercent: Amount('100 = one whole core.'),
  cpuThrottledPercent: Measured('Share of periods in which it was throttled.', { minimum: 0, maximum: 100 }),
  cpuLimitPercent: Amount('100 = one whole core; null = none, or not known.'),
  memoryBytes: Amount('All memory charged to it, page cache included.'),
  workingSetBytes: Amount('memoryBytes without inactive page cache.'),
  memoryPeakBytes: Amount('Highest memoryBytes.'),
  memoryLimitBytes: Amount('Least limit of it and its ancestors; null = none, or not known.'),
  memorySource: OneOf(['cgroup', 'proc']),
  oomKills: Nullable(Type.Integer({ minimum: 0 })),
  ioReadBytesPerSecond: Amount('Summed over devices.'),
  ioWriteBytesPerSecond: Amount('Summed over devices.'),
  pressure: Pressure,
  gpus: Type.Array(WorkerGpu, { maxItems: 256 }),
  gpuUtilizationPercent: Amount('Sum over its GPUs.'),
  vramUsedBytes: Amount('Sum over its GPUs.'),
  vramTotalBytes: Amount('Sum of the totals of the GPUs on which it holds a context.'),
  state: OneOf(workerStates),
  ready: Nullable(Type.Boolean({ description: 'null: nothing to probe.' })),
  reservationId: Nullable(Type.String({ maxLength: 64 })),
  origin: OneOf(['launched', 'adopted']),
});
export type WorkerSample = Static<typeof WorkerSample>;

/** A fact that must not be lost: re-sent until the queen has acknowledged it. */
export const HiveEvent = Type.Object({
  seq: Type.Integer({ minimum: 1, description: 'Rises within an incarnation.' }),
  at: Type.String({ format: 'date-time' }),
  kind: OneOf(hiveEventKinds),
  workerId: Type.Optional(Type.String({ maxLength: 257 })),
  gpuUuid: Type.Optional(Type.String({ maxLength: 96 })),
  detail: Type.Record(Type.String(), Type.Unknown(), { maxProperties: 16 }),
});
export type HiveEvent = Static<typeof HiveEvent>;

/** Why a value is null, or what else is wrong on the host; gone from the next heartbeat once mended. */
export const Fault = Type.Object({
  source: Type.String({ maxLength: 64, description: 'cgroup, proc, gpu, readiness, hive, queen...' }),
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: 1024, description: 'What is wrong, and the mend.' }),
  field: Type.Optional(Type.String({ maxLength: 128 })),
  workerId: Type.Optional(Type.String({ maxLength: 257 })),
  gpuUuid: Type.Optional(Type.String({ maxLength: 96 })),
});
export type Fault = Static<typeof Fault>;

export const Collection = Type.Object({
  durationMs: Amount('Time that the last pass took.'),
  ageMs: Amount('Age of the last pass when the heartbeat was built.'),
  cgroupReader: OneOf(['native', 'files', 'none']),
  cgroupReaderReason: Nullable(Type.String({ maxLength: 512, description: 'Why it is not `native`.' })),
  gpuReader: OneOf(['nvml', 'nvidiaSmi', 'none']),
  gpuReaderReason: Nullable(Type.String({ maxLength: 512, description: 'Why it is not `nvml`.' })),
  gpuAgeMs: Amount('Age of the last GPU reading.'),
});
export type Collection = Static<typeof Collection>;

export const Heartbeat = Type.Object({
  schema: Type.Literal(1),
  seq: Type.Integer({ minimum: 1, description: 'Rises within an incarnation.' }),
  sentAt: Type.String({ format: 'date-time', description: 'For people, never for liveness.' }),
  intervalMs: Type.Integer({
    minimum: shortestIntervalMs,
    maximum: 600_000,
    description: 'The interval that the hive keeps to now: its own, or the longer one that it was asked for.',
  }),
  hive: HiveInfo,
  host: HostSample,
  gpus: Type.Array(GpuSample, { maxItems: 256 }),
  workersComplete: Type.Boolean({ description: 'false where the tree could not be read whole.' }),
  workers: Type.Array(WorkerSample),
  events: Type.Array(HiveEvent),
  faults: Type.Array(Fault),
  collection: Collection,
});
export type Heartbeat = Static<typeof Heartbeat>;

/** What one pass of the sampler gives: a heartbeat without its envelope. */
export type Snapshot = Pick<Heartbeat, 'host' | 'gpus' | 'workersComplete' | 'workers' | 'faults' | 'collection'>;

export const HeartbeatReply = Type.Object({
  accepted: Type.Literal(true),
  queenId: Type.String(),
  ackEventSeq: Type.Integer({ minimum: 0, description: 'Every event up to this one is safe at the queen.' }),
  intervalMs: Type.Integer({
    minimum: shortestIntervalMs,
    description:
      'The shortest interval that suits the queen from now on; a hive keeps to its own where that is longer.',
  }),
  degraded: Type.Optional(
    Type.Boolean({
      description: 'true: this queen cannot pass the heartbeat on to the others now; tell another one as well.',
    }),
  ),
});
export type HeartbeatReply = Static<typeof HeartbeatReply>;
