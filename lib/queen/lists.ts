import { sortKeyOf, type WorkerSort } from '../contract/fields/sorts.js';
import { modelsOf, servesModel } from '../contract/models.js';
import { holds } from './capacity.js';
import { type Indexes, labelPair } from './indexes.js';
import type { GpuQuery, HiveQuery, WorkerQuery } from './queries.js';
import { type CursorKey, maxPageChars, pageSize, readCursor, writeCursor } from './queries.js';
import { compareText, compareWorkers, type GpuRecord, type HiveRecord, type WorkerRecord } from './records.js';
import { lowerBound, type SortedSet } from './sorted-set.js';

interface Slice<T> {
  readonly items: T[];
  readonly nextCursor: string | null;
}

/** Takes one page off a walk that begins at the cursor. */
function take<T>(
  walk: Iterable<T>,
  limit: number,
  matches: (item: T) => boolean,
  place: (item: T) => CursorKey,
  charsOf: (item: T) => number,
): Slice<T> {
  const items: T[] = [];
  let chars = 0;
  for (const item of walk) {
    if (!matches(item)) continue;
    if (items.length === limit || chars > maxPageChars) return { items, nextCursor: writeCursor(place(items.at(-1)!)) };
    items.push(item);
    chars += charsOf(item);
  }
  return { items, nextCursor: null };
}

/** About as many characters as an item has in an answer. What bounds no page is counted roughly. */
const charsOf = {
  hive: ({ faults, gpuOrder }: HiveRecord): number =>
    faults.reduce((sum, { message }) => sum + message.length + 150, 2000 + 800 * gpuOrder.length),
  gpu: (): number => 1000,
  worker: ({ current: { labels, models } }: WorkerRecord): number =>
    2000 + 200 * Object.keys(labels).length + 150 * (models?.length ?? 0),
};

export function listHives(indexes: Indexes, query: HiveQuery): Slice<HiveRecord> {
  const limit = pageSize(query.limit);
  const after = query.cursor ? readCursor(query.cursor, 'hive', 1) : null;
  const labels = Object.entries(query.labels ?? {});
  return take(
    indexes.hiveOrder.from(after ? (hive) => (hive.id <= after[2]! ? -1 : 0) : undefined),
    limit,
    (hive) =>
      (query.liveness === undefined || hive.liveness === query.liveness) &&
      (query.state === undefined || hive.info.state === query.state) &&
      labels.every(([key, value]) => hive.info.labels[key] === value),
    (hive) => ['hive', null, hive.id],
    charsOf.hive,
  );
}

export function listGpus(indexes: Indexes, query: GpuQuery): Slice<GpuRecord> {
  const limit = pageSize(query.limit);
  const after = query.cursor ? readCursor(query.cursor, 'gpu', 2) : null;
  return take(
    walkGpus(indexes, query.hive, after),
    limit,
    (gpu) =>
      (query.liveness === undefined || gpu.hive.liveness === query.liveness) &&
      (query.health === undefined || gpu.current.health === query.health) &&
      (query.minFreeBytes === undefined || (gpu.freeBytes !== null && gpu.freeBytes >= query.minFreeBytes)),
    (gpu) => ['gpu', null, gpu.hive.id, gpu.current.uuid],
    charsOf.gpu,
  );
}

const ifKnown = <T>(item: T | undefined): T[] => (item === undefined ? [] : [item]);

function* walkGpus(indexes: Indexes, only: string | undefined, after: CursorKey | null): Generator<GpuRecord, void> {
  const [, , hiveId, uuid] = after ?? [];
  const hives =
    only === undefined
      ? indexes.hiveOrder.from(hiveId === undefined ? undefined : (hive) => (hive.id < hiveId ? -1 : 0))
      : ifKnown(indexes.hives.get(only));
  for (const hive of hives) {
    const order = hive.gpuOrder;
    // A GPU that left since then makes its host's list begin anew: shown twice rather than not at all.
    const begin = hive.id === hiveId ? order.findIndex((gpu) => gpu.current.uuid === uuid) + 1 : 0;
    for (let i = begin; i < order.length; i++) yield order[i]!;
  }
}

/** Some GPU that the worker holds has this much room left. */
export function hasRoom(worker: WorkerRecord, bytes: number): boolean {
  for (const { uuid } of worker.current.gpus) {
    const free = worker.hive.gpus.get(uuid)?.freeBytes;
    if (free !== undefined && free !== null && free >= bytes) return true;
  }
  return false;
}

