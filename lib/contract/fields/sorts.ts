import type { WorkerSample } from '../heartbeat.js';
import { readerOf, rowsOf } from './field.js';
import type { servingFields } from './serving.js';
import { workerFields } from './worker.js';

type SortedIn<T> = { [K in keyof T]: T[K] extends { readonly sort: number } ? K : never }[keyof T];
/** Fields that lists of workers can be sorted by, those of `serving` by their own names. */
export type WorkerSortField = SortedIn<typeof workerFields> | SortedIn<typeof servingFields>;

/** `-` before a name: highest first. Values that are not known come last either way. */
export type WorkerSort = 'key' | WorkerSortField | `-${WorkerSortField}`;

const sorted = rowsOf(workerFields)
  .flatMap(({ name: row, field: { sort: place } }) => {
    const name = row.slice(row.lastIndexOf('.') + 1) as WorkerSortField;
    return place === undefined ? [] : [{ row, name, place }];
  })
  .sort((a, b) => a.place - b.place);

const rowNamed = new Map<string, string>(sorted.map(({ name, row }) => [name, row]));

/** The value that a sort other than `key` goes by. */
export function sortKeyOf(sort: WorkerSort): (sample: WorkerSample) => number | null {
  const row = rowNamed.get(sort.startsWith('-') ? sort.slice(1) : sort) as string;
  return readerOf(row) as (sample: WorkerSample) => number | null;
}

export const workerSortNames: readonly WorkerSort[] = [
  'key',
  ...sorted.flatMap(({ name }) => [name, `-${name}`] as const),
];
