import type { Liveness } from '../contract/api.js';
import { defaults } from '../contract/defaults.js';

/** Each errs one way: shorter takes a busy hive for a dead one, longer sends work to a dead one for so much longer. */
export interface LivenessLimits {
  readonly lateAfterIntervals: number;
  readonly offlineAfterMs: number;
  readonly offlineAfterIntervals: number;
  readonly staleAfterMs: number;
}

/** The limits given, and the defaults of the others. */
export const livenessLimits = (given: Partial<LivenessLimits> = {}): LivenessLimits => ({
  lateAfterIntervals: given.lateAfterIntervals ?? defaults.lateAfterIntervals,
  offlineAfterMs: given.offlineAfterMs ?? defaults.offlineAfterMs,
  offlineAfterIntervals: given.offlineAfterIntervals ?? defaults.offlineAfterIntervals,
  staleAfterMs: given.staleAfterMs ?? defaults.staleAfterMs,
});

/** What a silence means. `removed`: the hive and all its workers are forgotten. */
export type LivenessState = Liveness | 'removed';

/** Silences, in ms since the last heartbeat, at which a hive becomes late, offline and removed; each at least the one before. */
export interface Thresholds {
  readonly lateMs: number;
  readonly offlineMs: number;
  readonly removedMs: number;
}

/** An interval granted under load moves all of them with it, so that a hive that keeps to it is never late. */
export function thresholds(intervalMs: number, limits: LivenessLimits = livenessLimits()): Thresholds {
  const lateMs = limits.lateAfterIntervals * intervalMs;
  const offlineMs = Math.max(limits.offlineAfterMs, limits.offlineAfterIntervals * intervalMs, lateMs);
  return { lateMs, offlineMs, removedMs: Math.max(limits.staleAfterMs, offlineMs) };
}

/** The liveness after a silence. Pure; the boundary itself belongs to the worse one. */
export function livenessAfter(silenceMs: number, limits: Thresholds): LivenessState {
  if (silenceMs >= limits.removedMs) return 'removed';
  if (silenceMs >= limits.offlineMs) return 'offline';
  if (silenceMs >= limits.lateMs) return 'late';
  return 'online';
}

/** The silence at which the liveness changes next. */
export function nextChangeMs(now: LivenessState, limits: Thresholds): number {
  if (now === 'online') return limits.lateMs;
  if (now === 'late') return limits.offlineMs;
  if (now === 'offline') return limits.removedMs;
  return Number.POSITIVE_INFINITY;
}

/**
 * The clock by which silence is measured. It stands still while this process itself was not listening: where nobody asked
 * it for more than `tickMs` and `toleranceMs`, heartbeats may be waiting unread in the socket, so the gap counts as one tick.
 * A dead hive may be taken for alive for the length of the stall. With `tickMs` null the given clock is trusted as it is.
 */
export class ListeningClock {
  readonly #clock: () => number;
  readonly #tickMs: number | null;
  readonly #toleranceMs: number;
  #last: number;
  #forgivenMs = 0;

  constructor(clock: () => number, tickMs: number | null, toleranceMs = 1000) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#toleranceMs = toleranceMs;
    this.#last = clock();
  }

  /** Milliseconds of listening. Never goes back, even where the clock given does. */
  now(): number {
    const now = Math.max(this.#clock(), this.#last);
    if (this.#tickMs !== null) {
      const gap = now - this.#last;
      if (gap > this.#tickMs + this.#toleranceMs) this.#forgivenMs += gap - this.#tickMs;
    }
    this.#last = now;
    return now - this.#forgivenMs;
  }

  /** All that was forgiven so far. */
  get forgivenMs(): number {
    return this.#forgivenMs;
  }
}
