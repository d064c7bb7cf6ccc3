/**
 * The last ten minutes of what is on the screen, in 10 s steps: a ring per row, made when the row is first seen, filled
 * from the queen's history and kept up by the stream. Rows nobody looked at cost nothing.
 */
import { signal } from '@preact/signals';
import type { History, WorkerView } from '../../contract/api.js';
import { memoryOf } from '../../present/worker-figures.js';
import { client } from './client.js';
import { afterScrolling, scrolling } from './scrolling.js';

export const stepMs = 10_000;
export const steps = 60;

const metrics = ['cpu', 'memory', 'gpu', 'vram', 'running', 'waiting', 'kv', 'tokens'] as const;
export type Metric = (typeof metrics)[number];

/** Names in the queen's history. */
const seriesNames: Readonly<Record<Metric, string>> = {
  cpu: 'cpuPercent',
  memory: 'workingSetBytes',
  gpu: 'gpuUtilizationPercent',
  vram: 'vramUsedBytes',
  running: 'running',
  waiting: 'waiting',
  kv: 'kvPercent',
  tokens: 'generationTokensPerSecond',
};

export class Ring {
  /** NaN: not known. Slot of step n is n % steps. */
  readonly #values = Object.fromEntries(
    metrics.map((metric) => [metric, new Float64Array(steps).fill(Number.NaN)]),
  ) as Record<Metric, Float64Array>;
  #newest = -1;

  /** Takes a sample at `now` (ms, monotonic); within a step the newest stays. */
  sample(now: number, values: Readonly<Partial<Record<Metric, number | null>>>): void {
    this.#goTo(Math.floor(now / stepMs));
    for (const metric of metrics) this.#values[metric][this.#newest % steps] = values[metric] ?? Number.NaN;
  }

  /** Fills what the stream had not seen yet. */
  fill(now: number, history: History): void {
    this.#goTo(Math.floor(now / stepMs));
    for (const metric of metrics) {
      const series = history.series[seriesNames[metric]];
      series?.forEach((value, index) => {
        const age = history.newestAgeMs + (series.length - 1 - index) * history.stepMs;
        const step = Math.floor((now - age) / stepMs);
        if (step < 0 || step <= this.#newest - steps || step > this.#newest || value === null) return;
        const slot = step % steps;
        if (Number.isNaN(this.#values[metric][slot])) this.#values[metric][slot] = value;
      });
    }
  }

  /** Oldest first; null: not known. */
  read(metric: Metric, now: number): (number | null)[] {
    this.#goTo(Math.floor(now / stepMs));
    const values: (number | null)[] = [];
    for (let i = steps - 1; i >= 0; i--) {
      const step = this.#newest - i;
      const value = step < 0 ? Number.NaN : this.#values[metric][step % steps]!;
      values.push(Number.isNaN(value) ? null : value);
    }
    return values;
  }

  /** The highest that is known; 0 where nothing is. */
  peak(metric: Metric): number {
    let most = 0;
    for (const value of this.#values[metric]) if (value > most) most = value;
    return most;
  }

  #goTo(step: number): void {
    if (this.#newest < 0 || step - this.#newest >= steps)
      for (const metric of metrics) this.#values[metric].fill(Number.NaN);
    else
      for (let s = this.#newest + 1; s <= step; s++)
        for (const metric of metrics) this.#values[metric][s % steps] = Number.NaN;
    this.#newest = Math.max(this.#newest, step);
  }
}

const rings = new Map<string, Ring>();
const maxRings = 2000;
/** Rises when a history has arrived. */
export const filled = signal(0);

/** The clock of the rings: an hour ahead, so that history from before this tab was opened has a place. */
const clock = () => performance.now() + 3_600_000;

export function sampleWorker(worker: WorkerView): void {
  rings.get(worker.key)?.sample(clock(), {
    cpu: worker.cpuPercent,
    memory: memoryOf(worker),
    gpu: worker.gpuUtilizationPercent,
    vram: worker.vramUsedBytes,
    running: worker.serving?.running ?? null,
    waiting: worker.serving?.waiting ?? null,
    kv: worker.serving?.kvPercent ?? null,
    tokens: worker.serving?.generationTokensPerSecond ?? null,
  });
}

/** The ten minutes of a worker's metric, oldest first. The first look starts to keep them. */
export function sparkOf(worker: WorkerView, metric: Metric): readonly (number | null)[] {
  let ring = rings.get(worker.key);
  if (!ring) {
    if (rings.size >= maxRings) rings.delete(rings.keys().next().value!);
    ring = new Ring();
    rings.set(worker.key, ring);
    sampleWorker(worker);
    wanted.push(worker.key);
    pump();
  }
  return ring.read(metric, clock());
}

/** The highest of ten minutes over those of the workers that somebody looked at: the top of a scale that they share. */
export const peakOf = (metric: Metric, workers: readonly WorkerView[]): number =>
  workers.reduce((most, { key }) => Math.max(most, rings.get(key)?.peak(metric) ?? 0), 0);

const wanted: string[] = [];
let inFlight = 0;
const maxInFlight = 4;
const maxWanted = 80;

// What is fetched while one scrolls is past before it comes.
afterScrolling(() => pump());

/** Fetches the histories wanted, newest wish first: what was scrolled past can wait, and is dropped at last. */
function pump(): void {
  if (scrolling.peek()) return;
  for (const dropped of wanted.splice(0, Math.max(0, wanted.length - maxWanted))) rings.delete(dropped);
  while (inFlight < maxInFlight && wanted.length > 0) {
    const key = wanted.pop()!;
    inFlight++;
    client
      .history({ worker: key })
      .then(
        (history) => {
          rings.get(key)?.fill(clock(), history);
          filled.value++;
        },
        () => {}, // No history yet, or the worker is gone: the stream alone fills the ring.
      )
      .finally(() => {
        inFlight--;
        pump();
      });
  }
}
