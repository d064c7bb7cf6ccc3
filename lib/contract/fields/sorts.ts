import type { Field } from './field.js';
import { workerFields } from './worker.js';

type Fields = typeof workerFields;
/** Fields that lists of workers can be sorted by. */
export type WorkerSortField = {
  [K in keyof Fields]: Fields[K] extends { readonly sort: number } ? K : never;
}[keyof Fields];

/** `-` before a name: highest first. Values that are not known come last either way. */
export type WorkerSort = 'key' | WorkerSortField | `-${WorkerSortField}`;

const sorted = Object.entries<Field>(workerFields)
  .flatMap(([name, field]) => {
    const { sort: place, column } = field;
    return place === undefined ? [] : [{ name: name as WorkerSortField, place, column: column?.key }];
  })
  .sort((a, b) => a.place - b.place);

export const workerSortNames: readonly WorkerSort[] = [
  'key',
  ...sorted.flatMap(({ name }) => [name, `-${name}`] as const),
];

/** Sorts by the key of the column in which the field is shown, as people name it; highest first. */
export const workerSortsByColumn: Readonly<Record<string, WorkerSort>> = Object.fromEntries(
  sorted.flatMap(({ name, column }) => (column === undefined ? [] : [[column, `-${name}` as const]])),
);
