import { type FleetEvent, queenEventKinds, type StreamHeartbeat } from '../contract/api.js';
import { hiveEventKinds } from '../contract/enums.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { HiveEvent, HiveInfo } from '../contract/heartbeat.js';
import { defined } from '../util/defined.js';
import { Limiter } from '../util/rate-limiter.js';
import { AckedSeqs } from './acked-seqs.js';
import { EventRing } from './events.js';
import { type HiveRecord, type WorkerRecord, workerKey } from './records.js';
import type { EventType, RegistryChange, RegistryListener, RegistryOptions } from './registry-options.js';
import { hiveView, workerView } from './views.js';

export type QueenEventKind = (typeof queenEventKinds)[number];

/** Events that a hive reports: those beyond it are not acknowledged yet, so that the hive sends them later. */
const hiveEventRate = { perSecond: 200, burst: 4000 };
/** Events that the queen finds out about the workers of one hive: those beyond it are counted. */
const workerEventRate = { perSecond: 200, burst: 8000 };
/** Forgotten hives of which the acknowledged events are still known, at most. */
const maxForgottenHives = 10_000;

/** Views are made for the first listener that looks at them: most streams show no rows, or those of one hive. */
class ChangedRows {
  readonly type = 'heartbeat';
  readonly hiveId: string;
  readonly #hive: HiveRecord;
  readonly #changed: readonly WorkerRecord[];
  readonly #gone: readonly WorkerRecord[];
  readonly #whole: boolean;
  #heartbeat: StreamHeartbeat | null = null;

  constructor(hive: HiveRecord, changed: readonly WorkerRecord[], gone: readonly WorkerRecord[], whole: boolean) {
    this.hiveId = hive.id;
    this.#hive = hive;
    this.#changed = changed;
    this.#gone = gone;
    this.#whole = whole;
  }

  get heartbeat(): StreamHeartbeat {
    const hive = this.#hive;
    this.#heartbeat ??= {
      hive: hiveView(hive, hive.heardAtMs),
      workers: this.#changed.map((worker) => workerView(worker, hive.heardAtMs)),
      gone: this.#gone.map(workerKey),
      whole: this.#whole,
    };
    return this.#heartbeat;
  }
}

/** Publishes hive events and queen events: to the event stream, and to listeners. */
export class EventPublisher {
  readonly ring: EventRing;
  readonly #listeners = new Set<RegistryListener>();
  readonly #wallClock: () => number;
  readonly #isLeader: () => boolean;
  journal: RegistryOptions['journal'];
  readonly #onListenerError: (error: unknown) => void;
  /** From 0 for each kind there is, so that the first of a kind is seen to rise. Kinds of a newer hive are one: `other`. */
  readonly #counts = new Map<string, number>([...hiveEventKinds, ...queenEventKinds, 'other'].map((kind) => [kind, 0]));
  #atMs = Number.NaN;
  #atText = '';
  /** By hive. */
  readonly #hiveEvents: Limiter;
  readonly #workerEvents: Limiter;
  readonly #omitted = new Map<string, number>();
  readonly #acked = new AckedSeqs(maxForgottenHives);

  constructor(options: RegistryOptions, epoch: string) {
    this.ring = new EventRing(options.epoch ?? epoch, options.eventRingSize, options.memory?.eventBytes);
    const now = options.clock ?? (() => performance.now());
    this.#hiveEvents = new Limiter({ ...hiveEventRate, now });
    this.#workerEvents = new Limiter({ ...workerEventRate, now });
    this.#wallClock = options.wallClock ?? Date.now;
    this.#isLeader = options.concludes ?? (() => true);
    this.journal = options.journal;
    this.#onListenerError = options.onListenerError ?? throwLater;
  }

