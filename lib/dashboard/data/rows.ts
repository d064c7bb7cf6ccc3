/** Rows of lists: their order, their groups, which columns fit, and when they hold still. Pure. */
import { compareNames } from '../../present/search.js';

export type SortKey = string | number | null;

/**
 * What is not known comes last in either direction; ties keep the order of names. Ten thousand rows are sorted each second,
 * so keys are taken out once, and numbers are compared in a typed array.
 */
export function sortRows<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => SortKey,
  nameOf: (row: Row) => string,
  direction: string,
): Row[] {
  const sign = direction === 'desc' ? -1 : 1;
  const keys = rows.map(keyOf);
  const names = rows.map(nameOf);
  const order = Uint32Array.from(keys, (_, index) => index);
  const byName = (a: number, b: number) => (names[a]! < names[b]! ? -1 : 1);
  if (keys.some((key) => typeof key === 'string')) {
    order.sort((a, b) => {
      const [left, right] = [keys[a] as string | null, keys[b] as string | null];
      if (left === right) return byName(a, b);
      if (left === null || right === null) return left === null ? 1 : -1;
      return compareNames(left, right) * sign || byName(a, b);
    });
  } else {
    // Unknown is beyond the last number in either direction.
    const numbers = Float64Array.from(keys, (key) =>
      key === null ? Number.POSITIVE_INFINITY : (key as number) * sign,
    );
    order.sort((a, b) => {
      const [left, right] = [numbers[a]!, numbers[b]!];
      return left === right ? byName(a, b) : left < right ? -1 : 1;
    });
  }
  return Array.from(order, (index) => rows[index]!);
}

export interface Group<Row> {
  /** null: rows that have no name to be grouped by. */
  readonly name: string | null;
  readonly rows: readonly Row[];
}

/** By name, as people count; a row with several names is in each of their groups, one without any in the last. */
export function groupRows<Row>(rows: readonly Row[], namesOf: (row: Row) => readonly string[]): Group<Row>[] {
  const groups = new Map<string | null, Row[]>();
  for (const row of rows) {
    const names = new Set<string | null>(namesOf(row));
    if (names.size === 0) names.add(null);
    for (const name of names) {
      const group = groups.get(name);
      if (group) group.push(row);
      else groups.set(name, [row]);
    }
  }
  return Array.from(groups, ([name, members]) => ({ name, rows: members })).sort((a, b) =>
    a.name === null ? 1 : b.name === null ? -1 : compareNames(a.name, b.name),
  );
}

export interface ColumnRoom {
  /** Least width, px. */
  readonly width: number;
  /** Of what is left over. */
  readonly grow?: number;
  /** A line of the last ten minutes stands beside its figure where there is room. */
  readonly hasSpark?: boolean;
  /** The highest goes first where there is no room; 0 stays. */
  readonly rank: number;
}

export const columnGap = 10;
const sparkWidth = 68;

/** The columns for which there is room, and whether their lines have some. */
export function fitColumns<C extends ColumnRoom>(
  columns: readonly C[],
  width: number,
): { readonly columns: readonly C[]; readonly sparks: boolean } {
  const least = (all: readonly C[], sparks: boolean) =>
    all.reduce((sum, column) => sum + column.width + (sparks && column.hasSpark ? sparkWidth : 0) + columnGap, 0);
  if (least(columns, true) <= width) return { columns, sparks: true };
  let fitting = columns;
  while (least(fitting, false) > width) {
    const last = fitting.reduce((most, { rank }) => Math.max(most, rank), 0);
    if (last === 0) break;
    const index = fitting.findLastIndex(({ rank }) => rank === last);
    fitting = fitting.filter((_, each) => each !== index);
  }
  return { columns: fitting, sparks: false };
}

/** Widths of columns as a style sheet has them. */
export const columnTemplate = (columns: readonly ColumnRoom[], sparks: boolean): string =>
  columns
    .map(({ width, grow = 0, hasSpark = false }) => {
      const least = width + (sparks && hasSpark ? sparkWidth : 0);
      return grow > 0 ? `minmax(${least}px, ${grow}fr)` : `minmax(${least}px, 0.4fr)`;
    })
    .join(' ');

export interface HeldRows<T> {
  /** What was asked for; another question is answered at once. */
  readonly question: string;
  readonly rows: T;
}

/** Rows as they stood while they are held still, unless something else is asked for. */
export const holdRows = <T>(before: HeldRows<T> | null, now: HeldRows<T>, isHeld: boolean): HeldRows<T> =>
  isHeld && before !== null && before.question === now.question ? before : now;
