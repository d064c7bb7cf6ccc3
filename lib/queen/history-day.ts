import { historySteps, seriesPerRing, stepsPerDayStep } from './history-sizes.js';

/** Two minutes each. */
export const dayStepMs = 120_000;
export const daySteps = 720;
const ringsPerSlab = 32;
export const pointsPerDay = daySteps * seriesPerRing;

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

/**
 * The last day of rings that have lived for two minutes or more: 5760 bytes each, in slabs that come as they are needed. Points
 * are means of the 10 s steps of their time; which time a point is of follows from its place, as in the ring of the hour.
 */
export class DayStore {
  readonly capacity: number;
  readonly #slabs: Uint16Array[] = [];
  readonly #free: number[] = [];
  #made = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get used(): number {
    return this.#made - this.#free.length;
  }

  /** A blank day, or -1 where all are in use. */
  open(): number {
    let day = this.#free.pop();
    if (day === undefined) {
      if (this.#made >= this.capacity) return -1;
      day = this.#made++;
      if (day % ringsPerSlab === 0)
        this.#slabs.push(new Uint16Array(Math.min(ringsPerSlab, this.capacity - day) * pointsPerDay));
    }
    this.points(day).fill(unknown);
    return day;
  }

  close(day: number): void {
    if (day >= 0) this.#free.push(day);
  }

  /** Series after series; the step of a point modulo `daySteps` is its place. */
  points(day: number): Uint16Array {
    const base = (day % ringsPerSlab) * pointsPerDay;
    return this.#slabs[Math.floor(day / ringsPerSlab)]!.subarray(base, base + pointsPerDay);
  }

  /**
   * Closes the step of the day in which the 10 s step `open` was the last with anything in it, from the ring of the hour as it was
   * then; those between it and that of `step` are not known.
   */
  fold(day: number, hour: Float32Array, open: number, step: number): void {
    const points = this.points(day);
    const closing = Math.floor(open / stepsPerDayStep);
    const last = Math.floor(step / stepsPerDayStep);
    for (let series = 0; series < seriesPerRing; series++) {
      const base = series * daySteps;
      for (let at = Math.max(closing + 1, last - daySteps); at <= last; at++) points[base + (at % daySteps)] = unknown;
      if (last - closing < daySteps)
        points[base + (closing % daySteps)] = toHalf(meanOfHour(hour, series, closing, open + 1));
    }
  }
}

/** The mean of the 10 s steps of one step of a day; NaN where none is known, or they are of more than an hour ago. */
export function meanOfHour(hour: Float32Array, series: number, dayStep: number, before: number): number {
  let sum = 0;
  let count = 0;
  const first = Math.max(dayStep * stepsPerDayStep, before - historySteps);
  for (let at = first; at < Math.min((dayStep + 1) * stepsPerDayStep, before); at++) {
    const value = hour[series * historySteps + (at % historySteps)]!;
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return count === 0 ? Number.NaN : sum / count;
}
