import { randomUUID } from 'node:crypto';
import type {
  Fleet,
  FleetEvent,
  GpuView,
  History,
  HiveView,
  Liveness,
  PlacementReply,
  PlacementRequest,
  Reservation,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from '../contract/api.js';
import { defaults, shortestIntervalMs } from '../contract/defaults.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { Heartbeat } from '../contract/heartbeat.js';
import { HivepulseError } from '../util/errors.js';
import { audit } from './audit.js';
import { CapacityTracker } from './capacity.js';
import { EventPublisher } from './event-publisher.js';
import type { EventRing, Replay } from './events.js';
import { gpuSeries, HistoryStore, hiveSeries, workerSeries } from './history.js';
import { classifyHeartbeat, type Incarnations, replaceRun } from './incarnations.js';
import { Indexes } from './indexes.js';
import { type Delta, forgetGpu, forgetWorker, mergeGpus, mergeHive, mergeWorkers } from './ingest.js';
import { allWorkers, listGpus, listHives, listWorkers, workersByFreeVram } from './lists.js';
import { ListeningClock, livenessLimits } from './liveness.js';
import { LivenessMonitor } from './liveness-monitor.js';
import { placementCandidates } from './placement.js';
import type { GpuQuery, HiveQuery, Page, WorkerQuery } from './queries.js';
import { RateCounter } from './rate-counter.js';
import { type HiveRecord, type WorkerRecord, workerKey } from './records.js';
import type {
  Counts,
  EventType,
  FindOptions,
  HeartbeatOutcome,
  ModelOptions,
  RefusalCode,
  RegistryListener,
  RegistryOptions,
} from './registry-options.js';
import {
  type ActiveReservation,
  claim,
  requestText,
  reservationView,
  restore,
  type SavedReservation,
  save,
} from './reservations.js';
import { isReady, isSchedulable, pickBest } from './scheduling.js';
import { count, totals } from './totals.js';
import { gpuView, hiveView, workerView } from './views.js';

export type * from './registry-options.js';

/** Reports of one id in use twice come no closer together than this. */
const duplicateEveryMs = 60_000;
/** 115 MB at most. */
const defaultHistoryRings = 20_000;
/** Ids that `cleanupStale` can name at most. */
const removedKept = 10_000;
/** Candidates and refusals that a placement lists, each. */
const maxListed = 1000;
/** Seconds over which the rate of heartbeats is taken. */
const rateSeconds = 10;

/**
 * What a queen knows of its fleet: heartbeats in, answers out. It does no I/O and starts no timers; clock, wall clock and
 * randomness are given. Answers are views: copies of the items they hold, never of the world.
 *
 * Heartbeats must be validated already; their objects belong to the registry from then on.
 */
export class Registry {
  readonly queenId: string;
  /** The interval asked of every hive, ms; 0: each keeps its own. */
  requestedIntervalMs = 0;

  readonly #clock: () => number;
  readonly #wallClock: () => number;
  readonly #random: () => number;
  readonly #monitor: LivenessMonitor;
  readonly #maxHives: number;
  readonly #maxWorkersPerHive: number;
  readonly #warmUntilMs: number;
  readonly #indexes = new Indexes();
  readonly #history: HistoryStore;
  readonly #capacity = new CapacityTracker(this.#indexes);
  readonly #publisher: EventPublisher;
  readonly #removed: string[] = [];
  readonly #heartbeatRate: RateCounter;

  constructor(options: RegistryOptions = {}) {
    this.#clock = options.clock ?? (() => performance.now());
    this.#wallClock = options.wallClock ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#monitor = new LivenessMonitor(
      new ListeningClock(this.#clock, options.tickMs ?? null),
      livenessLimits(options),
      {
        changed: (hive, from, silenceMs) =>
          this.#publisher.publishHiveEvent(livenessKinds[hive.liveness], hive.id, {
            from,
            silentMs: Math.round(silenceMs),
          }),
        removed: (hive) => {
          if (this.#removed.length >= removedKept) this.#removed.shift();
          this.#removed.push(hive.id);
          this.#remove(hive, 'silent');
        },
      },
    );
    this.#maxHives = options.maxHives ?? defaults.maxHives;
    this.#maxWorkersPerHive = options.maxWorkersPerHive ?? defaults.maxWorkersPerHive;
    this.#warmUntilMs = this.#clock() + (options.warmingMs ?? defaults.warmingMs);
    this.#history = new HistoryStore(options.historyRings ?? defaultHistoryRings);
    this.#heartbeatRate = new RateCounter(rateSeconds, this.#clock());
    this.queenId = options.queenId ?? randomUUID();
    this.#publisher = new EventPublisher(options, randomUUID().slice(0, 8));
  }

  /** True until the fleet had time to be heard: what is missing may only not have spoken yet. */
  get warming(): boolean {
    return this.#clock() < this.#warmUntilMs;
  }

  heartbeat(heartbeat: Heartbeat): HeartbeatOutcome {
    const listeningMs = this.#settle();
    const nowMs = this.#clock();
    const { id, incarnation, startedAt } = heartbeat.hive;
    if (heartbeat.workers.length > this.#maxWorkersPerHive)
      return refused(
        'TOO_MANY_WORKERS',
        `${heartbeat.workers.length} workers; this queen takes ${this.#maxWorkersPerHive} a hive (maxWorkersPerHive)`,
      );

    let hive = this.#indexes.hives.get(id);
    let arrival: Arrival = 'next';
    if (hive) {
      const verdict = classifyHeartbeat(hive.incarnations, { incarnation, seq: heartbeat.seq, startedAt }, listeningMs);
      if (verdict === 'staleSeq')
        return refused(
          'STALE_SEQ',
          `seq ${heartbeat.seq} is not after ${hive.incarnations.seq}; the newer beat stands`,
        );
      if (verdict === 'latePacket')
        return refused(
          'RETIRED_INCARNATION',
          `incarnation ${incarnation} was replaced by ${hive.incarnations.current}`,
        );
      if (verdict === 'duplicate') return this.#duplicate(hive, heartbeat, nowMs);
      if (verdict === 'restarted') {
        arrival = 'restarted';
        replaceRun(hive.incarnations, { incarnation, startedAt }, listeningMs);
        hive.ackEventSeq = 0;
      } else if (hive.liveness !== 'online') arrival = 'back';
    } else {
      if (this.#indexes.hives.size >= this.#maxHives)
        return refused('TOO_MANY_HIVES', `this queen takes ${this.#maxHives} hives (maxHives)`);
      hive = this.#join(heartbeat, nowMs, listeningMs);
      arrival = 'joined';
    }

    const intervalMs = Math.max(heartbeat.intervalMs, this.requestedIntervalMs);
    const before = hive.liveness;
    hive.beat++;
    const relabelled = mergeHive(hive, heartbeat);
    const replaces = arrival === 'restarted';
    const delta = mergeWorkers(this.#indexes, this.#history, hive, heartbeat, replaces, nowMs);
    if (relabelled) for (const worker of hive.workerOrder) this.#indexes.setLabels(worker);
    mergeGpus(this.#indexes, this.#history, hive, heartbeat, replaces, delta.gpusChanged, nowMs);
    hive.incarnations.seq = heartbeat.seq;
    hive.incarnations.heardAtMs = listeningMs;
    hive.heardAtMs = nowMs;
    hive.intervalMs = intervalMs;
    hive.liveness = 'online';
    this.#capacity.refresh(hive);
    this.#monitor.touch(hive);
    this.#heartbeatRate.add(nowMs);
    const { host } = heartbeat;
    this.#history.add(hive.ring, nowMs, host.cpuPercent, host.memoryAvailableBytes, host.load1, hive.workers.size);

    this.#publish(hive, heartbeat, arrival, before, delta);
    // Not what the hive keeps to now: with that the interval would never become shorter again.
    const asked = Math.max(shortestIntervalMs, this.requestedIntervalMs);
    return { accepted: true, ackEventSeq: hive.ackEventSeq, intervalMs: asked };
  }

  /** Brings liveness up to now: late, offline, removed. Cheap where nothing is due; every query does it too. */
  advance(): void {
    this.#settle();
  }

  /** When something is due next, ms by the clock given; null: nothing is. It may turn out that it was not due yet. */
  nextDueMs(): number | null {
    const next = Math.min(this.#monitor.nextDueMs() ?? Number.POSITIVE_INFINITY, this.#capacity.nextExpiryMs);
    return Number.isFinite(next) ? next : null;
  }

  /** Forgets hives that were silent for `staleAfterMs`; the ids of those forgotten since the last call. */
  cleanupStale(): string[] {
    this.#settle();
    return this.#removed.splice(0);
  }

  /** Forgets a hive, its workers and its reservations at once: an admin's act. False where it is not known. */
  removeHive(id: string): boolean {
    this.#settle();
    const hive = this.#indexes.hives.get(id);
    if (!hive) return false;
    this.#capacity.releaseAll(id);
    this.#remove(hive, 'admin');
    return true;
  }

  hives(query: HiveQuery = {}): Page<HiveView> {
    const nowMs = this.#nowMs();
    const { items, nextCursor } = listHives(this.#indexes, query);
    return { items: items.map((hive) => hiveView(hive, nowMs)), nextCursor, warming: this.warming };
  }

  hive(id: string): HiveView | null {
    const nowMs = this.#nowMs();
    const hive = this.#indexes.hives.get(id);
    return hive ? hiveView(hive, nowMs) : null;
  }

  workers(query: WorkerQuery = {}): Page<WorkerView> {
    const nowMs = this.#nowMs();
    const { items, nextCursor } = listWorkers(this.#indexes, query);
    return { items: items.map((worker) => workerView(worker, nowMs)), nextCursor, warming: this.warming };
  }

  worker(hive: string, group: string, instance: string): WorkerView | null {
    const nowMs = this.#nowMs();
    const worker = this.#indexes.hives.get(hive)?.workers.get(`${group}/${instance}`);
    return worker ? workerView(worker, nowMs) : null;
  }

  gpus(query: GpuQuery = {}): Page<GpuView> {
    const nowMs = this.#nowMs();
    const { items, nextCursor } = listGpus(this.#indexes, query);
    return { items: items.map((gpu) => gpuView(gpu, nowMs)), nextCursor, warming: this.warming };
  }

  gpu(uuid: string): GpuView | null {
    const nowMs = this.#nowMs();
    const gpu = this.#indexes.gpus.get(uuid);
    return gpu ? gpuView(gpu, nowMs) : null;
  }

  /** Idle and ready. */
  findIdleWorkers(options: FindOptions = {}): WorkerView[] {
    return this.#find(this.#indexes.byState.get('idle'), options, (worker) => isReady(worker.sample));
  }

  /** Workers that serve a model. */
  findWorkersWithModel(model: string, options: ModelOptions = {}): WorkerView[] {
    if (!options.caseInsensitive && !options.prefix) return this.#find(this.#indexes.byModel.get(model), options);
    const fold = (text: string) => (options.caseInsensitive ? text.toLowerCase() : text);
    const asked = fold(model);
    const found: WorkerView[] = [];
    for (const [name, workers] of this.#indexes.byModel.sets) {
      if (name === null || !(options.prefix ? fold(name).startsWith(asked) : fold(name) === asked)) continue;
      const limit = options.limit === undefined ? undefined : options.limit - found.length;
      found.push(...this.#find(workers, { ...options, ...(limit === undefined ? {} : { limit }) }));
    }
    return found;
  }

  /** Workers that hold a GPU whose own free VRAM is at least `bytes`; the most free first. */
  findWorkersWithCapacity(bytes: number, options: FindOptions = {}): WorkerView[] {
    return this.#find(workersByFreeVram(this.#indexes, bytes), options);
  }

  /**
   * The worker to send a request for a model to: ready and idle, else the least loaded; ties at random. What is picked
   * counts as busier until its next beat, so that callers within one interval spread. Null where none is ready.
   */
  findBestWorkerForModel(model: string): WorkerView | null {
    const nowMs = this.#nowMs();
    const best = pickBest(this.#indexes.modelState(model, 'idle'), this.#indexes.byModel.get(model), this.#random);
    if (!best) return null;
    best.picks++;
    return workerView(best, nowMs);
  }

  getAllWorkers(options: FindOptions = {}): WorkerView[] {
    return this.#find(allWorkers(this.#indexes), options, undefined, (hive) => hive.liveness === 'online');
  }

  /** Hives that are heard. */
  listOnline(): HiveView[] {
    const nowMs = this.#nowMs();
    const views: HiveView[] = [];
    for (const hive of this.#indexes.hiveOrder) if (hive.liveness === 'online') views.push(hiveView(hive, nowMs));
    return views;
  }

  /** Workers that requests can be sent to. */
  listAvailable(options: FindOptions = {}): WorkerView[] {
    return this.#find(allWorkers(this.#indexes), options, (worker) => isReady(worker.sample));
  }

  /** Numbers of what is fresh, unless told otherwise. */
  counts(options: Pick<FindOptions, 'includeStale'> = {}): Counts {
    this.#settle();
    return count(this.#indexes, options.includeStale ?? false);
  }

  /** Totals over all that is known, whatever its liveness. */
  fleet(bus: Fleet['bus'] = 'memory'): Fleet {
    const nowMs = this.#nowMs();
    return {
      ...totals(this.#indexes),
      heartbeatsPerSecond: this.#heartbeatRate.perSecond(nowMs),
      queenId: this.queenId,
      bus,
      warming: this.warming,
    };
  }

  /**
   * Where a worker would fit, and, with `reserveSeconds`, the room of the best candidate held for it. The same
   * `idempotencyKey` gives the same reservation while that lasts.
   * @throws HivepulseError IDEMPOTENCY_CONFLICT where the key was used for another request.
   */
  place(request: PlacementRequest): PlacementReply {
    const nowMs = this.#nowMs();
    const key = request.idempotencyKey;
    const earlier = key === undefined ? undefined : this.#capacity.reservations.withKey(key);
    if (earlier) return this.#again(earlier, request, nowMs);
    const { candidates, refusals } = placementCandidates(this.#capacity.hosts(), request);
    const best = candidates[0];
    const held = best && request.reserveSeconds !== undefined ? claim(best, request, nowMs) : null;
    if (held) this.#capacity.reserve(held);
    return {
      candidates: candidates.slice(0, maxListed),
      candidateCount: candidates.length,
      refusals: refusals.slice(0, maxListed),
      refusedCount: refusals.length,
      reservation: held && reservationView(held, nowMs),
      warming: this.warming,
    };
  }

  /** Gives room back. False where no such reservation is in force. */
  releaseReservation(id: string): boolean {
    this.#settle();
    return this.#capacity.release(id);
  }

  reservations(): Reservation[] {
    const nowMs = this.#nowMs();
    return [...this.#capacity.reservations.all()].map((held) => reservationView(held, nowMs));
  }

  /** The reservations (of one hive) as they outlive this process, with their ends by the wall clock. */
  savedReservations(hive?: string): SavedReservation[] {
    const nowMs = this.#nowMs();
    const wallMs = this.#wallClock();
    const { reservations } = this.#capacity;
    const held = hive === undefined ? reservations.all() : (reservations.ofHive(hive) ?? []);
    return [...held].map((each) => save(each, nowMs, wallMs));
  }

  /** Takes over a reservation granted before a restart, or by another queen. False where it is over already. */
  adoptReservation(saved: SavedReservation): boolean {
    const nowMs = this.#nowMs();
    const held = restore(saved, nowMs, this.#wallClock());
    if (held) this.#capacity.reserve(held);
    return held !== null;
  }

  /** Called after each change of the reservations, within the call that made it. */
  onReservations(listener: (() => void) | null): void {
    this.#capacity.reservations.onChange = listener;
  }

  /** Called for every change, in order, within the call that made it. A listener that throws does not stop the others. */
  subscribe(listener: RegistryListener): () => void {
    return this.#publisher.subscribe(listener);
  }

  /** All there is, and the id of the newest event it holds. */
  snapshot(): StreamSnapshot {
    const nowMs = this.#nowMs();
    const hives: HiveView[] = [];
    for (const hive of this.#indexes.hiveOrder) hives.push(hiveView(hive, nowMs));
    const workers: WorkerView[] = [];
    for (const worker of allWorkers(this.#indexes)) workers.push(workerView(worker, nowMs));
    return { hives, workers, warming: this.warming, lastEventId: this.events.lastId };
  }

  /** See `RegistryOptions.journal`. */
  set journal(journal: (draft: EventDraft) => void) {
    this.#publisher.journal = journal;
  }

  /** The newest events, for replay. */
  get events(): EventRing {
    return this.#publisher.ring;
  }

  /** The newest event of the stream. */
  get lastEventId(): string {
    return this.events.lastId;
  }

  /** Events published since the start, by kind; every kind there is, and `other`. */
  get eventCounts(): ReadonlyMap<string, number> {
    return this.#publisher.counts;
  }

  hiveIds(): string[] {
    this.#settle();
    return Array.from(this.#indexes.hiveOrder, (hive) => hive.id);
  }

  /** All workers of one hive; none where it is not known. */
  workersOf(hiveId: string): WorkerView[] {
    const nowMs = this.#nowMs();
    const hive = this.#indexes.hives.get(hiveId);
    return hive ? hive.workerOrder.map((worker) => workerView(worker, nowMs)) : [];
  }

  /**
   * Takes an event from a stream that queens share (see `journal`); one that is known already is left out. `old`: those who
   * listen have had it, and it is only kept for replay.
   */
  deliver(type: EventType, event: FleetEvent, old = false): void {
    this.#publisher.deliver(type, event, old);
  }

  /** Puts a conclusion into the own stream although a journal is set: the shared one is out of reach. */
  append(draft: EventDraft): void {
    this.#publisher.append('queenEvent', draft);
  }

  /** What a client that stood at an event id has missed. */
  eventsSince(id: string): Replay {
    this.#settle();
    return this.events.since(id);
  }

  /** The last hour of a hive, or of one of its workers (`group/instance`); null where it is not known. */
  history(hiveId: string, workerId?: string): History | null {
    const nowMs = this.#nowMs();
    const hive = this.#indexes.hives.get(hiveId);
    if (workerId === undefined) return hive ? this.#history.read(hive.ring, hiveSeries, nowMs) : null;
    const worker = hive?.workers.get(workerId);
    return worker ? this.#history.read(worker.ring, workerSeries, nowMs) : null;
  }

  gpuHistory(uuid: string): History | null {
    const nowMs = this.#nowMs();
    const gpu = this.#indexes.gpus.get(uuid);
    return gpu ? this.#history.read(gpu.ring, gpuSeries, nowMs) : null;
  }

  /** Everything that is wrong with the indexes, in words; empty: they are sound. Walks all there is. */
  audit(): string[] {
    this.#settle();
    return audit(this.#indexes, this.#history);
  }

  /** Does what is due, and gives the listening clock's time. */
  #settle(): number {
    const listeningMs = this.#monitor.advance();
    this.#capacity.expire(this.#clock());
    return listeningMs;
  }

  #nowMs(): number {
    this.#settle();
    return this.#clock();
  }

  /** The same answer as the first time, as it stands now. */
  #again(held: ActiveReservation, request: PlacementRequest, nowMs: number): PlacementReply {
    if (held.request !== requestText(request))
      throw new HivepulseError(
        'IDEMPOTENCY_CONFLICT',
        'idempotencyKey',
        'this idempotencyKey already holds room for another request; use a new one',
      );
    const candidate = this.#capacity.candidate(held);
    const candidates = candidate ? [candidate] : [];
    return {
      candidates,
      candidateCount: candidates.length,
      refusals: [],
      refusedCount: 0,
      reservation: reservationView(held, nowMs),
      warming: this.warming,
    };
  }

  #join(heartbeat: Heartbeat, nowMs: number, listeningMs: number): HiveRecord {
    const { id, incarnation, startedAt } = heartbeat.hive;
    const incarnations: Incarnations = {
      current: incarnation,
      seq: heartbeat.seq,
      startedAt,
      heardAtMs: listeningMs,
      retired: [],
    };
    const hive: HiveRecord = {
      id,
      info: heartbeat.hive,
      host: heartbeat.host,
      faults: heartbeat.faults,
      collection: heartbeat.collection,
      workersComplete: heartbeat.workersComplete,
      intervalMs: heartbeat.intervalMs,
      incarnations,
      liveness: 'online',
      heardAtMs: nowMs,
      dueMs: Number.POSITIVE_INFINITY,
      beat: 0,
      ackEventSeq: this.#publisher.loadAckedSeq(id, incarnation),
      workers: new Map(),
      workerOrder: [],
      gpus: new Map(),
      gpuOrder: [],
      duplicateAtMs: null,
      ring: this.#history.open(),
    };
    this.#indexes.hives.set(id, hive);
    this.#indexes.hiveOrder.add(hive);
    return hive;
  }

  #remove(hive: HiveRecord, reason: 'silent' | 'admin'): void {
    const workers = hive.workers.size;
    for (const worker of [...hive.workerOrder].reverse()) forgetWorker(this.#indexes, this.#history, worker);
    for (const gpu of hive.gpuOrder) forgetGpu(this.#indexes, this.#history, gpu);
    hive.gpuOrder = [];
    this.#history.close(hive.ring);
    this.#monitor.untrack(hive);
    if (reason === 'silent') this.#publisher.saveAckedSeq(hive);
    this.#indexes.hives.delete(hive.id);
    this.#indexes.hiveOrder.delete(hive);
    this.#publisher.publishHiveEvent('hiveRemoved', hive.id, { reason, workers });
  }

  #duplicate(hive: HiveRecord, heartbeat: Heartbeat, nowMs: number): HeartbeatOutcome {
    const message = `another hive speaks as ${hive.id}, from ${hive.info.hostname}; give one of them another --id`;
    if (hive.duplicateAtMs === null || nowMs - hive.duplicateAtMs >= duplicateEveryMs) {
      hive.duplicateAtMs = nowMs;
      this.#publisher.publishHiveEvent('duplicateHiveId', hive.id, {
        hostname: heartbeat.hive.hostname,
        incarnation: heartbeat.hive.incarnation,
        currentHostname: hive.info.hostname,
        currentIncarnation: hive.incarnations.current,
      });
    }
    return refused('DUPLICATE_HIVE_ID', message);
  }

  /** Says what a beat brought: the hive's own facts first, then what follows from them, then the changed rows. */
  #publish(hive: HiveRecord, heartbeat: Heartbeat, arrival: Arrival, before: Liveness, delta: Delta): void {
    if (arrival === 'joined') this.#publisher.publishHiveEvent('hiveJoined', hive.id, { workers: hive.workers.size });
    else if (arrival === 'restarted')
      this.#publisher.publishHiveEvent('hiveRestarted', hive.id, { workers: hive.workers.size });
    else if (arrival === 'back') this.#publisher.publishHiveEvent('hiveOnline', hive.id, { from: before });

    this.#publisher.ingestHiveEvents(hive, heartbeat.events);
    // A hive that joins brings its workers along; one event says so.
    if (arrival !== 'joined')
      for (const worker of delta.appeared)
        this.#publisher.publishWorkerEvent('workerAppeared', worker, { state: worker.sample.state });
    for (const worker of delta.removed)
      this.#publisher.publishWorkerEvent('workerGone', worker, { state: worker.sample.state });
    for (const { worker, from } of delta.stateChanged)
      this.#publisher.publishWorkerEvent('workerStateChanged', worker, { from, to: worker.sample.state });

    if (!this.#publisher.hasListeners) return;
    const rows: StreamHeartbeat = {
      hive: hiveView(hive, hive.heardAtMs),
      workers: delta.changed.map((worker) => workerView(worker, hive.heardAtMs)),
      gone: delta.removed.map(workerKey),
      whole: arrival === 'joined' || arrival === 'restarted',
    };
    this.#publisher.emit({ type: 'heartbeat', hiveId: hive.id, heartbeat: rows });
  }

  #find(
    workers: Iterable<WorkerRecord>,
    options: FindOptions,
    matches: (worker: WorkerRecord) => boolean = () => true,
    fresh: (hive: HiveRecord) => boolean = isSchedulable,
  ): WorkerView[] {
    const nowMs = this.#nowMs();
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

type Arrival = 'next' | 'back' | 'joined' | 'restarted';

const livenessKinds = { online: 'hiveOnline', late: 'hiveLate', offline: 'hiveOffline' } as const;

const refused = (code: RefusalCode, message: string): HeartbeatOutcome => ({ accepted: false, code, message });
