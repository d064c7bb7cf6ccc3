/** Workers by model: what the fleet has of each name that clients may ask for. Pure. */
import type { WorkerView } from '../contract/api.js';
import { modelsOf } from '../contract/models.js';

export interface ModelRow {
  readonly name: string;
  readonly replicas: number;
  readonly ready: number;
  readonly hosts: number;
  /** What follows is over those that are heard and say it; null: none does. */
  readonly running: number | null;
  readonly waiting: number | null;
  readonly tokensPerSecond: number | null;
  readonly vramBytes: number | null;
  /** Share of their KV caches that is free, on average. */
  readonly freePercent: number | null;
}

const sumOf = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
};
const meanOf = (values: readonly (number | null)[]): number | null => {
  const total = sumOf(values);
  return total === null ? null : total / values.filter((value) => value !== null).length;
};

/** One row for each name. */
export function modelRows(workers: Iterable<WorkerView>): ModelRow[] {
  const byName = new Map<string, WorkerView[]>();
  for (const worker of workers)
    for (const name of modelsOf(worker)) {
      const serving = byName.get(name);
      if (serving) serving.push(worker);
      else byName.set(name, [worker]);
    }
  return Array.from(byName, ([name, all]) => modelRow(name, all));
}

function modelRow(name: string, all: readonly WorkerView[]): ModelRow {
  const heard = all.filter(({ liveness }) => liveness !== 'offline');
  const said = heard.flatMap(({ serving }) => (serving === null ? [] : [serving]));
  const kvPercent = meanOf(said.map((serving) => serving.kvPercent));
  return {
    name,
    replicas: all.length,
    ready: heard.filter(({ ready }) => ready === true).length,
    hosts: new Set(all.map(({ hive }) => hive)).size,
    running: sumOf(said.map(({ running }) => running)),
    waiting: sumOf(said.map(({ waiting }) => waiting)),
    tokensPerSecond: sumOf(said.map(({ generationTokensPerSecond }) => generationTokensPerSecond)),
    vramBytes: sumOf(heard.map(({ vramUsedBytes }) => vramUsedBytes)),
    freePercent: kvPercent === null ? null : Math.max(0, 100 - kvPercent),
  };
}
