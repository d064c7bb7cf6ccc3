import type { Liveness } from '../contract/api.js';
import type { WorkerSort } from '../contract/fields/sorts.js';
import type { GpuSample, HiveInfo, WorkerSample } from '../contract/heartbeat.js';
import type { Labels } from '../contract/primitives.js';
import { HivepulseError } from '../util/errors.js';

/** Most items of one page. */
export const maxPageSize = 1000;
/** Characters of a page, about: of items that are larger than any of an honest fleet it has fewer, and a cursor as ever. */
export const maxPageChars = 10 * 1024 * 1024;
export const defaultPageSize = 100;

/** `limit`: 1 to 1000, 100 by default. `cursor`: `nextCursor` of the page before, with the same query. */
export interface Paging {
  readonly limit?: number;
  readonly cursor?: string | null;
}

export interface HiveQuery extends Paging {
  readonly liveness?: Liveness;
  readonly state?: HiveInfo['state'];
  readonly labels?: Labels;
}

export interface WorkerQuery extends Paging {
  /** The exact name; null: workers whose model is not known. */
  readonly model?: string | null;
  readonly state?: WorkerSample['state'];
  readonly group?: string;
  readonly hive?: string;
  /** All must match; a worker has its hive's labels too, unless it says otherwise. */
  readonly labels?: Labels;
  /** Some GPU that it holds has this much room left. */
  readonly minFreeVramBytes?: number;
  readonly liveness?: Liveness;
  /** Pages of any order but `key` walk all workers that match. */
  readonly sort?: WorkerSort;
}

export interface GpuQuery extends Paging {
  readonly minFreeBytes?: number;
  readonly health?: GpuSample['health'];
  readonly hive?: string;
  readonly liveness?: Liveness;
}

/** One page of a list. */
export interface Page<T> {
  readonly items: T[];
  readonly nextCursor: string | null;
  readonly warming: boolean;
}

export function pageSize(limit: number | undefined): number {
  if (limit === undefined) return defaultPageSize;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize)
    throw new HivepulseError('INVALID_OPTION', 'limit', `limit must be a whole number from 1 to ${maxPageSize}`);
  return limit;
}

/** Where a page ended: the sort it belongs to, the value of the last item there, and its place in the order of keys. */
export type CursorKey = readonly [sort: string, value: number | null, ...key: string[]];

export const writeCursor = (place: CursorKey): string => Buffer.from(JSON.stringify(place)).toString('base64url');

export function readCursor(cursor: string, sort: string, parts: number): CursorKey {
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    // No text of a cursor is no place.
  }
  const [ofSort, value, ...key] = Array.isArray(place) ? (place as unknown[]) : [];
  if (
    ofSort !== sort ||
    !(value === null || typeof value === 'number') ||
    key.length !== parts ||
    !key.every((part) => typeof part === 'string')
  )
    throw new HivepulseError(
      'INVALID_OPTION',
      'cursor',
      'cursor is not one that this query gave; start again without it',
    );
  return [sort, value, ...(key as string[])];
}
