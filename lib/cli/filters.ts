import { type Command, Option } from 'commander';
import * as type from '../config/types.js';
import { ValueProblem } from '../config/types.js';
import { HivepulseError } from '../util/errors.js';

const collect = (value: string, previous: unknown): string[] => [...(Array.isArray(previous) ? previous : []), value];

/** Options of the lists that hives, workers and GPUs have in common. */
export function addListOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--label <key=value>', 'only with this label; may be repeated, all must match')
        .argParser(collect)
        .helpGroup('Filters:'),
    )
    .addOption(
      new Option('--liveness <liveness>', 'only where the hive is')
        .choices(['online', 'late', 'offline'])
        .helpGroup('Filters:'),
    )
    .addOption(new Option('--limit <number>', 'at most so many (all unless told)').helpGroup('Output:'))
    .addOption(new Option('--json', 'one JSON document: { items, warming }, each item whole').helpGroup('Output:'));
}

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

export const limitOf = (given: unknown): number =>
  parseFlag('--limit', type.integer(1, 1_000_000), given) ?? Number.POSITIVE_INFINITY;

interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
  readonly warming: boolean;
}

/** All pages up to `limit` items, and whether the queen was still warming when it was asked. */
export async function collectPages<T>(
  limit: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): Promise<{ items: T[]; warming: boolean }> {
  const items: T[] = [];
  let warming = false;
  for (let cursor: string | null = null; ; ) {
    const size = Math.min(1000, limit - items.length);
    const answer: Page<T> = await page(cursor === null ? { limit: size } : { limit: size, cursor });
    items.push(...answer.items);
    warming ||= answer.warming;
    if (answer.nextCursor === null || items.length >= limit) return { items, warming };
    cursor = answer.nextCursor;
  }
}

export const warmingNote = 'hivepulse: the queen has just started and may not have heard the whole fleet yet.\n';
