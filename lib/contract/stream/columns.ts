/**
 * The numbers of a heartbeat as rows and columns, with words that often change as numbers too: what a stream sends of them is
 * only what changed. Everything else of a heartbeat is text, which travels as JSON.
 */
import { compiled } from '../../util/compiled.js';
import { collectionFields, intervalShape } from '../fields/collection.js';
import { type Field, type FieldTable, type Plausible, rowsOf } from '../fields/field.js';
import { gpuFields } from '../fields/gpu.js';
import { hostFields } from '../fields/host.js';
import { forbiddenBy, plausibleRules, type Rule } from '../fields/plausible.js';
import { isNullable, known, type Shape } from '../fields/shape.js';
import { workerFields } from '../fields/worker.js';
import { workerGpuFields } from '../fields/worker-gpu.js';

/** `head`: what is not of one GPU or worker. `held`: what a worker has of one GPU. */
export const rowTypes = ['head', 'gpu', 'worker', 'held'] as const;
export type RowType = (typeof rowTypes)[number];

/** One number of each row of a type; or one word, as its place among `words`. */
export interface Column {
  /** Names from the item to the value, joined by points. */
  readonly name: string;
  readonly path: readonly string[];
  /** What makes it a whole number in most cases: 100 where it has two decimals. */
  readonly scale: number;
  readonly words?: readonly string[];
}

export type StreamSchema = Readonly<Record<RowType, readonly Column[]>>;

/** What a value of a column may be: by the schema, and on any device. */
export interface ColumnBounds {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
  readonly mayBeNull: boolean;
  readonly forbidden: readonly number[];
  /** The column of the same row that it can't pass by more than `slack`; null: there is none. */
  readonly of: string | null;
  readonly slack: number;
  /** What a word can be, and what one of a newer version is read as; null: it is a number. */
  readonly words: { readonly all: readonly string[]; readonly least: string } | null;
}

interface Described extends Column {
  readonly bounds: ColumnBounds;
}

/** Whole numbers and bytes are sent as they are, all else in hundredths, to which a hive rounds. */
const scaleOf = (name: string, { type }: Shape<unknown>): number =>
  type === 'integer' || name.endsWith('Bytes') ? 1 : 100;

const unlimited: Plausible = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY };

function columnsOf(shape: Shape<unknown>, path: readonly string[], rules: ReadonlyMap<string, Rule>): Described[] {
  const value = known(shape);
  if (value.properties !== undefined)
    return Object.entries(value.properties).flatMap(([name, part]) => columnsOf(part, [...path, name], rules));
  if (value.type !== 'number' && value.type !== 'integer') return [];
  const name = path.join('.');
  const { minimum = unlimited.least, maximum = unlimited.most } = value;
  const rule = rules.get(name);
  const { least, most, of, slack = 0 } = rule ?? unlimited;
  const bounds: ColumnBounds = {
    least: Math.max(minimum, least),
    most: Math.min(maximum, most),
    whole: value.type === 'integer',
    mayBeNull: isNullable(shape),
    forbidden: rule === undefined ? [] : forbiddenBy(rule),
    of: of === undefined ? null : [...path.slice(0, -1), of].join('.'),
    slack,
    words: null,
  };
  return [{ name, path, scale: scaleOf(name, value), bounds }];
}

/** The rules of a table, and of the tables within it, by the names of columns. */
const rulesOf = (table: FieldTable, path: string): [string, Rule][] => [
  ...plausibleRules(table).map((rule): [string, Rule] => [
    path + (rule.part === undefined ? rule.name : `${rule.name}.${rule.part}`),
    rule,
  ]),
  ...Object.entries(table).flatMap(([name, { rows }]) => (rows === undefined ? [] : rulesOf(rows, `${path}${name}.`))),
];

function columnsOfTable(table: FieldTable, path: readonly string[] = []): Described[] {
  const rules = new Map(rulesOf(table, path.map((name) => `${name}.`).join('')));
  return Object.entries(table).flatMap(([name, field]) =>
    field.coded ? [codeOf(field, [...path, name])] : columnsOf(field.shape, [...path, name], rules),
  );
}

/** The column of a word. */
function codeOf({ shape, least = '' }: Field, path: readonly string[]): Described {
  const words = known(shape).enum ?? [];
  const bounds: ColumnBounds = {
    least: 0,
    most: words.length - 1,
    whole: true,
    mayBeNull: isNullable(shape),
    forbidden: [],
    of: null,
    slack: 0,
    words: { all: words, least },
  };
  return { name: path.join('.'), path, scale: 1, words, bounds };
}

