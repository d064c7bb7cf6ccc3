import { unknownText } from '../present/units.js';
import { cut, paint, printable, columns as widthOfText } from './text.js';

/** A piece of text and how it is drawn (SGR parameters); layout counts its columns without them. */
export interface Span {
  readonly text: string;
  readonly sgr?: string | undefined;
}

export const span = (text: string, sgr?: string): Span => ({ text, sgr });

export interface Column<T> {
  readonly key: string;
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Columns it takes at least; below the sum of these, those of the highest `rank` are left out. */
  readonly min: number;
  /** Columns beyond which it gains nothing. */
  readonly max: number;
  /** Of one that draws a bar: the columns that it takes without. */
  readonly compact?: number;
  /** 0 is never left out. */
  readonly rank: number;
  readonly draw: (row: T, width: number) => readonly Span[];
  /** What it is sorted by; null comes last in either direction. */
  readonly order?: (row: T) => number | string | null;
  /** The direction that one wants first. */
  readonly descending?: boolean;
}

export interface Fitted<T> {
  readonly column: Column<T>;
  readonly width: number;
}

const gap = 2;

/** Columns of a higher rank go before the bars do, those up to it stay and the bars go. */
const barRank = 3;

interface Wanted<T> extends Fitted<T> {
  readonly max: number;
}

const taken = (list: readonly { readonly width: number }[]): number =>
  list.reduce((sum, { width }) => sum + width, gap * (list.length - 1));

/** Leaves out the last of the highest rank until the others fit; one of a rank up to `least` stays. */
function leaveOut<T>(all: readonly Wanted<T>[], width: number, least: number): readonly Wanted<T>[] {
  const kept = [...all];
  while (kept.length > 1 && taken(kept) > width) {
    const worst = Math.max(...kept.map(({ column }) => column.rank));
    if (worst <= least) break;
    kept.splice(
      kept.findLastIndex(({ column }) => column.rank === worst),
      1,
    );
  }
  return kept;
}

/**
 * Chooses columns and widths for `width` columns of terminal: those of the highest ranks are left out first, then bars, then
 * more columns; each gets its minimum, and what is left goes evenly to those that still gain by it. `natural` caps each
 * column (the widest content).
 */
export function fitColumns<T>(all: readonly Column<T>[], width: number, natural?: readonly number[]): Fitted<T>[] {
  const wanted = all.map((column, i): Wanted<T> => {
    const max = natural ? Math.max(widthOfText(column.title), Math.min(column.max, natural[i] ?? 0)) : column.max;
    return { column, max, width: Math.min(column.min, max) };
  });
  const withBars = leaveOut(wanted, width, barRank);
  const kept = (taken(withBars) <= width ? withBars : leaveOut(wanted.map(withoutBar), width, 0)).map((entry) => ({
    ...entry,
  }));
  for (let left = width - taken(kept); left > 0; ) {
    const growing = kept.filter((entry) => entry.width < entry.max);
    if (growing.length === 0) break;
    for (const entry of growing) {
      if (left === 0) break;
      entry.width++;
      left--;
    }
  }
  return kept.map(({ column, width: w }) => ({ column, width: w }));
}

function withoutBar<T>(entry: Wanted<T>): Wanted<T> {
  const { compact } = entry.column;
  return compact === undefined || compact >= entry.width ? entry : { ...entry, width: compact, max: compact };
}

/** A title stands over its figures: on the right, too, where there is no room for bars before them. */
export const titleSpans = <T>({ column, width }: Fitted<T>, sgr: string): Span[] =>
  fitSpans([span(column.title, sgr)], width, width === column.compact ? 'right' : column.align);

/** The spans in exactly `width` columns: cut with an ellipsis, or padded on the side that `align` says. */
export function fitSpans(spans: readonly Span[], width: number, align: 'left' | 'right' = 'left'): Span[] {
  const clean = spans.map(({ text, sgr }) => ({ text: printable(text), sgr }));
  const total = clean.reduce((sum, { text }) => sum + widthOfText(text), 0);
  if (total <= width) {
    const padding = span(' '.repeat(width - total));
    return align === 'left' ? [...clean, padding] : [padding, ...clean];
  }
  const fitted: Span[] = [];
  let left = width - 1;
  for (const { text, sgr } of clean) {
    const own = widthOfText(text);
    if (own > left) {
      const short = cut(text, left + 1);
      // A character of two columns may not fit in the last one.
      fitted.push({ text: short + ' '.repeat(Math.max(0, left + 1 - widthOfText(short))), sgr });
      break;
    }
    fitted.push({ text, sgr });
    left -= own;
  }
  return fitted;
}

