import type { FleetLimits } from './fleet-budget.js';

/** Bytes that each part of a queen may keep. */
export interface MemoryLimits extends FleetLimits {
  readonly eventBytes: number;
  readonly reservationBytes: number;
  /** Last values of what is missing. */
  readonly missingBytes: number;
  /** Unread by the readers of event streams, together. */
  readonly streamBytes: number;
}

const MiB = 1024 ** 2;

/** Of the memory limit of a cgroup the heap may have half: buffers, code and threads are beside it. */
const partOfHeap = 0.5;

/**
 * The most that the heap may have by what Node.js was given and by the memory limit of the cgroup (null: there is none),
 * and a warning where the first is more than the second allows: the kernel would end the queen before its heap is full.
 */
export function heapLimit(heapBytes: number, cgroupBytes: number | null) {
  const allowed = cgroupBytes === null ? Number.POSITIVE_INFINITY : Math.floor(cgroupBytes * partOfHeap);
  const mebibytes = Math.floor(allowed / MiB);
  // Node.js sets its own limit at the same half, give or take what its young generation has.
  const isTooLarge = heapBytes > allowed * 1.2;
  return {
    bytes: Math.min(heapBytes, allowed),
    warning: isTooLarge
      ? `the heap may grow to ${Math.floor(heapBytes / MiB)} MiB, and the cgroup has ${Math.floor((cgroupBytes ?? 0) / MiB)} in all: start with NODE_OPTIONS=--max-old-space-size=${mebibytes}, or raise the limit`
      : null,
  };
}

/**
 * The budgets of a queen from the most that its heap may have. What is left of the heap is for answers and heartbeats under
 * way.
 */
export function memoryLimits(heapBytes: number): MemoryLimits {
  const share = (percent: number) => Math.floor((heapBytes * percent) / 100);
  return {
    fleetBytes: share(40),
    hiveBytes: Math.max(16 * MiB, Math.min(64 * MiB, share(3))),
    eventBytes: share(5),
    reservationBytes: share(1),
    missingBytes: Math.min(32 * MiB, share(2)),
    streamBytes: share(15),
  };
}
