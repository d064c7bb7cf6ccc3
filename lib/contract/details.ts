/** Figures that change with each heartbeat and that no list shows: a stream for lists leaves them out. */
import type { LeftOut } from './changes.js';

export const hiveDetails = {
  host: { load1: true, uptimeSeconds: true, pressure: true },
  gpus: { memoryBusPercent: true, smClockMhz: true, fanPercent: true, throttleReasons: true, unattributedBytes: true },
  collection: { durationMs: true, ageMs: true },
} as const satisfies LeftOut;

export const workerDetails = {
  ioReadBytesPerSecond: true,
  ioWriteBytesPerSecond: true,
  memoryPeakBytes: true,
  pressure: true,
  cpuThrottledPercent: true,
} as const satisfies LeftOut;
