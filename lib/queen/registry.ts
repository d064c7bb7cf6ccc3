import { randomUUID } from 'node:crypto';
import type {
  Fleet,
  FleetEvent,
  HiveView,
  Liveness,
  PlacementReply,
  PlacementRequest,
  Reservation,
} from '../contract/api.js';
import { defaults, shortestIntervalMs } from '../contract/defaults.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { Heartbeat, HiveEvent } from '../contract/heartbeat.js';
import { cordonChanged, silenceChanged } from './admin-acts.js';
import { CapacityTracker } from './capacity.js';
import { Cordons } from './cordons.js';
import { EventPublisher } from './event-publisher.js';
import type { EventRing, Replay } from './events.js';
import { FleetBudget, type HeartbeatCost, type HiveCharge, weightOf } from './fleet-budget.js';
import { FleetQueries } from './fleet-queries.js';
import { noteHeartbeat } from './gone.js';
import { historyKey } from './history-keys.js';
import { HiveRemovals, type RemovalReason } from './hive-removals.js';
import { classifyHeartbeat, classifyOfRun, lastEventSeq, noteSeqs, numbersOf, replaceRun } from './incarnations.js';
import { type Arrival, type Delta, type Merge, mergeGpus, mergeHive, mergeWorkers, takeFigures } from './ingest.js';
import { ListeningClock, livenessLimits } from './liveness.js';
import { LivenessMonitor, rowsAtOnce } from './liveness-monitor.js';
import { RateCounter } from './rate-counter.js';
import { HiveRecord } from './records.js';
import type {
  EventType,
  HeartbeatOutcome,
  RefusalCode,
  RegistryListener,
  RegistryOptions,
} from './registry-options.js';
import { reservationView, restore, type SavedReservation, save } from './reservations.js';
import { Silences } from './silences.js';
import { StreamBase, type StreamTable } from './stream-base.js';
import { figuresOfHost, type HeartbeatChange, type HostFigures, mergeChange, mergeLoads } from './stream-merge.js';

export type * from './registry-options.js';

/** Shortest time between two reports that one id is in use twice. */
const duplicateEveryMs = 60_000;
/** Most ids that `cleanupStale` can name. */
const maxRemovedIds = 10_000;
/** Seconds over which the rate of heartbeats is taken. */
const rateSeconds = 10;

const unknownCost: HeartbeatCost = { owner: '', textBytes: 0 };

const livenessKinds = { online: 'hiveOnline', late: 'hiveLate', offline: 'hiveOffline' } as const;

const refused = (code: RefusalCode, message: string): HeartbeatOutcome => ({ accepted: false, code, message });

/**
 * What a queen knows of its fleet: heartbeats in, answers out. It does no I/O and starts no timers; clock, wall clock and
 * randomness are given. Heartbeats must be validated already; their objects belong to the registry from then on.
 */
export class Registry extends FleetQueries {
  readonly queenId: string;
  /** The interval asked of every hive, ms; 0: each keeps its own. */
  requestedIntervalMs = 0;

  readonly #wallClock: () => number;
  readonly #monitor: LivenessMonitor;
  readonly #maxWorkersPerHive: number;
  readonly #capacity: CapacityTracker;
  readonly #publisher: EventPublisher;
  readonly cordons: Cordons;
  readonly silences: Silences;
  readonly #removed: string[] = [];
  readonly #heartbeatRate: RateCounter;
  readonly #budget: FleetBudget;
  readonly #removals: HiveRemovals;

