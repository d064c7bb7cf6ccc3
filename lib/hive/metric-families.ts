import { gpuHealths, hiveStates, workerStates } from '../contract/enums.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { hostFields } from '../contract/fields/host.js';
import { workerFields } from '../contract/fields/worker.js';
import { workerGpuFields } from '../contract/fields/worker-gpu.js';
import type { Fault, GpuSample, Heartbeat, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import {
  constantLabels,
  each,
  type Family,
  flag,
  knownLabels,
  type LabelValues,
  seconds,
  single,
  stateSet,
} from '../metrics/exposition.js';
import { familiesOf, type PlacedFamily } from '../metrics/field-families.js';
import { gpuReadersOf } from '../present/knowledge.js';

/** A worker's counters as the kernel gives them; NaN = not known. */
export interface WorkerCounters {
  readonly usageUsec: number;
  readonly userUsec: number;
  readonly systemUsec: number;
  readonly nrPeriods: number;
  readonly nrThrottled: number;
  readonly throttledUsec: number;
  readonly ioReadBytes: number;
  readonly ioWriteBytes: number;
  readonly ioReads: number;
  readonly ioWrites: number;
  readonly cpuSomeTotalUsec: number;
  readonly memorySomeTotalUsec: number;
  readonly ioSomeTotalUsec: number;
}

/** A worker's counters, and whether all of its devices are in those of I/O: one that left took its counts along. */
interface Counted {
  readonly row: WorkerCounters;
  readonly ioWhole: boolean;
}

type Labelled<T> = { readonly item: T; readonly labels: LabelValues };

/** What one scrape of a hive sees; made once, so that label objects are shared between families. */
export interface HiveScrape {
  readonly heartbeat: Heartbeat | null;
  readonly workers: readonly Labelled<WorkerSample>[];
  readonly counted: readonly Labelled<Counted>[];
  readonly gpus: readonly Labelled<GpuSample>[];
  readonly holdings: readonly Labelled<WorkerGpu>[];
  readonly sinceSnapshotMs: number | null;
  readonly sends: { readonly taken: number; readonly failed: number };
  readonly oomKills: number;
}

export interface HiveReport {
  readonly heartbeat: Heartbeat | null;
  /** Age of the snapshot in `heartbeat`. */
  readonly sinceSnapshotMs: number | null;
  readonly counters: ReadonlyMap<string, Counted>;
  readonly sends: { readonly taken: number; readonly failed: number };
  /** Over all `oomKill` events since the hive started. */
  readonly oomKills: number;
}

export function hiveScrape({ heartbeat, sinceSnapshotMs, counters, sends, oomKills }: HiveReport): HiveScrape {
  const workers = (heartbeat?.workers ?? []).map((item) => ({ item, labels: { worker: item.id } }));
  return {
    heartbeat,
    sinceSnapshotMs,
    sends,
    oomKills,
    workers,
    counted: workers.flatMap(({ item: { id }, labels }) => {
      const item = counters.get(id);
      return item === undefined ? [] : [{ item, labels }];
    }),
    gpus: (heartbeat?.gpus ?? []).map((item) => ({ item, labels: { gpu: item.uuid } })),
    holdings: (heartbeat?.workers ?? []).flatMap((worker) =>
      worker.gpus.map((item) => ({ item, labels: { worker: worker.id, gpu: item.uuid } })),
    ),
  };
}

const counted = each<HiveScrape, Counted>((scrape) => scrape.counted, ['worker']);

const hiveFamilies: readonly Family<HiveScrape>[] = [
  {
    name: 'hivepulse_hive_info',
    type: 'gauge',
    help: 'The hive and its version; always 1.',
    labels: ['hive', 'hostname', 'version'],
    collect: ({ heartbeat }) =>
      heartbeat === null
        ? []
        : [
            {
              value: 1,
              labels: { hive: heartbeat.hive.id, hostname: heartbeat.hive.hostname, version: heartbeat.hive.version },
            },
          ],
  },
  {
    name: 'hivepulse_hive_state',
    type: 'gauge',
    help: 'State of the hive: 1 for the one that holds.',
    labels: ['state'],
    collect: ({ heartbeat }) => (heartbeat === null ? [] : stateSet(hiveStates, 'state', heartbeat.hive.state)),
  },
  single('gauge', 'hivepulse_hive_workers', 'Workers that are watched.', ({ heartbeat }) => heartbeat?.workers.length),
  single('gauge', 'hivepulse_hive_workers_complete', '1 where the cgroup tree could be read whole.', ({ heartbeat }) =>
    flag(heartbeat?.workersComplete ?? null),
  ),
  single(
    'gauge',
    'hivepulse_hive_events_pending',
    'Events that no queen has acknowledged.',
    ({ heartbeat }) => heartbeat?.events.length,
  ),
  single(
    'counter',
    'hivepulse_hive_heartbeats_taken_total',
    'Heartbeats that a queen took.',
    ({ sends }) => sends.taken,
  ),
  single(
    'counter',
    'hivepulse_hive_heartbeats_failed_total',
    'Heartbeats that no queen took; the next one says more.',
    ({ sends }) => sends.failed,
  ),
  single(
    'counter',
    'hivepulse_hive_oom_kills_total',
    'Processes of workers that the kernel killed for memory since the hive started; also of workers that ended with it and have no series any more.',
    ({ oomKills }) => oomKills,
  ),
  {
    name: 'hivepulse_hive_faults',
    type: 'gauge',
    help: 'Faults that stand now, by code; docs/troubleshooting.md explains them.',
    labels: ['source', 'code'],
    collect: ({ heartbeat }) => faultCounts(heartbeat?.faults ?? []),
  },
  single(
    'gauge',
    'hivepulse_collection_duration_seconds',
    'Time that the last pass over all workers took.',
    ({ heartbeat }) => seconds(heartbeat?.collection.durationMs ?? null),
  ),
  single('gauge', 'hivepulse_collection_age_seconds', 'Age of the last pass.', ({ heartbeat, sinceSnapshotMs }) =>
    aged(heartbeat?.collection.ageMs, sinceSnapshotMs),
  ),
  single(
    'gauge',
    'hivepulse_collection_gpu_age_seconds',
    'Age of the last GPU reading.',
    ({ heartbeat, sinceSnapshotMs }) => aged(heartbeat?.collection.gpuAgeMs, sinceSnapshotMs),
  ),
  {
    name: 'hivepulse_collection_info',
    type: 'gauge',
    help: 'Which readers are in use; always 1.',
    labels: ['cgroup_reader', 'gpu_reader'],
    collect: ({ heartbeat }) =>
      heartbeat === null
        ? []
        : [
            {
              value: 1,
              labels: {
                cgroup_reader: heartbeat.collection.cgroupReader,
                gpu_reader: gpuReadersOf(heartbeat.collection).join(','),
              },
            },
          ],
  },
];

const hostFamilies = familiesOf<HiveScrape>(
  hostFields,
  'hive',
  ({ heartbeat }) => (heartbeat === null ? [] : [{ item: heartbeat.host, labels: {} }]),
  [],
);

/** From the kernel's own counters, which a heartbeat does not carry; `ofDevices`: only where all of its devices are counted. */
const counter = (
  place: number,
  name: string,
  help: string,
  column: keyof WorkerCounters,
  { perUnit = 1, ofDevices = false } = {},
): PlacedFamily<HiveScrape> => ({
  place,
  family: counted('counter', `hivepulse_worker_${name}_total`, help, ({ row, ioWhole }) =>
    ofDevices && !ioWhole ? null : row[column] / perUnit,
  ),
});
const pressures = [
  { column: 'cpuSomeTotalUsec', resource: constantLabels({ resource: 'cpu' }) },
  { column: 'memorySomeTotalUsec', resource: constantLabels({ resource: 'memory' }) },
  { column: 'ioSomeTotalUsec', resource: constantLabels({ resource: 'io' }) },
] as const;
const micros = { perUnit: 1e6 };
const io = { ofDevices: true };

const workerFamilies = familiesOf<HiveScrape>(
  workerFields,
  'hive',
  (scrape) => scrape.workers,
  ['worker'],
  [
    {
      place: 0,
      family: {
        name: 'hivepulse_worker_info',
        type: 'gauge',
        help: 'What the worker is; always 1. Labels that are not known are left out.',
        labels: ['worker', 'group', 'instance_id', 'name', 'model', 'port', 'origin', 'memory_source'],
        *collect({ workers }) {
          for (const { item, labels } of workers) {
            const { group, instance, name, model, port, origin, memorySource } = item;
            const known = { group, instance_id: instance, name, model, port, origin, memory_source: memorySource };
            yield { value: 1, shared: labels, labels: knownLabels(known) };
          }
        },
      },
    },
    {
      place: 0,
      family: {
        name: 'hivepulse_worker_engine_info',
        type: 'gauge',
        help: 'The engine that answers for the worker; always 1. No sample where none does.',
        labels: ['worker', 'engine', 'version'],
        *collect({ workers }) {
          for (const { item, labels } of workers)
            if (item.serving != null) {
              const { engine, version } = item.serving;
              yield { value: 1, shared: labels, labels: knownLabels({ engine, version }) };
            }
        },
      },
    },
    {
      place: 1,
      family: {
        name: 'hivepulse_worker_state',
        type: 'gauge',
        help: 'State of the worker: 1 for the one that holds.',
        labels: ['worker', 'state'],
        *collect({ workers }) {
          for (const { item, labels } of workers) yield* stateSet(workerStates, 'state', item.state, labels);
        },
      },
    },
    counter(30, 'cpu_seconds', 'CPU time used.', 'usageUsec', micros),
    counter(30, 'cpu_user_seconds', 'CPU time used in user space.', 'userUsec', micros),
    counter(30, 'cpu_system_seconds', 'CPU time used in the kernel.', 'systemUsec', micros),
    counter(30, 'cpu_periods', 'Periods of its CPU quota that ended.', 'nrPeriods'),
    counter(30, 'cpu_throttled_periods', 'Periods in which it was throttled.', 'nrThrottled'),
    counter(30, 'cpu_throttled_seconds', 'Time for which it was throttled.', 'throttledUsec', micros),
    counter(60, 'io_read_bytes', 'Bytes read, over all devices.', 'ioReadBytes', io),
    counter(60, 'io_written_bytes', 'Bytes written, over all devices.', 'ioWriteBytes', io),
    counter(60, 'io_reads', 'Reads, over all devices.', 'ioReads', io),
    counter(60, 'io_writes', 'Writes, over all devices.', 'ioWrites', io),
    {
      place: 70,
      family: {
        name: 'hivepulse_worker_pressure_seconds_total',
        type: 'counter',
        help: 'Time in which some task of it waited for the resource (PSI).',
        labels: ['worker', 'resource'],
        *collect({ counted }) {
          for (const { item, labels } of counted) {
            for (const { column, resource } of pressures) {
              const total = item.row[column];
              if (!Number.isNaN(total)) yield { value: total / 1e6, labels: resource, shared: labels };
            }
          }
        },
      },
    },
  ],
);

const holdingFamilies = familiesOf<HiveScrape>(workerGpuFields, 'hive', (scrape) => scrape.holdings, ['worker', 'gpu']);

const gpuFamilies = familiesOf<HiveScrape>(
  gpuFields,
  'hive',
  (scrape) => scrape.gpus,
  ['gpu'],
  [
    {
      place: 0,
      family: {
        name: 'hivepulse_gpu_info',
        type: 'gauge',
        help: 'What the GPU is; always 1. Labels that are not known are left out.',
        labels: ['gpu', 'index', 'name', 'vendor', 'pci_bus_id', 'parent', 'compute_capability', 'memory_kind'],
        *collect({ gpus }) {
          for (const { item, labels } of gpus) {
            const { index, name, vendor, pciBusId, parentUuid, computeCapability, memoryKind } = item;
            const kind = { parent: parentUuid, compute_capability: computeCapability, memory_kind: memoryKind };
            yield {
              value: 1,
              shared: labels,
              labels: knownLabels({ index, name, vendor, pci_bus_id: pciBusId, ...kind }),
            };
          }
        },
      },
    },
    {
      place: 1,
      family: {
        name: 'hivepulse_gpu_health',
        type: 'gauge',
        help: 'Health of the GPU: 1 for the one that holds.',
        labels: ['gpu', 'health'],
        *collect({ gpus }) {
          for (const { item, labels } of gpus) yield* stateSet(gpuHealths, 'health', item.health, labels);
        },
      },
    },
  ],
);

/** Everything that a hive says of its host, workers and GPUs. */
export const familiesOfHive: readonly Family<HiveScrape>[] = [
  ...hiveFamilies,
  ...hostFamilies,
  ...workerFamilies,
  ...holdingFamilies,
  ...gpuFamilies,
];

function faultCounts(faults: readonly Fault[]) {
  const counts = new Map<string, { value: number; labels: { source: string; code: string } }>();
  for (const { source, code } of faults) {
    const key = `${source}\n${code}`;
    const entry = counts.get(key);
    if (entry) entry.value += 1;
    else counts.set(key, { value: 1, labels: { source, code } });
  }
  return counts.values();
}

const aged = (ageMs: number | null | undefined, sinceMs: number | null): number | null =>
  ageMs === null || ageMs === undefined || sinceMs === null ? null : (ageMs + sinceMs) / 1000;
