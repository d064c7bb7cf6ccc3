import type { HiveView, WorkerView } from '../contract/api.js';
import type { GpuSample } from '../contract/heartbeat.js';
import { type Energy, energyOfHost } from './energy.js';
import { copyGpu } from './merge.js';
import type { HiveRecord } from './records.js';
import { hiveView, workerView } from './views.js';

/** How many of its GPUs and workers a scrape takes of one hive. */
export interface ScrapeRoom {
  readonly gpus: number;
  /** With those that are not healthy. */
  readonly illGpus: number;
  readonly workers: number;
}

/** What a scrape reads of one hive: no views of what it has no room for. */
export interface HiveScrape {
  /** Its GPUs stand beside it. */
  readonly hive: HiveView;
  readonly gpus: readonly GpuSample[];
  readonly gpusLeftOut: number;
  readonly workers: readonly WorkerView[];
  readonly workersLeftOut: number;
  /** Of all its workers that generate, by id. */
  readonly energies: ReadonlyMap<string, Energy & { readonly model: string | null }>;
}

const noGpus: HiveView['gpus'] = [];
const noEnergies: HiveScrape['energies'] = new Map();

export function scrapeHive(record: HiveRecord, room: ScrapeRoom, nowMs: number): HiveScrape {
  const hive = hiveView(record, nowMs, noGpus);
  const { gpuOrder, workerOrder } = record;
  if (record.liveness === 'offline')
    return { hive, gpus: [], gpusLeftOut: 0, workers: [], workersLeftOut: 0, energies: noEnergies };
  // In the order of the lists, so that the same GPUs and workers have series at each scrape.
  const gpus: GpuSample[] = [];
  for (const gpu of gpuOrder)
    if (gpus.length < (gpu.current.health === 'ok' ? room.gpus : room.illGpus)) gpus.push(copyGpu(gpu.sample));
  const workers = workerOrder.slice(0, Math.max(0, room.workers)).map((worker) => workerView(worker, nowMs));
  return {
    hive,
    gpus,
    gpusLeftOut: gpuOrder.length - gpus.length,
    workers,
    workersLeftOut: workerOrder.length - workers.length,
    energies: energiesOf(record),
  };
}

function energiesOf(hive: HiveRecord): HiveScrape['energies'] {
  if (hive.sums.tokens === 0) return noEnergies;
  const { gpus, workers } = hive.unwritten?.powerRows() ?? {
    gpus: hive.gpuOrder.map(({ sample }) => sample),
    workers: hive.workerOrder.map(({ sample }) => sample),
  };
  const found = new Map<string, Energy & { readonly model: string | null }>();
  for (const [{ id, model }, energy] of energyOfHost(gpus, workers)) found.set(id, { ...energy, model });
  return found;
}
