import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { HiveView } from '../contract/api.js';
import type { Registry } from './registry.js';

/** A hive that was there, as it outlives this process. */
const SavedHive = Type.Object({ heardAtMs: Type.Number({ minimum: 0 }), last: HiveView });
type SavedHive = Static<typeof SavedHive>;
const saved = Compile(SavedHive);

interface RosterOptions {
  /** How long hives of before have to be heard again, ms. */
  readonly staleAfterMs: number;
  readonly clock?: () => number;
  readonly wallClock?: () => number;
}

/** At most so many: those of a fleet that a queen takes. */
const maxHives = 20_000;

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
    this.#options = { clock: () => performance.now(), wallClock: Date.now, ...options };
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

  /** Of the hives that are there, and of those that are still waited for. */
  text(): string {
    const nowMs = this.#options.wallClock();
    const parts: string[] = [];
    for (const view of this.#registry.eachHive())
      parts.push(JSON.stringify({ heardAtMs: nowMs - view.ageMs, last: { ...view, faults: [] } }));
    for (const [id, each] of this.#expected) if (!this.#registry.hasHive(id)) parts.push(JSON.stringify(each));
    return `{"kind":"hivepulse.roster","version":1,"hives":[${parts.join(',')}]}`;
  }
}
