import type { EventDraft } from '../contract/event-draft.js';

/** Events kept by a queen that may become the leader. */
const maxKept = 10_000;

interface Kept {
  readonly atMs: number;
  readonly name: string;
  readonly draft: EventDraft;
}

const nameOf = (draft: Pick<EventDraft, 'kind' | 'hive' | 'workerId'>): string =>
  JSON.stringify([draft.kind, draft.hive, draft.workerId ?? null]);

/**
 * The events that this queen found while another one was the leader. If that one dies, its successor publishes those found
 * since it was last seen alive that are not in the stream.
 */
export class StandbyEvents {
  readonly #clock: () => number;
  readonly #keepMs: number;
  /** Oldest first. */
  readonly #kept = new Set<Kept>();
  /** Those of one name, oldest first: for each event in the stream one of them is looked up. */
  readonly #byName = new Map<string, Set<Kept>>();
  /** Published by the leader before this queen found it too; when last. */
  readonly #early = new Map<string, number>();

  constructor(clock: () => number, keepMs: number) {
    this.#clock = clock;
    this.#keepMs = keepMs;
  }

  get size(): number {
    return this.#kept.size;
  }

  add(draft: EventDraft): void {
    const atMs = this.#clock();
    const name = nameOf(draft);
    const publishedMs = this.#early.get(name);
    if (publishedMs !== undefined && this.#early.delete(name) && atMs - publishedMs <= this.#keepMs) return;
    const kept = { atMs, name, draft };
    this.#kept.add(kept);
    const alike = this.#byName.get(name);
    if (alike === undefined) this.#byName.set(name, new Set([kept]));
    else alike.add(kept);
    for (const oldest of this.#kept) {
      if (this.#kept.size <= maxKept && oldest.atMs >= atMs - this.#keepMs) break;
      this.#forget(oldest);
    }
  }

  /** It is in the stream. */
  markPublished(event: Pick<EventDraft, 'kind' | 'hive' | 'workerId'>): void {
    const name = nameOf(event);
    for (const oldest of this.#byName.get(name) ?? []) {
      this.#forget(oldest);
      return;
    }
    const nowMs = this.#clock();
    this.#early.delete(name);
    this.#early.set(name, nowMs);
    for (const [old, atMs] of this.#early) {
      if (this.#early.size <= maxKept && nowMs - atMs <= this.#keepMs) break;
      this.#early.delete(old);
    }
  }

  /** What was found since a time and not published, oldest first; nothing is kept after that. */
  take(sinceMs: number): EventDraft[] {
    const taken = [...this.#kept].filter(({ atMs }) => atMs >= sinceMs).map(({ draft }) => draft);
    this.#kept.clear();
    this.#byName.clear();
    return taken;
  }

  #forget(kept: Kept): void {
    this.#kept.delete(kept);
    const alike = this.#byName.get(kept.name);
    alike?.delete(kept);
    if (alike?.size === 0) this.#byName.delete(kept.name);
  }
}
