import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { GpuView, HiveView, MissingCounts, WorkerView } from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import {
  type Missing,
  type MissingKind,
  type MissingReason,
  Missing as MissingSchema,
  missingKinds,
  missingReasons,
} from '../contract/missing.js';
import { isLost } from '../present/missing.js';
import { pageSize, readCursor, writeCursor } from './queries.js';
import { compareText } from './records.js';

const maxLost = 1000;
/** Of an entry beside its text. */
const entryBytes = 512;

/** An item as it outlives this process. */
const SavedMissing = Type.Intersect([
  MissingSchema,
  Type.Object({ goneAtMs: Type.Number({ minimum: 0 }), since: Type.String({ format: 'date-time' }) }),
]);
export type SavedMissing = Static<typeof SavedMissing>;
const saved = Compile(SavedMissing);

type Last = HiveView | GpuView | WorkerView;

interface Entry {
  readonly kind: MissingKind;
  readonly key: string;
  readonly hive: string;
  readonly reason: MissingReason;
  /** When it was last heard of, and when it was found to be gone; wall clock. */
  readonly sinceMs: number;
  readonly goneAtMs: number;
  /** Its last values as JSON: what it costs is known, and nothing that a record shared is kept by it. */
  readonly last: string;
}

export interface MissingQueryOptions {
  readonly kind?: MissingKind;
  readonly hive?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

const bytesOf = ({ last }: Entry): number => 2 * last.length + entryBytes;
const rank: Readonly<Record<MissingKind, number>> = { hive: 0, gpu: 1, worker: 2 };

/**
 * What was seen and is gone. It has no part in any index, so nothing is scheduled by it. Over its budget of bytes the oldest
 * workers are forgotten first, then GPUs, then hives: many workers that come and go never push out a lost host.
 */
export class MissingItems {
  readonly #entries: Readonly<Record<MissingKind, Map<string, Entry>>> = {
    hive: new Map(),
    gpu: new Map(),
    worker: new Map(),
  };
  readonly #wallClock: () => number;
  readonly #maxBytes: number;
  #bytes = 0;
  #revision = 0;
  /** Called after each change, within the call that made it. */
  onChange: (() => void) | null = null;

  constructor(wallClock: () => number, maxBytes = Number.POSITIVE_INFINITY) {
    this.#wallClock = wallClock;
    this.#maxBytes = maxBytes;
  }

  /** @param last what it said last; `ageMs` in it says when. */
  add(kind: MissingKind, key: string, reason: MissingReason, last: Last): void {
    const goneAtMs = this.#wallClock();
    const sinceMs = Math.max(0, goneAtMs - last.ageMs);
    this.#put({ kind, key, hive: last.hive, reason, sinceMs, goneAtMs, last: JSON.stringify(last) });
    this.#changed();
  }