  /** Whether anybody listens: if not, what only listeners see need not be made. */
  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  subscribe(listener: RegistryListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Rows of a hive that are different, those that are gone, and whether they are all there are. */
  publishRows(
    hive: HiveRecord,
    changed: readonly WorkerRecord[],
    gone: readonly WorkerRecord[] = [],
    whole = false,
  ): void {
    if (this.hasListeners) this.emit(new ChangedRows(hive, changed, gone, whole));
  }

  publishHiveEvent(kind: QueenEventKind, hive: string, detail: Record<string, unknown>): void {
    if (this.#isLeader()) this.#publish('queenEvent', { at: this.#at(), kind, hive, detail });
  }

  publishDuplicate({ id, info, incarnations }: HiveRecord, { hostname, incarnation }: HiveInfo): void {
    const current = { currentHostname: info.hostname, currentIncarnation: incarnations.current };
    this.publishHiveEvent('duplicateHiveId', id, { hostname, incarnation, ...current });
  }

  publishWorkerEvent(kind: QueenEventKind, worker: WorkerRecord, detail: Record<string, unknown>): void {
    if (!this.#isLeader()) return;
    const { id, model } = worker.current;
    if (this.#workerEvents.take(worker.hive.id) > 0) {
      this.#omitted.set(worker.hive.id, (this.#omitted.get(worker.hive.id) ?? 0) + 1);
      return;
    }
    this.#publish('queenEvent', { at: this.#at(), kind, hive: worker.hive.id, workerId: id, model, detail });
  }

  /** How many events of its workers were left out, since there were too many. Its rows say what they did. */
  publishOmitted(hive: string): void {
    const count = this.#omitted.get(hive);
    if (count === undefined) return;
    this.#omitted.delete(hive);
    this.publishHiveEvent('eventsOmitted', hive, { count });
  }

  /** Of the events of a hive those that it may report now; it sends the others again. */
  withinRate(hive: string, events: readonly HiveEvent[]): readonly HiveEvent[] {
    const over = events.findIndex(() => this.#hiveEvents.take(hive) > 0);
    return over < 0 ? events : events.slice(0, over);
  }

  /**
   * Publishes the events of a hive that are not acknowledged yet; a hive sends them again until they are. Where queens share
   * a stream nothing happens here: they must be stored there before anybody acknowledges them.
   */
  ingestHiveEvents(hive: HiveRecord, events: readonly HiveEvent[]): void {
    if (this.journal) return;
    const fresh = events.filter(({ seq }) => seq > hive.ackEventSeq);
    for (const event of this.withinRate(hive.id, fresh)) {
      if (event.seq <= hive.ackEventSeq) continue;
      hive.ackEventSeq = event.seq;
      const { at, kind, workerId, gpuUuid, detail } = event;
      const model = workerId === undefined ? undefined : hive.workers.get(workerId)?.current.model;
      this.#publish('event', defined({ at, kind, hive: hive.id, workerId, gpuUuid, model, detail }) as EventDraft);
    }
  }

  /** An event of a stream that queens share; `old`: listeners have had it, so it is only kept for replay. */
  deliver(type: EventType, event: FleetEvent, old = false): void {
    if (this.ring.adopt(event) && !old) this.#countAndEmit(type, event);
  }

  append(type: EventType, draft: EventDraft): void {
    this.#countAndEmit(type, this.ring.append(draft));
  }

  /** Events published since the start, by kind. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  #countAndEmit(type: EventType, event: FleetEvent): void {
    const kind = this.#counts.has(event.kind) ? event.kind : 'other';
    this.#counts.set(kind, this.#counts.get(kind)! + 1);
    this.emit({ type, event });
  }

  emit(change: RegistryChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#onListenerError(error);
      }
    }
  }

  /** Keeps what a forgotten hive was acknowledged, since the reply that said so may be lost and the hive come back. */
  saveAckedSeq({ id, incarnations, ackEventSeq }: HiveRecord): void {
    if (ackEventSeq > 0) this.#acked.set(id, incarnations.current, ackEventSeq);
  }

  /** What a run of a hive that was forgotten had been acknowledged; 0 where nothing is known. */
  loadAckedSeq(id: string, incarnation: string): number {
    const seq = this.#acked.get(id, incarnation);
    this.#acked.delete(id);
    return seq;
  }

  #publish(type: EventType, draft: EventDraft): void {
    if (this.journal) this.journal(draft);
    else this.append(type, draft);
  }

  /** Formatted once for all that happens in one millisecond, which is most of what one heartbeat brings. */
  #at(): string {
    const now = this.#wallClock();
    if (now !== this.#atMs) {
      this.#atMs = now;
      this.#atText = new Date(now).toISOString();
    }
    return this.#atText;
  }
}

/** A listener's error is thrown on its own, as in an event handler, so that the heartbeat under way does not fail. */
function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
