import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { HiveView } from '../contract/api.js';
import { hasShare, isWithinShare } from '../util/fair-share.js';
import { formerOwner, numberOf } from './missing.js';
import type { Registry } from './registry.js';

/** A hive that was there, as it outlives this process. */
const SavedHive = Type.Object({
  heardAtMs: Type.Number({ minimum: 0 }),
  last: HiveView,
  /** Hives of one token, or address, have the same number. */
  owner: Type.Optional(Type.Integer({ minimum: 0 })),
});
type SavedHive = Static<typeof SavedHive>;
const saved = Compile(SavedHive);

interface RosterOptions {
  /** Characters of all that hives said last; what is beyond has neither GPUs nor labels. */
  readonly maxChars?: number;
  /** How long hives of before have to be heard again, ms. */
  readonly staleAfterMs: number;
  readonly clock?: () => number;
  readonly wallClock?: () => number;
}

/** At most so many: those of a fleet that a queen takes. */
const maxHives = 20_000;
const defaultMaxChars = 32 * 1024 * 1024;

/**
 * The hives that were there when this queen ran last. Those that are not heard within the time in which silent hives become
 * missing died while no queen looked, and become missing then.
 */
export class Roster {
  readonly #registry: Registry;
  readonly #options: Required<RosterOptions>;
  readonly #expected = new Map<string, SavedHive>();
  readonly #startedAtMs: number;

  constructor(registry: Registry, options: RosterOptions) {
    this.#registry = registry;
    this.#options = { clock: () => performance.now(), wallClock: Date.now, maxChars: defaultMaxChars, ...options };
    this.#startedAtMs = this.#options.clock();
  }

  /** Takes over what a file held; what is no hive is left out. */
  adopt(items: readonly unknown[]): void {
    for (const item of items.slice(0, maxHives)) if (saved.Check(item)) this.#expected.set(item.last.id, item);
  }

  /** Those that have had their time become missing; one that was heard is waited for no longer, whatever becomes of it. */
  check(): void {
    if (this.#expected.size === 0) return;
    for (const id of this.#expected.keys()) if (this.#registry.hasHive(id)) this.#expected.delete(id);
    const { clock, wallClock, staleAfterMs } = this.#options;
    if (clock() - this.#startedAtMs < staleAfterMs) return;
    for (const { heardAtMs, last, owner = 0 } of this.#expected.values())
      this.#registry.missDead(
        { ...last, ageMs: Math.max(0, wallClock() - heardAtMs), liveness: 'offline' },
        formerOwner(owner),
      );
    this.#expected.clear();
  }

  /** Of the hives that are there, and of those that are still waited for: entries of its file, as JSON. */
  *entries(): Generator<string, void> {
    const { maxChars, wallClock } = this.#options;
    const nowMs = wallClock();
    const numbers = new Map<string, number>();
    const charsOf: number[] = [];
    let chars = 0;
    const entry = (last: HiveView, heardAtMs: number, by: string): string => {
      const owner = numberOf(numbers, by);
      const own = charsOf[owner] ?? 0;
      // Where there is no room for all that each said last, it is kept that they were there.
      const whole = hasShare(own, maxChars - chars) ? JSON.stringify({ heardAtMs, last, owner }) : null;
      const left = maxChars - chars - (whole?.length ?? 0);
      if (whole === null || !isWithinShare(own + whole.length, left))
        return JSON.stringify({ heardAtMs, last: { ...last, gpus: [], labels: {} }, owner });
      charsOf[owner] = own + whole.length;
      chars += whole.length;
      return whole;
    };
    for (const view of this.#registry.eachHive())
      yield entry({ ...view, faults: [] }, nowMs - view.ageMs, this.#registry.ownerOf(view.id) ?? '');
    for (const [id, { last, heardAtMs, owner = 0 }] of this.#expected)
      if (!this.#registry.hasHive(id)) yield entry(last, heardAtMs, formerOwner(owner));
  }
}
