import type { Field, FieldTable } from '../contract/fields/field.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { isNullable, known, type Shape } from '../contract/fields/shape.js';
import { workerFields } from '../contract/fields/worker.js';
import type { GpuSample, StoredGpu, StoredWorker, WorkerSample } from '../contract/heartbeat.js';
import type { Labels } from '../contract/primitives.js';
import { SharedValues } from './shared-values.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a merge found: nothing, other values, or other entries of the list that has a key (the GPUs that are held). */
export type Change = 'none' | 'values' | 'entries';

/** Made from a table of fields. `S`: a sample as it is stored. */
export interface Merger<T, S extends T = T> {
  /** Writes what differs into the sample that is kept; equal values keep their objects, so no garbage is made for them. */
  merge(stored: S, next: T): Change;
  /** A copy with every field in the order of the table, so that all samples share one shape whatever order a hive sent. */
  copy(sample: T): Mutable<S>;
  /** Takes over the values of `like` where they are equal, for fields that most items have in common. */
  share(sample: S, like: S): void;
  /** A copy of a stored sample with the values of `viewFields` after it, in one object of one shape. */
  view(sample: S, ...values: readonly unknown[]): unknown;
}

export function sameLabels(a: Labels | null, b: Labels | null): boolean {
  if (a === null || b === null) return a === b;
  let count = 0;
  for (const key in a) {
    if (a[key] !== b[key]) return false;
    count++;
  }
  for (const _ in b) count--;
  return count === 0;
}

/** Takes over texts and lists of the record that was kept where they are equal, so that their strings stay few. */
function keepEqual(former: Item | null, next: Item | null): void {
  if (former === null || next === null) return;
  for (const key in next) {
    const value = next[key];
    if (typeof value === 'string' ? value === former[key] : Array.isArray(value) && sameValue(value, former[key]))
      next[key] = former[key];
  }
}

/** Most workers have none: they need not each keep an object of their own. */
const noLabels: Labels = Object.freeze({});

function sharedLabels(labels: Labels | null | undefined): Labels | null {
  if (labels == null) return null;
  for (const _ in labels) return labels;
  return noLabels;
}

/** Takes the uuids of the list that was kept, and with them their strings. */
function keepKeys(former: Record<string, unknown>[], next: Record<string, unknown>[], key: string): void {
  for (let i = 0; i < former.length; i++) next[i]![key] = former[i]![key];
}

/** Equality of values as JSON knows them. */
function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => sameValue(left[key], right[key]));
}

type Item = Record<string, unknown>;

/** Whether two values of a field differ in nothing but what changes by itself. */
const onlyTicks = ({ ticks, rows }: Field, a: unknown, b: unknown): boolean =>
  ticks ||
  (rows !== undefined &&
    a !== null &&
    b !== null &&
    Object.entries(rows).every(
      ([name, inner]) => inner.ticks || sameValue((a as Item)[name] ?? null, (b as Item)[name] ?? null),
    ));

/** The merger by plain loops, where no code may be generated. Ten times slower, and the same. */
export function loopMerger<T, S extends T = T>(table: FieldTable, viewFields: readonly string[]): Merger<T, S> {
  const fields = Object.entries(table);
  const present = (name: string, item: Item) => (table[name]?.optional ? (item[name] ?? null) : item[name]);
  const merge = (stored: Item, next: Item): Change => {
    let change: Change = 'none';
    for (const [name, { identity, key, rows }] of fields) {
      if (identity) continue;
      const value = present(name, next);
      if (sameValue(stored[name], value)) continue;
      if (change === 'none' && !onlyTicks(table[name] as Field, stored[name], value)) change = 'values';
      if (rows !== undefined) keepEqual(stored[name] as Item | null, value as Item | null);
      if (key !== undefined) {
        const [former, entries] = [stored[name] as Item[], value as Item[]];
        if (former.length === entries.length && entries.every((entry, i) => entry[key] === former[i]?.[key]))
          keepKeys(former, entries, key);
        else change = 'entries';
      }
      stored[name] = value;
    }
    return change;
  };
  const copy = (sample: Item): Item =>
    Object.fromEntries(
      fields.map(([name, { shape }]) => [
        name,
        shape.patternProperties ? sharedLabels(sample[name] as Labels) : present(name, sample),
      ]),
    );
  const share = (sample: Item, like: Item): void => {
    for (const [name, { shared }] of fields)
      if (shared && sameValue(sample[name], like[name])) sample[name] = like[name];
  };
  const view = (sample: Item, ...values: readonly unknown[]): Item => ({
    ...sample,
    ...Object.fromEntries(viewFields.map((name, i) => [name, values[i]])),
  });
  return { merge, copy, share, view } as unknown as Merger<T, S>;
}

/** Source of an expression that is true where `a` and `b`, values of the shape, are equal; but for what changes by itself. */
function equality(shape: Shape<unknown>, a: string, b: string, rows: FieldTable = {}): string {
  const value = known(shape);
  if (value.patternProperties !== undefined) return `sameLabels(${a}, ${b})`;
  if (value.items === undefined && value.properties === undefined) return `${a} === ${b}`;
  const parts = Object.entries(value.properties ?? {})
    .filter(([name]) => !rows[name]?.ticks)
    .map(([name, part]) => equality(part, `${a}.${name}`, `${b}.${name}`));
  const same =
    value.items === undefined
      ? parts.join(' && ')
      : `sameList(${a}, ${b}, (a, b) => ${equality(value.items, 'a', 'b')})`;
  return isNullable(shape) ? `(${a} === ${b} || (${a} !== null && ${b} !== null && ${same}))` : same;
}

