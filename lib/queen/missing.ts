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
import { type CursorKey, maxPageChars, pageSize, readCursor, writeCursor } from './queries.js';
import { compareText } from './records.js';

const maxLost = 1000;
/** Of an entry beside its text. */
const entryBytes = 512;

/** An item as it outlives this process. */
const SavedMissing = Type.Intersect([
  MissingSchema,
  Type.Object({
    goneAtMs: Type.Number({ minimum: 0 }),
    since: Type.String({ format: 'date-time' }),
    /** Items of one owner have the same number; which token that was is not written. */
    owner: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
]);
export type SavedMissing = Static<typeof SavedMissing>;
const saved = Compile(SavedMissing);

type Last = HiveView | GpuView | WorkerView;

interface Entry {
  /** Of its kind. Two hives may have said of one GPU that it is theirs: each says so for itself alone. */
  readonly id: string;
  readonly kind: MissingKind;
  readonly key: string;
  readonly hive: string;
  /** The token, or address, that its hive was charged to. */
  readonly owner: string;
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
const idOf = (kind: MissingKind, key: string, hive: string): string => (kind === 'gpu' ? `${hive} ${key}` : key);
/** What one hive, or one owner, has: ids oldest first, and their bytes. */
interface Share {
  bytes: number;
  readonly ids: Readonly<Record<MissingKind, Set<string>>>;
}
const emptyShare = (): Share => ({ bytes: 0, ids: { hive: new Set(), gpu: new Set(), worker: new Set() } });
/** Who has such a part of the budget pushes out nothing but its own. */
const guardedPart = 1 / 8;
/** Once it is full so much is made free at once, so that whose the most is need not be asked for each item. */
const freedPart = 1 / 64;

const rank: Readonly<Record<MissingKind, number>> = { hive: 0, gpu: 1, worker: 2 };

/**
 * What was seen and is gone. It has no part in any index, so nothing is scheduled by it. Over its budget of bytes the oldest
 * workers are forgotten first, then GPUs, then hives: many workers that come and go never push out a lost host. Those of the
 * owner go that has most; a hive or owner that has an eighth of the budget pushes out nothing but its own.
 */
export class MissingItems {
  readonly #entries: Readonly<Record<MissingKind, Map<string, Entry>>> = {
    hive: new Map(),
    gpu: new Map(),
    worker: new Map(),
  };
  readonly #byHive = new Map<string, Share>();
  readonly #byOwner = new Map<string, Share>();
  /** Hives that miss a GPU, by its uuid. */
  readonly #hivesOfGpu = new Map<string, Set<string>>();
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

  /**
   * @param last what it said last; `ageMs` in it says when.
   * @param owner the token or address that its hive was charged to.
   */
  add(kind: MissingKind, key: string, reason: MissingReason, last: Last, owner = ''): void {
    const goneAtMs = this.#wallClock();
    const sinceMs = Math.max(0, goneAtMs - last.ageMs);
    const { hive } = last;
    const id = idOf(kind, key, hive);
    this.#put({ id, kind, key, hive, owner, reason, sinceMs, goneAtMs, last: JSON.stringify(last) });
    this.#changed();
  }

  /** It is to be forgotten, whoever had it. False where it was not missing. */
  remove(kind: MissingKind, key: string): boolean {
    const found = this.#named(kind, key).map(({ id }) => this.#drop(kind, id));
    if (found.length > 0) this.#changed();
    return found.length > 0;
  }

  /** The hive that had it names it again. */
  returned(kind: MissingKind, key: string, hive: string): void {
    if (this.#drop(kind, idOf(kind, key, hive))) this.#changed();
  }

  /** A GPU is on this hive now: one that the same owner's token could say of another is missing there no longer. */
  moved(uuid: string, hive: string, owner: string): void {
    for (const from of [...(this.#hivesOfGpu.get(uuid) ?? [])]) {
      const entry = this.#entries.gpu.get(idOf('gpu', uuid, from))!;
      if (from !== hive && entry.owner === owner && this.#drop('gpu', entry.id)) this.#changed();
    }
  }

  /** A hive and all of its GPUs and workers. False where nothing of it was missing. */
  removeHive(hive: string): boolean {
    const own = this.#byHive.get(hive);
    if (own === undefined) return false;
    for (const kind of missingKinds) for (const id of own.ids[kind]) this.#drop(kind, id);
    this.#changed();
    return true;
  }

  /** The hive is back: what of it is still missing is what it names no longer, and what its owner has on no other hive. */
  hiveReturned(hive: string, owner: string, isElsewhere: (uuid: string) => boolean): void {
    this.returned('hive', hive, hive);
    const own = this.#byHive.get(hive);
    if (own === undefined) return;
    for (const kind of missingKinds)
      for (const id of [...own.ids[kind]]) {
        const entry = this.#entries[kind].get(id)!;
        if (entry.reason === 'notReported' && entry.owner === owner) continue;
        const bytes = bytesOf(entry);
        this.#count(entry, -bytes);
        if (kind === 'gpu' && isElsewhere(entry.key)) this.#entries[kind].delete(id);
        else {
          // In its place: the oldest come first.
          const next: Entry = { ...entry, owner, reason: 'notReported' };
          this.#entries[kind].set(id, next);
          this.#count(next, bytes);
        }
        this.#changed();
      }
  }

  #named(kind: MissingKind, key: string): readonly Entry[] {
    if (kind === 'gpu')
      return Array.from(this.#hivesOfGpu.get(key) ?? [], (hive) => this.#entries.gpu.get(idOf(kind, key, hive))!);
    const entry = this.#entries[kind].get(key);
    return entry === undefined ? [] : [entry];
  }

  /** Forgets what has been missing for long. Looks at the oldest of each kind. */
  expire(): void {
    const before = this.#wallClock() - defaults.missingMs;
    let expired = false;
    for (const kind of missingKinds)
      for (const entry of this.#entries[kind].values()) {
        if (entry.goneAtMs > before) break;
        expired = this.#drop(kind, entry.id);
      }
    if (expired) this.#changed();
  }

  /** The hive of what is missing. */
  hiveOf(kind: MissingKind, key: string): string | null {
    return this.#named(kind, key)[0]?.hive ?? null;
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

  /** Hives first, then GPUs, then workers; each by hive and key. */
  list(query: MissingQueryOptions): { items: Missing[]; nextCursor: string | null } {
    const limit = pageSize(query.limit);
    const after = query.cursor ? readCursor(query.cursor, 'missing', 1) : null;
    const kinds = query.kind === undefined ? missingKinds : [query.kind];
    const found = kinds
      .flatMap((kind) => [...this.#entries[kind].values()])
      .filter((entry) => query.hive === undefined || entry.hive === query.hive)
      .sort(compareEntries);
    const rest = after === null ? found : found.filter((entry) => isAfter(entry, after));
    const items: Entry[] = [];
    let chars = 0;
    for (const entry of rest) {
      if (items.length === limit || chars > maxPageChars) break;
      items.push(entry);
      chars += entry.last.length;
    }
    const last = items.at(-1);
    const nextCursor =
      last !== undefined && items.length < rest.length ? writeCursor(['missing', rank[last.kind], last.id]) : null;
    return { items: items.map((entry) => this.#view(entry)), nextCursor };
  }

  /** Each of them as JSON, oldest first of each kind. */
  *saved(): Generator<string, void> {
    const numbers = new Map<string, number>();
    for (const kind of missingKinds)
      for (const { id: _, last, sinceMs, owner, ...rest } of this.#entries[kind].values()) {
        const number = numberOf(numbers, owner);
        const head = JSON.stringify({ ...rest, owner: number, since: new Date(sinceMs).toISOString(), missingMs: 0 });
        yield `${head.slice(0, -1)},"last":${last}}`;
      }
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
      const { kind, key, hive, owner: number = 0, reason, since, goneAtMs, last } = item as SavedMissing;
      // A clock that was set back must not keep it for ever.
      const goneAt = Math.min(goneAtMs, nowMs);
      const id = idOf(kind, key, hive);
      const sinceMs = Date.parse(since);
      const owner = formerOwner(number);
      this.#put({ id, kind, key, hive, owner, reason, sinceMs, goneAtMs: goneAt, last: JSON.stringify(last) });
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
    const { id, kind, hive, owner } = entry;
    this.#drop(kind, id);
    this.#entries[kind].set(id, entry);
    this.#count(entry, bytesOf(entry));
    if (this.#bytes <= this.#maxBytes) return;
    const guarded = this.#maxBytes * guardedPart;
    this.#shrink(this.#byHive.get(hive)!, guarded, this.#maxBytes);
    this.#shrink(this.#byOwner.get(owner), guarded, this.#maxBytes);
    while (this.#bytes > this.#maxBytes) {
      let most: Share | undefined;
      for (const share of this.#byOwner.values()) if (share.bytes > (most?.bytes ?? 0)) most = share;
      if (most === undefined) return;
      this.#shrink(most, 0, this.#maxBytes - Math.min(this.#maxBytes * freedPart, most.bytes / 2));
    }
  }

  /** Forgets of a share until all have so many bytes, or it has `keptBytes`. */
  #shrink(share: Share | undefined, keptBytes: number, allBytes: number): void {
    if (share === undefined) return;
    for (const kind of missingKinds.toReversed())
      for (const id of share.ids[kind]) {
        if (share.bytes <= keptBytes || this.#bytes <= allBytes) return;
        this.#drop(kind, id);
      }
  }

  #drop(kind: MissingKind, id: string): boolean {
    const entry = this.#entries[kind].get(id);
    if (entry === undefined) return false;
    this.#entries[kind].delete(id);
    this.#count(entry, -bytesOf(entry));
    return true;
  }

  /** Adds an entry to those of its hive and owner, or where `bytes` is less than 0 takes it from them. */
  #count(entry: Entry, bytes: number): void {
    const { kind, key, hive, owner } = entry;
    this.#bytes += bytes;
    countIn(this.#byHive, hive, entry, bytes);
    countIn(this.#byOwner, owner, entry, bytes);
    if (kind !== 'gpu') return;
    const hives = this.#hivesOfGpu.get(key) ?? new Set();
    if (bytes > 0) this.#hivesOfGpu.set(key, hives.add(hive));
    else if (hives.delete(hive) && hives.size === 0) this.#hivesOfGpu.delete(key);
  }

  #changed(): void {
    this.#revision++;
    this.onChange?.();
  }
}

function countIn(shares: Map<string, Share>, name: string, { id, kind }: Entry, bytes: number): void {
  const share = shares.get(name) ?? emptyShare();
  share.bytes += bytes;
  if (bytes > 0) share.ids[kind].add(id);
  else share.ids[kind].delete(id);
  if (share.bytes === 0) shares.delete(name);
  else shares.set(name, share);
}

/** The number of an owner in a file. */
export function numberOf(numbers: Map<string, number>, owner: string): number {
  const number = numbers.get(owner) ?? numbers.size;
  numbers.set(owner, number);
  return number;
}

/** Whose something of a file is: of nobody who is heard now. */
export const formerOwner = (number: number): string => `former ${number}`;

const compareEntries = (a: Entry, b: Entry): number => rank[a.kind] - rank[b.kind] || compareText(a.id, b.id);
const isAfter = ({ kind, id }: Entry, [, kindRank, afterId = '']: CursorKey): boolean => {
  const order = rank[kind] - (kindRank ?? -1);
  return order > 0 || (order === 0 && compareText(id, afterId) > 0);
};