  /** It is back, or is to be forgotten. False where it was not missing. */
  remove(kind: MissingKind, key: string): boolean {
    if (!this.#drop(kind, key)) return false;
    this.#changed();
    return true;
  }

  /** A hive and all of its GPUs and workers. False where nothing of it was missing. */
  removeHive(hive: string): boolean {
    let found = false;
    for (const kind of missingKinds)
      for (const entry of this.#entries[kind].values())
        if (entry.hive === hive) found = this.#drop(kind, entry.key) || found;
    if (found) this.#changed();
    return found;
  }

  /** The hive is back: what of it is still missing is what it names no longer. */
  hiveReturned(hive: string): void {
    this.remove('hive', hive);
    for (const kind of missingKinds)
      for (const [key, entry] of this.#entries[kind])
        if (entry.hive === hive && entry.reason !== 'notReported') {
          this.#entries[kind].set(key, { ...entry, reason: 'notReported' });
          this.#changed();
        }
  }

  /** Forgets what has been missing for long. Looks at the oldest of each kind. */
  expire(): void {
    const before = this.#wallClock() - defaults.missingMs;
    let expired = false;
    for (const kind of missingKinds)
      for (const entry of this.#entries[kind].values()) {
        if (entry.goneAtMs > before) break;
        expired = this.#drop(kind, entry.key);
      }
    if (expired) this.#changed();
  }

  /** The hive of what is missing. */
  hiveOf(kind: MissingKind, key: string): string | null {
    return this.#entries[kind].get(key)?.hive ?? null;
  }

  counts(): MissingCounts {
    const { hive, gpu, worker } = this.#entries;
    return { hives: hive.size, gpus: gpu.size, workers: worker.size, revision: this.#revision };
  }

  /** How many there are of each kind and reason, those of which there is none too. */
  *countsByReason(): Generator<{ kind: MissingKind; reason: MissingReason; count: number }, void> {
    for (const kind of missingKinds) {
      const counts = new Map<MissingReason, number>(missingReasons.map((reason) => [reason, 0]));
      for (const { reason } of this.#entries[kind].values()) counts.set(reason, counts.get(reason)! + 1);
      for (const [reason, count] of counts) yield { kind, reason, count };
    }
  }

  /** Hosts, and GPUs that their hosts list no longer: what somebody must look at. At most a thousand of each. */
  lost(): Missing[] {
    const { hive, gpu } = this.#entries;
    const lost = [hive, gpu].flatMap((kind) => [...kind.values()].filter(isLost).slice(0, maxLost));
    return lost.map((entry) => this.#view(entry));
  }

  /** Hives first, then GPUs, then workers; each by key. */
  list(query: MissingQueryOptions): { items: Missing[]; nextCursor: string | null } {
    const limit = pageSize(query.limit);
    const after = query.cursor ? readCursor(query.cursor, 'missing', 1) : null;
    const kinds = query.kind === undefined ? missingKinds : [query.kind];
    const found = kinds
      .flatMap((kind) => [...this.#entries[kind].values()])
      .filter((entry) => query.hive === undefined || entry.hive === query.hive)
      .sort(compareEntries);
    const [, kindRank, key] = after ?? ['', -1, ''];
    const from = found.findIndex((entry) => after === null || isAfter(entry, kindRank ?? -1, key ?? ''));
    const items = from < 0 ? [] : found.slice(from, from + limit);
    const last = items.at(-1);
    const nextCursor =
      last !== undefined && from + limit < found.length ? writeCursor(['missing', rank[last.kind], last.key]) : null;
    return { items: items.map((entry) => this.#view(entry)), nextCursor };
  }

  /** All of them as JSON, oldest first of each kind. */
  saved(): string {
    const parts = missingKinds.flatMap((kind) =>
      Array.from(this.#entries[kind].values(), ({ last, ...entry }) => {
        const { sinceMs, ...rest } = entry;
        const head = JSON.stringify({ ...rest, since: new Date(sinceMs).toISOString(), missingMs: 0 });
        return `${head.slice(0, -1)},"last":${last}}`;
      }),
    );
    return `[${parts.join(',')}]`;
  }

  /** Takes over what was missing before a restart. Gives how many could not be understood; those are left out. */
  adopt(items: readonly unknown[]): number {
    const nowMs = this.#wallClock();
    let malformed = 0;
    for (const item of items) {
      if (!saved.Check(item)) {
        malformed++;
        continue;
      }
      const { kind, key, hive, reason, since, goneAtMs, last } = item as SavedMissing;
      // A clock that was set back must not keep it for ever.
      const goneAt = Math.min(goneAtMs, nowMs);
      this.#put({ kind, key, hive, reason, sinceMs: Date.parse(since), goneAtMs: goneAt, last: JSON.stringify(last) });
    }
    this.expire();
    return malformed;
  }

  #view({ kind, key, hive, reason, sinceMs, last }: Entry): Missing {
    const missingMs = Math.max(0, this.#wallClock() - sinceMs);
    const since = new Date(sinceMs).toISOString();
    return { kind, key, hive, since, missingMs, reason, last: JSON.parse(last) } as Missing;
  }

  #put(entry: Entry): void {
    this.#drop(entry.kind, entry.key);
    this.#entries[entry.kind].set(entry.key, entry);
    this.#bytes += bytesOf(entry);
    for (const kind of missingKinds.toReversed())
      for (const { key } of this.#entries[kind].values()) {
        if (this.#bytes <= this.#maxBytes) return;
        this.#drop(kind, key);
      }
  }

  #drop(kind: MissingKind, key: string): boolean {
    const entry = this.#entries[kind].get(key);
    if (entry === undefined) return false;
    this.#entries[kind].delete(key);
    this.#bytes -= bytesOf(entry);
    return true;
  }

  #changed(): void {
    this.#revision++;
    this.onChange?.();
  }
}

const compareEntries = (a: Entry, b: Entry): number => rank[a.kind] - rank[b.kind] || compareText(a.key, b.key);
const isAfter = ({ kind, key }: Entry, kindRank: number, afterKey: string): boolean =>
  rank[kind] > kindRank || (rank[kind] === kindRank && compareText(key, afterKey) > 0);
