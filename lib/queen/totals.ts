import type { Fleet, Liveness } from '../contract/api.js';
import { type CountedHealth, type CountedState, countFleet } from '../contract/counts.js';
import { workerStates } from '../contract/enums.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import { modelsOf } from '../contract/models.js';
import { type HiveCounts, healths, nothingCounted } from './hive-counts.js';
import type { HiveRecord } from './records.js';
import type { Counts } from './registry-options.js';

interface Hives {
  readonly hives: ReadonlyMap<string, HiveRecord>;
}

/** Numbers of what is heard, or of all. */
export function count(indexes: Hives, includeStale: boolean): Counts {
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
    for (const { current } of hive.workerOrder) {
      byState[current.state]++;
      for (const name of modelsOf(current)) models[name] = (models[name] ?? 0) + 1;
    }
  }
  return { hives, workers, byState, gpus, models };
}

const placeOfHealth = new Map<CountedHealth, number>(healths.map((health, i) => [health, i]));
const placeOfState = new Map<string, number>(workerStates.map((state, i) => [state, i]));
const placeOfOk = healths.indexOf('ok');
const offline = healths.length - 1;

function recount(hive: HiveRecord): void {
  const { counted, gpuOrder } = hive;
  const heard = hive.liveness !== 'offline';
  counted.liveness = hive.liveness;
  counted.unknownGpus = hive.gpusKnown === 'unknown' ? 1 : 0;
  counted.health.fill(0);
  let used = 0;
  let total = 0;
  let uncounted = 0;
  let isCut = false;
  let ok = 0;
  for (const { current } of gpuOrder) {
    if (heard && current.health === 'ok') ok++;
    else {
      const at = heard ? (placeOfHealth.get(current.health) as number) : offline;
      counted.health[at] = (counted.health[at] as number) + 1;
    }
    if (current.parentUuid !== null) isCut = true;
    if (!heard || current.memoryUsedBytes === null || current.memoryTotalBytes === null) uncounted++;
    else {
      used += current.memoryUsedBytes;
      total += current.memoryTotalBytes;
    }
  }
  counted.health[placeOfOk] = ok;
  counted.summed = uncounted < gpuOrder.length ? 1 : 0;
  if (isCut) {
    const exact = countFleet([row(hive)], []);
    used = exact.usedBytes ?? 0;
    total = exact.totalBytes ?? 0;
    uncounted = exact.uncounted;
    counted.summed = exact.usedBytes === null ? 0 : 1;
  }
  counted.usedBytes = Math.round(used);
  counted.totalBytes = Math.round(total);
  counted.uncounted = uncounted;
  counted.silent.length = 0;
  if (heard) return;
  for (const _ of workerStates) counted.silent.push(0);
  for (const { current } of hive.workerOrder) {
    const at = placeOfState.get(current.state) as number;
    counted.silent[at] = (counted.silent[at] as number) + 1;
  }
}

/** What the indexes of a registry count by themselves. */
interface Sizes {
  readonly byState: { get(state: WorkerSample['state']): { readonly size: number } };
  readonly workerCount: number;
  readonly gpuCount: number;
}

/**
 * Totals over all that is known, whatever its liveness, kept up with each hive; what a hive said last that is not heard any
 * more is counted apart.
 */
export class FleetTotals {
  readonly #hives: Record<Liveness, number> = { online: 0, late: 0, offline: 0 };
  readonly #sum = nothingCounted();
  readonly #silent = workerStates.map(() => 0);

  /** After anything of a hive has changed. */
  update(hive: HiveRecord): void {
    this.#add(hive.counted, -1);
    recount(hive);
    this.#add(hive.counted, 1);
  }

  remove(hive: HiveRecord): void {
    this.#add(hive.counted, -1);
    hive.counted.liveness = null;
  }

  of({ byState, workerCount, gpuCount }: Sizes): Pick<Fleet, 'hives' | 'gpus' | 'workers'> {
    const { health, summed, totalBytes, usedBytes, uncounted, unknownGpus } = this.#sum;
    const states: (readonly [string, number])[] = workerStates.map((state, i) => [
      state,
      byState.get(state).size - (this.#silent[i] as number),
    ]);
    states.push(['offline', this.#silent.reduce((all, count) => all + count, 0)]);
    return {
      hives: { ...this.#hives },
      gpus: {
        total: gpuCount,
        byHealth: present(healths.map((name, i) => [name, health[i] as number])),
        memoryTotalBytes: summed > 0 ? totalBytes : null,
        memoryUsedBytes: summed > 0 ? usedBytes : null,
        uncounted,
        unknownHives: unknownGpus,
      },
      workers: { total: workerCount, byState: present(states) },
    };
  }

  #add(counts: HiveCounts, sign: 1 | -1): void {
    if (counts.liveness === null) return;
    this.#hives[counts.liveness] += sign;
    const sum = this.#sum;
    sum.unknownGpus += sign * counts.unknownGpus;
    sum.usedBytes += sign * counts.usedBytes;
    sum.totalBytes += sign * counts.totalBytes;
    sum.summed += sign * counts.summed;
    sum.uncounted += sign * counts.uncounted;
    addTo(sum.health, counts.health, sign);
    addTo(this.#silent, counts.silent, sign);
  }
}

function addTo(sums: number[], counts: readonly number[], sign: 1 | -1): void {
  for (let i = 0; i < counts.length; i++) sums[i] = (sums[i] as number) + sign * (counts[i] as number);
}

/** Names that were counted at all. */
const present = (counts: readonly (readonly [string, number])[]): Record<string, number> =>
  Object.fromEntries(counts.filter(([, count]) => count !== 0));

const row = ({ liveness, gpusKnown, gpuOrder }: HiveRecord) => ({
  liveness,
  gpusKnown,
  gpus: gpuOrder.map(({ sample }) => sample),
});

/** The same by a walk over the fleet: what the audit compares with. */
export function walkTotals({ hives }: Hives): Pick<Fleet, 'hives' | 'gpus' | 'workers'> {
  const states = [...hives.values()].flatMap(({ liveness, workerOrder }) =>
    workerOrder.map(({ sample }): [CountedState, number] => [liveness === 'offline' ? 'offline' : sample.state, 1]),
  );
  const counts = countFleet([...hives.values()].map(row), states);
  // Whole bytes of each hive, as they are kept.
  const each = [...hives.values()].map((hive) => countFleet([row(hive)], []));
  const sum = (name: 'totalBytes' | 'usedBytes') =>
    counts[name] === null ? null : each.reduce((all, one) => all + Math.round(one[name] ?? 0), 0);
  return {
    hives: counts.liveness,
    gpus: {
      total: counts.gpus,
      byHealth: counts.health,
      memoryTotalBytes: sum('totalBytes'),
      memoryUsedBytes: sum('usedBytes'),
      uncounted: counts.uncounted,
      unknownHives: counts.unknownGpuHives,
    },
    workers: { total: counts.workers, byState: counts.state },
  };
}
