import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { HiveView } from '../contract/api.js';
import type { Registry } from './registry.js';

/** A hive that was there, as it outlives this process. */
const SavedHive = Type.Object({ heardAtMs: Type.Number({ minimum: 0 }), last: HiveView });
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
    for (const { heardAtMs, last } of this.#expected.values())
      this.#registry.missDead({ ...last, ageMs: Math.max(0, wallClock() - heardAtMs), liveness: 'offline' });
    this.#expected.clear();
  }

  /** Of the hives that are there, and of those that are still waited for: entries of its file, as JSON. */
  *entries(): Generator<string, void> {
    const { maxChars, wallClock } = this.#options;
    const nowMs = wallClock();
    let chars = 0;
    const entry = (saved: SavedHive): string => {
      // Where there is no room for all that each said last, it is kept that they were there.
      const whole = chars < maxChars ? JSON.stringify(saved) : null;
      const isWhole = whole !== null && chars + whole.length <= maxChars;
      const text = isWhole ? whole : JSON.stringify({ ...saved, last: { ...saved.last, gpus: [], labels: {} } });
      chars += text.length;
      return text;
    };
    for (const view of this.#registry.eachHive())
      yield entry({ heardAtMs: nowMs - view.ageMs, last: { ...view, faults: [] } });
    for (const [id, each] of this.#expected) if (!this.#registry.hasHive(id)) yield entry(each);
  }
}
