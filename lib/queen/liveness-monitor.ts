import type { Liveness } from '../contract/api.js';
import { Deadlines } from './deadlines.js';
import { type ListeningClock, type LivenessLimits, livenessAfter, nextChangeMs, thresholds } from './liveness.js';
import type { HiveRecord } from './records.js';

export interface LivenessHandlers {
  /** The hive's liveness is another now. */
  changed(hive: HiveRecord, from: Liveness, silenceMs: number): void;
  /** It was silent for too long. */
  removed(hive: HiveRecord): void;
}

/** Looks at each hive when its liveness may change: a heartbeat costs nothing here unless its interval became shorter. */
export class LivenessMonitor {
  readonly #clock: ListeningClock;
  readonly #limits: LivenessLimits;
  readonly #handlers: LivenessHandlers;
  readonly #deadlines = new Deadlines<HiveRecord>();

  constructor(clock: ListeningClock, limits: LivenessLimits, handlers: LivenessHandlers) {
    this.#clock = clock;
    this.#limits = limits;
    this.#handlers = handlers;
  }

  /** Does what is due, and gives the listening clock's time. */
  advance(): number {
    const nowMs = this.#clock.now();
    for (let due = this.#deadlines.popDue(nowMs); due; due = this.#deadlines.popDue(nowMs)) {
      const hive = due.item;
      // Of several entries for one hive, the one that it stands by counts.
      if (hive.dueMs !== due.atMs) continue;
      hive.dueMs = Number.POSITIVE_INFINITY;
      this.#evaluate(hive, nowMs);
    }
    return nowMs;
  }

  /** After a heartbeat: sees to it that the hive is looked at in time. */
  touch(hive: HiveRecord): void {
    const atMs = hive.incarnations.heardAtMs + nextChangeMs(hive.liveness, thresholds(hive.intervalMs, this.#limits));
    if (hive.dueMs <= atMs) return;
    hive.dueMs = atMs;
    this.#deadlines.push(hive, atMs);
  }

  /** Stops looking at it. */
  untrack(hive: HiveRecord): void {
    hive.dueMs = Number.POSITIVE_INFINITY;
  }

  /** When the next look is due, by the clock given; null: never. */
  nextDueMs(): number | null {
    const atMs = this.#deadlines.nextMs();
    return atMs === null ? null : atMs + this.#clock.forgivenMs;
  }

  #evaluate(hive: HiveRecord, nowMs: number): void {
    const silenceMs = nowMs - hive.incarnations.heardAtMs;
    const now = livenessAfter(silenceMs, thresholds(hive.intervalMs, this.#limits));
    if (now === 'removed') {
      this.#handlers.removed(hive);
      return;
    }
    const before = hive.liveness;
    hive.liveness = now;
    this.touch(hive);
    if (now !== before) this.#handlers.changed(hive, before, silenceMs);
  }
}