  constructor(options: RegistryOptions = {}) {
    super(options);
    this.#wallClock = options.wallClock ?? Date.now;
    this.#monitor = new LivenessMonitor(
      new ListeningClock(this.clock, options.tickMs ?? null),
      livenessLimits(options),
      {
        changed: (hive, from, silenceMs) => {
          this.indexes.totals.update(hive);
          const kind = livenessKinds[hive.liveness];
          this.#publisher.publishHiveEvent(kind, hive.id, { from, silentMs: Math.round(silenceMs) });
        },
        remove: (hive, maxRows) => this.#remove(hive, 'silent', maxRows),
      },
    );
    this.#maxWorkersPerHive = options.maxWorkersPerHive ?? defaults.maxWorkersPerHive;
    this.#heartbeatRate = new RateCounter(rateSeconds, this.clock());
    const { fleetBytes = Infinity, hiveBytes = Infinity, reservationBytes } = options.memory ?? {};
    this.#capacity = new CapacityTracker(this.indexes, reservationBytes);
    this.#budget = new FleetBudget({ fleetBytes, hiveBytes, maxHives: options.maxHives ?? defaults.maxHives });
    this.queenId = options.queenId ?? randomUUID();
    this.#publisher = new EventPublisher(options, randomUUID().slice(0, 8));
    const { indexes, clock, histories, missing } = this;
    this.#removals = new HiveRemovals({
      indexes,
      histories,
      missing,
      budget: this.#budget,
      publisher: this.#publisher,
    });
    this.cordons = new Cordons(this.#wallClock, (change) => cordonChanged(this.#publisher, indexes, change, clock()));
    this.silences = new Silences(this.#wallClock, (change) => silenceChanged(this.#publisher, change));
  }

  /** `cost`: what it is charged by where memory has a limit. */
  heartbeat(heartbeat: Heartbeat, cost: HeartbeatCost = unknownCost): HeartbeatOutcome {
    const listeningMs = this.#settle();
    const nowMs = this.clock();
    const known = this.#heardOf(heartbeat.hive.id);
    const arrival = this.#arrivalOf(known, heartbeat, cost.owner, listeningMs, nowMs);
    if (typeof arrival !== 'string') return arrival;
    const charge = this.#budget.charge(known?.charge ?? null, weightOf(heartbeat, cost.textBytes), cost.owner);
    if (typeof charge === 'string')
      return refused('TOO_MUCH_MEMORY', `${heartbeat.hive.id} is not taken in: ${charge}`);
    const hive = known ?? this.#join(heartbeat, nowMs, listeningMs, charge);
    const restarted = arrival === 'restarted';
    if (restarted) {
      replaceRun(hive.incarnations, heartbeat.hive, listeningMs);
      hive.ackEventSeq = 0;
    }

    const before = hive.liveness;
    hive.heartbeats++;
    hive.endStream();
    const relabelled = mergeHive(hive, heartbeat);
    const delta = mergeWorkers(this.indexes, this.histories, hive, heartbeat, restarted, nowMs);
    if (relabelled) for (const worker of hive.workerOrder) this.indexes.setLabels(worker);
    const gpus = mergeGpus(this.indexes, this.histories, hive, heartbeat, restarted, delta.gpusChanged, nowMs);
    noteHeartbeat(this.missing, this.indexes, hive, arrival === 'joined', delta, gpus, nowMs);
    takeFigures(hive, this.routing, nowMs);
    return this.#merged(hive, heartbeat, { arrival, before, delta, listeningMs, nowMs });
  }

  /**
   * Takes a heartbeat of which only what changed was sent; it becomes the same as with the whole one. Null: the base is not
   * what is known of that hive any longer, or memory is short, so only a whole heartbeat helps.
   */
  patch(base: StreamBase, change: HeartbeatChange, owner: string): HeartbeatOutcome | null {
    const listeningMs = this.#settle();
    const { hive, state, plan } = base;
    const { seq, text } = change;
    const events = text?.events ?? [];
    const verdict = classifyOfRun(hive.incarnations, { seq, eventSeq: lastEventSeq(events) }, listeningMs);
    if (verdict !== 'next' || !this.isCurrent(base)) return null;
    if (text !== null && typeof this.#budget.charge(hive.charge, text.weight, owner) === 'string') return null;
    const nowMs = this.clock();
    const before = hive.liveness;
    base.heartbeats = ++hive.heartbeats;
    const delta = mergeChange(base, change, this.kept, nowMs);
    const heartbeat = { seq, intervalMs: state.values[plan.interval]!, host: figuresOfHost(base), events };
    const arrival = before === 'online' ? 'next' : 'recovered';
    return this.#merged(hive, heartbeat, { arrival, before, delta, listeningMs, nowMs });
  }

  /** Takes what engines say of their load between two heartbeats: no sign of life, and no sample of a history. False: as null of `patch`. */
  patchLoads(base: StreamBase, change: HeartbeatChange): boolean {
    this.#settle();
    if (!this.isCurrent(base)) return false;
    const changed = mergeLoads(base, change, this.kept, this.clock());
    if (changed.length > 0) this.#publisher.publishRows(base.hive, changed);
    return true;
  }

  /** Nothing else was merged into the hive since. */
  isCurrent({ hive, heartbeats }: StreamBase): boolean {
    return this.indexes.hives.get(hive.id) === hive && hive.heartbeats === heartbeats;
  }

  /** What deltas of a hive refer to, once this heartbeat of it was taken in; null: another was since. */
  streamBase(heartbeat: Heartbeat, table: StreamTable): StreamBase | null {
    const { id, incarnation } = heartbeat.hive;
    const hive = this.indexes.hives.get(id);
    if (hive === undefined || hive.incarnations.current !== incarnation || hive.incarnations.seq !== heartbeat.seq)
      return null;
    return new StreamBase(hive, heartbeat, table);
  }

  /** What follows once the rows of a heartbeat are merged. */
  #merged(
    hive: HiveRecord,
    heartbeat: Pick<Heartbeat, 'seq' | 'intervalMs' | 'events'> & { readonly host: HostFigures },
    { arrival, before, delta, listeningMs, nowMs }: Merge,
  ): HeartbeatOutcome {
    noteSeqs(hive.incarnations, heartbeat, listeningMs);
    hive.heardAtMs = nowMs;
    hive.intervalMs = Math.max(heartbeat.intervalMs, this.requestedIntervalMs);
    hive.liveness = 'online';
    if (arrival !== 'next' || !delta.isRoomSame || !this.#capacity.setMemory(hive)) {
      this.#capacity.refresh(hive);
      this.indexes.totals.update(hive);
    }
    this.#monitor.touch(hive);
    this.#heartbeatRate.add(nowMs);
    const { cpuPercent, memoryAvailableBytes, load1 } = heartbeat.host;
    this.histories.add(hive.ring, nowMs, cpuPercent, memoryAvailableBytes, load1, hive.workers.size);

    this.#publish(hive, heartbeat.events, arrival, before, delta);
    // Not what the hive keeps to now: with that the interval would never become shorter again.
    const intervalMs = Math.max(shortestIntervalMs, this.requestedIntervalMs);
    return { accepted: true, ackEventSeq: hive.ackEventSeq, intervalMs };
  }

  /** Brings liveness up to now: late, offline, removed (of many a part, see `nextDueMs`). Cheap where nothing is due; every query does it too. */
  advance(): void {
    this.#settle(rowsAtOnce);
    this.missing.expire();
    this.cordons.expire();
    this.silences.expire();
  }

  /** When something is due next, ms by the clock given; null: nothing is. It may turn out that it was not due yet. */
  nextDueMs(): number | null {
    const next = Math.min(this.#monitor.nextDueMs() ?? Number.POSITIVE_INFINITY, this.#capacity.nextExpiryMs);
    return Number.isFinite(next) ? next : null;
  }

  /** Forgets hives that were silent for `staleAfterMs`; the ids of those forgotten since the last call. */
  cleanupStale(): string[] {
    this.#settle(Number.POSITIVE_INFINITY);
    return this.#removed.splice(0);
  }

  /** Forgets a hive, its workers and its reservations at once: an admin's act. False where it is not known. */
  removeHive(id: string): boolean {
    this.#settle();
    const hive = this.indexes.hives.get(id);
    if (hive) {
      this.#capacity.releaseAll(id);
      this.#remove(hive, 'admin');
    }
    this.cordons.lift(id);
    // Also what of it was missing already.
    return this.missing.removeHive(id) || hive !== undefined;
  }

  /** A hive that was there before this queen started, and was not heard since. */
  missDead(last: HiveView, owner: string): void {
    this.missing.add('hive', last.id, last.state === 'stopping' ? 'stopped' : 'silent', last, owner);
    this.#publisher.publishHiveEvent('hiveRemoved', last.id, { reason: 'silent', workers: last.workerCount });
  }

  /** Totals over all that is known, whatever its liveness. */
  fleet(bus: Fleet['bus'] = 'memory'): Fleet {
    const nowMs = this.nowMs();
    return {
      ...this.indexes.totals.of(this.indexes),
      missing: this.missing.counts(),
      heartbeatsPerSecond: this.#heartbeatRate.perSecond(nowMs),
      queenId: this.queenId,
      bus,
      warming: this.warming,
    };
  }

  /**
   * Where a worker would fit, and, with `reserveSeconds`, the room of the best candidate held for it. The same
   * `idempotencyKey` gives the same reservation while that lasts.
   * @throws HivepulseError IDEMPOTENCY_CONFLICT where the key was used for another request, TOO_MANY_RESERVATIONS.
   */
  place(request: PlacementRequest): PlacementReply {
    return { ...this.#capacity.place(request, this.nowMs()), warming: this.warming };
  }

  /** Gives room back. False where no such reservation is in force. */
  releaseReservation(id: string): boolean {
    this.#settle();
    return this.#capacity.release(id);
  }

  reservations(): Reservation[] {
    const nowMs = this.nowMs();
    return [...this.#capacity.reservations.all()].map((held) => reservationView(held, nowMs));
  }

  /** The reservations (of one hive) as they outlive this process, with their ends by the wall clock. */
  savedReservations(hive?: string): SavedReservation[] {
    const nowMs = this.nowMs();
    const wallMs = this.#wallClock();
    const { reservations } = this.#capacity;
    const held = hive === undefined ? reservations.all() : (reservations.ofHive(hive) ?? []);
    return [...held].map((each) => save(each, nowMs, wallMs));
  }

  /** Takes over a reservation granted before a restart, or by another queen. False where it is over already. */
  adoptReservation(saved: SavedReservation): boolean {
    const nowMs = this.nowMs();
    const held = restore(saved, nowMs, this.#wallClock());
    if (held) this.#capacity.reserve(held);
    return held !== null;
  }

  /** Called after each change of the reservations, within the call that made it. */
  onReservations(listener: (() => void) | null): void {
    this.#capacity.reservations.onChange = listener;
  }

  /** Called for every change, in order, within the call that made it. */
  subscribe(listener: RegistryListener): () => void {
    return this.#publisher.subscribe(listener);
  }

  set journal(journal: (draft: EventDraft) => void) {
    this.#publisher.journal = journal;
  }

  /** The newest events, for replay. */
  get events(): EventRing {
    return this.#publisher.ring;
  }

  get lastEventId(): string {
    return this.events.lastId;
  }

  /** Events published since the start, by kind; every kind there is, and `other`. */
  get eventCounts(): ReadonlyMap<string, number> {
    return this.#publisher.counts;
  }

  /**
   * Takes an event from a stream that queens share (see `journal`); one that is known already is left out. `old`: listeners
   * have had it, and it is only kept for replay.
   */
  deliver(type: EventType, event: FleetEvent, old = false): void {
    this.#publisher.deliver(type, event, old);
  }

  /** Of the events of a hive those that it may report now; it sends the others again. */
  withinEventRate(hive: string, events: readonly HiveEvent[]): readonly HiveEvent[] {
    return this.#publisher.withinRate(hive, events);
  }

  /** Appends an event to this registry's own stream although a journal is set: the shared one is out of reach. */
  append(draft: EventDraft): void {
    this.#publisher.append('queenEvent', draft);
  }

  /** What a client that stood at an event id has missed. */
  eventsSince(id: string): Replay {
    this.#settle();
    return this.events.since(id);
  }

  /** Does what is due, and gives the listening clock's time. */
  #settle(maxRows?: number): number {
    const listeningMs = this.#monitor.advance(maxRows);
    this.#capacity.expire(this.clock());
    return listeningMs;
  }

  /** How a heartbeat comes in, or why it is refused. */
  #arrivalOf(
    hive: HiveRecord | undefined,
    heartbeat: Heartbeat,
    owner: string,
    listeningMs: number,
    nowMs: number,
  ): Arrival | HeartbeatOutcome {
    const numbers = numbersOf(heartbeat);
    const workers = heartbeat.workers.length;
    const most = this.#maxWorkersPerHive;
    if (workers > most)
      return refused('TOO_MANY_WORKERS', `${workers} workers; this queen takes ${most} a hive (maxWorkersPerHive)`);
    if (!hive) {
      const noPlace = this.#budget.noPlace(owner);
      return noPlace === null ? 'joined' : refused('TOO_MANY_HIVES', noPlace);
    }
    const { current, seq: newest } = hive.incarnations;
    switch (classifyHeartbeat(hive.incarnations, numbers, listeningMs)) {
      case 'staleSeq':
        return refused('STALE_SEQ', `seq ${numbers.seq} is not after ${newest}; the newer beat stands`);
      case 'seqJump':
        return refused('IMPLAUSIBLE_SEQ', `seq ${numbers.seq}, or that of an event, is too far after ${newest}`);
      case 'latePacket':
        return refused('RETIRED_INCARNATION', `incarnation ${numbers.incarnation} was replaced by ${current}`);
      case 'duplicate':
        return this.#duplicate(hive, heartbeat, nowMs);
      case 'restarted':
        return 'restarted';
      case 'next':
        return hive.liveness === 'online' ? 'next' : 'recovered';
    }
  }

  /** The hive of a heartbeat; one of which a part is removed is removed first. */
  #heardOf(id: string): HiveRecord | undefined {
    const hive = this.indexes.hives.get(id);
    if (hive !== undefined && this.#removals.hasBegun(hive)) this.#remove(hive, 'silent');
    return this.indexes.hives.get(id);
  }

  #join(heartbeat: Heartbeat, nowMs: number, listeningMs: number, charge: HiveCharge): HiveRecord {
    const { id, incarnation } = heartbeat.hive;
    const ackEventSeq = this.#publisher.loadAckedSeq(id, incarnation);
    const ring = this.histories.open(historyKey.hive(id));
    const cordon = this.cordons.of(id);
    const hive = new HiveRecord(heartbeat, { heardAtMs: nowMs, listeningMs, ackEventSeq, charge, ring, cordon });
    this.indexes.addHive(hive);
    return hive;
  }

  /** So much of it as `HiveRemovals.remove` has it. */
  #remove(hive: HiveRecord, reason: RemovalReason, maxRows = Number.POSITIVE_INFINITY): number {
    const { rows, isGone } = this.#removals.remove(hive, reason, maxRows, this.clock());
    if (!isGone) return rows;
    this.#monitor.untrack(hive);
    if (reason === 'silent' && this.#removed.push(hive.id) > maxRemovedIds) this.#removed.shift();
    return rows;
  }

  #duplicate(hive: HiveRecord, heartbeat: Heartbeat, nowMs: number): HeartbeatOutcome {
    const message = `another hive speaks as ${hive.id}, from ${hive.info.hostname}; give one of them another --id`;
    if (hive.duplicateAtMs === null || nowMs - hive.duplicateAtMs >= duplicateEveryMs) {
      hive.duplicateAtMs = nowMs;
      this.#publisher.publishDuplicate(hive, heartbeat.hive);
    }
    return refused('DUPLICATE_HIVE_ID', message);
  }

  /** The events of a heartbeat: those of the hive first, then what follows from it, then the rows that changed. */
  #publish(hive: HiveRecord, events: readonly HiveEvent[], arrival: Arrival, before: Liveness, delta: Delta): void {
    const publisher = this.#publisher;
    const workers = hive.workers.size;
    if (arrival === 'joined') publisher.publishHiveEvent('hiveJoined', hive.id, { workers });
    else if (arrival === 'restarted') publisher.publishHiveEvent('hiveRestarted', hive.id, { workers });
    else if (arrival === 'recovered') publisher.publishHiveEvent('hiveOnline', hive.id, { from: before });
    publisher.ingestHiveEvents(hive, events);
    // A hive that joins brings its workers along; one event says so.
    if (arrival !== 'joined')
      for (const worker of delta.appeared)
        publisher.publishWorkerEvent('workerAppeared', worker, { state: worker.current.state });
    for (const worker of delta.removed)
      publisher.publishWorkerEvent('workerGone', worker, { state: worker.current.state });
    for (const { worker, from } of delta.stateChanged)
      publisher.publishWorkerEvent('workerStateChanged', worker, { from, to: worker.current.state });
    publisher.publishOmitted(hive.id);
    publisher.publishRows(hive, delta.changed, delta.removed, arrival === 'joined' || arrival === 'restarted');
  }
}
