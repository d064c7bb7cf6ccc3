/** What every command that lists something has in common: its output, order and repetition. */
import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import * as type from '../config/types.js';
import { HivepulseError } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import { openClient } from './client.js';
import { explain } from './exit.js';
import { outputOption, parseFlag } from './filters.js';
import { outputWidth, printJson, printJsonLines, printLines, redraw, wantsColours, writeNote } from './output.js';
import { addSettings } from './settings.js';
import type { Column } from './table.js';

export const outputFormats = ['wide', 'json', 'csv'] as const;

/** What a queen answered: the document that programs get, and the rows that people do. */
export interface Listed<T> {
  readonly document: { readonly items: readonly unknown[]; readonly warming?: boolean };
  readonly rows: readonly T[];
  /** Of what is sorted here; what the queen sorted has its order and number. */
  readonly limit?: number;
  readonly isSorted?: boolean;
  /** Beside the table, on standard error. */
  readonly notes?: readonly string[];
}

type Flags = Readonly<Record<string, unknown>>;

export interface Listing<T> {
  /** Where there is nothing to list: a note. */
  readonly none: string;
  /** Columns that rows can be sorted by, by key: the largest first where that is what one looks for. */
  readonly sorts: readonly string[];
  /** Loaded late: the help of a command needs none. */
  readonly columns: () => Promise<readonly Column<T>[]>;
  /** Checks the flags, before a queen is asked; then asks it. */
  readonly query: (flags: Flags) => (client: HivepulseClient, sort: string | undefined) => Promise<Listed<T>>;
}

export const sortOption = (sorts: readonly string[]) =>
  outputOption('--sort <column>', 'sort by this column, numbers from the largest').choices([...sorts]);
export const formatOption = () =>
  outputOption(
    '-o, --output <format>',
    'wide: all columns; json: whole objects; csv: all columns, for spreadsheets',
  ).choices([...outputFormats]);

/** Gives a command the options of all lists, and lists what it is asked for. */
export function listCommand<T>(command: Command, listing: Listing<T>): void {
  command
    .addOption(formatOption())
    .addOption(sortOption(listing.sorts))
    .addOption(outputOption('-w, --watch [interval]', 'repeat until Ctrl-C (default: every 2s)'))
    .addOption(outputOption('--json', 'as -o json'));
  addSettings(command, 'client').action(async (flags: Flags) => {
    const everyMs = watchInterval(flags.watch);
    const read = listing.query(flags);
    const format = flags.json ? 'json' : (flags.output as string | undefined);
    const sort = flags.sort as string | undefined;
    const { client } = await openClient(command);
    const show = async (isRepeated: boolean) =>
      print(listing, await guard(client.url, () => read(client, sort)), { format, sort, isRepeated }, client);
    if (everyMs === null) return show(false);
    await repeat(() => show(true), everyMs);
  });
}

const watchInterval = (given: unknown): number | null =>
  given === undefined
    ? null
    : given === true
      ? 2000
      : (parseFlag('--watch', type.duration(100, 3_600_000), given) ?? null);

/** Until the process is ended. A queen that is away for a while is said to be; one that lets nobody in ends it. */
async function repeat(show: () => Promise<void>, everyMs: number): Promise<never> {
  for (;;) {
    try {
      await show();
    } catch (error) {
      const isAway = error instanceof HivepulseError && ['REQUEST_FAILED', 'REQUEST_TIMEOUT'].includes(error.code);
      const { status } = error as { readonly status?: number };
      if (!isAway || status === 401 || status === 403) throw error;
      writeNote(`${explain(error)} Retrying.`);
    }
    await new Promise((done) => setTimeout(done, everyMs));
  }
}

interface Format {
  readonly format: string | undefined;
  readonly sort: string | undefined;
  readonly isRepeated: boolean;
}

async function print<T>(
  listing: Listing<T>,
  listed: Listed<T>,
  { format, sort, isRepeated }: Format,
  client: HivepulseClient,
) {
  const { document, notes = [], limit, isSorted } = listed;
  const columns = await listing.columns();
  const { sortRows } = await import('./table.js');
  const rows = guard(client.url, () =>
    sorted(listed.rows, columns, isSorted ? undefined : sort, sortRows).slice(0, limit),
  );
  if (format === 'json') {
    const whole = { ...document, items: itemsInOrder(listed, rows) };
    return isRepeated ? printJsonLines([whole]) : printJson(whole);
  }
  const said = [
    ...(document.warming ? ['the queen has just started and may not have heard the whole fleet yet.'] : []),
    ...(rows.length === 0 && format !== 'csv' ? [listing.none] : []),
    ...notes,
  ];
  const lines =
    rows.length === 0 && format !== 'csv' ? [] : await guard(client.url, () => tableOf(columns, rows, format));
  if (isRepeated && process.stdout.isTTY && format !== 'csv') return redraw([...lines, ...said]);
  printLines(lines);
  for (const note of said) writeNote(note);
}

const sorted = <T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  key: string | undefined,
  sortRows: typeof import('./table.js')['sortRows'],
): readonly T[] => {
  const column = columns.find((each) => each.key === key);
  return column ? sortRows(rows, column, column.descending ?? false) : rows;
};

/** The objects of the document that belong to the rows, in their order. */
function itemsInOrder<T>({ document, rows }: Listed<T>, order: readonly T[]): readonly unknown[] {
  const items = new Map(rows.map((row, i) => [row, document.items[i]]));
  return order.map((row) => items.get(row));
}

/** More than all columns take. */
const wideColumns = 1000;

async function tableOf<T>(columns: readonly Column<T>[], rows: readonly T[], format: string | undefined) {
  const { csvLines, printTable } = await import('./table.js');
  if (format === 'csv') return csvLines(columns, rows);
  return printTable(columns, rows, format === 'wide' ? wideColumns : outputWidth(), wantsColours());
}

/** @throws HivepulseError INVALID_RESPONSE where an item lacks what a column shows */
function guard<R>(url: string, draw: () => R): R {
  const refuse = (cause: unknown): never => {
    if (!(cause instanceof TypeError)) throw cause;
    const message = `${shownUrl(url)} answered with items of another form: is it a queen of this version?`;
    throw new HivepulseError('INVALID_RESPONSE', shownUrl(url), message, { cause });
  };
  try {
    const drawn = draw();
    return drawn instanceof Promise ? (drawn.catch(refuse) as R) : drawn;
  } catch (cause) {
    return refuse(cause);
  }
}
