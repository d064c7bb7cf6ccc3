import type { FleetLimits } from './fleet-budget.js';

/** Bytes that each part of a queen may keep. */
export interface MemoryLimits extends FleetLimits {
  readonly eventBytes: number;
  readonly reservationBytes: number;
  /** Unread by the readers of event streams, together. */
  readonly streamBytes: number;
}

const MiB = 1024 ** 2;

/**
 * The budgets of a queen from the most that its heap may have, which Node.js takes from the memory limit of its cgroup (half
 * of it, at most 4 GiB). What is left of the heap is for answers and heartbeats under way.
 */
export function memoryLimits(heapBytes: number): MemoryLimits {
  const share = (percent: number) => Math.floor((heapBytes * percent) / 100);
  return {
    fleetBytes: share(40),
    hiveBytes: Math.max(16 * MiB, Math.min(64 * MiB, share(3))),
    eventBytes: share(5),
    reservationBytes: share(1),
    streamBytes: share(15),
  };
}
