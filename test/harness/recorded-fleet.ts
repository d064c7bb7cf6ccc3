import {
  type GpuSample,
  GpuSample as GpuSchema,
  type Heartbeat,
  Heartbeat as HeartbeatSchema,
  WorkerGpu,
  type WorkerSample,
  WorkerSample as WorkerSchema,
} from '../../lib/contract/heartbeat.js';
import { type Nulls, sampleValue } from './schema-values.js';

const gib = 2 ** 30;

/** A GPU whose values all differ from those of every other one. */
export function gpuValues(uuid: string, seed: number, nulls: Nulls, over: Partial<GpuSample> = {}): GpuSample {
  return {
    ...sampleValue<GpuSample>(GpuSchema, 'gpu', seed, nulls),
    uuid,
    index: seed % 100,
    parentUuid: null,
    migMode: false,
    throttleReasons: [`reason${seed}`, 'idle'],
    unsupported: ['fanPercent', 'nvlinks'],
    ...over,
  };
}

export function workerValues(
  id: string,
  seed: number,
  nulls: Nulls,
  uuids: readonly string[],
  over: Partial<WorkerSample> = {},
): WorkerSample {
  const [group = '', instance = ''] = id.split('/');
  const sample = sampleValue<WorkerSample>(WorkerSchema, 'worker', seed, nulls);
  const gpus = uuids.map((uuid, i) => ({
    ...sampleValue<WorkerSample['gpus'][number]>(WorkerGpu, `held.${i}`, seed, nulls),
    uuid,
  }));
  return { ...sample, id, group, instance, gpus, ...over };
}

interface HiveDeps {
  readonly id: string;
  readonly seed: number;
  readonly nulls: Nulls;
  readonly gpus: readonly GpuSample[];
  readonly workers: readonly WorkerSample[];
  readonly over?: Partial<Omit<Heartbeat, 'hive'>> & { readonly hive?: Partial<Heartbeat['hive']> };
}

function heartbeatOf({ id, seed, nulls, gpus, workers, over: { hive, ...over } = {} }: HiveDeps): Heartbeat {
  const base = sampleValue<Heartbeat>(HeartbeatSchema, 'heartbeat', seed, nulls);
  return {
    ...base,
    seq: 1,
    intervalMs: 1000 + seed,
    hive: {
      ...base.hive,
      id,
      hostname: `${id}.example`,
      address: nulls === 'all' ? null : `10.0.0.${seed % 250}`,
      ...hive,
    },
    gpus: [...gpus],
    workers: [...workers],
    workersComplete: true,
    events: [],
    faults: [],
    ...over,
  };
}

/** Its GPUs are those that the driver lists. */
const measured: typeof workerValues = (id, seed, nulls, uuids, over) =>
  workerValues(id, seed, nulls, uuids, { gpusInferred: null, ...over });

/** Four hives with MIG and unified memory, nulls, faults, every state and health. No two values are alike. */
export function recordedFleet(): readonly Heartbeat[] {
  const uuid = (n: number) => `GPU-${String(n).padStart(8, '0')}-1111-2222-3333-444444444444`;
  const mig = 'MIG-00000015-1111-2222-3333-444444444444';
  const known = { memoryTotalBytes: 80 * gib, memoryUsedBytes: 31 * gib };
  return [
    heartbeatOf({
      id: 'alpha',
      seed: 11,
      nulls: 'none',
      gpus: [
        gpuValues(uuid(1), 1, 'none', { ...known, memoryKind: 'device', health: 'ok' }),
        gpuValues(uuid(2), 2, 'none', { migMode: true, memoryTotalBytes: 79 * gib, memoryUsedBytes: 78 * gib }),
        gpuValues(mig, 3, 'none', { parentUuid: uuid(2), memoryTotalBytes: 19 * gib, memoryUsedBytes: 7 * gib }),
        gpuValues(uuid(4), 4, 'none', { memoryKind: 'unified', memoryTotalBytes: null, health: 'degraded' }),
      ],
      workers: [
        measured('llm/8080', 21, 'none', [uuid(1), uuid(4)], { state: 'busy', ready: true }),
        measured('llm/8081', 22, 'none', [mig], {
          state: 'idle',
          ready: false,
          memoryLimitBytes: 64 * gib,
          memoryBytes: 40 * gib,
          workingSetBytes: 39 * gib,
          cpuLimitPercent: 800,
          cpuPercent: 790.5,
        }),
        measured('batch/one', 23, 'none', [], {
          ...{ state: 'starting', ready: null, memorySource: 'proc' },
          nullReasons: { ready: 'serverUnknown' },
        }),
      ],
      over: {
        host: {
          ...sampleValue<Heartbeat['host']>(HeartbeatSchema.properties.host, 'host', 31),
          cpuCount: 96,
          cpuPercent: 4321.5,
          memoryTotalBytes: 512 * gib,
          memoryAvailableBytes: 200 * gib,
        },
        faults: [
          {
            source: 'cgroup',
            code: 'CGROUP_FILE_TORN',
            message: 'A torn file.',
            field: 'oomKills',
            workerId: 'llm/8081',
          },
          { source: 'gpu', code: 'ECC', message: 'Errors were counted.', field: 'eccUncorrected', gpuUuid: uuid(4) },
        ],
        hive: { state: 'ready', labels: { zone: 'a', rack: '12' } },
      },
    }),
    heartbeatOf({
      id: 'beta',
      seed: 12,
      nulls: 'all',
      gpus: [gpuValues(uuid(5), 5, 'all', { health: 'stalled' }), gpuValues(uuid(6), 6, 'all', { health: 'lost' })],
      workers: [
        workerValues('llm/9090', 24, 'all', [uuid(5)], {
          ...{ state: 'unknown', gpusInferred: 'deviceMapped' },
          gpusReason: 'inferred from what its processes map',
        }),
        measured('llm/9091', 25, 'all', []),
      ],
      over: { workersComplete: false, hive: { state: 'draining', labels: {} } },
    }),
    heartbeatOf({
      id: 'gamma',
      seed: 13,
      nulls: 'some',
      gpus: [gpuValues(uuid(7), 7, 'some', { health: 'resetRequired' }), gpuValues(uuid(8), 8, 'some')],
      workers: [measured('llm/7070', 26, 'some', [uuid(7), uuid(8)]), measured('llm/7071', 27, 'some', [])],
    }),
    heartbeatOf({
      id: 'omega',
      seed: 14,
      nulls: 'none',
      gpus: [gpuValues(uuid(9), 9, 'none', known)],
      workers: [measured('llm/6060', 28, 'none', [uuid(9)])],
    }),
  ];
}
