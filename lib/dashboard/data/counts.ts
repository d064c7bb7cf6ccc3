import type { HiveView, Liveness, WorkerView } from '../../contract/api.js';
import type { GpuSample, WorkerSample } from '../../contract/heartbeat.js';

export interface FleetCounts {
  readonly liveness: Record<Liveness, number>;
  /** GPUs and workers of a hive that is not heard count as offline, whatever they were last. */
  readonly health: Partial<Record<GpuSample['health'] | 'offline', number>>;
  readonly state: Partial<Record<WorkerSample['state'] | 'offline', number>>;
  readonly gpus: number;
  /** Of GPUs of hives that are heard. */
  readonly usedBytes: number;
  readonly totalBytes: number;
  /** GPUs whose use is not known: their memory is in neither sum. */
  readonly uncounted: number;
}

/** Counted from what the stream says, so that the bar and the lists below always agree. */
export function countFleet(
  hives: Iterable<{ readonly view: HiveView; readonly liveness: Liveness }>,
  workers: Iterable<WorkerView>,
): FleetCounts {
  const offline = new Set<string>();
  const result = {
    liveness: { online: 0, late: 0, offline: 0 },
    health: {} as Partial<Record<GpuSample['health'] | 'offline', number>>,
    state: {} as Partial<Record<WorkerSample['state'] | 'offline', number>>,
    gpus: 0,
    usedBytes: 0,
    totalBytes: 0,
    uncounted: 0,
  };
  for (const { view, liveness } of hives) {
    result.liveness[liveness]++;
    if (liveness === 'offline') offline.add(view.id);
    for (const gpu of view.gpus) {
      result.gpus++;
      const health = liveness === 'offline' ? 'offline' : gpu.health;
      result.health[health] = (result.health[health] ?? 0) + 1;
      // A MIG device is cut from a GPU that is counted already.
      if (gpu.parentUuid !== null) continue;
      if (liveness === 'offline' || gpu.memoryUsedBytes === null || gpu.memoryTotalBytes === null) result.uncounted++;
      else {
        result.usedBytes += gpu.memoryUsedBytes;
        result.totalBytes += gpu.memoryTotalBytes;
      }
    }
  }
  for (const worker of workers) {
    const state = offline.has(worker.hive) ? 'offline' : worker.state;
    result.state[state] = (result.state[state] ?? 0) + 1;
  }
  return result;
}
