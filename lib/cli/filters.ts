import { type Command, Option } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import * as type from '../config/types.js';
import { ValueProblem } from '../config/types.js';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import { openClient } from './client.js';
import { outputWidth, printJson, printLines, wantsColours, writeNote } from './output.js';
import { addSettings, collect } from './settings.js';
import type { Column } from './table.js';

export const filterOption = (flags: string, text: string): Option => new Option(flags, text).helpGroup('Filters:');
export const outputOption = (flags: string, text: string): Option => new Option(flags, text).helpGroup('Output:');

/** Options that the lists of hives and workers have in common. */
function addListOptions(command: Command): Command {
  return command
    .addOption(
      filterOption('--label <key=value>', 'only with this label; may be repeated, all must match').argParser(collect),
    )
    .addOption(filterOption('--liveness <liveness>', 'only where the hive is').choices(['online', 'late', 'offline']))
    .addOption(outputOption('--limit <number>', 'at most so many (all unless told)'))
    .addOption(
      outputOption(
        '-o, --output <format>',
        'wide: all columns; json: as --json; csv: all columns, for spreadsheets',
      ).choices(['wide', 'json', 'csv']),
    )
    .addOption(outputOption('--json', 'one JSON document: { items, warming }, each item whole'));
}

/** Makes `command` list what a queen answers, page by page; `queryOf` reads the flags that only it has, `rowsOf` adds what rows show beside. */
export function listCommand<T>(
  command: Command,
  what: string,
  columns: () => Promise<readonly Column<T>[]>,
  queryOf: (flags: Record<string, unknown>) => Record<string, unknown>,
  page: (client: HivepulseClient, query: object) => Promise<Page<T>>,
  rowsOf: (client: HivepulseClient, items: readonly T[]) => Promise<readonly T[]> = async (_, items) => items,
  notesOf: (items: readonly T[], client: HivepulseClient) => Promise<readonly string[]> = async () => [],
): void {
  addSettings(addListOptions(command), 'client').action(async (flags: Record<string, unknown>) => {
    const limit = parseFlag('--limit', type.integer(1, 1_000_000), flags.limit) ?? Number.POSITIVE_INFINITY;
    const query = defined({ ...queryOf(flags), liveness: flags.liveness, label: labelQuery(flags.label) });
    const { client } = await openClient(command);
    const { items, warming } = await collectPages(limit, (range) => page(client, { ...query, ...range }));
    if (flags.json || flags.output === 'json') return printJson({ items, warming });
    if (warming) writeNote('the queen has just started and may not have heard the whole fleet yet.');
    if (items.length === 0 && flags.output !== 'csv') writeNote(`no ${what} matches.`);
    else printLines(await tableOf(await columns(), () => rowsOf(client, items), client.url, flags.output));
    for (const note of await notesOf(items, client)) writeNote(note);
  });
}

/** More than all columns take. */
const wideColumns = 1000;

/** The table of what a queen answered. @throws HivepulseError INVALID_RESPONSE where an item lacks what a column shows */
async function tableOf<T>(
  columns: readonly Column<T>[],
  rows: () => Promise<readonly T[]>,
  url: string,
  format: unknown,
): Promise<readonly string[]> {
  const { csvLines, printTable } = await import('./table.js');
  try {
    if (format === 'csv') return csvLines(columns, await rows());
    return printTable(columns, await rows(), format === 'wide' ? wideColumns : outputWidth(), wantsColours());
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const message = `${shownUrl(url)} answered with items of another form: is it a queen of this version?`;
    throw new HivepulseError('INVALID_RESPONSE', shownUrl(url), message, { cause });
  }
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
const labelQuery = (given: unknown): string[] | undefined => {
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
