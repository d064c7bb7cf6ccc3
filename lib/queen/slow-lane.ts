import { ByteBudget } from '../util/byte-budget.js';

/** Shorter texts take some milliseconds at most. */
const largeBytes = 256 * 1024;
/** Texts that wait, of all and of one sender. */
const waiting = { total: 64 * 1024 * 1024, perKey: 24 * 1024 * 1024 };
/** One that took longer is followed by a pause of three times as long, in which everybody else is served. */
const longMs = 50;
const pauseFactor = 3;
const longestPauseMs = 1000;

export interface SlowLaneClock {
  readonly now: () => number;
  readonly wait: (ms: number) => Promise<void>;
}

const realClock: SlowLaneClock = {
  now: () => performance.now(),
  wait: (ms) => new Promise((resolve) => (ms > 0 ? setTimeout(resolve, ms) : setImmediate(resolve))),
};

/** Large heartbeats are read one after the other, and not in a row: none of them keeps small ones and queries waiting for long. */
export class SlowLane {
  readonly #budget = new ByteBudget(waiting);
  readonly #clock: SlowLaneClock;
  #last: Promise<unknown> = Promise.resolve();
  #freeAtMs = 0;

  constructor(clock: SlowLaneClock = realClock) {
    this.#clock = clock;
  }

  /** Does the work when its turn comes; at once where the text is short. Null: too much waits already. */
  run<T>(bytes: number, key: string, work: () => T | Promise<T>): T | Promise<T> | null {
    if (bytes < largeBytes) return work();
    const giveBack = this.#budget.take([key], bytes);
    if (giveBack === null) return null;
    const turn = this.#last.then(() => this.#take(work)).finally(giveBack);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #take<T>(work: () => T | Promise<T>): Promise<T> {
    await this.#clock.wait(this.#freeAtMs - this.#clock.now());
    const beganMs = this.#clock.now();
    const done = work();
    const tookMs = this.#clock.now() - beganMs;
    const pauseMs = tookMs > longMs ? Math.min(longestPauseMs, tookMs * pauseFactor) : 0;
    this.#freeAtMs = this.#clock.now() + pauseMs;
    return done;
  }
}
