/** What was decided last under a key, and when: of two decisions the later one counts at every queen. `value` null: it was lifted. */
export interface Decision<Value> {
  readonly key: string;
  readonly atMs: number;
  readonly value: Value | null;
}

/** That a decision came to hold, or ended. */
export interface DecisionChange<Value> {
  readonly key: string;
  readonly value: Value | null;
  /** What it was before. */
  readonly before: Value | null;
  readonly expired: boolean;
}

const maxEntries = 10_000;
/** A lifted decision is remembered for so long, so that a queen that was away does not bring it back, ms. */
const rememberMs = 24 * 3_600_000;
/** A decision of a clock that is ahead by more is not taken: nothing could replace it for as long, ms. */
const maxAheadMs = 60_000;

/** What admins decided, by key. Pure but for the clock; each change is passed to whoever makes it. */
export class Decisions<Value extends { readonly expiresAt: string | null }> {
  readonly #entries = new Map<string, Decision<Value>>();
  readonly #wallClock: () => number;
  readonly #changed: (change: DecisionChange<Value>) => void;
  /** Called after each change, within the call that made it. */
  onChange: (() => void) | null = null;

  constructor(wallClock: () => number, changed: (change: DecisionChange<Value>) => void) {
    this.#wallClock = wallClock;
    this.#changed = changed;
  }

  of(key: string): Value | null {
    return this.#entries.get(key)?.value ?? null;
  }

  get isFull(): boolean {
    return this.#entries.size >= maxEntries;
  }

  decide(key: string, value: Value | null): Decision<Value> {
    // Later than what is known, even where the clock was set back.
    const atMs = Math.max(this.#wallClock(), (this.#entries.get(key)?.atMs ?? 0) + 1);
    const entry = { key, atMs, value };
    this.#take(entry, false);
    return entry;
  }

  /** Null where nothing holds. */
  lift(key: string): Decision<Value> | null {
    return this.of(key) === null ? null : this.decide(key, null);
  }

  /** Takes over what another queen, or this one before a restart, decided; an earlier decision than the one known is left out. */
  adopt(entry: Decision<Value>): boolean {
    if (entry.atMs > this.#wallClock() + maxAheadMs) return false;
    const known = this.#entries.get(entry.key);
    if (known !== undefined && known.atMs >= entry.atMs) return false;
    if (known === undefined && this.isFull) return false;
    this.#take(entry, false);
    return true;
  }

  /** Ends what is over. */
  expire(): void {
    const nowMs = this.#wallClock();
    for (const { key, atMs, value } of this.#entries.values()) {
      if (value === null) {
        if (atMs < nowMs - rememberMs) this.#entries.delete(key);
      } else if (value.expiresAt !== null && Date.parse(value.expiresAt) <= nowMs)
        this.#take({ key, atMs: Math.max(nowMs, atMs), value: null }, true);
    }
  }

  /** All decisions, for the file and the other queens. */
  entries(): Decision<Value>[] {
    return [...this.#entries.values()];
  }

  #take(entry: Decision<Value>, expired: boolean): void {
    const before = this.of(entry.key);
    this.#entries.set(entry.key, entry);
    if (before !== null || entry.value !== null) this.#changed({ key: entry.key, value: entry.value, before, expired });
    this.onChange?.();
  }
}