/** Source that takes over a record: its figures change by themselves even where nothing is to be reported. */
function recordSource(name: string, rows: FieldTable, next: string): string {
  const kept = Object.entries(rows).flatMap(([part, { shape }]) => {
    const { type, items } = known(shape);
    if (type !== 'string' && items === undefined) return [];
    return `if (${equality(shape, `former.${part}`, `record.${part}`)}) record.${part} = former.${part};`;
  });
  return [
    `{ const former = stored.${name}; const record = ${next};`,
    `if (!same_${name}(former, record)) change = 'values';`,
    `if (former !== null && record !== null) { ${kept.join(' ')} }`,
    `stored.${name} = record; }`,
  ].join(' ');
}

/** The body of a function that gives the merger of a table: field by field in plain code, as one would write it by hand. */
export function mergerSource(table: FieldTable, viewFields: readonly string[]): string {
  const fields = Object.entries(table);
  for (const name of [
    ...Object.keys(table),
    ...fields.flatMap(([, { rows }]) => Object.keys(rows ?? {})),
    ...viewFields,
  ])
    if (!/^[A-Za-z]\w*$/.test(name)) throw new Error(`${name} is no name of a field`);
  const value = (name: string, of: string) => (table[name]?.optional ? `(${of}.${name} ?? null)` : `${of}.${name}`);
  const lines: string[] = [];
  const plain: string[] = [];
  for (const [name, { shape, rows }] of fields) {
    const nested = known(shape).properties !== undefined || known(shape).items !== undefined;
    if (nested) lines.push(`const same_${name} = (a, b) => ${equality(shape, 'a', 'b', rows)};`);
    else plain.push(name);
  }
  const same = (name: string, a: string, b: string) =>
    plain.includes(name)
      ? equality(table[name]!.shape, `${a}.${name}`, value(name, b))
      : `same_${name}(${a}.${name}, ${value(name, b)})`;
  const merged = fields.filter(([, { identity, ticks }]) => !identity && !ticks);
  // What is cheap to compare comes first; a list with a key comes last, since it decides what is returned.
  const weight = ([name, { key }]: (typeof merged)[number]) => (key !== undefined ? 2 : plain.includes(name) ? 0 : 1);
  merged.sort((a, b) => weight(a) - weight(b));
  lines.push('const merge = (stored, next) => {', "let change = 'none';");
  for (const [name, { ticks }] of fields) if (ticks) lines.push(`stored.${name} = ${value(name, 'next')};`);
  for (const [name, { key, rows }] of merged) {
    if (rows !== undefined) {
      lines.push(recordSource(name, rows, value(name, 'next')));
      continue;
    }
    const write = `stored.${name} = ${value(name, 'next')}; change = 'values';`;
    const keyed = `const former = stored.${name}; ${write} if (sameList(former, next.${name}, (a, b) => a.${key} === b.${key})) keepKeys(former, next.${name}, '${key}'); else change = 'entries';`;
    lines.push(`if (!(${same(name, 'stored', 'next')})) { ${key === undefined ? write : keyed} }`);
  }
  lines.push('return change;', '};');
  const copied = fields.map(([name, { shape }]) =>
    shape.patternProperties ? `${name}: sharedLabels(sample.${name})` : `${name}: ${value(name, 'sample')}`,
  );
  lines.push(`const copy = (sample) => ({ ${copied.join(', ')} });`, 'const share = (sample, like) => {');
  for (const [name, { shared }] of fields)
    if (shared) lines.push(`if (${same(name, 'sample', 'like')}) sample.${name} = like.${name};`);
  lines.push('};');
  const viewed = fields.map(([name]) => `${name}: sample.${name}`);
  lines.push(`const view = (sample, ${viewFields.join(', ')}) => ({ ${[...viewed, ...viewFields].join(', ')} });`);
  lines.push('return { merge, copy, share, view };');
  return lines.join('\n');
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!same(a[i]!, b[i]!)) return false;
  return true;
}

/** Null where the process may not generate code (`node --disallow-code-generation-from-strings`). */
export function compiledMerger<T, S extends T = T>(
  table: FieldTable,
  viewFields: readonly string[],
): Merger<T, S> | null {
  const helpers = { sameLabels, sharedLabels, sameList, keepKeys };
  try {
    return new Function(...Object.keys(helpers), mergerSource(table, viewFields))(...Object.values(helpers)) as Merger<
      T,
      S
    >;
  } catch (error) {
    if (error instanceof EvalError) return null;
    throw error;
  }
}

const mergerOf = <T, S extends T>(table: FieldTable, viewFields: readonly string[]): Merger<T, S> =>
  compiledMerger<T, S>(table, viewFields) ?? loopMerger<T, S>(table, viewFields);

const workers = mergerOf<WorkerSample, StoredWorker>(workerFields, ['hive', 'liveness', 'ageMs', 'key']);
const gpus = mergerOf<GpuSample, StoredGpu>(gpuFields, ['hive', 'liveness', 'ageMs', 'freeBytes']);
const workerValues = new SharedValues(workerFields);
const gpuValues = new SharedValues(gpuFields);

export const { merge: mergeWorker, view: viewWorker } = workers;
export const { merge: mergeGpu, share: shareGpu, view: viewGpu, copy: copyGpu } = gpus;

/** Of a sample that came with a heartbeat, to be kept. */
export const keepWorker = (sample: WorkerSample) => workerValues.share(workers.copy(sample));
export const keepGpu = (sample: GpuSample) => gpuValues.share(gpus.copy(sample));
