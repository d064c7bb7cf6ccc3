import type { History } from '../contract/api.js';
import { isObject } from '../util/is-object.js';
import { HistoryStore } from './history.js';
import type { SavedDay } from './history-saved.js';
import { historyStepMs } from './history-sizes.js';
import { HiveSums } from './hive-counts.js';
import type { HiveRecord } from './records.js';

/** Over hosts that are online: mean over GPUs, watts of GPUs, tokens generated a second, workers. */
export const fleetSeries = ['gpuUtilizationPercent', 'powerWatts', 'generationTokensPerSecond', 'workers'] as const;

const key = 'fleet';
/** Three samples make a step. */
const sampleEveryMs = historyStepMs / 3;

interface Figures {
  readonly utilizationPercent: number | null;
  readonly watts: number | null;
  readonly tokensPerSecond: number | null;
  readonly workers: number;
}

/** What a fleet does now; null where nobody says it. */
export function fleetFigures(hives: Iterable<Pick<HiveRecord, 'liveness' | 'sums' | 'workerOrder'>>): Figures {
  const all = new HiveSums();
  let workers = 0;
  for (const { liveness, sums, workerOrder } of hives) {
    if (liveness === 'offline') continue;
    workers += workerOrder.length;
    all.add(sums);
  }
  return {
    utilizationPercent: all.utilizationCount === 0 ? null : all.utilization / all.utilizationCount,
    watts: all.wattsCount === 0 ? null : all.watts,
    tokensPerSecond: all.tokensCount === 0 ? null : all.tokens,
    workers,
  };
}

/** The last hour and day of the fleet as a whole. */
export class FleetHistory {
  readonly #store: HistoryStore;
  #ring = -1;
  #sampledAtMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#store = new HistoryStore(1, 1, now);
  }

  /** Walks the fleet every few seconds; else it costs nothing. */
  sample(hives: ReadonlyMap<string, HiveRecord>, nowMs: number): void {
    if (nowMs - this.#sampledAtMs < sampleEveryMs || hives.size === 0) return;
    this.#sampledAtMs = nowMs;
    if (this.#ring < 0) this.#ring = this.#store.open(key);
    const { utilizationPercent, watts, tokensPerSecond, workers } = fleetFigures(hives.values());
    this.#store.add(this.#ring, nowMs, utilizationPercent, watts, tokensPerSecond, workers);
  }

  read(span: 'hour' | 'day', nowMs: number): History {
    return span === 'day'
      ? this.#store.readDay(this.#ring, fleetSeries, nowMs)
      : this.#store.read(this.#ring, fleetSeries, nowMs);
  }

  *saved(nowMs: number): Generator<SavedDay & { readonly key: string }, void> {
    const saved = this.#store.save(this.#ring, nowMs);
    if (saved !== null) yield { key, ...saved };
  }

  /** Takes its own of what a run before this one kept, and gives back the others. */
  adopt(rings: readonly unknown[], ageMs: number): readonly unknown[] {
    const isOwn = (ring: unknown) => isObject(ring) && ring.key === key;
    this.#store.kept.adopt(rings.filter(isOwn), ageMs);
    return rings.filter((ring) => !isOwn(ring));
  }
}
