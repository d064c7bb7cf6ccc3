import type { EventDraft } from '../contract/event-draft.js';

/** Events kept by a queen that may become the leader. */
const maxKept = 10_000;

interface Kept {
  readonly atMs: number;
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
  #kept: Kept[] = [];
  /** Published by the leader before this queen found it too; when last. */
  readonly #early = new Map<string, number>();

  constructor(clock: () => number, keepMs: number) {
    this.#clock = clock;
    this.#keepMs = keepMs;
  }

  get size(): number {
    return this.#kept.length;
  }

  add(draft: EventDraft): void {
    const atMs = this.#clock();
    const name = nameOf(draft);
    const publishedMs = this.#early.get(name);
    if (publishedMs !== undefined && this.#early.delete(name) && atMs - publishedMs <= this.#keepMs) return;
    this.#kept.push({ atMs, draft });
    if (this.#kept.length > maxKept || (this.#kept[0] as Kept).atMs < atMs - 2 * this.#keepMs) this.#trim(atMs);
  }

  /** It is in the stream. */
  markPublished(event: Pick<EventDraft, 'kind' | 'hive' | 'workerId'>): void {
    const name = nameOf(event);
    const at = this.#kept.findIndex(({ draft }) => nameOf(draft) === name);
    if (at >= 0) {
      this.#kept.splice(at, 1);
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
    const taken = this.#kept.filter(({ atMs }) => atMs >= sinceMs).map(({ draft }) => draft);
    this.#kept = [];
    return taken;
  }

  #trim(nowMs: number): void {
    this.#kept = this.#kept.filter(({ atMs }) => atMs >= nowMs - this.#keepMs).slice(-maxKept);
  }
}
