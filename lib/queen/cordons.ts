import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Cordon, type CordonRequest } from '../contract/cordon.js';
import { Id, Nullable } from '../contract/primitives.js';

/** What was decided last for a hive, and when: of two decisions the later one counts at every queen. `cordon` null: it was lifted. */
export const CordonEntry = Type.Object({
  hive: Id('The hive.'),
  atMs: Type.Number({ minimum: 0 }),
  cordon: Nullable(Cordon),
});
export type CordonEntry = Static<typeof CordonEntry>;
const valid = Compile(CordonEntry);

/** Why a cordon ended, or that it began. */
export interface CordonChange {
  readonly hive: string;
  readonly cordon: Cordon | null;
  /** What it was before. */
  readonly before: Cordon | null;
  readonly expired: boolean;
}

const maxEntries = 10_000;
/** A lifted cordon is remembered for so long, so that a queen that was away does not bring it back, ms. */
const rememberMs = 24 * 3_600_000;
/** A decision of a clock that is ahead by more is not taken: nothing could replace it for as long, ms. */
const maxAheadMs = 60_000;

/** The hives that admins took out of scheduling. Pure but for the clock; each change is passed to whoever makes it. */
export class Cordons {
  readonly #entries = new Map<string, CordonEntry>();
  readonly #wallClock: () => number;
  readonly #changed: (change: CordonChange) => void;
  /** Called after each change, within the call that made it. */
  onChange: (() => void) | null = null;

  constructor(wallClock: () => number, changed: (change: CordonChange) => void) {
    this.#wallClock = wallClock;
    this.#changed = changed;
  }

  of(hive: string): Cordon | null {
    return this.#entries.get(hive)?.cordon ?? null;
  }

  /** Gives what the other queens are to know. */
  set(hive: string, { reason, by, expiresInSeconds }: CordonRequest): CordonEntry {
    const nowMs = this.#wallClock();
    const expiresAt = expiresInSeconds === undefined ? null : new Date(nowMs + expiresInSeconds * 1000).toISOString();
    return this.#decide(hive, { reason, by: by ?? null, since: new Date(nowMs).toISOString(), expiresAt });
  }

  /** Null where it was not cordoned. */
  lift(hive: string): CordonEntry | null {
    return this.of(hive) === null ? null : this.#decide(hive, null);
  }

  /** Takes over what another queen, or this one before a restart, decided; an earlier decision than the one known is left out. */
  adopt(entry: unknown): boolean {
    if (!valid.Check(entry) || entry.atMs > this.#wallClock() + maxAheadMs) return false;
    const known = this.#entries.get(entry.hive);
    if (known !== undefined && known.atMs >= entry.atMs) return false;
    if (known === undefined && this.#entries.size >= maxEntries) return false;
    this.#take(entry, false);
    return true;
  }

  /** Ends what is over. */
  expire(): void {
    const nowMs = this.#wallClock();
    for (const entry of this.#entries.values()) {
      const { hive, atMs, cordon } = entry;
      if (cordon === null) {
        if (atMs < nowMs - rememberMs) this.#entries.delete(hive);
      } else if (cordon.expiresAt !== null && Date.parse(cordon.expiresAt) <= nowMs)
        this.#take({ hive, atMs: Math.max(nowMs, atMs), cordon: null }, true);
    }
  }

  /** All decisions, for the file and the other queens. */
  entries(): CordonEntry[] {
    return [...this.#entries.values()];
  }

  #decide(hive: string, cordon: Cordon | null): CordonEntry {
    // Later than what is known, even where the clock was set back.
    const atMs = Math.max(this.#wallClock(), (this.#entries.get(hive)?.atMs ?? 0) + 1);
    const entry = { hive, atMs, cordon };
    this.#take(entry, false);
    return entry;
  }

  #take(entry: CordonEntry, expired: boolean): void {
    const before = this.of(entry.hive);
    this.#entries.set(entry.hive, entry);
    if (before !== null || entry.cordon !== null)
      this.#changed({ hive: entry.hive, cordon: entry.cordon, before, expired });
    this.onChange?.();
  }
}
