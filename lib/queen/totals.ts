import type { Fleet, Liveness } from '../contract/api.js';
import type { Indexes } from './indexes.js';
import type { Counts } from './registry-options.js';

/** Numbers of what is heard, or of all. */
export function count(indexes: Indexes, includeStale: boolean): Counts {
  const hives: Record<Liveness, number> = { online: 0, late: 0, offline: 0 };
  const byState = { starting: 0, idle: 0, busy: 0, unknown: 0 };
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
      if (sample.model !== null) models[sample.model] = (models[sample.model] ?? 0) + 1;
    }
  }
  return { hives, workers, byState, gpus, models };
}

/** Totals over all that is known, whatever its liveness. */
export function totals(indexes: Indexes): Pick<Fleet, 'hives' | 'gpus' | 'workers'> {
  const hives: Record<Liveness, number> = { online: 0, late: 0, offline: 0 };
  const byHealth: Record<string, number> = {};
  let memoryTotalBytes = 0;
  let memoryUsedBytes = 0;
  for (const hive of indexes.hives.values()) {
    hives[hive.liveness]++;
    for (const { sample, isParent } of hive.gpuOrder) {
      byHealth[sample.health] = (byHealth[sample.health] ?? 0) + 1;
      // A GPU that is cut up is counted by its parts, where those are listed.
      if (isParent && hive.gpuOrder.some((part) => part.sample.parentUuid === sample.uuid)) continue;
      memoryTotalBytes += sample.memoryTotalBytes ?? 0;
      memoryUsedBytes += sample.memoryUsedBytes ?? 0;
    }
  }
  const byState: Record<string, number> = {};
  for (const [state, workers] of indexes.byState.sets) byState[state] = workers.size;
  return {
    hives,
    gpus: { total: indexes.gpuCount, byHealth, memoryTotalBytes, memoryUsedBytes },
    workers: { total: indexes.workerCount, byState },
  };
}
