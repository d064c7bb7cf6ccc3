import type { Liveness } from '../contract/api.js';
import { gpuHealths } from '../contract/enums.js';

/** As GPUs are counted: those of a hive that is not heard are offline, whatever they were last. */
export const healths = [...gpuHealths, 'offline'] as const;

/** What one hive adds to the totals of the fleet. */
export interface HiveCounts {
  /** Null: nothing of it is in them. */
  liveness: Liveness | null;
  /** 1 where its GPUs are not known. */
  unknownGpus: number;
  /** GPUs by health, in the order of `healths`. */
  readonly health: number[];
  /** Whole bytes, so that what is taken out again is what was put in. */
  usedBytes: number;
  totalBytes: number;
  /** 1 where the two are of some GPU. */
  summed: number;
  uncounted: number;
  /** Of a hive that is not heard: its workers, by what they were last, in the order of `workerStates`. */
  readonly silent: number[];
}

export const nothingCounted = (): HiveCounts => ({
  liveness: null,
  unknownGpus: 0,
  health: healths.map(() => 0),
  usedBytes: 0,
  totalBytes: 0,
  summed: 0,
  uncounted: 0,
  silent: [],
});