export function listWorkers(indexes: Indexes, query: WorkerQuery): Slice<WorkerRecord> {
  const limit = pageSize(query.limit);
  const pairs = Object.entries(query.labels ?? {}).map(([key, value]) => labelPair(key, value));
  const { model } = query;
  const matches = (worker: WorkerRecord): boolean => {
    const { current: sample, hive } = worker;
    return (
      (model === undefined || (model === null ? modelsOf(sample).length === 0 : servesModel(sample, model))) &&
      (query.state === undefined || sample.state === query.state) &&
      (query.group === undefined || sample.group === query.group) &&
      (query.hive === undefined || hive.id === query.hive) &&
      (query.liveness === undefined || hive.liveness === query.liveness) &&
      pairs.every((pair) => worker.labels.includes(pair)) &&
      (query.minFreeVramBytes === undefined || hasRoom(worker, query.minFreeVramBytes))
    );
  };
  const sort = query.sort ?? 'key';
  if (sort !== 'key') return listSorted(indexes, query, pairs, sort, limit, matches);

  const after = query.cursor ? readCursor(query.cursor, 'key', 2) : null;
  return take(
    walkWorkers(indexes, query, pairs, after),
    limit,
    matches,
    (worker) => ['key', null, worker.hive.id, worker.current.id],
    charsOf.worker,
  );
}

/** Walks the smallest set that holds all matches, from the cursor on. */
function walkWorkers(
  indexes: Indexes,
  query: WorkerQuery,
  pairs: readonly string[],
  after: CursorKey | null,
): Iterable<WorkerRecord> {
  if (query.hive !== undefined) {
    const hive = indexes.hives.get(query.hive);
    return hive ? ofHive(hive, after) : [];
  }
  const sets: SortedSet<WorkerRecord>[] = [];
  if (query.model !== undefined && query.state !== undefined) sets.push(indexes.modelState(query.model, query.state));
  else if (query.model !== undefined) sets.push(indexes.byModel.get(query.model));
  else if (query.state !== undefined) sets.push(indexes.byState.get(query.state));
  if (query.group !== undefined) sets.push(indexes.byGroup.get(query.group));
  for (const pair of pairs) sets.push(indexes.byLabel.get(pair));
  if (sets.length === 0) return allWorkers(indexes, after);
  const smallest = sets.reduce((least, set) => (set.size < least.size ? set : least));
  if (!after) return smallest.from();
  const [, , hiveId, id] = after;
  return smallest.from((worker) =>
    (compareText(worker.hive.id, hiveId!) || compareText(worker.current.id, id!)) <= 0 ? -1 : 0,
  );
}

function* ofHive(hive: HiveRecord, after: CursorKey | null): Generator<WorkerRecord, void> {
  const [, , hiveId, id] = after ?? [];
  for (const worker of hive.workerOrder)
    if (hiveId === undefined || hive.id > hiveId || worker.current.id > id!) yield worker;
}

/** Every worker, in order of hive and id. */
export function* allWorkers(indexes: Indexes, after: CursorKey | null = null): Generator<WorkerRecord, void> {
  const [, , hiveId] = after ?? [];
  for (const hive of indexes.hiveOrder.from(hiveId === undefined ? undefined : (one) => (one.id < hiveId ? -1 : 0)))
    yield* ofHive(hive, hive.id === hiveId ? after : null);
}

/** Another order than that of keys: all matches are looked at, the page's kept. */
function listSorted(
  indexes: Indexes,
  query: WorkerQuery,
  pairs: readonly string[],
  sort: WorkerSort,
  limit: number,
  matches: (worker: WorkerRecord) => boolean,
): Slice<WorkerRecord> {
  const descending = sort.startsWith('-');
  const keyOf = sortKeyOf(sort);
  const compareValues = (a: number | null, b: number | null): number =>
    a === b ? 0 : a === null ? 1 : b === null ? -1 : descending ? b - a : a - b;
  const compare = (a: WorkerRecord, b: WorkerRecord) =>
    compareValues(keyOf(a.sample), keyOf(b.sample)) || compareWorkers(a, b);
  const after = query.cursor ? readCursor(query.cursor, sort, 2) : null;
  const isAfter = (worker: WorkerRecord): boolean => {
    if (!after) return true;
    const [, value, hiveId, id] = after;
    const order = compareValues(keyOf(worker.sample), value);
    return (order || compareText(worker.hive.id, hiveId!) || compareText(worker.current.id, id!)) > 0;
  };
  // One more than the page, sorted, so that the rest is only compared with its last.
  const best: WorkerRecord[] = [];
  for (const worker of walkWorkers(indexes, query, pairs, null)) {
    if (!matches(worker) || !isAfter(worker)) continue;
    if (best.length > limit && compare(best[limit]!, worker) <= 0) continue;
    best.splice(
      lowerBound(best, (other) => compare(other, worker)),
      0,
      worker,
    );
    if (best.length > limit + 1) best.pop();
  }
  return take(
    best,
    limit,
    () => true,
    ({ sample, hive }) => [sort, keyOf(sample), hive.id, sample.id],
    charsOf.worker,
  );
}

/** Workers that hold a GPU with this much room, those on the emptiest first (to within 256 MiB). */
export function* workersByFreeVram(indexes: Indexes, bytes: number): Generator<WorkerRecord, void> {
  const seen = new Set<WorkerRecord>();
  for (const gpu of indexes.gpusByFree.atLeast(bytes)) {
    if (gpu.workerCount === 0) continue;
    for (const worker of gpu.hive.workerOrder) {
      if (!holds(worker, gpu.current.uuid) || seen.has(worker)) continue;
      seen.add(worker);
      yield worker;
    }
  }
}
