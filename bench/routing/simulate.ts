import { Random } from '../../test/harness/random.js';
import { type Gauges, noGauges, SimulatedEngine } from './engine.js';
import type { SimulatedRequest } from './traffic.js';

export interface SimulatedWorker {
  readonly gpuName: string;
  /** 2: half as fast. */
  readonly slowness: number;
}

/** How an engine reports its load. */
export interface Reporting {
  /** How late they are, drawn once for each worker. */
  readonly lagMs: readonly [least: number, most: number];
  /** After a start they stay 0 this long. */
  readonly coldMs: number;
  /** Whether it reports the tokens that wait. */
  readonly waitingTokens: boolean;
}

/** What goes wrong with one worker, and when. */
export interface Mishap {
  readonly kind: 'stall' | 'restart';
  readonly worker: number;
  readonly atMs: number;
}

export interface Scenario {
  readonly workers: readonly SimulatedWorker[];
  readonly requests: readonly SimulatedRequest[];
  readonly reporting: Reporting;
  readonly mishap: Mishap | null;
  readonly seed: number;
}

/** What a hive's heartbeat says of its one worker. */
export interface Report {
  readonly worker: number;
  readonly gauges: Omit<Gauges, 'waitingTokens'> & { readonly waitingTokens: number | null };
  /** How long before the heartbeat the hive had read the gauges; how late they were then, nobody knows. */
  readonly ageMs: number;
  readonly utilizationPercent: number;
  readonly state: 'starting' | 'idle' | 'busy' | 'stalled';
}

/** Decides where a request goes. */
export interface Policy {
  pick(request: SimulatedRequest, nowMs: number): number;
  heartbeat?(report: Report, nowMs: number): void;
  /** The router that sent a request has seen its end. */
  done?(request: SimulatedRequest, nowMs: number): void;
}

export interface Outcome {
  /** Time to first token of each of our requests that came after the start was over, ms. */
  readonly ttftMs: readonly number[];
  /** Requests sent to the worker with the mishap after a heartbeat had said so, and all that were sent meanwhile. */
  readonly toMishap: number;
  readonly sinceSeen: number;
}

/** Requests of the first minute are not judged: no policy has seen anything yet. */
const startMs = 60_000;
/** A client that has had no first token by then asks for another worker. */
const giveUpMs = 30_000;
/** How long a worker does nothing before its hive calls it stalled. */
const stalledAfterMs = 10_000;
/** From the end of one run of an engine until the next one answers. */
const restartMs = 20_000;
const heartbeatMs = 1000;

interface Due {
  readonly atMs: number;
  readonly run: (atMs: number) => void;
}

/** A discrete-event simulation of a fleet: the arrivals, a heartbeat a second of each worker at its own phase, and what goes wrong. */
class Simulation {
  readonly #scenario: Scenario;
  readonly #policy: Policy;
  readonly #random: Random;
  readonly #engines: SimulatedEngine[];
  readonly #due: Due[] = [];
  readonly #placed = new Map<number, number>();
  readonly #ttftMs: number[] = [];
  #mishapSeen = false;
  #toMishap = 0;
  #sinceSeen = 0;
  #downUntilMs: number | null = null;
  #coldUntilMs = 0;

  constructor(scenario: Scenario, policy: Policy) {
    this.#scenario = scenario;
    this.#policy = policy;
    this.#random = new Random(scenario.seed ^ 0x5eed);
    this.#engines = scenario.workers.map(
      ({ slowness }) =>
        new SimulatedEngine(slowness, {
          firstToken: (request, atMs) => this.#firstToken(request, atMs),
          finished: (request, atMs) => {
            if (request.foreignTo === null && this.#placed.delete(request.id)) policy.done?.(request, atMs);
          },
        }),
    );
  }