/** One row of a table. */
export function drawRow<T>(fitted: readonly Fitted<T>[], row: T): Span[] {
  return fitted.flatMap(({ column, width }, i) => [
    ...(i > 0 ? [span(' '.repeat(gap))] : []),
    ...fitSpans(column.draw(row, width), width, column.align),
  ]);
}

/** Text of a line. `over` draws all of it one way: `7` where it is selected (but its bars, which would turn inside out), `2` where it is old. */
export function toText(spans: readonly Span[], colours: boolean, over = ''): string {
  let text = '';
  let run = '';
  let runSgr = '';
  const flush = (): void => {
    text += runSgr === '' ? run : paint(run, runSgr);
    run = '';
  };
  for (const { text: part, sgr = '' } of spans) {
    if (part === '') continue;
    const own = colours || emphasis.test(sgr) ? sgr : '';
    const next = over !== '' && !(over === '7' && bars.test(part) && own !== '') ? over : own;
    if (next !== runSgr) flush();
    runSgr = next;
    run += part;
  }
  flush();
  return text;
}

// Emphasis that is no colour (bold, reverse, underline) stays where colours are off; dim does not, it reads badly.
const emphasis = /^[147](;[147])*$/;
const bars = /^[\u2581-\u258f\u00b7\u254c]+$/;

/** Rows by a column; null last whatever the direction, equals in the order given. */
export function sortRows<T>(rows: readonly T[], column: Pick<Column<T>, 'order'>, descending: boolean): T[] {
  const { order } = column;
  if (!order) return [...rows];
  const keyed = rows.map((row) => ({ row, by: order(row) }));
  keyed.sort((a, b) => {
    if (a.by === null || b.by === null) return a.by === b.by ? 0 : a.by === null ? 1 : -1;
    const way =
      typeof a.by === 'string' || typeof b.by === 'string' ? compareText(String(a.by), String(b.by)) : a.by - b.by;
    return descending ? -way : way;
  });
  return keyed.map(({ row }) => row);
}

const collator = new Intl.Collator('en', { numeric: true });
/** `gpu-2` before `gpu-10`. */
export const compareText = (a: string, b: string): number => collator.compare(a, b);

/** A whole table for a person: as wide as its content, at most `width`; numbers to the right. */
export function printTable<T>(
  all: readonly Column<T>[],
  rows: readonly T[],
  width: number,
  colours: boolean,
): string[] {
  const natural = all.map((column) =>
    Math.max(
      0,
      ...rows.map((row) =>
        widthOfText(
          column
            .draw(row, Number.POSITIVE_INFINITY)
            .map(({ text }) => printable(text))
            .join(''),
        ),
      ),
    ),
  );
  const fitted = fitColumns(all, width, natural);
  const heading = fitted.flatMap((each, i) => [...(i > 0 ? [span(' '.repeat(gap))] : []), ...titleSpans(each, '1')]);
  return [heading, ...rows.map((row) => drawRow(fitted, row))].map((line) =>
    colours
      ? toText(line, true)
      : line
          .map(({ text }) => text)
          .join('')
          .trimEnd(),
  );
}

/** All columns as CSV (RFC 4180), texts as a table has them; an unknown value is an empty cell. */
export function csvLines<T>(all: readonly Column<T>[], rows: readonly T[]): string[] {
  const cells = (row: T) =>
    all.map((column) =>
      column
        .draw(row, Number.POSITIVE_INFINITY)
        .map(({ text }) => printable(text))
        .join('')
        .trim(),
    );
  return [all.map(({ title }) => title), ...rows.map(cells)].map((line) => line.map(csvCell).join(','));
}

/** A spreadsheet takes what begins with these for a formula: names come from other hosts. */
const formula = /^[=+@]/;

function csvCell(text: string): string {
  if (text === unknownText) return '';
  const plain = formula.test(text) ? `'${text}` : text;
  return /[",]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
