import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Nullable } from '../contract/primitives.js';
import { Silence, type SilenceRequest } from '../contract/silence.js';
import { type Decision, type DecisionChange, Decisions } from './decisions.js';

/** What was decided last of a cause on a hive, and when. `silence` null: it was lifted. */
export const SilenceEntry = Type.Object({
  key: Type.String({ minLength: 1, maxLength: 512 }),
  atMs: Type.Number({ minimum: 0 }),
  silence: Nullable(Silence),
});
export type SilenceEntry = Static<typeof SilenceEntry>;
const valid = Compile(SilenceEntry);

const entryOf = ({ key, atMs, value }: Decision<Silence>): SilenceEntry => ({ key, atMs, silence: value });

/** No id of a hive holds a space. */
export const silenceKey = (cause: string, hive: string | null): string => `${hive ?? '*'} ${cause}`;
export const targetOf = (key: string): { readonly cause: string; readonly hive: string | null } => {
  const at = key.indexOf(' ');
  const hive = key.slice(0, at);
  return { cause: key.slice(at + 1), hive: hive === '*' ? null : hive };
};

const daySeconds = 24 * 3600;

/** What admins acknowledged or silenced. */
export class Silences {
  readonly #decisions: Decisions<Silence>;
  readonly #wallClock: () => number;

  constructor(wallClock: () => number, changed: (change: DecisionChange<Silence>) => void) {
    this.#wallClock = wallClock;
    this.#decisions = new Decisions(wallClock, changed);
  }

  /** Called after each change, within the call that made it. */
  set onChange(listener: (() => void) | null) {
    this.#decisions.onChange = listener;
  }

  /** Null: there are too many already. Else what the other queens are to know, one for each hive. */
  set({ kind, cause, hives, reason, by, expiresInSeconds = daySeconds }: SilenceRequest): SilenceEntry[] | null {
    if (this.#decisions.isFull) return null;
    const nowMs = this.#wallClock();
    const since = new Date(nowMs).toISOString();
    const expiresAt = new Date(nowMs + expiresInSeconds * 1000).toISOString();
    return [...new Set(hives ?? [null])].map((hive) => {
      const silence = { kind, cause, hive, reason, by, since, expiresAt };
      return entryOf(this.#decisions.decide(silenceKey(cause, hive), silence));
    });
  }

  /** Null where nothing of that name holds. */
  lift(cause: string, hive: string | null): SilenceEntry | null {
    const entry = this.#decisions.lift(silenceKey(cause, hive));
    return entry && entryOf(entry);
  }

  adopt(entry: unknown): boolean {
    if (!valid.Check(entry)) return false;
    const { key, atMs, silence } = entry;
    if (silence !== null && silenceKey(silence.cause, silence.hive) !== key) return false;
    return this.#decisions.adopt({ key, atMs, value: silence });
  }

  expire(): void {
    this.#decisions.expire();
  }

  entries(): SilenceEntry[] {
    return this.#decisions.entries().map(entryOf);
  }

  /** Those in force, in the order in which they began. */
  list(): Silence[] {
    const held = this.#decisions.entries().flatMap(({ value }) => (value === null ? [] : [value]));
    return held.sort((a, b) => (a.since < b.since ? -1 : a.since > b.since ? 1 : 0));
  }
}
