import type { Fleet, Liveness } from '../contract/api.js';
import { type CountedState, countFleet } from '../contract/counts.js';
import { type GpuKnowledge, workerStates } from '../contract/enums.js';
import type { GpuSample, WorkerSample } from '../contract/heartbeat.js';
import { modelsOf } from '../contract/models.js';
import type { Indexes } from './indexes.js';
import type { Counts } from './registry-options.js';

/** Numbers of what is heard, or of all. */
export function count(indexes: Indexes, includeStale: boolean): Counts {
  const hives: Record<Liveness, number> = { online: 0, late: 0, offline: 0 };
  const byState = Object.fromEntries(workerStates.map((state) => [state, 0])) as Record<WorkerSample['state'], number>;
  const models: Record<string, number> = {};
  let workers = 0;
  let gpus = 0;
  for (const hive of indexes.hives.values()) {
    hives[hive.liveness]++;
    if (!includeStale && hive.liveness !== 'online') continue;
    gpus += hive.gpus.size;
    workers += hive.workers.size;
    for (const { sample } of hive.workerOrder) {
      byState[sample.state]++;
      for (const name of modelsOf(sample)) models[name] = (models[name] ?? 0) + 1;
    }
  }
  return { hives, workers, byState, gpus, models };
}

/** Totals over all that is known; what a hive said last that is not heard any more is counted apart. */
export function totals(indexes: Indexes): Pick<Fleet, 'hives' | 'gpus' | 'workers'> {
  const counts = countFleet(rows(indexes), states(indexes));
  return {
    hives: counts.liveness,
    gpus: {
      total: counts.gpus,
      byHealth: counts.health,
      memoryTotalBytes: counts.totalBytes,
      memoryUsedBytes: counts.usedBytes,
      uncounted: counts.uncounted,
      unknownHives: counts.unknownGpuHives,
    },
    workers: { total: counts.workers, byState: counts.state },
  };
}

function* rows(indexes: Indexes): Generator<{ liveness: Liveness; gpusKnown: GpuKnowledge; gpus: GpuSample[] }, void> {
  for (const { liveness, gpusKnown, gpuOrder } of indexes.hives.values())
    yield { liveness, gpusKnown, gpus: gpuOrder.map(({ sample }) => sample) };
}

/** From the index by state, less those that are not heard: of a large fleet, few. */
function* states(indexes: Indexes): Generator<readonly [CountedState, number], void> {
  const silent = new Map<WorkerSample['state'], number>();
  for (const hive of indexes.hives.values()) {
    if (hive.liveness !== 'offline') continue;
    for (const { sample } of hive.workerOrder) silent.set(sample.state, (silent.get(sample.state) ?? 0) + 1);
    yield ['offline', hive.workers.size];
  }
  for (const [state, workers] of indexes.byState.sets) yield [state, workers.size - (silent.get(state) ?? 0)];
}
