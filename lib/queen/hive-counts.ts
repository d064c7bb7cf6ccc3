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

/** What the GPUs and workers of one hive do now, as sums over those of which it is known. A MIG device is a part of its GPU. */
export class HiveSums {
  utilization = 0;
  utilizationCount = 0;
  watts = 0;
  wattsCount = 0;
  tokens = 0;
  tokensCount = 0;

  clearGpus(): void {
    this.utilization = this.utilizationCount = this.watts = this.wattsCount = 0;
  }

  clearWorkers(): void {
    this.tokens = this.tokensCount = 0;
  }

  addGpu(parentUuid: string | null, utilizationPercent: number | null, watts: number | null): void {
    if (parentUuid !== null) return;
    if (utilizationPercent !== null) {
      this.utilization += utilizationPercent;
      this.utilizationCount++;
    }
    if (watts !== null) {
      this.watts += watts;
      this.wattsCount++;
    }
  }

  add(other: HiveSums): void {
    this.utilization += other.utilization;
    this.utilizationCount += other.utilizationCount;
    this.watts += other.watts;
    this.wattsCount += other.wattsCount;
    this.tokens += other.tokens;
    this.tokensCount += other.tokensCount;
  }

  addWorker(tokensPerSecond: number | null): void {
    if (tokensPerSecond === null) return;
    this.tokens += tokensPerSecond;
    this.tokensCount++;
  }
}
