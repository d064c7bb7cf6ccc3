import { isObject } from '../util/is-object.js';
import { maxLabels } from './limits.js';

/** Entries of a list within an item, and members of a record, that are looked at; none that is right has as many. */
const maxEntries = 1024;

export const hasTooManyLabels = (labels: unknown): boolean =>
  isObject(labels) && Object.keys(labels).length > maxLabels;

const hasTooManyEntries = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > maxEntries : isObject(value) && Object.keys(value).length > maxEntries;

/** The field whose size alone makes an item wrong, so that no schema has to walk it; null: none. */
export function oversizedField(item: unknown): string | null {
  if (!isObject(item)) return null;
  if (hasTooManyEntries(item)) return '';
  if (hasTooManyLabels(item.labels)) return 'labels';
  for (const name in item) if (hasTooManyEntries(item[name])) return name;
  return null;
}

/** Whether a record of a heartbeat is larger than any that is right: seen before a schema walks it. */
export function hasOversizedRecord({ hive, workers, events }: Readonly<Record<string, unknown>>): boolean {
  if (isObject(hive) && hasTooManyLabels(hive.labels)) return true;
  if (Array.isArray(workers)) for (const worker of workers) if (hasTooManyLabels(worker?.labels)) return true;
  if (Array.isArray(events)) for (const event of events) if (hasTooManyEntries(event?.detail)) return true;
  return false;
}
