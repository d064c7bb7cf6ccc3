import { RingPoints } from './history-points.js';
import { historySteps, seriesPerRing, stepsPerDayStep } from './history-sizes.js';

/** Two minutes each. */
export const dayStepMs = 120_000;
export const daySteps = 720;

/** NaN, as the half of a Float32 that is kept. */
const unknown = 0x7fc0;
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The upper half of a Float32 (bfloat16), rounded: within 0.4 % of any value that a series can have. */
export function toHalf(value: number): number {
  if (Number.isNaN(value)) return unknown;
  float[0] = value;
  const rounded = bits[0]! + 0x8000;
  // A value at the end of the range must not become infinite.
  return (rounded >>> 16 >= 0x7f80 && value >= 0 && Number.isFinite(value) ? bits[0]! : rounded) >>> 16;
}

export function fromHalf(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

/** Halves by series and step. */
export interface DayPoints {
  get(series: number, step: number): number;
  set(series: number, step: number, half: number): void;
}

/**
 * The last day of rings that have lived for two minutes or more: 5760 bytes each once it is full. Points are means of the 10 s
 * steps of their time, as the upper halves of Float32.
 */
export class DayStore {
  readonly capacity: number;
  readonly #points = new RingPoints({
    steps: daySteps,
    stepsPerPiece: 36,
    unknown,
    make: (length) => new Uint16Array(length),
  });
  readonly #free: number[] = [];
  #made = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get used(): number {
    return this.#made - this.#free.length;
  }

  get usedBytes(): number {
    return this.#points.usedBytes;
  }

  /** A blank day, or -1 where all are in use. */
  open(): number {
    const day = this.#free.pop();
    if (day !== undefined) return day;
    return this.#made < this.capacity ? this.#made++ : -1;
  }

  close(day: number): void {
    if (day < 0) return;
    this.#points.clear(day);
    this.#free.push(day);
  }

  /** The points of one day. */
  points(day: number): DayPoints {
    return {
      get: (series, step) => this.#points.get(day, series, step),
      set: (series, step, half) => this.#points.set(day, series, step, half),
    };
  }

  /**
   * Closes the step of the day in which the 10 s step `open` was the last with anything in it, from the hour as it was then;
   * those between it and that of `step` are not known.
   */
  fold(day: number, hour: HourPoints, open: number, step: number): void {
    const closing = Math.floor(open / stepsPerDayStep);
    const last = Math.floor(step / stepsPerDayStep);
    for (let at = Math.max(closing + 1, last - daySteps); at <= last; at++) this.#points.blank(day, at);
    if (last - closing >= daySteps) return;
    for (let series = 0; series < seriesPerRing; series++)
      this.#points.set(day, series, closing, toHalf(meanOfHour(hour, series, closing, open + 1)));
  }
}

/** Of the hour of one ring: the value of a 10 s step; NaN where none is known. */
export type HourPoints = (series: number, step: number) => number;

/** The mean of the 10 s steps of one step of a day; NaN where none is known, or they are of more than an hour ago. */
export function meanOfHour(hour: HourPoints, series: number, dayStep: number, before: number): number {
  let sum = 0;
  let count = 0;
  const first = Math.max(dayStep * stepsPerDayStep, before - historySteps);
  for (let at = first; at < Math.min((dayStep + 1) * stepsPerDayStep, before); at++) {
    const value = hour(series, at);
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return count === 0 ? Number.NaN : sum / count;
}
