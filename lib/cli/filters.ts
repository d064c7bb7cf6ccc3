import { type Command, Option } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import * as type from '../config/types.js';
import { ValueProblem } from '../config/types.js';
import type { HiveView } from '../contract/api.js';
import { fleetWorkersText } from '../present/knowledge.js';
import { printable } from '../present/printable.js';
import { HivepulseError } from '../util/errors.js';
import { completedBy } from './completes.js';
import { collect } from './settings.js';

export const filterOption = (flags: string, text: string): Option => new Option(flags, text).helpGroup('Filters:');
export const outputOption = (flags: string, text: string): Option => new Option(flags, text).helpGroup('Output:');

/** Filters that lists of hives and workers have in common. */
export const addFleetFilters = (command: Command): Command =>
  command
    .addOption(
      completedBy(
        filterOption('--label <key=value>', 'only with this label; may be repeated, all must match').argParser(collect),
        'labels',
      ),
    )
    .addOption(livenessOption())
    .addOption(limitOption());

export const livenessOption = (): Option =>
  filterOption('--liveness <liveness>', 'only where the hive is').choices(['online', 'late', 'offline']);
export const limitOption = (): Option => outputOption('--limit <number>', 'at most this many (default: all)');

export const limitOf = (flags: Readonly<Record<string, unknown>>): number =>
  parseFlag('--limit', type.integer(1, 1_000_000), flags.limit) ?? Number.POSITIVE_INFINITY;

/** The value of a flag that is no setting. Throws INVALID_OPTION naming the flag. */
export function parseFlag<T>(flag: string, of: type.ValueType<T>, input: unknown): T | undefined {
  if (input === undefined) return undefined;
  try {
    return of.parse(input);
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    throw new HivepulseError('INVALID_OPTION', flag, `${flag}: ${error.message}.`);
  }
}

/** `key=value` as the queen's queries want it, `key:value`. */
export const labelQuery = (given: unknown): string[] | undefined => {
  const labels = parseFlag('--label', type.labels, given);
  return labels && Object.entries(labels).map(([key, text]) => `${key}:${text}`);
};

interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
  readonly warming?: boolean;
}

/** All pages up to `limit` items, and whether the queen was still warming when it was asked. */
export async function collectPages<T>(
  limit: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): Promise<{ items: T[]; warming: boolean }> {
  const items: T[] = [];
  let warming = false;
  const { checkPage } = await import('../client/client.js');
  for (let cursor: string | null = null; ; ) {
    const size = Math.min(1000, limit - items.length);
    const answer: Page<T> = checkPage(await page(cursor === null ? { limit: size } : { limit: size, cursor }), cursor);
    items.push(...answer.items);
    warming ||= answer.warming ?? false;
    if (answer.nextCursor === null || items.length >= limit) return { items, warming };
    cursor = answer.nextCursor;
  }
}

/** Every hive, or the one of that id. */
export async function hivesOf(client: HivepulseClient, hive: string | undefined): Promise<readonly HiveView[]> {
  const { items } = await collectPages(Number.POSITIVE_INFINITY, (range) => client.hives(range));
  return hive === undefined ? items : items.filter(({ id }) => id === hive);
}

/** What to say of a list without a worker: workers that cannot be found are none that do not match. */
export async function noteOfNoWorker(client: HivepulseClient, hive: string | undefined): Promise<readonly string[]> {
  return noteOf(fleetWorkersText(await hivesOf(client, hive)));
}

/** A text without its full stop, as a note below a list. */
export const noteOf = (text: string | null): readonly string[] => (text === null ? [] : [`${printable(text)}.`]);
