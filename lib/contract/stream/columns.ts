/**
 * The numbers of a heartbeat as rows and columns: what a stream sends of them is only what changed. Everything else of a
 * heartbeat is text, which travels as JSON.
 */
import { type FieldTable, type Plausible, rowsOf } from '../fields/field.js';
import { gpuFields } from '../fields/gpu.js';
import { hostFields } from '../fields/host.js';
import { forbiddenBy, plausibleRules, type Rule } from '../fields/plausible.js';
import { isNullable, known, type Shape } from '../fields/shape.js';
import { workerFields } from '../fields/worker.js';
import { workerGpuFields } from '../fields/worker-gpu.js';
import { Collection, Heartbeat } from '../heartbeat.js';

/** `head`: what is not of one GPU or worker. `held`: what a worker has of one GPU. */
export const rowTypes = ['head', 'gpu', 'worker', 'held'] as const;
export type RowType = (typeof rowTypes)[number];

/** One number of each row of a type. */
export interface Column {
  /** Names from the item to the value, joined by points. */
  readonly name: string;
  readonly path: readonly string[];
  /** What makes it a whole number in most cases: 100 where it has two decimals. */
  readonly scale: number;
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
  return Object.entries(table).flatMap(([name, { shape }]) => columnsOf(shape, [...path, name], rules));
}

const described: Readonly<Record<RowType, readonly Described[]>> = {
  head: [
    ...columnsOf(Heartbeat.properties.intervalMs as Shape<unknown>, ['intervalMs'], new Map()),
    ...columnsOfTable(hostFields, ['host']),
    ...columnsOf(Collection as Shape<unknown>, ['collection'], new Map()),
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

/** Names of the fields of a row that are no numbers. */
const textOf = (table: FieldTable): readonly string[] =>
  Object.entries(table).flatMap(([name, { shape }]) => {
    const { type } = known(shape);
    return type === 'number' || type === 'integer' ? [] : [name];
  });

const textFields = {
  head: ['hive', 'gpusKnown', 'gpusReason', 'workersComplete', 'collection'],
  gpu: textOf(gpuFields),
  // What a worker has of GPUs are rows of their own.
  worker: textOf(workerFields).filter((name) => name !== 'gpus'),
} as const;

type Values = Readonly<Record<string, unknown>>;

/** Whether two rows differ in nothing but numbers. What is left out is null. */
export function sameText(type: 'head' | 'gpu' | 'worker', a: object, b: object): boolean {
  for (const name of textFields[type]) if (!sameValue((a as Values)[name], (b as Values)[name])) return false;
  return true;
}

const isNumberOrNull = (value: unknown): boolean => value == null || typeof value === 'number';

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b || (isNumberOrNull(a) && isNumberOrNull(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  for (const name in a) if (!sameValue((a as Values)[name], (b as Values)[name])) return false;
  for (const name in b) if ((a as Values)[name] === undefined && (b as Values)[name] != null) return false;
  return true;
}

/** Columns that change by themselves with time: a difference is no change worth telling of. */
const ticks = new Set(rowsOf(workerFields).flatMap(({ name, field }) => (field.ticks ? [byName('worker', name)] : [])));
export const isTick = (type: RowType, { name }: Column): boolean => ticks.has(byName(type, name));
