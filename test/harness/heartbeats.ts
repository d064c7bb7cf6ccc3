import type { GpuSample, Heartbeat, HiveEvent, StoredWorker, WorkerSample } from '../../lib/contract/index.js';
import { maxLabelLength } from '../../lib/contract/limits.js';

const GiB = 1024 ** 3;

export const incarnationOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

type Serving = NonNullable<StoredWorker['serving']>;

/** What a vLLM says of its load, read a little before. */
export const servingOf = (over: Partial<Serving> = {}): Serving => ({
  engine: 'vllm',
  version: '0.29.0',
  models: ['meta-llama/Llama-3.1-8B-Instruct'],
  adapters: null,
  maxContext: 131_072,
  running: 3,
  waiting: 0,
  waitingTokens: null,
  kvPercent: 12.5,
  promptTokensPerSecond: 1840.25,
  generationTokensPerSecond: 96.5,
  prefixHitPercent: 41.2,
  sleeping: false,
  progressAgeMs: 180,
  ageMs: 180,
  ranks: 1,
  ...over,
});

/** They make a row 1 KB longer, at next to no cost to those that handle it. */
export const longLabels = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, name.repeat(maxLabelLength)]));

export function workerOf(id: string, over: Partial<WorkerSample> = {}): WorkerSample {
  const [group = 'llm', instance = '0'] = id.split('/');
  return {
    id,
    group,
    instance,
    name: null,
    pid: 4242,
    startedAt: '2026-01-02T03:04:05.000Z',
    uptimeSeconds: 3600,
    processCount: 3,
    model: 'meta-llama/Llama-3.1-8B-Instruct',
    models: null,
    port: 8000,
    endpoint: 'http://10.0.0.7:8000',
    endpointReason: null,
    serving: servingOf(),
    servingReason: null,
    command: `python -m vllm.entrypoints.openai.api_server --model meta-llama/Llama-3.1-8B-Instruct ${'x'.repeat(120)}`,
    labels: { team: 'search' },
    cpuPercent: 87.25,
    cpuThrottledPercent: 0,
    cpuLimitPercent: 400,
    memoryBytes: 9_126_805_504,
    workingSetBytes: 8_126_805_504,
    memoryPeakBytes: 10_126_805_504,
    memoryLimitBytes: 24 * GiB,
    memorySource: 'cgroup',
    oomKills: 0,
    ioReadBytesPerSecond: 1024,
    ioWriteBytesPerSecond: 2048,
    pressure: { cpu: 0.12, memory: 0, io: 0 },
    gpus: [{ uuid: 'GPU-0', memoryUsedBytes: 8 * GiB, utilizationPercent: 12 }],
    gpusReason: null,
    gpuUtilizationPercent: 12,
    vramUsedBytes: 8 * GiB,
    vramTotalBytes: 24 * GiB,
    state: 'idle',
    ready: true,
    reservationId: null,
    origin: 'launched',
    ...over,
  };
}

export function gpuOf(uuid: string, over: Partial<GpuSample> = {}): GpuSample {
  return {
    uuid,
    index: 0,
    name: 'NVIDIA L4',
    pciBusId: '00000000:01:00.0',
    parentUuid: null,
    memoryTotalBytes: 24 * GiB,
    memoryUsedBytes: 8 * GiB,
    memoryReservedBytes: 0,
    vendor: 'NVIDIA',
    memoryKind: 'device',
    utilizationPercent: 12,
    memoryBusPercent: 3,
    temperatureCelsius: 51,
    powerWatts: 61.5,
    powerLimitWatts: 72,
    smClockMhz: 1740,
    fanPercent: null,
    throttleReasons: [],
    eccUncorrected: 0,
    remappedRows: { pending: false, failed: false },
    migMode: false,
    nvlinks: null,
    lastXid: null,
    computeCapability: '8.9',
    processCount: 1,
    unattributedBytes: 0,
    unsupported: ['nvlinks', 'fanPercent'],
    health: 'ok',
    ...over,
  };
}

export function eventOf(seq: number, over: Partial<HiveEvent> = {}): HiveEvent {
  return {
    seq,
    at: '2026-01-02T03:04:05.000Z',
    kind: 'workerStarted',
    workerId: 'llm/0',
    detail: { pid: 4242 },
    ...over,
  };
}

type Over = Partial<Omit<Heartbeat, 'hive'>> & { readonly hive?: Partial<Heartbeat['hive']> };

/** Of a host whose GPUs could be read. */
export const knowledgeOf = (gpus: readonly unknown[]): Pick<Heartbeat, 'gpusKnown' | 'gpusReason'> =>
  gpus.length > 0
    ? { gpusKnown: 'known', gpusReason: null }
    : { gpusKnown: 'none', gpusReason: 'there is no GPU driver on this host' };

/** A heartbeat with every field, as a hive sends it. */
export function heartbeatOf(hiveId: string, seq = 1, over: Over = {}): Heartbeat {
  const { hive, ...rest } = over;
  return {
    schema: 1,
    seq,
    sentAt: '2026-01-02T03:04:06.000Z',
    intervalMs: 1000,
    hive: {
      id: hiveId,
      hostname: hiveId,
      version: '0.1.0',
      incarnation: incarnationOf(1),
      startedAt: '2026-01-02T03:00:00.000Z',
      address: null,
      labels: { zone: 'a' },
      state: 'ready',
      ...hive,
    },
    host: {
      cpuCount: 16,
      cpuPercent: 240.5,
      memoryTotalBytes: 128 * GiB,
      memoryAvailableBytes: 96 * GiB,
      load1: 2.4,
      uptimeSeconds: 86_400,
      pressure: { cpu: 0.1, memory: 0, io: 0.2 },
    },
    ...knowledgeOf(rest.gpus ?? [null]),
    gpus: [gpuOf('GPU-0')],
    workersComplete: true,
    workers: [workerOf('llm/0')],
    events: [],
    faults: [],
    collection: {
      durationMs: 1.2,
      ageMs: 40,
      cgroupReader: 'native',
      cgroupReaderReason: null,
      gpuReader: 'nvml',
      gpuReaderReason: null,
      gpuAgeMs: 120,
    },
    ...rest,
  };
}

/** As it arrives: parsed from text, so that `__proto__` is an own key and numbers are what JSON makes of them. */
export const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** Where a worker of a made-up host serves: on loopback, or not at all. */
export const servedAt = (port: number | null) => ({
  port,
  endpoint: port === null ? null : `http://127.0.0.1:${port}`,
  endpointReason: port === null ? ('notListening' as const) : undefined,
});
