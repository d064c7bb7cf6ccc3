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
  queenEventKinds,
  Reservation,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from '../contract/api.js';
import type { Heartbeat, HiveEvent, WorkerSample } from '../contract/heartbeat.js';
import { defaults } from '../defaults.js';
import { HivepulseError } from '../errors.js';
import { audit } from './audit.js';
import { Deadlines } from './deadlines.js';
import { type EventDraft, EventRing, type Replay } from './events.js';
import { gpuSeries, HistoryStore, hiveSeries, workerSeries } from './history.js';
import { type Incarnations, judge, replaceRun } from './incarnations.js';
import { Indexes } from './indexes.js';
import { type Delta, forgetGpu, forgetWorker, mergeGpus, mergeHive, mergeWorkers } from './ingest.js';
import { allWorkers, listGpus, listHives, listWorkers } from './lists.js';
import {
  ListeningClock,
  type LivenessLimits,
  livenessDefaults,
  nextChangeMs,
  standing,
  thresholds,
} from './liveness.js';
import { type PlacementHost, plan } from './placement.js';
import type { GpuQuery, HiveQuery, Page, WorkerQuery } from './queries.js';
import { RateCounter } from './rate-counter.js';
import { type GpuRecord, type HiveRecord, type WorkerRecord, workerKey } from './records.js';
import { type Held, Reservations, reservationView, type Used, unusedMemory, unusedVram } from './reservations.js';
import { freeBytes, isReady, isSchedulable, pickBest } from './scheduling.js';
import { gpuView, hiveView, workerView } from './views.js';

export type RefusalCode =
  | 'STALE_SEQ'
  | 'RETIRED_INCARNATION'
  | 'DUPLICATE_HIVE_ID'
  | 'TOO_MANY_HIVES'
  | 'TOO_MANY_WORKERS';

export type HeartbeatOutcome =
  | { readonly accepted: true; readonly ackEventSeq: number; readonly intervalMs: number }
  | { readonly accepted: false; readonly code: RefusalCode; readonly message: string };

/** One change, the same object for every listener, so that it is serialized once. */
export type RegistryChange =
  | { readonly type: 'heartbeat'; readonly hiveId: string; readonly heartbeat: StreamHeartbeat }
  /** A fact that a hive reported. */
  | { readonly type: 'event'; readonly event: FleetEvent }
  /** A conclusion of the queen. */
  | { readonly type: 'liveness'; readonly event: FleetEvent };

export type RegistryListener = (change: RegistryChange) => void;

export interface RegistryOptions extends Partial<LivenessLimits> {
  /** Monotonic milliseconds, any origin. Default `performance.now`. */
  readonly clock?: () => number;
  /** Milliseconds since the Unix epoch, for what people read. Default `Date.now`. */
  readonly wallClock?: () => number;
  /** In [0, 1). Default `Math.random`. */
  readonly random?: () => number;
  /**
   * How often `advance` is promised to be called, ms. With it, a gap of more than a second beyond the promise counts as this
   * process not listening, and no hive ages by it. Null (default): nobody promises; the clock is trusted.
   */
  readonly tickMs?: number | null;
  readonly queenId?: string;
  /** Name of the event stream; a new one at each start unless the stream lives elsewhere. */
  readonly epoch?: string;
  readonly warmingMs?: number;
  readonly eventRingSize?: number;
  readonly maxHives?: number;
  readonly maxWorkersPerHive?: number;
  readonly historyRings?: number;
  /** False while another queen draws the conclusions of the fleet; they then do not enter this stream. */
  readonly concludes?: () => boolean;
}

export interface FindOptions {
  /** Also those of hives that are late, offline, or not in state `ready`. */
  readonly includeStale?: boolean;
  /** Most results; all unless told. */
  readonly limit?: number;
}

/** Totals of the registry; `hives` are always all. */
export interface Counts {
  readonly hives: Readonly<Record<Liveness, number>>;
  readonly workers: number;
  readonly byState: Readonly<Record<WorkerSample['state'], number>>;
  readonly gpus: number;
  /** Workers by model, of those whose model is known. */
  readonly models: Readonly<Record<string, number>>;
}

export interface ModelOptions extends FindOptions {
  readonly caseInsensitive?: boolean;
  /** The name only has to begin so. */
  readonly prefix?: boolean;
}

