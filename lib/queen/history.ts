import type { History } from '../contract/api.js';

import { DayStore, dayStepMs, daySteps, fromHalf, meanOfHour } from './history-day.js';
import { KeptDays, restoreDay, type SavedDay, saveDay } from './history-saved.js';
import { historyStepMs, historySteps, seriesPerRing, stepsPerDayStep } from './history-sizes.js';

export const workerSeries = ['cpuPercent', 'workingSetBytes', 'gpuUtilizationPercent', 'vramUsedBytes'] as const;
/** Of workers whose engine reports its load. */
export const servingSeries = ['running', 'waiting', 'kvPercent', 'generationTokensPerSecond'] as const;
export const gpuSeries = ['utilizationPercent', 'memoryUsedBytes', 'powerWatts', 'temperatureCelsius'] as const;
export const hiveSeries = ['cpuPercent', 'memoryAvailableBytes', 'load1', 'workers'] as const;

/** Rings of one slab: slabs of 185 KB come as they are needed. */
const ringsPerSlab = 32;
const pointsPerRing = historySteps * seriesPerRing;
/** Sum and count of the step under way, for each series. */
const openPerRing = seriesPerRing * 2;
const ringLength = pointsPerRing + openPerRing;

/** So that steps before the start of the clock, of a run before this one, are positive: ten days, whole steps of a day, ms. */
export const originMs = 864_000_000;

/**
 * The last hour of many things, four series each, in fixed rings of Float32 (5792 bytes a ring): a point is the mean of
 * what was added in its 10 s, NaN where nothing was. Rings are handed out by number, `capacity` at most. Those that live for two
 * minutes have their last day as well (`DayStore`), as long as there is room for it.
 */
export class HistoryStore {
  readonly capacity: number;
  readonly #slabs: Float32Array[] = [];
  /** The step that each ring has open; -1: none yet. */
  #steps = new Int32Array(0);
  /** The day of each ring; -1: none. */
  #days = new Int32Array(0);
  readonly #dayStore: DayStore;
  /** What a run before this one kept, until it is asked for. */
  readonly kept: KeptDays;
  readonly #free: number[] = [];
  #made = 0;

  constructor(capacity: number, dayCapacity = capacity, now: () => number = () => 0) {
    this.kept = new KeptDays(now);
    this.capacity = capacity;
    this.#dayStore = new DayStore(dayCapacity);
  }

  get used(): number {
    return this.#made - this.#free.length;
  }

  /** Rings that have a day. */
  get days(): number {
    return this.#dayStore.used;
  }

  /** A ring, or -1 where all are in use: blank, or with the day that was kept under `key` before a restart. */
  open(key?: string): number {
    const ring = this.#openBlank();
    const kept = key === undefined || ring < 0 ? undefined : this.kept.take(key);
    if (kept !== undefined) this.#restore(ring, kept);
    return ring;
  }

  #openBlank(): number {
    let ring = this.#free.pop();
    if (ring === undefined) {
      if (this.#made >= this.capacity) return -1;
      ring = this.#made++;
      if (ring % ringsPerSlab === 0) {
        this.#slabs.push(new Float32Array(Math.min(ringsPerSlab, this.capacity - ring) * ringLength));
        const steps = new Int32Array(this.#slabs.length * ringsPerSlab);
        steps.set(this.#steps);
        this.#steps = steps;
        const days = new Int32Array(steps.length).fill(-1);
        days.set(this.#days);
        this.#days = days;
      }
    }
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)]!;
    const base = (ring % ringsPerSlab) * ringLength;
    slab.fill(Number.NaN, base, base + pointsPerRing);
    slab.fill(0, base + pointsPerRing, base + ringLength);
    this.#steps[ring] = -1;
    return ring;
  }

  close(ring: number): void {
    if (ring < 0) return;
    this.#free.push(ring);
    this.#dayStore.close(this.#days[ring]!);
    this.#days[ring] = -1;
  }

  add(ring: number, nowMs: number, a: number | null, b: number | null, c: number | null, d: number | null): void {
    if (ring < 0) return;
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)]!;
    const base = (ring % ringsPerSlab) * ringLength;
    const step = Math.floor((nowMs + originMs) / historyStepMs);
    if (this.#steps[ring] !== step) this.#turn(slab, base, ring, step);
    const sums = base + pointsPerRing;
    addTo(slab, sums, a);
    addTo(slab, sums + 2, b);
    addTo(slab, sums + 4, c);
    addTo(slab, sums + 6, d);
  }

