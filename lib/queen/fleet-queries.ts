import type {
  BestWorker,
  GpuView,
  History,
  HiveView,
  StreamSnapshot,
  WorkerPick,
  WorkerView,
} from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import type { Missing } from '../contract/missing.js';
import type { HistoryQuery } from '../contract/queries.js';
import { type AttentionList, attentionWithin, missingAttention } from '../present/attention.js';
import { troubled } from './attention.js';
import { audit } from './audit.js';
import { FleetHistory } from './fleet-history.js';
import { gpuSeries, HistoryStore, hiveSeries, joinHistories, servingSeries, workerSeries } from './history.js';
import { ringsOf } from './history-keys.js';
import type { SavedDay } from './history-saved.js';
import { type HiveScrape, type ScrapeRoom, scrapeHive } from './hive-scrape.js';
import { Indexes } from './indexes.js';
import { allWorkers, listGpus, listHives, listWorkers, workersByFreeVram } from './lists.js';
import { MissingItems, type MissingQueryOptions } from './missing.js';
import type { GpuQuery, HiveQuery, Page, WorkerQuery } from './queries.js';
import { type HiveRecord, isSchedulable, type WorkerRecord, workerKey } from './records.js';
import {
  type Counts,
  checkRegistryOptions,
  type FindOptions,
  type ModelOptions,
  type RegistryOptions,
} from './registry-options.js';
import { type PickQuery, RequestRouting } from './request-routing.js';
import { isReady } from './scheduling.js';
import type { Kept } from './stream-merge.js';
import { count } from './totals.js';
import { gpuView, hiveView, workerView } from './views.js';

/** 175 MB at most, and as much for their days; both as they fill. */
const defaultHistoryRings = 30_000;

export type HistorySpan = NonNullable<HistoryQuery['span']>;

/**
 * The questions that a registry answers about hives, workers and GPUs. Answers are views: copies of the items they hold.
 * Nothing here changes a record, except that a pick counts as load.
 */
export abstract class FleetQueries {
  protected readonly clock: () => number;
  protected readonly indexes = new Indexes();
  protected readonly histories: HistoryStore;
  readonly #fleetHistory: FleetHistory;
  protected readonly routing: RequestRouting;
  /** Where rows are merged into. */
  protected readonly kept: Kept;
  /** What was seen and is gone. */
  readonly missing: MissingItems;
  readonly #warmUntilMs: number;

  constructor(options: RegistryOptions) {
    checkRegistryOptions(options);
    this.clock = options.clock ?? (() => performance.now());
    this.routing = new RequestRouting(this.indexes, options.random ?? Math.random);
    this.#warmUntilMs = this.clock() + (options.warmingMs ?? defaults.warmingMs);
    this.missing = new MissingItems(options.wallClock ?? Date.now, options.memory?.missingBytes);
    const rings = options.historyRings ?? defaultHistoryRings;
    this.histories = new HistoryStore(rings, rings, this.clock);
    const { indexes, histories, routing } = this;
    this.kept = { indexes, histories, routing };
    this.#fleetHistory = new FleetHistory(this.clock);
  }

  /** Brings liveness and reservations up to now. */
  abstract advance(): void;

  /** Id of the newest event. */
  abstract get lastEventId(): string;

  /** True until the fleet has had time to be heard: a hive that is missing may only not have sent yet. */
  get warming(): boolean {
    return this.clock() < this.#warmUntilMs;
  }

  hives(query: HiveQuery = {}): Page<HiveView> {
    return this.#page(query, listHives, hiveView);
  }

  hive(id: string): HiveView | null {
    return this.#one((indexes) => indexes.hives.get(id), hiveView);
  }

