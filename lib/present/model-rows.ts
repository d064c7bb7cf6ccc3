/** Workers by model: what the fleet has of each name that clients may ask for. Pure. */
import type { WorkerView } from '../contract/api.js';
import { modelsOf } from '../contract/models.js';
import { meanOf, sumOf } from './totals.js';

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

/** Workers by each name that clients may ask for. */
export function workersByModel(workers: Iterable<WorkerView>): ReadonlyMap<string, readonly WorkerView[]> {
  const byName = new Map<string, WorkerView[]>();
  for (const worker of workers)
    for (const name of modelsOf(worker)) {
      const serving = byName.get(name);
      if (serving) serving.push(worker);
      else byName.set(name, [worker]);
    }
  return byName;
}

/** One row for each name. */
export const modelRows = (workers: Iterable<WorkerView>): ModelRow[] =>
  Array.from(workersByModel(workers), ([name, all]) => modelRow(name, all));

/** What those that are heard say of their load. */
export const saidBy = (workers: readonly WorkerView[]) =>
  workers.flatMap(({ liveness, serving }) => (liveness === 'offline' || serving === null ? [] : [serving]));

export function modelRow(name: string, all: readonly WorkerView[]): ModelRow {
  const heard = all.filter(({ liveness }) => liveness !== 'offline');
  const said = saidBy(all);
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
