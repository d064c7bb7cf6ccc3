import { workerFields } from './worker.js';

type Fields = typeof workerFields;
/** Fields that lists of workers can be sorted by. */
export type WorkerSortField = {
  [K in keyof Fields]: Fields[K] extends { readonly sort: number } ? K : never;
}[keyof Fields];

/** `-` before a name: highest first. Values that are not known come last either way. */
export type WorkerSort = 'key' | WorkerSortField | `-${WorkerSortField}`;

const sorted = Object.entries(workerFields)
  .flatMap(([name, field]) => ('sort' in field ? [{ name: name as WorkerSortField, place: field.sort }] : []))
  .sort((a, b) => a.place - b.place);

export const workerSortNames: readonly WorkerSort[] = [
  'key',
  ...sorted.flatMap(({ name }) => [name, `-${name}`] as const),
];
