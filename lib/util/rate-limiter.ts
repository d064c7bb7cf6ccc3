/**
 * A token bucket per key: `perSecond` on average, `burst` at once. Full buckets are forgotten, so that keys which come
 * and go leave nothing behind.
 */
export class Limiter {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  #sweepAtMs: number;

  constructor(options: { perSecond: number; burst: number; now?: () => number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#now = options.now ?? (() => performance.now());
    this.#sweepAtMs = this.#now() + this.#fullAfterMs;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one. 0: it was there; else the whole seconds to wait for the next. */
  take(key: string): number {
    const bucket = this.#filled(key);
    if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#perSecond));
    bucket.tokens--;
    return 0;
  }

  /** Takes what something turned out to cost, up to a debt of another `burst`. */
  charge(key: string, amount: number): void {
    const bucket = this.#filled(key);
    bucket.tokens = Math.max(-this.#burst, bucket.tokens - amount);
  }

  /** True where `take` would say to wait; takes nothing. */
  isEmpty(key: string): boolean {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return false;
    return bucket.tokens + ((this.#now() - bucket.atMs) / 1000) * this.#perSecond < 1;
  }

  #filled(key: string): { tokens: number; atMs: number } {
    const now = this.#now();
    if (now >= this.#sweepAtMs) this.#sweep(now);
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: this.#burst, atMs: now };
      this.#buckets.set(key, bucket);
    }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((now - bucket.atMs) / 1000) * this.#perSecond);
    bucket.atMs = now;
    return bucket;
  }

  /** Twice what a full bucket holds: the deepest debt is paid by then. */
  get #fullAfterMs(): number {
    return ((2 * this.#burst) / this.#perSecond) * 1000;
  }

  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (now - bucket.atMs >= this.#fullAfterMs) this.#buckets.delete(key);
    this.#sweepAtMs = now + this.#fullAfterMs;
  }
}