/** Reports of one id in use twice come no closer together than this. */
const duplicateEveryMs = 60_000;
/** A worker that every free text of a frame could hold is no reason to keep more rings than this by default: 115 MB. */
const defaultHistoryRings = 20_000;
/** Ids that `cleanupStale` can name at most. */
const removedKept = 10_000;
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
  readonly events: EventRing;
  /** The interval asked of every hive, ms; 0: each keeps its own. */
  requestedIntervalMs = 0;

  readonly #clock: () => number;
  readonly #wallClock: () => number;
  readonly #random: () => number;
  readonly #listening: ListeningClock;
  readonly #limits: LivenessLimits;
  readonly #maxHives: number;
  readonly #maxWorkersPerHive: number;
  readonly #warmUntilMs: number;
  readonly #concludes: () => boolean;
  readonly #indexes = new Indexes();
  readonly #history: HistoryStore;
  readonly #reservations = new Reservations();
  readonly #listeners = new Set<RegistryListener>();
  readonly #deadlines = new Deadlines<HiveRecord>();
  readonly #removed: string[] = [];
  readonly #beats: RateCounter;
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  constructor(options: RegistryOptions = {}) {
    this.#clock = options.clock ?? (() => performance.now());
    this.#wallClock = options.wallClock ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#listening = new ListeningClock(this.#clock, options.tickMs ?? null);
    this.#limits = {
      lateAfterIntervals: options.lateAfterIntervals ?? livenessDefaults.lateAfterIntervals,
      offlineAfterMs: options.offlineAfterMs ?? livenessDefaults.offlineAfterMs,
      offlineAfterIntervals: options.offlineAfterIntervals ?? livenessDefaults.offlineAfterIntervals,
      staleAfterMs: options.staleAfterMs ?? livenessDefaults.staleAfterMs,
    };
    this.#maxHives = options.maxHives ?? defaults.maxHives;
    this.#maxWorkersPerHive = options.maxWorkersPerHive ?? defaults.maxWorkersPerHive;
    this.#warmUntilMs = this.#clock() + (options.warmingMs ?? defaults.warmingMs);
    this.#concludes = options.concludes ?? (() => true);
    this.#history = new HistoryStore(options.historyRings ?? defaultHistoryRings);
    this.#beats = new RateCounter(rateSeconds, this.#clock());
    this.queenId = options.queenId ?? randomUUID();
    this.events = new EventRing(options.epoch ?? randomUUID().slice(0, 8), options.eventRingSize);
  }

  /** True until the fleet had time to be heard: what is missing may only not have spoken yet. */
  get warming(): boolean {
    return this.#clock() < this.#warmUntilMs;
  }

  // ---- heartbeats in

  heartbeat(frame: Heartbeat): HeartbeatOutcome {
    const listeningMs = this.#settle();
    const nowMs = this.#clock();
    const { id, incarnation, startedAt } = frame.hive;
    if (frame.workers.length > this.#maxWorkersPerHive)
      return refused(
        'TOO_MANY_WORKERS',
        `${frame.workers.length} workers; this queen takes ${this.#maxWorkersPerHive} a hive (maxWorkersPerHive)`,
      );

    let hive = this.#indexes.hives.get(id);
    let arrival: Arrival = 'next';
    if (hive) {
      const verdict = judge(hive.incarnations, { incarnation, seq: frame.seq, startedAt }, listeningMs);
      if (verdict === 'staleSeq')
        return refused('STALE_SEQ', `seq ${frame.seq} is not after ${hive.incarnations.seq}; the newer beat stands`);
      if (verdict === 'latePacket')
        return refused(
          'RETIRED_INCARNATION',
          `incarnation ${incarnation} was replaced by ${hive.incarnations.current}`,
        );
      if (verdict === 'duplicate') return this.#duplicate(hive, frame, nowMs);
      if (verdict === 'restarted') {
        arrival = 'restarted';
        replaceRun(hive.incarnations, { incarnation, startedAt }, listeningMs);
        hive.ackEventSeq = 0;
      } else if (hive.liveness !== 'online') arrival = 'back';
    } else {
      if (this.#indexes.hives.size >= this.#maxHives)
        return refused('TOO_MANY_HIVES', `this queen takes ${this.#maxHives} hives (maxHives)`);
      hive = this.#join(frame, nowMs, listeningMs);
      arrival = 'joined';
    }

    const intervalMs = Math.max(frame.intervalMs, this.requestedIntervalMs);
    const before = hive.liveness;
    hive.beat++;
    const relabelled = mergeHive(hive, frame);
    const delta = mergeWorkers(this.#indexes, this.#history, hive, frame, arrival === 'restarted', nowMs);
    if (relabelled) for (const worker of hive.workerOrder) this.#indexes.setLabels(worker);
    mergeGpus(this.#indexes, this.#history, hive, frame, nowMs);
    hive.incarnations.seq = frame.seq;
    hive.incarnations.heardAtMs = listeningMs;
    hive.heardAtMs = nowMs;
    hive.intervalMs = intervalMs;
    hive.liveness = 'online';
    this.#settleReservations(hive);
    this.#refreshRoom(hive);
    this.#schedule(hive);
    this.#beats.add(nowMs);
    const { host } = frame;
    this.#history.add(hive.ring, nowMs, host.cpuPercent, host.memoryAvailableBytes, host.load1, hive.workers.size);

    this.#tell(hive, frame, arrival, before, delta);
    return { accepted: true, ackEventSeq: hive.ackEventSeq, intervalMs };
  }

  /** Brings liveness up to now: late, offline, removed. Cheap where nothing is due; every query does it too. */
  advance(): void {
    this.#settle();
  }

  /** When something is due next, ms by the clock given; null: nothing is. It may turn out that it was not due yet. */
  nextDueMs(): number | null {
    const due = this.#deadlines.nextMs();
    const liveness = due === null ? Number.POSITIVE_INFINITY : due + this.#listening.forgivenMs;
    const next = Math.min(liveness, this.#nextExpiryMs);
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
    for (const held of [...(this.#reservations.ofHive(id) ?? [])]) this.#reservations.remove(held.id);
    this.#remove(hive, 'admin');
    return true;
  }

  // ---- lists

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

  // ---- questions of schedulers and routers

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
    return this.#find(this.#holdersOfRoom(bytes), options);
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
    const hives = { online: 0, late: 0, offline: 0 };
    const byState = { starting: 0, idle: 0, busy: 0, unknown: 0 };
    const models: Record<string, number> = {};
    let workers = 0;
    let gpus = 0;
    for (const hive of this.#indexes.hives.values()) {
      hives[hive.liveness]++;
      if (!options.includeStale && hive.liveness !== 'online') continue;
      gpus += hive.gpus.size;
      workers += hive.workers.size;
      for (const { sample } of hive.workerOrder) {
        byState[sample.state]++;
        if (sample.model !== null) models[sample.model] = (models[sample.model] ?? 0) + 1;
      }
    }
    return { hives, workers, byState, gpus, models };
  }

  /** Totals over all that is known, whatever its liveness. */
  fleet(bus: Fleet['bus'] = 'memory'): Fleet {
    const nowMs = this.#nowMs();
    const hives = { online: 0, late: 0, offline: 0 };
    const byHealth: Record<string, number> = {};
    let memoryTotalBytes = 0;
    let memoryUsedBytes = 0;
    for (const hive of this.#indexes.hives.values()) {
      hives[hive.liveness]++;
      for (const { sample, isParent } of hive.gpuOrder) {
        byHealth[sample.health] = (byHealth[sample.health] ?? 0) + 1;
        // A GPU that is cut up is counted by its parts.
        if (isParent) continue;
        memoryTotalBytes += sample.memoryTotalBytes ?? 0;
        memoryUsedBytes += sample.memoryUsedBytes ?? 0;
      }
    }
    const byState: Record<string, number> = {};
    for (const [state, workers] of this.#indexes.byState.sets) byState[state] = workers.size;
    return {
      hives,
      gpus: { total: this.#indexes.gpuCount, byHealth, memoryTotalBytes, memoryUsedBytes },
      workers: { total: this.#indexes.workerCount, byState },
      heartbeatsPerSecond: this.#beats.perSecond(nowMs),
      queenId: this.queenId,
      bus,
      warming: this.warming,
    };
  }

  // ---- placement

  /**
   * Where a worker would fit, and, with `reserveSeconds`, the room of the best candidate held for it. The same
   * `idempotencyKey` gives the same reservation while that lasts.
   * @throws HivepulseError IDEMPOTENCY_CONFLICT where the key was used for another request.
   */
  place(request: PlacementRequest): PlacementReply {
    const nowMs = this.#nowMs();
    const { idempotencyKey = null, reserveSeconds } = request;
    const text = JSON.stringify(request, Object.keys(request).sort());
    const known = idempotencyKey === null ? undefined : this.#reservations.withKey(idempotencyKey);
    if (known) {
      if (known.request !== text)
        throw new HivepulseError(
          'IDEMPOTENCY_CONFLICT',
          'idempotencyKey',
          'this idempotencyKey already holds room for another request; use a new one',
        );
      return { candidates: [], refusals: [], reservation: reservationView(known, nowMs), warming: this.warming };
    }
    const { candidates, refusals } = plan(this.#placementHosts(), request);
    const best = candidates[0];
    let reservation: Reservation | null = null;
    if (reserveSeconds !== undefined && best) {
      const held: Held = {
        id: randomUUID(),
        idempotencyKey,
        request: text,
        hive: best.hive,
        gpuUuids: best.gpus.map((gpu) => gpu.uuid),
        vramBytes: request.vramBytes,
        memoryBytes: request.memoryBytes ?? 0,
        expiresAtMs: nowMs + reserveSeconds * 1000,
      };
      this.#hold(held);
      reservation = reservationView(held, nowMs);
    }
    return { candidates, refusals, reservation, warming: this.warming };
  }

  /** Gives room back. False where no such reservation is in force. */
  releaseReservation(id: string): boolean {
    this.#settle();
    const held = this.#reservations.remove(id);
    const hive = held && this.#indexes.hives.get(held.hive);
    if (hive) this.#refreshRoom(hive);
    return held !== undefined;
  }

  reservations(): Reservation[] {
    const nowMs = this.#nowMs();
    return [...this.#reservations.all()].map((held) => reservationView(held, nowMs));
  }

  // ---- stream

  /** Called for every change, in order, within the call that made it. A listener that throws does not stop the others. */
  subscribe(listener: RegistryListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
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

  /** What a client that stood at an event id has missed. */
  replay(id: string): Replay {
    this.#settle();
    return this.events.since(id);
  }

  // ---- history

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

  // ---- inside

  /** Does what is due, and gives the listening clock's time. */
  #settle(): number {
    const listeningMs = this.#listening.now();
    for (let due = this.#deadlines.popDue(listeningMs); due; due = this.#deadlines.popDue(listeningMs)) {
      const hive = due.item;
      // Beats since then have moved the deadline: only the entry that the hive stands by counts.
      if (hive.dueMs !== due.atMs || this.#indexes.hives.get(hive.id) !== hive) continue;
      this.#judge(hive, listeningMs);
    }
    const nowMs = this.#clock();
    if (nowMs >= this.#nextExpiryMs) this.#expire(nowMs);
    return listeningMs;
  }

  #nowMs(): number {
    this.#settle();
    return this.#clock();
  }

  #judge(hive: HiveRecord, listeningMs: number): void {
    const silenceMs = listeningMs - hive.incarnations.heardAtMs;
    const now = standing(silenceMs, thresholds(hive.intervalMs, this.#limits));
    if (now === 'removed') {
      if (this.#removed.length >= removedKept) this.#removed.shift();
      this.#removed.push(hive.id);
      this.#remove(hive, 'silent');
      return;
    }
    const before = hive.liveness;
    hive.liveness = now;
    hive.dueMs = Number.POSITIVE_INFINITY;
    this.#schedule(hive);
    if (now !== before) this.#conclude(livenessKinds[now], hive.id, { from: before, silentMs: Math.round(silenceMs) });
  }

  /** Sees to it that the hive is looked at when its standing may change: no later, and seldom earlier. */
  #schedule(hive: HiveRecord): void {
    const limits = thresholds(hive.intervalMs, this.#limits);
    const atMs = hive.incarnations.heardAtMs + nextChangeMs(hive.liveness, limits);
    if (hive.dueMs <= atMs && hive.dueMs > this.#listening.peek()) return;
    hive.dueMs = atMs;
    this.#deadlines.push(hive, atMs);
  }

  #join(frame: Heartbeat, nowMs: number, listeningMs: number): HiveRecord {
    const { id, incarnation, startedAt } = frame.hive;
    const incarnations: Incarnations = {
      current: incarnation,
      seq: frame.seq,
      startedAt,
      heardAtMs: listeningMs,
      retired: [],
    };
    const hive: HiveRecord = {
      id,
      info: frame.hive,
      host: frame.host,
      faults: frame.faults,
      collection: frame.collection,
      workersComplete: frame.workersComplete,
      intervalMs: frame.intervalMs,
      incarnations,
      liveness: 'online',
      heardAtMs: nowMs,
      dueMs: Number.POSITIVE_INFINITY,
      beat: 0,
      ackEventSeq: 0,
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
    this.#indexes.hives.delete(hive.id);
    this.#indexes.hiveOrder.delete(hive);
    this.#conclude('hiveRemoved', hive.id, { reason, workers });
  }

  #duplicate(hive: HiveRecord, frame: Heartbeat, nowMs: number): HeartbeatOutcome {
    const message = `another hive speaks as ${hive.id}, from ${hive.info.hostname}; give one of them another --id`;
    if (hive.duplicateAtMs === null || nowMs - hive.duplicateAtMs >= duplicateEveryMs) {
      hive.duplicateAtMs = nowMs;
      this.#conclude('duplicateHiveId', hive.id, {
        hostname: frame.hive.hostname,
        incarnation: frame.hive.incarnation,
        currentHostname: hive.info.hostname,
        currentIncarnation: hive.incarnations.current,
      });
    }
    return refused('DUPLICATE_HIVE_ID', message);
  }

  /** Says what a beat brought: the hive's own facts first, then what follows from them, then the changed rows. */
  #tell(hive: HiveRecord, frame: Heartbeat, arrival: Arrival, before: Liveness, delta: Delta): void {
    if (arrival === 'joined') this.#conclude('hiveJoined', hive.id, { workers: hive.workers.size });
    else if (arrival === 'restarted') this.#conclude('hiveRestarted', hive.id, { workers: hive.workers.size });
    else if (arrival === 'back') this.#conclude('hiveOnline', hive.id, { from: before });

    for (const event of frame.events) {
      if (event.seq <= hive.ackEventSeq) continue;
      hive.ackEventSeq = event.seq;
      this.#publish('event', this.#fact(hive, event));
    }
    // A hive that joins brings its workers along; one event says so.
    if (arrival !== 'joined')
      for (const worker of delta.appeared) this.#concludeOf('workerAppeared', worker, { state: worker.sample.state });
    for (const worker of delta.gone) this.#concludeOf('workerGone', worker, { state: worker.sample.state });
    for (const { worker, from } of delta.flipped)
      this.#concludeOf('workerStateChanged', worker, { from, to: worker.sample.state });

    if (this.#listeners.size === 0) return;
    const heartbeat: StreamHeartbeat = {
      hive: hiveView(hive, hive.heardAtMs),
      workers: delta.changed.map((worker) => workerView(worker, hive.heardAtMs)),
      gone: delta.gone.map(workerKey),
      whole: arrival === 'joined' || arrival === 'restarted',
    };
    this.#emit({ type: 'heartbeat', hiveId: hive.id, heartbeat });
  }

  #fact(hive: HiveRecord, event: HiveEvent): EventDraft {
    const worker = event.workerId === undefined ? undefined : hive.workers.get(event.workerId);
    return {
      at: event.at,
      kind: event.kind,
      hive: hive.id,
      ...(event.workerId === undefined ? {} : { workerId: event.workerId }),
      ...(event.gpuUuid === undefined ? {} : { gpuUuid: event.gpuUuid }),
      ...(worker ? { model: worker.sample.model } : {}),
      detail: event.detail,
    };
  }

  #conclude(kind: QueenEventKind, hive: string, detail: Record<string, unknown>): void {
    if (!this.#concludes()) return;
    this.#publish('liveness', { at: this.#at(), kind, hive, detail });
  }

  #concludeOf(kind: QueenEventKind, worker: WorkerRecord, detail: Record<string, unknown>): void {
    if (!this.#concludes()) return;
    const { id, model } = worker.sample;
    this.#publish('liveness', { at: this.#at(), kind, hive: worker.hive.id, workerId: id, model, detail });
  }

  #at(): string {
    return new Date(this.#wallClock()).toISOString();
  }

  #publish(type: 'event' | 'liveness', draft: EventDraft): void {
    this.#emit({ type, event: this.events.append(draft) });
  }

  #emit(change: RegistryChange): void {
    for (const listener of this.#listeners) listener(change);
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

  *#holdersOfRoom(bytes: number): Generator<WorkerRecord, void> {
    const seen = new Set<WorkerRecord>();
    for (const gpu of this.#indexes.gpusByFree) {
      if (gpu.freeBytes === null || gpu.freeBytes < bytes) return;
      for (const worker of gpu.hive.workerOrder) {
        if (seen.has(worker) || !holds(worker, gpu.sample.uuid)) continue;
        seen.add(worker);
        yield worker;
      }
    }
  }

  *#placementHosts(): Generator<PlacementHost, void> {
    for (const hive of this.#indexes.hives.values()) {
      const promised = this.#reservations.ofHive(hive.id);
      yield {
        hive: hive.id,
        liveness: hive.liveness,
        state: hive.info.state,
        labels: hive.info.labels,
        memoryAvailableBytes: this.#memoryLeft(hive),
        workerCount: hive.workers.size + (promised?.size ?? 0),
        gpus: hive.gpuOrder.map((gpu) => placementGpu(gpu, promised)),
      };
    }
  }

  /** Host memory less what reservations hold of it; on unified memory that is also what they hold of the GPU. */
  #memoryLeft(hive: HiveRecord): number | null {
    const available = hive.host.memoryAvailableBytes;
    const held = this.#reservations.ofHive(hive.id);
    if (available === null || !held) return available;
    const used = this.#usedOf(hive);
    let left = available - unusedMemory(held, used);
    for (const gpu of hive.gpuOrder)
      if (gpu.sample.memoryKind === 'unified') left -= unusedVram(held, gpu.sample.uuid, used);
    return Math.max(0, left);
  }

  /** What workers of a hive that carry a reservation's id use already. */
  #usedOf(hive: HiveRecord): (held: Held) => Used {
    return (held) => {
      const workers = [...(this.#indexes.byReservation.get(held.id) ?? [])].filter((worker) => worker.hive === hive);
      return {
        vramBytes: (uuid) => workers.reduce((sum, worker) => sum + vramOn(worker, uuid), 0),
        memoryBytes: workers.reduce((sum, { sample }) => sum + (sample.workingSetBytes ?? sample.memoryBytes ?? 0), 0),
      };
    };
  }

  #refreshRoom(hive: HiveRecord): void {
    const held = this.#reservations.ofHive(hive.id);
    const used = held ? this.#usedOf(hive) : null;
    for (const gpu of hive.gpuOrder) {
      let free = freeBytes(gpu.sample, hive.host);
      if (free !== null && held && used) {
        free -= unusedVram(held, gpu.sample.uuid, used);
        if (gpu.sample.memoryKind === 'unified') free -= unusedMemory(held, used);
        free = Math.max(0, free);
      }
      this.#indexes.setFree(gpu, free);
    }
  }

  #hold(held: Held): void {
    this.#reservations.add(held);
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, held.expiresAtMs);
    const hive = this.#indexes.hives.get(held.hive);
    if (hive) this.#refreshRoom(hive);
  }

  #expire(nowMs: number): void {
    for (const held of [...this.#reservations.all()]) {
      if (held.expiresAtMs > nowMs) continue;
      this.#reservations.remove(held.id);
      const hive = this.#indexes.hives.get(held.hive);
      if (hive) this.#refreshRoom(hive);
    }
    this.#nextExpiryMs = this.#reservations.nextDueMs() ?? Number.POSITIVE_INFINITY;
  }

  /** A reservation ends once the worker it was for says that it is ready: then its use is in the GPU's own numbers. */
  #settleReservations(hive: HiveRecord): void {
    for (const held of [...(this.#reservations.ofHive(hive.id) ?? [])]) {
      for (const worker of this.#indexes.byReservation.get(held.id) ?? []) {
        if (worker.hive !== hive || worker.sample.ready !== true) continue;
        this.#reservations.remove(held.id);
        break;
      }
    }
  }
}

type Arrival = 'next' | 'back' | 'joined' | 'restarted';
type QueenEventKind = (typeof queenEventKinds)[number];

const livenessKinds = { online: 'hiveOnline', late: 'hiveLate', offline: 'hiveOffline' } as const;

const refused = (code: RefusalCode, message: string): HeartbeatOutcome => ({ accepted: false, code, message });

const holds = (worker: WorkerRecord, uuid: string): boolean => worker.sample.gpus.some((gpu) => gpu.uuid === uuid);

const vramOn = (worker: WorkerRecord, uuid: string): number =>
  worker.sample.gpus.reduce((sum, gpu) => sum + (gpu.uuid === uuid ? (gpu.memoryUsedBytes ?? 0) : 0), 0);

function placementGpu(gpu: GpuRecord, promised: ReadonlySet<Held> | undefined): PlacementHost['gpus'][number] {
  const { uuid, health, memoryKind, memoryTotalBytes } = gpu.sample;
  let workerCount = 0;
  for (const worker of gpu.hive.workerOrder) if (holds(worker, uuid)) workerCount++;
  for (const held of promised ?? []) if (held.gpuUuids.includes(uuid)) workerCount++;
  return { uuid, health, isParent: gpu.isParent, memoryKind, memoryTotalBytes, freeBytes: gpu.freeBytes, workerCount };
}