  /** The series by name, oldest first, up to the newest step that holds anything. */
  read(ring: number, names: readonly string[], nowMs: number): History {
    const series: History['series'] = {};
    const step = ring < 0 ? -1 : this.#steps[ring]!;
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)];
    if (step < 0 || !slab) {
      for (const name of names) series[name] = [];
      return { stepMs: historyStepMs, newestAgeMs: 0, series };
    }
    const base = (ring % ringsPerSlab) * ringLength;
    names.forEach((name, index) => {
      const points: (number | null)[] = [];
      const first = Math.max(0, step - historySteps + 1);
      for (let at = first; at < step; at++) {
        const value = slab[base + index * historySteps + (at % historySteps)]!;
        if (points.length > 0 || !Number.isNaN(value)) points.push(Number.isNaN(value) ? null : value);
        else points.push(null);
      }
      points.push(mean(slab, base + pointsPerRing + index * 2));
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
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)]!;
    const base = (ring % ringsPerSlab) * ringLength;
    const own = this.#dayStore.points(day);
    const step = (last + 1) * stepsPerDayStep - 1;
    for (let series = 0; series < seriesPerRing; series++)
      for (let at = step - historySteps + 1; at <= step; at++)
        slab[base + series * historySteps + (at % historySteps)] = fromHalf(
          own[series * daySteps + (Math.floor(at / stepsPerDayStep) % daySteps)]!,
        );
    this.#steps[ring] = step;
    this.#open(slab, base + pointsPerRing, step);
  }

  /** The step under way goes on with what is known of it. */
  #open(slab: Float32Array, sums: number, step: number): void {
    for (let series = 0; series < seriesPerRing; series++) {
      const value = slab[sums - pointsPerRing + series * historySteps + (step % historySteps)]!;
      if (!Number.isNaN(value)) addTo(slab, sums + series * 2, value);
    }
  }

  /** The last day, in steps of two minutes; the newest is of what it has so far. */
  readDay(ring: number, names: readonly string[], nowMs: number): History {
    const series: History['series'] = Object.fromEntries(names.map((name) => [name, []]));
    const step = ring < 0 ? -1 : this.#steps[ring]!;
    if (step < 0) return { stepMs: dayStepMs, newestAgeMs: 0, series };
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)]!;
    const base = (ring % ringsPerSlab) * ringLength;
    const hour = slab.subarray(base, base + pointsPerRing);
    const day = this.#days[ring]! < 0 ? null : this.#dayStore.points(this.#days[ring]!);
    const last = Math.floor(step / stepsPerDayStep);
    names.forEach((name, index) => {
      const points: (number | null)[] = [];
      for (let at = last - daySteps + 1; at < last; at++) {
        const value = day === null ? Number.NaN : fromHalf(day[index * daySteps + (at % daySteps)]!);
        points.push(Number.isNaN(value) ? null : value);
      }
      const open = meanOfHour(hour, index, last, step);
      points.push(Number.isNaN(open) ? mean(slab, base + pointsPerRing + index * 2) : open);
      series[name] = points;
    });
    const begin = Math.min(...names.map((name) => firstKnown(series[name]!)));
    for (const name of names) series[name] = series[name]!.slice(begin);
    return { stepMs: dayStepMs, newestAgeMs: Math.max(0, nowMs + originMs - last * dayStepMs), series };
  }

  #fold(hour: Float32Array, ring: number, open: number, step: number): void {
    if (this.#days[ring]! < 0) this.#days[ring] = this.#dayStore.open();
    if (this.#days[ring]! >= 0) this.#dayStore.fold(this.#days[ring]!, hour, open, step);
  }

  /** Closes the step under way, and blanks those that nothing was added in. */
  #turn(slab: Float32Array, base: number, ring: number, step: number): void {
    const open = this.#steps[ring]!;
    if (open >= 0) {
      for (let index = 0; index < seriesPerRing; index++) {
        const points = base + index * historySteps;
        slab[points + (open % historySteps)] = mean(slab, base + pointsPerRing + index * 2) ?? Number.NaN;
      }
      // Before what is of more than an hour ago goes.
      if (Math.floor(step / stepsPerDayStep) !== Math.floor(open / stepsPerDayStep))
        this.#fold(slab.subarray(base, base + pointsPerRing), ring, open, step);
      for (let index = 0; index < seriesPerRing; index++) {
        const points = base + index * historySteps;
        const blank = Math.max(open + 1, step - historySteps);
        for (let at = blank; at <= step; at++) slab[points + (at % historySteps)] = Number.NaN;
      }
    }
    slab.fill(0, base + pointsPerRing, base + ringLength);
    this.#steps[ring] = step;
  }
}

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
  const [first] = histories;
  return { stepMs: first?.stepMs ?? historyStepMs, newestAgeMs: first?.newestAgeMs ?? 0, series };
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
