import type { ServingFigures } from '../sampling/serving.js';
import type { Clock } from '../util/clock.js';
import type { EngineLoads } from './transport.js';

/** Engines are asked together, and answer one after the other. */
const gatherMs = 25;
/** Least time between two messages, and as a share of the interval that the queen grants. */
const leastPauseMs = 250;
const perInterval = 4;

/** Gathers what engines say between two heartbeats, the newest of each, and sends it up to four times a second, and in an interval. */
export class LoadReporter {
  readonly #clock: Clock;
  readonly #send: (loads: EngineLoads) => void;
  readonly #intervalMs: () => number;
  #loads = new Map<string, ServingFigures>();
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, intervalMs: () => number, send: (loads: EngineLoads) => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#send = send;
  }

  report(id: string, serving: ServingFigures): void {
    this.#loads.set(id, serving);
    const pauseMs = Math.max(leastPauseMs, this.#intervalMs() / perInterval);
    const waitMs = Math.max(gatherMs, this.#sentAtMs + pauseMs - this.#clock.now());
    this.#cancel ??= this.#clock.after(waitMs, () => {
      this.#cancel = null;
      this.#sentAtMs = this.#clock.now();
      const loads = this.#loads;
      this.#loads = new Map();
      this.#send(loads);
    });
  }

  close(): void {
    this.#cancel?.();
  }
}
