import { type FleetEvent, queenEventKinds } from '../contract/api.js';
import { hiveEventKinds } from '../contract/enums.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { HiveEvent } from '../contract/heartbeat.js';
import { EventRing } from './events.js';
import type { HiveRecord, WorkerRecord } from './records.js';
import type { EventType, RegistryChange, RegistryListener, RegistryOptions } from './registry-options.js';

export type QueenEventKind = (typeof queenEventKinds)[number];

/** Hives that were forgotten, of which the acknowledged events are still known. */
const rememberedHives = 10_000;

/** Says what happened: the facts of hives and the conclusions of the queen, to the stream and to those who listen. */
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
  readonly #acknowledged = new Map<string, { readonly incarnation: string; readonly seq: number }>();

  constructor(options: RegistryOptions, epoch: string) {
    this.ring = new EventRing(options.epoch ?? epoch, options.eventRingSize);
    this.#wallClock = options.wallClock ?? Date.now;
    this.#isLeader = options.concludes ?? (() => true);
    this.journal = options.journal;
    this.#onListenerError = options.onListenerError ?? throwLater;
  }

  /** Somebody listens: what only they would see is worth making. */
  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  subscribe(listener: RegistryListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  publishHiveEvent(kind: QueenEventKind, hive: string, detail: Record<string, unknown>): void {
    if (this.#isLeader()) this.#publish('queenEvent', { at: this.#at(), kind, hive, detail });
  }

  publishWorkerEvent(kind: QueenEventKind, worker: WorkerRecord, detail: Record<string, unknown>): void {
    if (!this.#isLeader()) return;
    const { id, model } = worker.sample;
    this.#publish('queenEvent', { at: this.#at(), kind, hive: worker.hive.id, workerId: id, model, detail });
  }

  /**
   * Takes the facts of a hive that were not taken before. They are sent again until they are acknowledged. Where queens
   * share a stream they are none of the registry's business: they must last there before anybody acknowledges them.
   */
  ingestHiveEvents(hive: HiveRecord, events: readonly HiveEvent[]): void {
    if (this.journal) return;
    for (const event of events) {
      if (event.seq <= hive.ackEventSeq) continue;
      hive.ackEventSeq = event.seq;
      const worker = event.workerId === undefined ? undefined : hive.workers.get(event.workerId);
      this.#publish('event', {
        at: event.at,
        kind: event.kind,
        hive: hive.id,
        ...(event.workerId === undefined ? {} : { workerId: event.workerId }),
        ...(event.gpuUuid === undefined ? {} : { gpuUuid: event.gpuUuid }),
        ...(worker ? { model: worker.sample.model } : {}),
        detail: event.detail,
      });
    }
  }

  /** An event of a stream that queens share; `old`: it is only kept for replay, since those who listen have had it. */
  deliver(type: EventType, event: FleetEvent, old = false): void {
    if (this.ring.adopt(event) && !old) this.#countAndEmit(type, event);
  }

  /** Puts an event into the registry's own ring although a journal is set: the shared stream is out of reach. */
  append(type: EventType, draft: EventDraft): void {
    this.#countAndEmit(type, this.ring.append(draft));
  }

  /** Events told since the start, by kind. */
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
    if (ackEventSeq === 0) return;
    this.#acknowledged.delete(id);
    this.#acknowledged.set(id, { incarnation: incarnations.current, seq: ackEventSeq });
    if (this.#acknowledged.size <= rememberedHives) return;
    for (const oldest of this.#acknowledged.keys()) {
      this.#acknowledged.delete(oldest);
      return;
    }
  }

  /** What a run of a hive that was forgotten had been acknowledged; 0 where nothing is known. */
  loadAckedSeq(id: string, incarnation: string): number {
    const known = this.#acknowledged.get(id);
    this.#acknowledged.delete(id);
    return known?.incarnation === incarnation ? known.seq : 0;
  }

  #publish(type: EventType, draft: EventDraft): void {
    if (this.journal) this.journal(draft);
    else this.append(type, draft);
  }

  /** Written once for all that happens in one millisecond, which is most of what one beat brings. */
  #at(): string {
    const now = this.#wallClock();
    if (now !== this.#atMs) {
      this.#atMs = now;
      this.#atText = new Date(now).toISOString();
    }
    return this.#atText;
  }
}

/** A listener's error is the process's, as it would be in an event handler; the beat under way is not to suffer from it. */
function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