const described: Readonly<Record<RowType, readonly Described[]>> = {
  head: [
    ...columnsOf(intervalShape, ['intervalMs'], new Map()),
    ...columnsOfTable(hostFields, ['host']),
    ...columnsOfTable(collectionFields, ['collection']),
  ],
  gpu: columnsOfTable(gpuFields),
  worker: columnsOfTable(workerFields),
  held: columnsOfTable(workerGpuFields),
};

/** The columns of this version. */
export const ownSchema: StreamSchema = described;

const byName = (type: RowType, name: string): string => `${type}.${name}`;
const bounds = new Map(
  rowTypes.flatMap((type) => described[type].map((column) => [byName(type, column.name), column.bounds] as const)),
);

/** What a value may be; null: this version does not know the column. */
export const boundsOf = (type: RowType, { name }: Column): ColumnBounds | null =>
  bounds.get(byName(type, name)) ?? null;

/** Fields of a row that are no numbers, or hold some that are none. */
type TextFields = Readonly<Record<string, Shape<unknown>>>;

const textOf = (table: FieldTable): TextFields =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, { shape, coded }]) =>
      coded || isNumber(shape) ? [] : [[name, shape] as const],
    ),
  );

const isNumber = (shape: Shape<unknown>): boolean => {
  const { type } = known(shape);
  return type === 'number' || type === 'integer';
};

// What a worker has of GPUs are rows of their own.
const { gpus: _, ...workerText } = textOf(workerFields);
const textFields = {
  // Of the schemas of the others nothing is needed: without the library that they are made of a hive takes 14 MiB less.
  head: {
    ...{ hive: {}, gpusKnown: {}, gpusReason: {}, workersComplete: {} },
    collection: { properties: textOf(collectionFields) },
  } as TextFields,
  gpu: textOf(gpuFields),
  worker: workerText,
  held: textOf(workerGpuFields),
} as const satisfies Readonly<Record<RowType, TextFields>>;
type TextRow = Exclude<RowType, 'held'>;

type Values = Readonly<Record<string, unknown>>;
type Same = (a: object, b: object, same: typeof sameValue) => boolean;

/** An expression that is true where no text of these fields of `a` and `b` differs. */
const sameSource = (fields: TextFields, a: string, b: string): string =>
  Object.entries(fields)
    .filter(([, shape]) => !isNumber(shape))
    .map(([name, shape]) => {
      const [one, other] = [`${a}.${name}`, `${b}.${name}`];
      const { properties } = known(shape);
      if (properties === undefined) return `(${one} === ${other} || same(${one}, ${other}))`;
      const within = sameSource(properties, one, other);
      return `(${one} == null ? ${other} == null : ${other} != null && ${within})`;
    })
    .join(' && ') || 'true';

const sameOf = (fields: TextFields): Same =>
  compiled<Same>('a, b, same', `return ${sameSource(fields, 'a', 'b')};`, (a, b) => {
    for (const name in fields) if (!sameValue((a as Values)[name], (b as Values)[name])) return false;
    return true;
  });
const sames: Readonly<Record<TextRow, Same>> = {
  head: sameOf(textFields.head),
  gpu: sameOf(textFields.gpu),
  worker: sameOf(textFields.worker),
};

/** Whether two rows differ in nothing but numbers. What is left out is null. */
export const sameText = (type: TextRow, a: object, b: object): boolean => sames[type](a, b, sameValue);

const isNumberOrNull = (value: unknown): boolean => value == null || typeof value === 'number';

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b || (isNumberOrNull(a) && isNumberOrNull(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  for (const name in a) if (!sameValue((a as Values)[name], (b as Values)[name])) return false;
  for (const name in b) if ((a as Values)[name] === undefined && (b as Values)[name] != null) return false;
  return true;
}

/** Whether this version knows a column as text: it would never hear of it again by a stream that has it as a number. */
export function isTextHere(type: RowType, { path }: Column): boolean {
  let fields: TextFields = textFields[type];
  for (const [i, name] of path.entries()) {
    const shape: Shape<unknown> | undefined = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (shape === undefined) return false;
    const { properties } = known(shape);
    if (properties === undefined || i === path.length - 1) return !isNumber(shape);
    fields = properties;
  }
  return false;
}

/** Columns that change by themselves with time: a difference is no change worth telling of. */
const ticks = new Set(rowsOf(workerFields).flatMap(({ name, field }) => (field.ticks ? [byName('worker', name)] : [])));
export const isTick = (type: RowType, { name }: Column): boolean => ticks.has(byName(type, name));
