import type { History } from '../contract/api.js';

export const historyStepMs = 10_000;
/** One hour. */
export const historySteps = 360;
/** Series of one ring. */
export const seriesPerRing = 4;

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

/**
 * The last hour of many things, four series each, in fixed rings of Float32 (5792 bytes a ring): a point is the mean of
 * what was added in its 10 s, NaN where nothing was. Rings are handed out by number, `capacity` at most.
 */
export class HistoryStore {
  readonly capacity: number;
  readonly #slabs: Float32Array[] = [];
  /** The step that each ring has open; -1: none yet. */
  #steps = new Int32Array(0);
  readonly #free: number[] = [];
  #made = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get used(): number {
    return this.#made - this.#free.length;
  }

  /** A fresh ring, or -1 where all are in use. */
  open(): number {
    let ring = this.#free.pop();
    if (ring === undefined) {
      if (this.#made >= this.capacity) return -1;
      ring = this.#made++;
      if (ring % ringsPerSlab === 0) {
        this.#slabs.push(new Float32Array(Math.min(ringsPerSlab, this.capacity - ring) * ringLength));
        const steps = new Int32Array(this.#slabs.length * ringsPerSlab);
        steps.set(this.#steps);
        this.#steps = steps;
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
    if (ring >= 0) this.#free.push(ring);
  }

  add(ring: number, nowMs: number, a: number | null, b: number | null, c: number | null, d: number | null): void {
    if (ring < 0) return;
    const slab = this.#slabs[Math.floor(ring / ringsPerSlab)]!;
    const base = (ring % ringsPerSlab) * ringLength;
    const step = Math.floor(nowMs / historyStepMs);
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
    return { stepMs: historyStepMs, newestAgeMs: Math.max(0, nowMs - step * historyStepMs), series };
  }

  /** Closes the step under way, and blanks those that nothing was added in. */
  #turn(slab: Float32Array, base: number, ring: number, step: number): void {
    const open = this.#steps[ring]!;
    if (open >= 0) {
      for (let index = 0; index < seriesPerRing; index++) {
        const points = base + index * historySteps;
        slab[points + (open % historySteps)] = mean(slab, base + pointsPerRing + index * 2) ?? Number.NaN;
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
  return { stepMs: historyStepMs, newestAgeMs: histories[0]?.newestAgeMs ?? 0, series };
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