  /** What a scrape reads of a hive; null: it is not known. */
  scrape(id: string, room: ScrapeRoom): HiveScrape | null {
    return this.#one(
      (indexes) => indexes.hives.get(id),
      (hive, nowMs) => scrapeHive(hive, room, nowMs),
    );
  }

  /** All of them, one after the other. */
  *eachHive(): Generator<HiveView, void> {
    const nowMs = this.clock();
    for (const hive of this.indexes.hives.values()) yield hiveView(hive, nowMs);
  }

  hasHive(id: string): boolean {
    return this.indexes.hives.has(id);
  }

  /** The token, or address, that a hive is charged to. */
  ownerOf(id: string): string | null {
    return this.indexes.hives.get(id)?.charge.owner ?? null;
  }

  get hiveCount(): number {
    return this.indexes.hives.size;
  }

  workers(query: WorkerQuery = {}): Page<WorkerView> {
    return this.#page(query, listWorkers, workerView);
  }

  worker(hive: string, group: string, instance: string): WorkerView | null {
    return this.#one((indexes) => indexes.hives.get(hive)?.workers.get(`${group}/${instance}`), workerView);
  }

  gpus(query: GpuQuery = {}): Page<GpuView> {
    return this.#page(query, listGpus, gpuView);
  }

  gpu(uuid: string): GpuView | null {
    return this.#one((indexes) => indexes.gpu(uuid), gpuView);
  }

  listMissing(query: MissingQueryOptions = {}): ReturnType<MissingItems['list']> {
    this.advance();
    const { items, nextCursor } = this.missing.list(query);
    return { items: items.map((item) => this.#withClaim(item)), nextCursor };
  }

  /**
   * Of a GPU that a hive of another token reports now, with that hive: a word of a stranger does not end what is missing, since it
   * would hide a loss, but whoever looks for a card that was moved finds it.
   */
  #withClaim(item: Missing): Missing {
    if (item.kind !== 'gpu') return item;
    const claims = this.indexes.claimsOf(item.key);
    const other = claims.find(({ hive }) => hive.id !== item.hive && hive.liveness === 'online');
    return other === undefined ? item : { ...item, reportedBy: other.hive.id };
  }

  /** What needs attention now, the worst first, whether somebody looks at it already or not. */
  attention(): AttentionList {
    this.advance();
    return attentionWithin(
      troubled(this.indexes, this.clock()),
      missingAttention(this.missing.lost().map((item) => this.#withClaim(item))),
    );
  }

  /** Idle and ready. */
  findIdleWorkers(options: FindOptions = {}): WorkerView[] {
    return this.#find(this.indexes.byState.get('idle'), options, (worker) => isReady(worker.current));
  }

  /** Workers that serve a model, by any of its names. */
  findWorkersWithModel(model: string, options: ModelOptions = {}): WorkerView[] {
    if (!options.caseInsensitive && !options.prefix) return this.#find(this.indexes.byModel.get(model), options);
    const fold = (text: string) => (options.caseInsensitive ? text.toLowerCase() : text);
    const asked = fold(model);
    const found = new Set<WorkerRecord>();
    for (const [name, workers] of this.indexes.byModel.sets)
      if (name !== null && (options.prefix ? fold(name).startsWith(asked) : fold(name) === asked))
        for (const worker of workers) found.add(worker);
    return this.#find(found, options);
  }

  /** Workers that hold a GPU whose own free VRAM is at least `bytes`; the most free first. */
  findWorkersWithCapacity(bytes: number, options: FindOptions = {}): WorkerView[] {
    return this.#find(workersByFreeVram(this.indexes, bytes), options);
  }

  /** The worker to send a request for a model to, as `pickWorkers` chooses it. Null where none is ready. */
  findBestWorkerForModel(model: string): WorkerView | null {
    return this.pickWorkers({ model }).worker;
  }

  /**
   * The workers to send requests for a model to, one after the other: where each costs least by what the engines report, or, where
   * no engine reports, ready and idle, else the least loaded; ties at random. Each pick counts until the engine's figures show it
   * (where no engine reports: until the worker's next heartbeat), so that callers spread.
   */
  pickWorkers(query: PickQuery): BestWorker {
    const nowMs = this.nowMs();
    let worker: WorkerView | null = null;
    const picks: WorkerPick[] = [];
    while (picks.length < (query.count ?? 1)) {
      const picked = this.routing.pick(query, nowMs);
      if (picked === null) break;
      worker ??= workerView(picked.worker, nowMs);
      const { id, why } = picked;
      picks.push({ id, key: workerKey(picked.worker), endpoint: picked.worker.current.endpoint ?? '', why });
    }
    return { worker, picks, warming: this.warming };
  }

  /** A picked request is over, or was not sent: its pick counts no longer. False where it did not count any more. */
  pickDone(id: string): boolean {
    return this.routing.done(id, this.nowMs());
  }

  getAllWorkers(options: FindOptions = {}): WorkerView[] {
    return this.#find(allWorkers(this.indexes), options, undefined, (hive) => hive.liveness === 'online');
  }

  /** Hives that are heard. */
  listOnline(): HiveView[] {
    const nowMs = this.nowMs();
    return [...this.indexes.hiveOrder]
      .filter((hive) => hive.liveness === 'online')
      .map((hive) => hiveView(hive, nowMs));
  }

  /** Workers that requests can be sent to. */
  listAvailable(options: FindOptions = {}): WorkerView[] {
    return this.#find(allWorkers(this.indexes), options, (worker) => isReady(worker.current));
  }

  /** Numbers of what is fresh, or with `includeStale` of all. */
  counts(options: Pick<FindOptions, 'includeStale'> = {}): Counts {
    this.advance();
    return count(this.indexes, options.includeStale ?? false);
  }

  /** All there is, and the id of the newest event it holds. */
  snapshot(): StreamSnapshot {
    const nowMs = this.nowMs();
    return {
      hives: Array.from(this.indexes.hiveOrder, (hive) => hiveView(hive, nowMs)),
      workers: Array.from(allWorkers(this.indexes), (worker) => workerView(worker, nowMs)),
      warming: this.warming,
      lastEventId: this.lastEventId,
    };
  }

  hiveIds(): string[] {
    this.advance();
    return Array.from(this.indexes.hiveOrder, (hive) => hive.id);
  }

  /** All workers of one hive; none where it is not known. */
  workersOf(hiveId: string): WorkerView[] {
    const nowMs = this.nowMs();
    return this.indexes.hives.get(hiveId)?.workerOrder.map((worker) => workerView(worker, nowMs)) ?? [];
  }

  /** The last hour or day of a hive, or of one of its workers (`group/instance`); null where it is not known. */
  history(hiveId: string, workerId?: string, span: HistorySpan = 'hour'): History | null {
    if (workerId === undefined) return this.#history((indexes) => indexes.hives.get(hiveId), hiveSeries, span);
    return this.#one(
      (indexes) => indexes.hives.get(hiveId)?.workers.get(workerId),
      ({ ring, servingRing }, nowMs) => {
        const own = this.#read(span, ring, workerSeries, nowMs);
        if (servingRing < 0) return own;
        return joinHistories([own, this.#read(span, servingRing, servingSeries, nowMs)]);
      },
    );
  }

  gpuHistory(uuid: string, span: HistorySpan = 'hour'): History | null {
    return this.#history((indexes) => indexes.gpu(uuid), gpuSeries, span);
  }

  /** Adds to the history of the fleet where that is due. */
  sampleFleet(): void {
    this.#fleetHistory.sample(this.indexes.hives, this.clock());
  }

  fleetHistory(span: HistorySpan = 'hour'): History {
    const nowMs = this.nowMs();
    this.sampleFleet();
    return this.#fleetHistory.read(span, nowMs);
  }

  /** The days of all there is as they outlive this process: the fleet and hosts first, then GPUs, then workers. */
  *savedHistories(): Generator<SavedDay & { readonly key: string }, void> {
    const nowMs = this.clock();
    yield* this.#fleetHistory.saved(nowMs);
    for (const [key, ring] of ringsOf(this.indexes)) {
      const saved = this.histories.save(ring, nowMs);
      if (saved !== null) yield { key, ...saved };
    }
    yield* this.histories.kept.left();
  }

  /** Of a run before this one, written `ageMs` ago. */
  adoptHistories(rings: readonly unknown[], ageMs: number): void {
    this.histories.kept.adopt(this.#fleetHistory.adopt(rings, ageMs), ageMs);
  }

  /** Everything that is wrong with the indexes, in words; empty: nothing. Walks all there is. */
  audit(): string[] {
    this.advance();
    return audit(this.indexes, this.histories);
  }

  protected nowMs(): number {
    this.advance();
    return this.clock();
  }

  #page<R, V, Q>(
    query: Q,
    list: (indexes: Indexes, query: Q) => { readonly items: R[]; readonly nextCursor: string | null },
    view: (record: R, nowMs: number) => V,
  ): Page<V> {
    const nowMs = this.nowMs();
    const { items, nextCursor } = list(this.indexes, query);
    return { items: items.map((record) => view(record, nowMs)), nextCursor, warming: this.warming };
  }

  #one<R, V>(find: (indexes: Indexes) => R | undefined, view: (record: R, nowMs: number) => V): V | null {
    const nowMs = this.nowMs();
    const record = find(this.indexes);
    return record ? view(record, nowMs) : null;
  }

  #history(
    find: (indexes: Indexes) => { readonly ring: number } | undefined,
    series: readonly string[],
    span: HistorySpan,
  ) {
    return this.#one(find, ({ ring }, nowMs) => this.#read(span, ring, series, nowMs));
  }

  #read(span: HistorySpan, ring: number, series: readonly string[], nowMs: number): History {
    return span === 'day' ? this.histories.readDay(ring, series, nowMs) : this.histories.read(ring, series, nowMs);
  }

  #find(
    workers: Iterable<WorkerRecord>,
    options: FindOptions,
    matches: (worker: WorkerRecord) => boolean = () => true,
    fresh: (hive: HiveRecord) => boolean = isSchedulable,
  ): WorkerView[] {
    const nowMs = this.nowMs();
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    const views: WorkerView[] = [];
    if (limit <= 0) return views;
    for (const worker of workers) {
      if (!(options.includeStale || fresh(worker.hive)) || !matches(worker)) continue;
      views.push(workerView(worker, nowMs));
      if (views.length >= limit) break;
    }
    return views;
  }
}
