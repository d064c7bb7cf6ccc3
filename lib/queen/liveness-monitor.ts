import type { Liveness } from '../contract/api.js';
import { Deadlines } from './deadlines.js';
import { type ListeningClock, type LivenessLimits, livenessAfter, nextChangeMs, thresholds } from './liveness.js';
import type { HiveRecord } from './records.js';

export interface LivenessHandlers {
  /** The hive's liveness is another now. */
  changed(hive: HiveRecord, from: Liveness, silenceMs: number): void;
  /** It was silent for too long: it is to be removed, or so many of its workers and GPUs. Gives how many were, and itself where it is gone. */
  remove(hive: HiveRecord, maxRows: number): number;
}

/** Of hives that are removed, workers and GPUs at one look: some milliseconds, however many hives fall silent together and whatever they had. */
export const rowsAtOnce = 250;
/** Its time is over, and it waits to be removed. */
const overdue = Number.NEGATIVE_INFINITY;

/** Looks at each hive when its liveness may change: a heartbeat costs nothing here unless its interval became shorter. */
export class LivenessMonitor {
  readonly #clock: ListeningClock;
  readonly #limits: LivenessLimits;
  readonly #handlers: LivenessHandlers;
  readonly #deadlines = new Deadlines<HiveRecord>();
  /** Those that are overdue, first come first. */
  readonly #overdue = new Set<HiveRecord>();
  #advancedMs = 0;

  constructor(clock: ListeningClock, limits: LivenessLimits, handlers: LivenessHandlers) {
    this.#clock = clock;
    this.#limits = limits;
    this.#handlers = handlers;
  }

  /**
   * Does what is due, and gives the listening clock's time. Of hives to be removed it does as many as have `maxRows` workers and GPUs,
   * and of a larger one a part; the others follow at the next look.
   */
  advance(maxRows = 1): number {
    const nowMs = this.#clock.now();
    this.#advancedMs = nowMs;
    for (let due = this.#deadlines.popDue(nowMs); due; due = this.#deadlines.popDue(nowMs)) {
      const hive = due.item;
      // Of several entries for one hive, the one that it stands by counts.
      if (hive.dueMs !== due.atMs) continue;
      hive.dueMs = Number.POSITIVE_INFINITY;
      this.#evaluate(hive, nowMs);
    }
    let rows = 0;
    for (const hive of this.#overdue) {
      if (rows >= maxRows) break;
      // It may have been heard meanwhile.
      if (this.#livenessOf(hive, nowMs) === 'removed') rows += this.#handlers.remove(hive, maxRows - rows);
      else {
        this.untrack(hive);
        this.#evaluate(hive, nowMs);
      }
    }
    for (const hive of this.#overdue) this.#set(hive, 'offline', nowMs);
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
    this.#overdue.delete(hive);
    hive.dueMs = Number.POSITIVE_INFINITY;
  }

  /** When the next look is due, by the clock given; null: never. */
  nextDueMs(): number | null {
    const atMs = this.#overdue.size > 0 ? this.#advancedMs : this.#deadlines.nextMs();
    return atMs === null ? null : atMs + this.#clock.forgivenMs;
  }

  #livenessOf(hive: HiveRecord, nowMs: number) {
    return livenessAfter(nowMs - hive.incarnations.heardAtMs, thresholds(hive.intervalMs, this.#limits));
  }

  #evaluate(hive: HiveRecord, nowMs: number): void {
    const now = this.#livenessOf(hive, nowMs);
    if (now === 'removed') {
      hive.dueMs = overdue;
      this.#overdue.add(hive);
      return;
    }
    this.#set(hive, now, nowMs);
    this.touch(hive);
  }

  #set(hive: HiveRecord, liveness: Liveness, nowMs: number): void {
    const before = hive.liveness;
    if (liveness === before) return;
    hive.liveness = liveness;
    this.#handlers.changed(hive, before, nowMs - hive.incarnations.heardAtMs);
  }
}
