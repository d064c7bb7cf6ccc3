import { isNullable, record, type Shape, type ValueOfShape } from './shape.js';

/** How a value is written for people; `present/format-field.ts` knows each. */
export type FormatName =
  | 'age'
  | 'bytes'
  | 'celsius'
  | 'cores'
  | 'count'
  | 'duration'
  | 'fixed2'
  | 'gib'
  | 'gibOf'
  | 'list'
  | 'localTime'
  | 'megahertz'
  | 'percent'
  | 'perSecond'
  | 'rate'
  | 'sentences'
  | 'text'
  | 'watts';

/** How a value becomes a sample: percent to ratio, boolean to 0 or 1, time to seconds, MHz to Hz, ms to seconds. */
export type Scale = 'ratio' | 'flag' | 'epoch' | 'megahertz' | 'milliseconds';

/** A family of Prometheus that is one field as it is. */
export interface MetricOfField {
  readonly name: string;
  readonly type?: 'counter';
  readonly help: string;
  readonly scale?: Scale;
  /** The property of a nested value that is exported. */
  readonly part?: string;
  /** One sample for each property of a nested value, or for each entry of a list, under this label. */
  readonly label?: string;
  /** No sample where this list of the item is empty. */
  readonly unlessEmpty?: string;
  /** Families are sorted by it, then as the fields stand; 50 where it is not given. */
  readonly place?: number;
}

/** A value as a share of another field or of a constant. From `warn` and `bad` on it is drawn in their colour. */
export interface ShareOf {
  readonly of: number | string;
  readonly warn?: number;
  readonly bad?: number;
}

/** A column of the tables of the commands and of `top`; `cli/columns.ts` draws those that need more than a format. */
export interface ColumnOfField {
  readonly key: string;
  readonly title: string;
  /** Columns of terminal: at least, and at most. */
  readonly width: readonly [min: number, max: number];
  /** Columns of the highest rank are left out first; 0 is never left out. */
  readonly rank: number;
  readonly place: number;
  readonly right?: true;
  /** Sorted from the largest on at first. */
  readonly descending?: true;
  readonly format?: FormatName;
  readonly share?: ShareOf;
  /** Drawn as a bar of its share, with the text padded to so many columns. */
  readonly bar?: number;
}

/** A value on a line of the worker's or hive's detail in `top`. */
export interface DetailOfField {
  /** The label of the line. */
  readonly line: string;
  /** Stands before the value. */
  readonly label?: string;
  readonly after?: string;
  readonly format?: FormatName;
  readonly share?: ShareOf;
  /** Shown as a warning where it is above 0. */
  readonly badAboveZero?: true;
  /** Values of a line are sorted by it, then as the fields stand; 50 where it is not given. */
  readonly place?: number;
}

/** A row of the page's panel. */
export interface PanelOfField {
  readonly section: string;
  readonly label: string;
  /** Rows are sorted by it, then as the fields stand; 50 where it is not given. */
  readonly place?: number;
  readonly format?: FormatName;
  readonly after?: string;
  readonly ifEmpty?: string;
  readonly omitNull?: true;
  /** A bar of percent, a warning from this value on. */
  readonly barWarn?: number;
  readonly code?: true;
  /** Words for the values of an enum. */
  readonly words?: Readonly<Record<string, string>>;
  /** A row for each property: label and threshold. */
  readonly parts?: Readonly<Record<string, { readonly label: string; readonly barWarn: number }>>;
}

/**
 * Bounds of what a value can be on any device or host there is, far beyond the largest that is known: what lies outside
 * is a driver's "not available" (all ones of 8 to 64 bits), a torn read or a fault of ours, never a measurement.
 */
export interface Plausible {
  readonly least: number;
  readonly most: number;
  /** A field of the same item that it can't pass. */
  readonly of?: string;
  /** By how much it may pass that field, for what rounding adds. */
  readonly slack?: number;
  /** Bits that a device or driver keeps it in, where all ones of them lie within the bounds. */
  readonly width?: 8 | 16;
}