  run(): Outcome {
    const { requests, workers, mishap } = this.#scenario;
    for (const worker of workers.keys()) this.#startHeartbeats(worker);
    if (mishap) this.#at(mishap.atMs, (atMs) => this.#strike(mishap, atMs));
    for (const request of requests) {
      this.#settle(request.atMs);
      if (request.foreignTo === null) this.#route(request, request.atMs);
      else this.#engines[request.foreignTo]!.send(request, request.atMs);
    }
    // What is still under way is let finish, so that no slow request is left out.
    const endMs = requests.at(-1)?.atMs ?? 0;
    for (let atMs = endMs; atMs < endMs + 600_000 && this.#placed.size > 0; atMs += heartbeatMs) this.#settle(atMs);
    for (const request of requests)
      if (this.#placed.has(request.id) && request.foreignTo === null && !this.#answered.has(request.id))
        this.#firstToken(request, endMs + 600_000);
    return { ttftMs: this.#ttftMs, toMishap: this.#toMishap, sinceSeen: this.#sinceSeen };
  }

  readonly #answered = new Set<number>();

  #firstToken(request: SimulatedRequest, atMs: number): void {
    if (request.foreignTo !== null || this.#answered.has(request.id)) return;
    this.#answered.add(request.id);
    if (request.atMs >= startMs) this.#ttftMs.push(atMs - request.atMs);
  }

  #route(request: SimulatedRequest, nowMs: number): void {
    const { mishap } = this.#scenario;
    const worker = this.#policy.pick(request, nowMs);
    if (mishap && this.#mishapSeen) {
      this.#sinceSeen++;
      if (worker === mishap.worker) this.#toMishap++;
    }
    this.#placed.set(request.id, worker);
    if (this.#downUntilMs !== null && worker === mishap?.worker) {
      // The connection is refused; the client asks again.
      this.#at(nowMs + 100, (atMs) => this.#route(request, atMs));
      return;
    }
    this.#engines[worker]!.send(request, nowMs);
    if (mishap) this.#at(nowMs + giveUpMs, (atMs) => this.#giveUp(request, worker, atMs));
  }

  /** Only what a stalled worker holds is asked for again: elsewhere a second request would only wait behind the first. */
  #giveUp(request: SimulatedRequest, worker: number, atMs: number): void {
    if (this.#answered.has(request.id) || this.#placed.get(request.id) !== worker) return;
    if (!this.#engines[worker]!.isStalled) return;
    this.#policy.done?.(request, atMs);
    this.#route(request, atMs);
  }

  #strike({ kind, worker }: Mishap, atMs: number): void {
    const engine = this.#engines[worker]!;
    engine.advance(atMs);
    if (kind === 'stall') {
      engine.isStalled = true;
      return;
    }
    this.#downUntilMs = atMs + restartMs;
    this.#coldUntilMs = this.#downUntilMs + this.#scenario.reporting.coldMs;
    this.#at(this.#downUntilMs, () => {
      this.#downUntilMs = null;
    });
    for (const request of engine.stop())
      if (request.foreignTo === null) {
        this.#policy.done?.(request, atMs);
        this.#at(atMs + 100, (laterMs) => this.#route(request, laterMs));
      }
  }

  #startHeartbeats(worker: number): void {
    const { reporting } = this.#scenario;
    const lagMs = this.#random.between(...reporting.lagMs);
    const ageMs = this.#random.between(0, 800);
    const history: Gauges[] = [];
    const engine = this.#engines[worker]!;
    let busyMs = 0;
    const heartbeat = (nowMs: number): void => {
      this.#at(nowMs + heartbeatMs, heartbeat);
      const current = engine.gauges(nowMs);
      const mishap = this.#mishapOf(worker, nowMs);
      const isCold = mishap !== null && nowMs < this.#coldUntilMs;
      history.push(isCold ? { ...noGauges, atMs: nowMs } : current);
      while (history.length > 1 && history[1]!.atMs <= nowMs - lagMs - ageMs) history.shift();
      const utilizationPercent = Math.min(100, Math.max(0, (current.busyMs - busyMs) / (heartbeatMs / 100)));
      busyMs = current.busyMs;
      if (mishap !== null) this.#mishapSeen = mishap !== 'over' && mishap !== 'unseen';
      const usual = utilizationPercent === 0 ? 'idle' : 'busy';
      const state = mishap === 'stalled' || mishap === 'starting' ? mishap : usual;
      const reported = isCold ? { ...noGauges, atMs: nowMs } : history[0]!;
      const gauges = reporting.waitingTokens ? reported : { ...reported, waitingTokens: null };
      this.#policy.heartbeat?.({ worker, gauges, ageMs, utilizationPercent, state }, nowMs);
    };
    this.#at(this.#random.between(0, heartbeatMs), heartbeat);
  }

  /** What a hive can see of the mishap of its worker; null: there is or was none. */
  #mishapOf(worker: number, nowMs: number): 'unseen' | 'stalled' | 'starting' | 'over' | null {
    const { mishap } = this.#scenario;
    if (mishap?.worker !== worker || nowMs < mishap.atMs) return null;
    if (mishap.kind === 'stall') return nowMs < mishap.atMs + stalledAfterMs ? 'unseen' : 'stalled';
    return this.#downUntilMs === null ? 'over' : 'starting';
  }

  #settle(nowMs: number): void {
    while (this.#due.length > 0 && this.#due[0]!.atMs <= nowMs) {
      const { atMs, run } = this.#take();
      for (const engine of this.#engines) engine.advance(atMs);
      run(atMs);
    }
    for (const engine of this.#engines) engine.advance(nowMs);
  }

  /** A binary heap by time. */
  #at(atMs: number, run: (atMs: number) => void): void {
    const due = this.#due;
    let at = due.push({ atMs, run }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (due[parent]!.atMs <= due[at]!.atMs) break;
      [due[parent], due[at]] = [due[at]!, due[parent]!];
      at = parent;
    }
  }

  #take(): Due {
    const due = this.#due;
    const first = due[0]!;
    const last = due.pop()!;
    if (due.length === 0) return first;
    due[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < due.length && due[child]!.atMs < due[least]!.atMs) least = child;
      if (least === at) return first;
      [due[least], due[at]] = [due[at]!, due[least]!];
      at = least;
    }
  }
}

export const simulate = (scenario: Scenario, policy: Policy): Outcome => new Simulation(scenario, policy).run();
