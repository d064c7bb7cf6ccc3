import type { History } from '../contract/api.js';

import { DayStore, dayStepMs, daySteps, fromHalf, type HourPoints, meanOfHour } from './history-day.js';
import { RingPoints } from './history-points.js';
import { KeptDays, restoreDay, type SavedDay, saveDay } from './history-saved.js';
import { historyStepMs, historySteps, seriesPerRing, stepsPerDayStep } from './history-sizes.js';

export const workerSeries = ['cpuPercent', 'workingSetBytes', 'gpuUtilizationPercent', 'vramUsedBytes'] as const;
/** Of workers whose engine reports its load. */
export const servingSeries = ['running', 'waiting', 'kvPercent', 'generationTokensPerSecond'] as const;
export const gpuSeries = ['utilizationPercent', 'memoryUsedBytes', 'powerWatts', 'temperatureCelsius'] as const;
export const hiveSeries = ['cpuPercent', 'memoryAvailableBytes', 'load1', 'workers'] as const;

/** Sum and count of the step under way, for each series. */
const openPerRing = seriesPerRing * 2;
const ringsPerSlab = 256;

/** So that steps before the start of the clock, of a run before this one, are positive: ten days, whole steps of a day, ms. */
export const originMs = 864_000_000;

/**
 * The last hour of many things, four series each, as Float32: a point is the mean of what was added in its 10 s, NaN where
 * nothing was. Rings are handed out by number, `capacity` at most; one takes more room as its hour fills, up to 5760 bytes. Those
 * that live for two minutes have their last day as well (`DayStore`), as long as there is room for it.
 */
