import type { Random } from '../../test/harness/random.js';
import type { Policy } from './simulate.js';
import type { SimulatedRequest } from './traffic.js';

export function roundRobin(workers: number): Policy {
  let next = 0;
  return { pick: () => next++ % workers };
}

export function randomPick(workers: number, random: Random): Policy {
  return { pick: () => random.whole(0, workers - 1) };
}

/** What one router knows: the requests that it has sent and that have not ended. */
class Outstanding {
  readonly #counts: number[];
  readonly #of = new Map<number, number>();

  constructor(workers: number) {
    this.#counts = new Array<number>(workers).fill(0);
  }

  count(worker: number): number {
    return this.#counts[worker]!;
  }

  add(request: SimulatedRequest, worker: number): void {
    this.remove(request);
    this.#counts[worker]!++;
    this.#of.set(request.id, worker);
  }

  remove(request: SimulatedRequest): void {
    const worker = this.#of.get(request.id);
    if (worker === undefined) return;
    this.#counts[worker]!--;
    this.#of.delete(request.id);
  }
}

/** The least of some numbers, one at random where several are. */
export function leastOf(candidates: readonly number[], cost: (worker: number) => number, random: Random): number {
  let best = candidates[0]!;
  let least = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (const candidate of candidates) {
    const its = cost(candidate);
    if (its > least) continue;
    ties = its < least ? 1 : ties + 1;
    least = its;
    if (ties === 1 || random.next() * ties < 1) best = candidate;
  }
  return best;
}

/** `draws`: how many workers are looked at; all without it. A request comes to one of the routers at random, and each knows only its own. */
export function leastOutstanding(
  workers: number,
  routers: number,
  random: Random,
  draws: number | null = null,
): Policy {
  const known = Array.from({ length: routers }, () => new Outstanding(workers));
  const all = Array.from({ length: workers }, (_, worker) => worker);
  return {
    pick(request) {
      const mine = known[random.whole(0, routers - 1)]!;
      const candidates = draws === null ? all : Array.from({ length: draws }, () => random.whole(0, workers - 1));
      const worker = leastOf(candidates, (each) => mine.count(each), random);
      for (const other of known) other.remove(request);
      mine.add(request, worker);
      return worker;
    },
    done(request) {
      for (const each of known) each.remove(request);
    },
  };
}
