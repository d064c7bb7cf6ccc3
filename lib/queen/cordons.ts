import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Cordon, type CordonRequest } from '../contract/cordon.js';
import { Id, Nullable } from '../contract/primitives.js';
import { type Decision, type DecisionChange, Decisions } from './decisions.js';

/** What was decided last for a hive, and when. `cordon` null: it was lifted. */
export const CordonEntry = Type.Object({
  hive: Id('The hive.'),
  atMs: Type.Number({ minimum: 0 }),
  cordon: Nullable(Cordon),
});
export type CordonEntry = Static<typeof CordonEntry>;
const valid = Compile(CordonEntry);

const entryOf = ({ key, atMs, value }: Decision<Cordon>): CordonEntry => ({ hive: key, atMs, cordon: value });

/** The hives that admins took out of scheduling. */
export class Cordons {
  readonly #decisions: Decisions<Cordon>;
  readonly #wallClock: () => number;

  constructor(wallClock: () => number, changed: (change: DecisionChange<Cordon>) => void) {
    this.#wallClock = wallClock;
    this.#decisions = new Decisions(wallClock, changed);
  }

  /** Called after each change, within the call that made it. */
  set onChange(listener: (() => void) | null) {
    this.#decisions.onChange = listener;
  }

  of(hive: string): Cordon | null {
    return this.#decisions.of(hive);
  }

  /** Gives what the other queens are to know. */
  set(hive: string, { reason, by, expiresInSeconds }: CordonRequest): CordonEntry {
    const nowMs = this.#wallClock();
    const expiresAt = expiresInSeconds === undefined ? null : new Date(nowMs + expiresInSeconds * 1000).toISOString();
    const cordon = { reason, by: by ?? null, since: new Date(nowMs).toISOString(), expiresAt };
    return entryOf(this.#decisions.decide(hive, cordon));
  }

  /** Null where it was not cordoned. */
  lift(hive: string): CordonEntry | null {
    const entry = this.#decisions.lift(hive);
    return entry && entryOf(entry);
  }

  /** Takes over what another queen, or this one before a restart, decided; an earlier decision than the one known is left out. */
  adopt(entry: unknown): boolean {
    return valid.Check(entry) && this.#decisions.adopt({ key: entry.hive, atMs: entry.atMs, value: entry.cordon });
  }

  /** Ends what is over. */
  expire(): void {
    this.#decisions.expire();
  }

  /** All decisions, for the file and the other queens. */
  entries(): CordonEntry[] {
    return this.#decisions.entries().map(entryOf);
  }
}
