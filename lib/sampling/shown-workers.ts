import { defaults } from '../contract/defaults.js';
import type { Fault, WorkerSample } from '../contract/heartbeat.js';

type Ranked = Pick<WorkerSample, 'origin' | 'startedAt'>;

/** Our own first, then those that run longest: whoever starts more than a queen takes hides nobody who was there. */
const compare = (a: Ranked, b: Ranked): number =>
  Number(b.origin === 'launched') - Number(a.origin === 'launched') || startOf(a) - startOf(b);
const startOf = ({ startedAt }: Ranked): number =>
  startedAt === null ? Number.MAX_SAFE_INTEGER : Date.parse(startedAt);

/**
 * As many workers as a queen takes of one hive: it would refuse the heartbeat of a host with more, whoever started them. With
 * the fault that says what is left out. Pure.
 */
export function shownWorkers<W extends Ranked>(
  all: readonly W[],
  most: number = defaults.maxWorkersPerHive,
): { readonly workers: readonly W[]; readonly fault: Fault | null } {
  if (all.length <= most) return { workers: all, fault: null };
  const kept = new Set(all.toSorted(compare).slice(0, most));
  const left = all.length - most;
  return {
    workers: all.filter((worker) => kept.has(worker)),
    fault: {
      source: 'cgroup',
      code: 'WORKERS_LEFT_OUT',
      message: `${all.length} workers are on this host, and a queen takes ${most} of one: the ${left} that started last are left out. Watch less: --no-auto, or narrower patterns of --watch.`,
      field: 'workers',
    },
  };
}
