import { gpuHealths, hiveStates, workerStates } from '../contract/enums.js';
import type { Fault, GpuSample, Heartbeat, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import {
  each,
  epoch,
  type Family,
  flag,
  knownLabels,
  type LabelValues,
  ratio,
  seconds,
  single,
  stateSet,
} from '../metrics/exposition.js';

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

interface Worker {
  readonly sample: WorkerSample;
  readonly counters: WorkerCounters | null;
  /** All of its I/O counters are there: a device that left took its counts along. */
  readonly ioWhole: boolean;
}

type Labelled<T> = { readonly item: T; readonly labels: LabelValues };

/** What one scrape of a hive sees; made once, so that label objects are shared between families. */
export interface HiveScrape {
  readonly beat: Heartbeat | null;
  readonly workers: readonly Labelled<Worker>[];
  readonly gpus: readonly Labelled<GpuSample>[];
  readonly holdings: readonly Labelled<WorkerGpu>[];
  readonly sinceSnapshotMs: number | null;
  readonly sends: { readonly taken: number; readonly failed: number };
  readonly oomKills: number;
}

export interface HiveReport {
  readonly beat: Heartbeat | null;
  /** Age of the snapshot in `beat`. */
  readonly sinceSnapshotMs: number | null;
  readonly counters: ReadonlyMap<string, { readonly row: WorkerCounters; readonly ioWhole: boolean }>;
  readonly sends: { readonly taken: number; readonly failed: number };
  /** Over all `oomKill` facts since the hive started. */
  readonly oomKills: number;
}

export function hiveScrape({ beat, sinceSnapshotMs, counters, sends, oomKills }: HiveReport): HiveScrape {
  return {
    beat,
    sinceSnapshotMs,
    sends,
    oomKills,
    workers: (beat?.workers ?? []).map((sample) => {
      const known = counters.get(sample.id);
      return {
        item: { sample, counters: known?.row ?? null, ioWhole: known?.ioWhole ?? false },
        labels: { worker: sample.id },
      };
    }),
    gpus: (beat?.gpus ?? []).map((item) => ({ item, labels: { gpu: item.uuid } })),
    holdings: (beat?.workers ?? []).flatMap((worker) =>
      worker.gpus.map((item) => ({ item, labels: { worker: worker.id, gpu: item.uuid } })),
    ),
  };
}

const worker = each<HiveScrape, Worker>((scrape) => scrape.workers, ['worker']);
const gpu = each<HiveScrape, GpuSample>((scrape) => scrape.gpus, ['gpu']);
const holding = each<HiveScrape, WorkerGpu>((scrape) => scrape.holdings, ['worker', 'gpu']);

const usec = (pick: (counters: WorkerCounters) => number) => (item: Worker) =>
  item.counters === null ? null : pick(item.counters) / 1e6;
const raw = (pick: (counters: WorkerCounters) => number) => (item: Worker) =>
  item.counters === null ? null : pick(item.counters);
const io = (pick: (counters: WorkerCounters) => number) => (item: Worker) =>
  item.counters === null || !item.ioWhole ? null : pick(item.counters);

const resources = ['cpu', 'memory', 'io'] as const;

const hiveFamilies: readonly Family<HiveScrape>[] = [
  {
    name: 'hivepulse_hive_info',
    type: 'gauge',
    help: 'The hive and its version; always 1.',
    labels: ['hive', 'hostname', 'version'],
    collect: ({ beat }) =>
      beat === null
        ? []
        : [{ value: 1, labels: { hive: beat.hive.id, hostname: beat.hive.hostname, version: beat.hive.version } }],
  },
  {
    name: 'hivepulse_hive_state',
    type: 'gauge',
    help: 'State of the hive: 1 for the one that holds.',
    labels: ['state'],
    collect: ({ beat }) => (beat === null ? [] : stateSet(hiveStates, 'state', beat.hive.state)),
  },
  single('gauge', 'hivepulse_hive_workers', 'Workers that are watched.', ({ beat }) => beat?.workers.length),
  single('gauge', 'hivepulse_hive_workers_complete', '1 where the cgroup tree could be read whole.', ({ beat }) =>
    flag(beat?.workersComplete ?? null),
  ),
  single(
    'gauge',
    'hivepulse_hive_events_pending',
    'Events that no queen has acknowledged.',
    ({ beat }) => beat?.events.length,
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
    collect: ({ beat }) => faultCounts(beat?.faults ?? []),
  },
  single(
    'gauge',
    'hivepulse_collection_duration_seconds',
    'Time that the last pass over all workers took.',
    ({ beat }) => seconds(beat?.collection.durationMs ?? null),
  ),
  single('gauge', 'hivepulse_collection_age_seconds', 'Age of the last pass.', ({ beat, sinceSnapshotMs }) =>
    aged(beat?.collection.ageMs, sinceSnapshotMs),
  ),
  single('gauge', 'hivepulse_collection_gpu_age_seconds', 'Age of the last GPU reading.', ({ beat, sinceSnapshotMs }) =>
    aged(beat?.collection.gpuAgeMs, sinceSnapshotMs),
  ),
  {
    name: 'hivepulse_collection_info',
    type: 'gauge',
    help: 'Which readers are in use; always 1.',
    labels: ['cgroup_reader', 'gpu_reader'],
    collect: ({ beat }) =>
      beat === null
        ? []
        : [
            {
              value: 1,
              labels: { cgroup_reader: beat.collection.cgroupReader, gpu_reader: beat.collection.gpuReader },
            },
          ],
  },
];

const hostFamilies: readonly Family<HiveScrape>[] = [
  single('gauge', 'hivepulse_host_cpus', 'Logical CPUs of the host.', ({ beat }) => beat?.host.cpuCount),
  single('gauge', 'hivepulse_host_cpu_used_cores', 'CPU in use; 1 is one whole core.', ({ beat }) =>
    ratio(beat?.host.cpuPercent ?? null),
  ),
  single('gauge', 'hivepulse_host_memory_total_bytes', 'MemTotal.', ({ beat }) => beat?.host.memoryTotalBytes),
  single(
    'gauge',
    'hivepulse_host_memory_available_bytes',
    'MemAvailable.',
    ({ beat }) => beat?.host.memoryAvailableBytes,
  ),
  single('gauge', 'hivepulse_host_load1', 'Load average over one minute.', ({ beat }) => beat?.host.load1),
  single('gauge', 'hivepulse_host_uptime_seconds', 'Time since boot.', ({ beat }) => beat?.host.uptimeSeconds),
  {
    name: 'hivepulse_host_pressure_ratio',
    type: 'gauge',
    help: 'Share of the last 10 s in which some task waited for the resource.',
    labels: ['resource'],
    *collect({ beat }) {
      for (const resource of resources) {
        const value = ratio(beat?.host.pressure[resource] ?? null);
        if (value !== null) yield { value, labels: { resource } };
      }
    },
  },
];

const workerFamilies: readonly Family<HiveScrape>[] = [
  {
    name: 'hivepulse_worker_info',
    type: 'gauge',
    help: 'What the worker is; always 1. Labels that are not known are left out.',
    labels: ['worker', 'group', 'instance_id', 'name', 'model', 'port', 'origin', 'memory_source'],
    *collect({ workers }) {
      for (const { item, labels } of workers) {
        const { group, instance, name, model, port, origin, memorySource } = item.sample;
        yield {
          value: 1,
          shared: labels,
          labels: knownLabels({ group, instance_id: instance, name, model, port, origin, memory_source: memorySource }),
        };
      }
    },
  },
  {
    name: 'hivepulse_worker_state',
    type: 'gauge',
    help: 'State of the worker: 1 for the one that holds.',
    labels: ['worker', 'state'],
    *collect({ workers }) {
      for (const { item, labels } of workers) yield* stateSet(workerStates, 'state', item.sample.state, labels);
    },
  },
  worker(
    'gauge',
    'hivepulse_worker_ready',
    '1 where its probe says ready; no sample where there is nothing to probe.',
    (w) => flag(w.sample.ready),
  ),
  worker('gauge', 'hivepulse_worker_start_time_seconds', 'When its main process started, since the Unix epoch.', (w) =>
    epoch(w.sample.startedAt),
  ),
  worker('gauge', 'hivepulse_worker_processes', 'Processes in its cgroup.', (w) => w.sample.processCount),
  worker(
    'counter',
    'hivepulse_worker_cpu_seconds_total',
    'CPU time used.',
    usec((c) => c.usageUsec),
  ),
  worker(
    'counter',
    'hivepulse_worker_cpu_user_seconds_total',
    'CPU time used in user space.',
    usec((c) => c.userUsec),
  ),
  worker(
    'counter',
    'hivepulse_worker_cpu_system_seconds_total',
    'CPU time used in the kernel.',
    usec((c) => c.systemUsec),
  ),
  worker(
    'counter',
    'hivepulse_worker_cpu_periods_total',
    'Periods of its CPU quota that ended.',
    raw((c) => c.nrPeriods),
  ),
  worker(
    'counter',
    'hivepulse_worker_cpu_throttled_periods_total',
    'Periods in which it was throttled.',
    raw((c) => c.nrThrottled),
  ),
  worker(
    'counter',
    'hivepulse_worker_cpu_throttled_seconds_total',
    'Time for which it was throttled.',
    usec((c) => c.throttledUsec),
  ),
  worker(
    'gauge',
    'hivepulse_worker_cpu_limit_cores',
    'CPU limit, least of it and its ancestors; no sample without one.',
    (w) => ratio(w.sample.cpuLimitPercent),
  ),
  worker(
    'gauge',
    'hivepulse_worker_memory_bytes',
    'Memory charged to it, page cache included.',
    (w) => w.sample.memoryBytes,
  ),
  worker(
    'gauge',
    'hivepulse_worker_memory_working_set_bytes',
    'Memory without inactive page cache.',
    (w) => w.sample.workingSetBytes,
  ),
  worker('gauge', 'hivepulse_worker_memory_peak_bytes', 'Highest memory charged.', (w) => w.sample.memoryPeakBytes),
  worker(
    'gauge',
    'hivepulse_worker_memory_limit_bytes',
    'Memory limit, least of it and its ancestors; no sample without one.',
    (w) => w.sample.memoryLimitBytes,
  ),
  worker(
    'counter',
    'hivepulse_worker_oom_kills_total',
    'Processes of it that the kernel killed for memory. A worker of one process takes its series along: alert on hivepulse_hive_oom_kills_total.',
    (w) => w.sample.oomKills,
  ),
  worker(
    'counter',
    'hivepulse_worker_io_read_bytes_total',
    'Bytes read, over all devices.',
    io((c) => c.ioReadBytes),
  ),
  worker(
    'counter',
    'hivepulse_worker_io_written_bytes_total',
    'Bytes written, over all devices.',
    io((c) => c.ioWriteBytes),
  ),
  worker(
    'counter',
    'hivepulse_worker_io_reads_total',
    'Reads, over all devices.',
    io((c) => c.ioReads),
  ),
  worker(
    'counter',
    'hivepulse_worker_io_writes_total',
    'Writes, over all devices.',
    io((c) => c.ioWrites),
  ),
  {
    name: 'hivepulse_worker_pressure_seconds_total',
    type: 'counter',
    help: 'Time in which some task of it waited for the resource (PSI).',
    labels: ['worker', 'resource'],
    *collect({ workers }) {
      for (const { item, labels } of workers) {
        if (item.counters === null) continue;
        const { cpuSomeTotalUsec, memorySomeTotalUsec, ioSomeTotalUsec } = item.counters;
        const totals = { cpu: cpuSomeTotalUsec, memory: memorySomeTotalUsec, io: ioSomeTotalUsec };
        for (const resource of resources)
          if (!Number.isNaN(totals[resource]))
            yield { value: totals[resource] / 1e6, labels: { resource }, shared: labels };
      }
    },
  },
  holding('gauge', 'hivepulse_worker_gpu_memory_used_bytes', 'GPU memory held on one GPU.', (h) => h.memoryUsedBytes),
  holding('gauge', 'hivepulse_worker_gpu_utilization_ratio', 'Utilization of one GPU by the worker.', (h) =>
    ratio(h.utilizationPercent),
  ),
];

const gpuFamilies: readonly Family<HiveScrape>[] = [
  {
    name: 'hivepulse_gpu_info',
    type: 'gauge',
    help: 'What the GPU is; always 1. Labels that are not known are left out.',
    labels: ['gpu', 'index', 'name', 'pci_bus_id', 'parent', 'compute_capability', 'memory_kind'],
    *collect({ gpus }) {
      for (const { item, labels } of gpus)
        yield {
          value: 1,
          shared: labels,
          labels: knownLabels({
            index: item.index,
            name: item.name,
            pci_bus_id: item.pciBusId,
            parent: item.parentUuid,
            compute_capability: item.computeCapability,
            memory_kind: item.memoryKind,
          }),
        };
    },
  },
  {
    name: 'hivepulse_gpu_health',
    type: 'gauge',
    help: 'Health of the GPU: 1 for the one that holds.',
    labels: ['gpu', 'health'],
    *collect({ gpus }) {
      for (const { item, labels } of gpus) yield* stateSet(gpuHealths, 'health', item.health, labels);
    },
  },
  gpu('gauge', 'hivepulse_gpu_memory_total_bytes', 'Memory of the GPU.', (g) => g.memoryTotalBytes),
  gpu(
    'gauge',
    'hivepulse_gpu_memory_used_bytes',
    'Memory in use, without what the driver reserves.',
    (g) => g.memoryUsedBytes,
  ),
  gpu(
    'gauge',
    'hivepulse_gpu_memory_reserved_bytes',
    'Memory kept by driver and firmware.',
    (g) => g.memoryReservedBytes,
  ),
  gpu(
    'gauge',
    'hivepulse_gpu_memory_unattributed_bytes',
    'Memory of processes that belong to no worker.',
    (g) => g.unattributedBytes,
  ),
  gpu('gauge', 'hivepulse_gpu_utilization_ratio', 'Share of time in which a kernel ran.', (g) =>
    ratio(g.utilizationPercent),
  ),
  gpu('gauge', 'hivepulse_gpu_memory_bus_ratio', 'Share of time in which memory was read or written.', (g) =>
    ratio(g.memoryBusPercent),
  ),
  gpu('gauge', 'hivepulse_gpu_temperature_celsius', 'Temperature of the core.', (g) => g.temperatureCelsius),
  gpu('gauge', 'hivepulse_gpu_power_watts', 'Power drawn.', (g) => g.powerWatts),
  gpu('gauge', 'hivepulse_gpu_power_limit_watts', 'Enforced limit of power.', (g) => g.powerLimitWatts),
  gpu('gauge', 'hivepulse_gpu_sm_clock_hertz', 'Clock of the multiprocessors.', (g) =>
    g.smClockMhz === null ? null : g.smClockMhz * 1e6,
  ),
  gpu('gauge', 'hivepulse_gpu_fan_ratio', 'Speed of the fan; 1 is the rated one.', (g) => ratio(g.fanPercent)),
  gpu(
    'counter',
    'hivepulse_gpu_ecc_uncorrected_errors_total',
    'Uncorrected ECC errors since the driver loaded.',
    (g) => g.eccUncorrected,
  ),
  gpu('gauge', 'hivepulse_gpu_remapped_rows_pending', '1 where rows wait for a reset to be remapped.', (g) =>
    flag(g.remappedRows?.pending ?? null),
  ),
  gpu('gauge', 'hivepulse_gpu_remapped_rows_failed', '1 where remapping rows has failed.', (g) =>
    flag(g.remappedRows?.failed ?? null),
  ),
  gpu('gauge', 'hivepulse_gpu_nvlinks', 'NVLinks of the GPU.', (g) => g.nvlinks?.total),
  gpu('gauge', 'hivepulse_gpu_nvlinks_up', 'NVLinks that are up.', (g) => g.nvlinks?.up),
  gpu(
    'gauge',
    'hivepulse_gpu_last_xid',
    'Newest Xid since the hive started; no sample before the first.',
    (g) => g.lastXid,
  ),
  gpu('gauge', 'hivepulse_gpu_processes', 'Processes with a context on the GPU.', (g) => g.processCount),
  {
    name: 'hivepulse_gpu_throttled',
    type: 'gauge',
    help: 'Reasons for which the clocks are held down now.',
    labels: ['gpu', 'reason'],
    *collect({ gpus }) {
      for (const { item, labels } of gpus)
        for (const reason of new Set(item.throttleReasons)) yield { value: 1, labels: { reason }, shared: labels };
    },
  },
];

/** Everything that a hive says of its host, workers and GPUs. */
export const familiesOfHive: readonly Family<HiveScrape>[] = [
  ...hiveFamilies,
  ...hostFamilies,
  ...workerFamilies,
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
