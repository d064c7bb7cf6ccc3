export interface Rate {
  readonly perSecond: number;
  /** At once. */
  readonly burst: number;
}

/** What one may take at a rate. It is full at first. */
export class TokenBucket {
  #tokens: number;
  #atMs: number;

  constructor({ burst }: Rate, nowMs: number) {
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  get atMs(): number {
    return this.#atMs;
  }

  /** Takes one. 0: it was there; else the whole seconds to wait for the next. */
  take(rate: Rate, nowMs: number): number {
    this.#fill(rate, nowMs);
    if (this.#tokens < 1) return Math.max(1, Math.ceil((1 - this.#tokens) / rate.perSecond));
    this.#tokens--;
    return 0;
  }

  /** Takes what something turned out to cost, up to a debt of another `burst`. */
  charge(rate: Rate, nowMs: number, amount: number): void {
    this.#fill(rate, nowMs);
    this.#tokens = Math.max(-rate.burst, this.#tokens - amount);
  }

  /** True where `take` would say to wait; takes nothing. */
  isEmpty({ perSecond }: Rate, nowMs: number): boolean {
    return this.#tokens + ((nowMs - this.#atMs) / 1000) * perSecond < 1;
  }

  #fill({ perSecond, burst }: Rate, nowMs: number): void {
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * perSecond);
    this.#atMs = nowMs;
  }
}

/**
 * A token bucket per key: `perSecond` on average, `burst` at once. Full buckets are forgotten, so that keys which come
 * and go leave nothing behind.
 */
export class Limiter {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, TokenBucket>();
  #sweepAtMs: number;

  constructor(options: Rate & { now?: () => number }) {
    this.#rate = { perSecond: options.perSecond, burst: options.burst };
    this.#now = options.now ?? (() => performance.now());
    this.#sweepAtMs = this.#now() + this.#fullAfterMs;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one. 0: it was there; else the whole seconds to wait for the next. */
  take(key: string): number {
    const now = this.#now();
    return this.#bucket(key, now).take(this.#rate, now);
  }

  /** Takes what something turned out to cost, up to a debt of another `burst`. */
  charge(key: string, amount: number): void {
    const now = this.#now();
    this.#bucket(key, now).charge(this.#rate, now, amount);
  }

  /** True where `take` would say to wait; takes nothing. */
  isEmpty(key: string): boolean {
    return this.#buckets.get(key)?.isEmpty(this.#rate, this.#now()) ?? false;
  }

  #bucket(key: string, now: number): TokenBucket {
    if (now >= this.#sweepAtMs) this.#sweep(now);
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#rate, now);
      this.#buckets.set(key, bucket);
    }
    return bucket;
  }

  /** Twice what a full bucket holds: the deepest debt is paid by then. */
  get #fullAfterMs(): number {
    return ((2 * this.#rate.burst) / this.#rate.perSecond) * 1000;
  }

  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (now - bucket.atMs >= this.#fullAfterMs) this.#buckets.delete(key);
    this.#sweepAtMs = now + this.#fullAfterMs;
  }
}
