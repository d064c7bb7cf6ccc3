import type { EventDraft } from '../contract/event-draft.js';

/** Conclusions kept by a queen that may have to take over. */
const maxKept = 10_000;

interface Kept {
  readonly atMs: number;
  readonly draft: EventDraft;
}

const nameOf = (draft: Pick<EventDraft, 'kind' | 'hive' | 'workerId'>): string =>
  JSON.stringify([draft.kind, draft.hive, draft.workerId ?? null]);

/**
 * What this queen concluded while another one spoke for the fleet. If that one dies, what it can no longer have said is
 * said by its successor: what was concluded since it was last seen alive and is not in the stream.
 */
export class StandbyEvents {
  readonly #clock: () => number;
  readonly #keepMs: number;
  #kept: Kept[] = [];
  /** Said by the speaker before this queen had come to it; when last. */
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
    const saidMs = this.#early.get(name);
    if (saidMs !== undefined && this.#early.delete(name) && atMs - saidMs <= this.#keepMs) return;
    this.#kept.push({ atMs, draft });
    if (this.#kept.length > maxKept || (this.#kept[0] as Kept).atMs < atMs - 2 * this.#keepMs) this.#trim(atMs);
  }

  /** The stream said it. */
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

  /** What was concluded since a time and not said, oldest first; nothing is kept after that. */
  take(sinceMs: number): EventDraft[] {
    const taken = this.#kept.filter(({ atMs }) => atMs >= sinceMs).map(({ draft }) => draft);
    this.#kept = [];
    return taken;
  }

  clear(): void {
    this.#kept = [];
    this.#early.clear();
  }

  #trim(nowMs: number): void {
    this.#kept = this.#kept.filter(({ atMs }) => atMs >= nowMs - this.#keepMs).slice(-maxKept);
  }
}
