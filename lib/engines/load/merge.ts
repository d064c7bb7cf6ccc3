import { type LoadReading, noCounters, nothing } from './reading.js';

const names = Object.keys(nothing) as (keyof LoadReading)[];

export const counts = ({ counters }: LoadReading): boolean =>
  counters.promptTokens !== null ||
  counters.generationTokens !== null ||
  counters.prefixQueries !== null ||
  counters.prefixHits !== null;

/** One reading of several answers: each figure of the first that has it, and the counters of one that counts. */
export function mergeReadings(readings: readonly LoadReading[]): LoadReading {
  const [first = nothing] = readings;
  if (readings.length < 2) return first;
  const merged: Record<string, unknown> = { ...first };
  for (const name of names) {
    if (merged[name] !== null || name === 'counters') continue;
    for (const reading of readings) merged[name] ??= reading[name];
  }
  merged.counters = readings.find(counts)?.counters ?? noCounters;
  return merged as unknown as LoadReading;
}

const sum = (values: readonly (number | null)[]): number | null =>
  values.includes(null) ? null : (values as readonly number[]).reduce((total, value) => total + value, 0);

/** What several servers compute for one worker. null where one of them has not answered: a part is no sum. */
export function sumReadings(readings: readonly (LoadReading | null)[]): LoadReading | null {
  if (readings.length === 0 || readings.includes(null)) return null;
  const all = readings as readonly LoadReading[];
  return {
    ...nothing,
    running: sum(all.map(({ running }) => running)),
    waiting: sum(all.map(({ waiting }) => waiting)),
    capacity: sum(all.map(({ capacity }) => capacity)),
    progress: all.some(({ progress }) => progress === null) ? null : all.map(({ progress }) => progress).join(' | '),
  };
}
