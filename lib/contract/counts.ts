/** How a fleet is counted: by the queen for its API and metrics, by the page and by the terminal, so that all say the same. */
import type { Liveness } from './api.js';
import type { GpuKnowledge } from './enums.js';
import type { GpuSample, WorkerSample } from './heartbeat.js';

export type CountedGpu = Pick<GpuSample, 'uuid' | 'parentUuid' | 'health' | 'memoryUsedBytes' | 'memoryTotalBytes'>;
export type CountedHealth = GpuSample['health'] | 'offline';
export type CountedState = WorkerSample['state'] | 'offline';

export interface VramCounts {
  /** Over the GPUs of which both are known; null where there is none such. */
  readonly usedBytes: number | null;
  readonly totalBytes: number | null;
  /** GPUs whose use is not known, or of a hive that is not heard: their memory is in neither sum. */
  readonly uncounted: number;
}

export interface FleetCounts extends VramCounts {
  readonly liveness: Record<Liveness, number>;
  /** GPUs and workers of a hive that is not heard count as offline, whatever they were last. */
  readonly health: Partial<Record<CountedHealth, number>>;
  readonly state: Partial<Record<CountedState, number>>;
  readonly gpus: number;
  /** Hives whose GPUs are not known now. Those that a hive listed before are in `gpus` and `uncounted` as well. */
  readonly unknownGpuHives: number;
  readonly workers: number;
}

const isKnown = (gpu: CountedGpu): boolean => gpu.memoryUsedBytes !== null && gpu.memoryTotalBytes !== null;

/**
 * GPUs of one hive whose memory makes up its VRAM. A MIG device is a part of a GPU: it is in the sum of that one, and stands
 * for itself only where that one's own memory can't be read.
 */
function* wholeGpus(gpus: readonly CountedGpu[]): Generator<CountedGpu, void> {
  let cut: Map<string, boolean> | null = null;
  for (const { parentUuid } of gpus)
    if (parentUuid !== null) {
      cut ??= new Map();
      cut.set(parentUuid, false);
    }
  if (cut) for (const gpu of gpus) if (cut.has(gpu.uuid)) cut.set(gpu.uuid, isKnown(gpu));
  for (const gpu of gpus) {
    if (cut && gpu.parentUuid !== null && cut.get(gpu.parentUuid) === true) continue;
    if (cut?.get(gpu.uuid) === false) continue;
    yield gpu;
  }
}

interface Sum {
  usedBytes: number | null;
  totalBytes: number | null;
  uncounted: number;
}

function addVram(sum: Sum, gpus: readonly CountedGpu[], heard: boolean): void {
  for (const { memoryUsedBytes, memoryTotalBytes } of wholeGpus(gpus)) {
    if (!heard || memoryUsedBytes === null || memoryTotalBytes === null) sum.uncounted++;
    else {
      sum.usedBytes = (sum.usedBytes ?? 0) + memoryUsedBytes;
      sum.totalBytes = (sum.totalBytes ?? 0) + memoryTotalBytes;
    }
  }
}

/** VRAM of the GPUs of one hive. */
export function countVram(gpus: readonly CountedGpu[]): VramCounts {
  const sum: Sum = { usedBytes: null, totalBytes: null, uncounted: 0 };
  addVram(sum, gpus, true);
  return sum;
}

/** @param workers how many there are in a state; a state may come more than once. */
export function countFleet(
  hives: Iterable<{
    readonly liveness: Liveness;
    readonly gpusKnown: GpuKnowledge;
    readonly gpus: readonly CountedGpu[];
  }>,
  workers: Iterable<readonly [state: CountedState, count: number]>,
): FleetCounts {
  const sum: Sum = { usedBytes: null, totalBytes: null, uncounted: 0 };
  const liveness: Record<Liveness, number> = { online: 0, late: 0, offline: 0 };
  const health: Partial<Record<CountedHealth, number>> = {};
  const state: Partial<Record<CountedState, number>> = {};
  let gpuCount = 0;
  let unknownGpuHives = 0;
  let workerCount = 0;
  for (const hive of hives) {
    liveness[hive.liveness]++;
    const heard = hive.liveness !== 'offline';
    for (const gpu of hive.gpus) {
      const counted = heard ? gpu.health : 'offline';
      health[counted] = (health[counted] ?? 0) + 1;
    }
    gpuCount += hive.gpus.length;
    if (hive.gpusKnown === 'unknown') unknownGpuHives++;
    addVram(sum, hive.gpus, heard);
  }
  for (const [counted, count] of workers) {
    if (count === 0) continue;
    state[counted] = (state[counted] ?? 0) + count;
    workerCount += count;
  }
  return { liveness, health, state, gpus: gpuCount, unknownGpuHives, workers: workerCount, ...sum };
}
