/** Counts of whole seconds in a ring: the rate over the last ones, without a list of times. */
export class RateCounter {
  readonly #counts: number[];
  readonly #startMs: number;
  #second: number;

  constructor(seconds: number, nowMs: number) {
    this.#counts = new Array<number>(seconds).fill(0);
    this.#startMs = nowMs;
    this.#second = Math.floor(nowMs / 1000);
  }

  add(nowMs: number): void {
    this.#turn(nowMs);
    this.#counts[this.#second % this.#counts.length]!++;
  }

  /** Over the last seconds, or since the start where that is less (but never less than one). */
  perSecond(nowMs: number): number {
    this.#turn(nowMs);
    const total = this.#counts.reduce((sum, count) => sum + count, 0);
    const seconds = Math.min(this.#counts.length, Math.max(1, (nowMs - this.#startMs) / 1000));
    return Math.round((total / seconds) * 100) / 100;
  }

  #turn(nowMs: number): void {
    const second = Math.max(this.#second, Math.floor(nowMs / 1000));
    const blank = Math.min(second - this.#second, this.#counts.length);
    for (let i = 0; i < blank; i++) this.#counts[(second - i) % this.#counts.length] = 0;
    this.#second = second;
  }
}
