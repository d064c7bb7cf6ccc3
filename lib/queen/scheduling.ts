import { answers } from '../contract/free-bytes.js';
import { isSchedulable, type WorkerRecord } from './records.js';
import type { SortedSet } from './sorted-set.js';

/** It can take requests; nothing to probe counts as ready. */
export const isReady = (sample: { ready: boolean | null; state: string }): boolean =>
  sample.ready !== false && !unready.has(sample.state);

const notUp: readonly string[] = ['starting', 'loading'];
const unready: ReadonlySet<string> = new Set([...notUp, 'sleeping', 'stalled']);

/** Something can be placed on it: healthy enough to compute, and not cut into MIG devices. */
export const isPlaceable = (gpu: { readonly isParent: boolean; readonly health: string }): boolean =>
  !gpu.isParent && answers(gpu);

/** What a pick weighs until the worker's next heartbeat, in percent of load. */
export const pickWeight = 25;

/** How loaded a worker is: 0 when idle, else its use of each GPU it holds (of a core where it holds none), and what was just sent. */
export function load(worker: Pick<WorkerRecord, 'picks'> & { sample: WorkerRecord['sample'] }): number {
  const { sample, picks } = worker;
  const sent = picks * pickWeight;
  if (sample.state === 'idle') return sent;
  const held = sample.gpus.length;
  const holdsNone = held === 0 && sample.gpusReason == null;
  const use = holdsNone ? sample.cpuPercent : sample.gpuUtilizationPercent;
  // Not known is taken for fully loaded: it is chosen after all that are known to have room.
  const share = use === null ? 100 : Math.min(100, use / Math.max(1, held));
  return Math.max(1, share) + sent;
}

/** One of the least loaded of those that can serve, at random: reservoir sampling, so that one walk is enough. Null where there are none. */
export function leastLoaded(workers: Iterable<WorkerRecord>, random: () => number): WorkerRecord | null {
  let best: WorkerRecord | null = null;
  let least = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (const worker of workers) {
    if (!canServe(worker)) continue;
    const its = load(worker);
    if (its > least) continue;
    ties = its < least ? 1 : ties + 1;
    least = its;
    if (ties === 1 || random() * ties < 1) best = worker;
  }
  return best;
}

/** Sets up to this size are looked at whole; of larger ones some are drawn. */
const exactUpTo = 1000;
const draws = 64;

/**
 * The worker to send the next request to: ready, idle and not picked since its last heartbeat, else the least loaded. Of more
 * than a thousand it is the best of 64 drawn at random, which costs the same however many there are, keeps callers from
 * all running to one worker, and finds one of the best 5 % in 96 of 100 cases.
 */
export function pickBest(
  idle: SortedSet<WorkerRecord>,
  all: SortedSet<WorkerRecord>,
  random: () => number,
): WorkerRecord | null {
  const free = leastLoaded(some(idle, random), random);
  if (free && free.picks === 0) return free;
  return leastLoaded(some(all, random, free), random) ?? (all.size > exactUpTo ? leastLoaded(all, random) : null);
}

function* some(
  set: SortedSet<WorkerRecord>,
  random: () => number,
  also: WorkerRecord | null = null,
): Generator<WorkerRecord, void> {
  if (set.size <= exactUpTo) {
    yield* set;
    return;
  }
  if (also) yield also;
  for (let i = 0; i < draws; i++) {
    const worker = set.at(Math.floor(random() * set.size));
    if (worker) yield worker;
  }
}

/** Whether a request can be sent to it: there is an address to send it to. */
export const canServe = ({ hive, current: sample }: WorkerRecord): boolean =>
  isSchedulable(hive) && isReady(sample) && sample.endpoint !== null;

/** The same, or it sleeps or stalls: a request goes there only where every worker does. */
export const mayServe = ({ hive, current: sample }: WorkerRecord): boolean =>
  isSchedulable(hive) && sample.ready !== false && !notUp.includes(sample.state) && sample.endpoint !== null;