/** One field of a worker, GPU or host: all that storage, export and display need to know of it. */
export interface Field<T = unknown> {
  readonly shape: Shape<T>;
  /** A hive leaves it out where it would be null, as hives of before this field do; a queen stores and shows null. */
  readonly optional?: true;
  /** What a hive sends in place of null, for queens of before, whose schema takes no null here; a queen reads it as null. */
  readonly nullSentAs?: readonly string[];
  /** Says which item it is: never merged. */
  readonly identity?: true;
  /** It changes by itself with time: a difference is taken over and is no change worth telling of. */
  readonly ticks?: true;
  /** Most GPUs of a host have the same: kept once for all of them. */
  readonly shared?: true;
  /** Of a record: a row for each of its properties, whose metrics, columns and lines stand among those of the item. */
  readonly rows?: FieldTable;
  /** The property by which the entries of a list are distinguished. */
  readonly key?: string;
  /** What it is where its item can't be measured. Left out: it is no measure, and stays. */
  readonly unmeasured?: unknown;
  /** A cgroup alone can tell it: of a worker that is a tree of processes it is not known. */
  readonly ofCgroup?: true;
  /** What null says where nothing says that the value is not known: that there is none, in words. */
  readonly absent?: string;
  /** Why it is not known where nothing else says it: of a value that the hive itself makes of others. */
  readonly otherwise?: string;
  /** The file of a cgroup that it comes from; of each property where it has some. */
  readonly file?: string | Readonly<Record<string, string>>;
  /** The field that says why this one is null. */
  readonly reasonIn?: string;
  /** Other fields whose faults say why this one is null: they are of the same file. */
  readonly explainedBy?: readonly string[];
  /** Of an enum: what a value of a newer version is read as, the one that promises least. */
  readonly least?: string;
  /** Of an enum: it changes so often that a stream sends its place among the words as a number. */
  readonly coded?: true;
  readonly hive?: MetricOfField | readonly MetricOfField[];
  readonly fleet?: MetricOfField | readonly MetricOfField[];
  readonly column?: ColumnOfField;
  readonly detail?: DetailOfField;
  readonly panel?: PanelOfField;
  /** What it can be on any device; its shape says so where this is left out. */
  readonly plausible?: Plausible;
  /** Lists can be sorted by it; the number is its place among the sorts. */
  readonly sort?: number;
}

export type FieldTable = Readonly<Record<string, Field>>;

export type ValueOf<F extends Field> = ValueOfShape<F['shape']>;

/** The shape of an item with the fields of a table. */
export const recordOf = <const T extends FieldTable>(table: T): Shape<{ -readonly [K in keyof T]: ValueOf<T[K]> }> =>
  record(Object.fromEntries(Object.entries(table).map(([name, { shape }]) => [name, shape]))) as Shape<never>;

/** A row of a table, or of a record in it: there `name` is a path, `serving.running`. */
export interface NamedField {
  readonly name: string;
  readonly field: Field;
}

/** Every row of a table, and behind a record those of its properties. */
export const rowsOf = (table: FieldTable): readonly NamedField[] =>
  Object.entries(table).flatMap(([name, field]) => [
    { name, field },
    ...Object.entries(field.rows ?? {}).map(([part, inner]) => ({ name: `${name}.${part}`, field: inner })),
  ]);

/** Reads the value of a row by its name: null where the record that holds it is null or missing. */
export function readerOf(name: string): (item: object) => unknown {
  const [own, part] = name.split('.') as [string, string?];
  return part === undefined
    ? (item) => (item as Values)[own]
    : (item) => ((item as Values)[own] as Values | null | undefined)?.[part] ?? null;
}

export const valueAt = (item: object, name: string): unknown => readerOf(name)(item);

/** Names of the fields that a hive may leave out. */
export const optionalFields = (table: FieldTable): readonly string[] =>
  Object.entries(table).flatMap(([name, { optional }]) => (optional ? [name] : []));

/** The place of what names none. */
export const defaultPlace = 50;

/** Rows that have `facet`, in the order of its place. */
export function placed<K extends 'column' | 'detail' | 'panel'>(
  table: FieldTable,
  facet: K,
): readonly { readonly name: string; readonly field: Field; readonly spec: NonNullable<Field[K]> }[] {
  return rowsOf(table)
    .flatMap(({ name, field }) => {
      const spec = field[facet];
      return spec === undefined ? [] : [{ name, field, spec: spec as NonNullable<Field[K]> }];
    })
    .sort((a, b) => (a.spec.place ?? defaultPlace) - (b.spec.place ?? defaultPlace));
}

type Values = Record<string, unknown>;

/** What is said of an item that is there and can't be measured: its measures, each as not known. */
export function unmeasured(table: FieldTable): Values {
  const values: Values = {};
  for (const [name, field] of Object.entries(table))
    if (field.unmeasured !== undefined) values[name] = structuredClone(field.unmeasured);
  return values;
}

/** The same, with null for all else that may be null. */
export function unknown(table: FieldTable): Values {
  const values = unmeasured(table);
  for (const [name, { shape }] of Object.entries(table))
    if (!(name in values) && isNullable(shape)) values[name] = null;
  return values;
}