export class HistoryStore {
  readonly capacity: number;
  readonly #points = new RingPoints({
    steps: historySteps,
    stepsPerPiece: 20,
    unknown: Number.NaN,
    make: (length) => new Float32Array(length),
  });
  /** Of the step under way. */
  readonly #sums: Float32Array[] = [];
  /** The step that each ring has open; -1: none yet. */
  readonly #steps: Int32Array;
  /** The day of each ring; -1: none. */
  readonly #days: Int32Array;
  readonly #dayStore: DayStore;
  /** What a run before this one kept, until it is asked for. */
  readonly kept: KeptDays;
  readonly #free: number[] = [];
  #made = 0;

  constructor(capacity: number, dayCapacity = capacity, now: () => number = () => 0) {
    this.kept = new KeptDays(now);
    this.capacity = capacity;
    this.#steps = new Int32Array(capacity).fill(-1);
    this.#days = new Int32Array(capacity).fill(-1);
    this.#dayStore = new DayStore(dayCapacity);
  }

  get used(): number {
    return this.#made - this.#free.length;
  }

  /** Rings that have a day. */
  get days(): number {
    return this.#dayStore.used;
  }

  /** Bytes of what is known of all of them. */
  get usedBytes(): number {
    return this.#points.usedBytes + this.#dayStore.usedBytes;
  }

  /** A ring, or -1 where all are in use: blank, or with the day that was kept under `key` before a restart. */
  open(key?: string): number {
    const ring = this.#openBlank();
    const kept = key === undefined || ring < 0 ? undefined : this.kept.take(key);
    if (kept !== undefined) this.#restore(ring, kept);
    return ring;
  }

  #openBlank(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made >= this.capacity) return -1;
    if (this.#made % ringsPerSlab === 0) this.#sums.push(new Float32Array(ringsPerSlab * openPerRing));
    return this.#made++;
  }

  close(ring: number): void {
    if (ring < 0) return;
    this.#points.clear(ring);
    this.#sumsOf(ring).fill(0, sumAt(ring), sumAt(ring) + openPerRing);
    this.#steps[ring] = -1;
    this.#dayStore.close(this.#days[ring]!);
    this.#days[ring] = -1;
    this.#free.push(ring);
  }

  add(ring: number, nowMs: number, a: number | null, b: number | null, c: number | null, d: number | null): void {
    if (ring < 0) return;
    const step = Math.floor((nowMs + originMs) / historyStepMs);
    if (this.#steps[ring] !== step) this.#turn(ring, step);
    const sums = this.#sumsOf(ring);
    const at = sumAt(ring);
    addTo(sums, at, a);
    addTo(sums, at + 2, b);
    addTo(sums, at + 4, c);
    addTo(sums, at + 6, d);
  }

  #sumsOf(ring: number): Float32Array {
    return this.#sums[Math.floor(ring / ringsPerSlab)]!;
  }

  /** Of the step under way. */
  #mean(ring: number, series: number): number | null {
    return mean(this.#sumsOf(ring), sumAt(ring) + series * 2);
  }

  #hourOf(ring: number): HourPoints {
    return (series, step) => this.#points.get(ring, series, step);
  }

  /** The series by name, oldest first, up to the newest step that holds anything. */
  read(ring: number, names: readonly string[], nowMs: number): History {
    const series: History['series'] = {};
    const step = ring < 0 ? -1 : this.#steps[ring]!;
    if (step < 0) {
      for (const name of names) series[name] = [];
      return { stepMs: historyStepMs, newestAgeMs: 0, series };
    }
    names.forEach((name, index) => {
      const points: (number | null)[] = [];
      const first = Math.max(0, step - historySteps + 1);
      for (let at = first; at < step; at++) {
        const value = this.#points.get(ring, index, at);
        points.push(Number.isNaN(value) ? null : value);
      }
      points.push(this.#mean(ring, index));
      series[name] = points;
    });
    // All series begin together, where the first of them does.
    const begin = Math.min(...names.map((name) => firstKnown(series[name]!)));
    for (const name of names) series[name] = series[name]!.slice(begin);
    return { stepMs: historyStepMs, newestAgeMs: Math.max(0, nowMs + originMs - step * historyStepMs), series };
  }

  /** The day of a ring as it outlives this process; null: it has none yet. */
  save(ring: number, nowMs: number): SavedDay | null {
    const step = ring < 0 ? -1 : this.#steps[ring]!;
    if (step < 0 || this.#days[ring]! < 0) return null;
    const last = Math.floor(step / stepsPerDayStep) - 1;
    const ageMs = nowMs + originMs - (last + 1) * dayStepMs;
    return saveDay(this.#dayStore.points(this.#days[ring]!), last, ageMs);
  }

  /** Goes on where a run before this one ended: the day as it was, and the hour from it. */
  #restore(ring: number, { ageMs, points }: SavedDay): void {
    const day = this.#dayStore.open();
    if (day < 0) return;
    this.#days[ring] = day;
    // Its newest step of a day ended `ageMs` ago.
    const nowMs = this.kept.nowMs() + originMs;
    const last = Math.min(Math.round((nowMs - ageMs) / dayStepMs), Math.floor(nowMs / dayStepMs)) - 1;
    restoreDay(this.#dayStore.points(day), points, last);
    const own = this.#dayStore.points(day);
    const step = (last + 1) * stepsPerDayStep - 1;
    for (let series = 0; series < seriesPerRing; series++) {
      for (let at = step - historySteps + 1; at <= step; at++)
        this.#points.set(ring, series, at, fromHalf(own.get(series, Math.floor(at / stepsPerDayStep))));
      // The step under way goes on with what is known of it.
      const value = this.#points.get(ring, series, step);
      if (!Number.isNaN(value)) addTo(this.#sumsOf(ring), sumAt(ring) + series * 2, value);
    }
    this.#steps[ring] = step;
  }

  /** The last day, in steps of two minutes; the newest is of what it has so far. */
  readDay(ring: number, names: readonly string[], nowMs: number): History {
    const series: History['series'] = Object.fromEntries(names.map((name) => [name, []]));
    const step = ring < 0 ? -1 : this.#steps[ring]!;
    if (step < 0) return { stepMs: dayStepMs, newestAgeMs: 0, series };
    const hour = this.#hourOf(ring);
    const day = this.#days[ring]! < 0 ? null : this.#dayStore.points(this.#days[ring]!);
    const last = Math.floor(step / stepsPerDayStep);
    names.forEach((name, index) => {
      const points: (number | null)[] = [];
      for (let at = last - daySteps + 1; at < last; at++) {
        const value = day === null ? Number.NaN : fromHalf(day.get(index, at));
        points.push(Number.isNaN(value) ? null : value);
      }
      const open = meanOfHour(hour, index, last, step);
      points.push(Number.isNaN(open) ? this.#mean(ring, index) : open);
      series[name] = points;
    });
    const begin = Math.min(...names.map((name) => firstKnown(series[name]!)));
    for (const name of names) series[name] = series[name]!.slice(begin);
    return { stepMs: dayStepMs, newestAgeMs: Math.max(0, nowMs + originMs - last * dayStepMs), series };
  }

  /** Closes the step under way, and blanks those that nothing was added in. */
  #turn(ring: number, step: number): void {
    const open = this.#steps[ring]!;
    if (open >= 0) {
      for (let series = 0; series < seriesPerRing; series++)
        this.#points.set(ring, series, open, this.#mean(ring, series) ?? Number.NaN);
      // Before what is of more than an hour ago goes.
      if (Math.floor(step / stepsPerDayStep) !== Math.floor(open / stepsPerDayStep)) this.#fold(ring, open, step);
      for (let at = Math.max(open + 1, step - historySteps); at <= step; at++) this.#points.blank(ring, at);
    }
    this.#sumsOf(ring).fill(0, sumAt(ring), sumAt(ring) + openPerRing);
    this.#steps[ring] = step;
  }

  #fold(ring: number, open: number, step: number): void {
    if (this.#days[ring]! < 0) this.#days[ring] = this.#dayStore.open();
    if (this.#days[ring]! >= 0) this.#dayStore.fold(this.#days[ring]!, this.#hourOf(ring), open, step);
  }
}

const sumAt = (ring: number): number => (ring % ringsPerSlab) * openPerRing;

/** Several rings that end together, as one history: the shorter ones begin with what is not known. */
export function joinHistories(histories: readonly History[]): History {
  const all = Object.assign({}, ...histories.map(({ series }) => series)) as Record<string, (number | null)[]>;
  const length = Math.max(...Object.values(all).map((points) => points.length));
  const series = Object.fromEntries(
    Object.entries(all).map(([name, points]) => [
      name,
      [...new Array<null>(length - points.length).fill(null), ...points],
    ]),
  );
  const { stepMs, newestAgeMs } = histories[0]!;
  return { stepMs, newestAgeMs, series };
}

function addTo(slab: Float32Array, at: number, value: number | null): void {
  if (value === null) return;
  slab[at] = slab[at]! + value;
  slab[at + 1] = slab[at + 1]! + 1;
}

function mean(slab: Float32Array, at: number): number | null {
  const count = slab[at + 1]!;
  return count === 0 ? null : slab[at]! / count;
}

function firstKnown(points: readonly (number | null)[]): number {
  const at = points.findIndex((point) => point !== null);
  return at < 0 ? points.length : at;
}
