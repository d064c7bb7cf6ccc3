import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { isNullable } from '../../lib/contract/fields/shape.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { GpuSample, WorkerSample } from '../../lib/contract/heartbeat.js';
import { compiledMerger, loopMerger, type Merger, mergerSource } from '../../lib/queen/merge.js';
import { sampleValue } from '../harness/schema-values.js';

type Item = Record<string, unknown>;

const tables = [
  ['worker', workerFields as FieldTable, WorkerSample],
  ['GPU', gpuFields as FieldTable, GpuSample],
] as const;
const mergers = [
  ['compiled', compiledMerger<Item>],
  ['by loops', loopMerger<Item>],
] as const;
const cases = tables.flatMap(([what, table, schema]) =>
  // Made in each test: what makes them is to be tested as well.
  mergers.map(([how, make]) => ({ what, how, table, schema, merging: () => make(table, []) as Merger<Item> })),
);

/** Values that differ from this one in as little as can be. */
function near(value: unknown): unknown[] {
  if (typeof value === 'number') return [value + 1];
  if (typeof value === 'string') return [`${value}x`];
  if (typeof value === 'boolean') return [!value];
  if (Array.isArray(value))
    return [
      value.slice(0, -1),
      [...value, structuredClone(value[0])],
      ...value.flatMap((entry, i) => near(entry).map((other) => value.with(i, other))),
    ];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...near(inner).map((other) => ({ ...value, [key]: other })),
    ...(inner === null ? [] : [{ ...value, [key]: null }]),
  ]);
}

/** With a second entry in each list that has a key, so that one of two can differ. */
function sampleOf(table: FieldTable, schema: typeof WorkerSample | typeof GpuSample): Item {
  const sample = sampleValue<Item>(schema, 'item', 1);
  for (const [name, { key }] of Object.entries(table)) {
    const list = sample[name];
    if (key === undefined || !Array.isArray(list)) continue;
    sample[name] = [...list.slice(0, 1), { ...list[0], [key]: 'another' }];
  }
  return sample;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What a merge must say of one field, from what the table says of it. */
function expectedChange({ ticks, key, rows }: FieldTable[string], before: unknown, after: unknown): string {
  if (ticks) return 'none';
  const keysOf = (list: unknown) => (list as Item[]).map((entry) => entry[key as string]);
  if (key !== undefined) return same(keysOf(before), keysOf(after)) ? 'values' : 'entries';
  if (rows === undefined || before === null || after === null) return 'values';
  const [a, b] = [before as Item, after as Item];
  return Object.entries(rows).every(([name, row]) => row.ticks || same(a[name] ?? null, b[name] ?? null))
    ? 'none'
    : 'values';
}

describe.each(cases)('merge of a $what, $how: the smallest differences', ({ table, schema, merging }) => {
  const sample = sampleOf(table, schema);
  const fields = Object.entries(table).filter(([, { identity }]) => !identity);

  it('of each field are taken over and reported, and nothing else is', () => {
    const merger = merging();
    for (const [name, field] of fields) {
      const isMap = field.shape.patternProperties !== undefined;
      const others = [
        ...near(sample[name]),
        ...(isNullable(field.shape) || isMap ? [null] : []),
        ...(isMap ? [{}, { ...(sample[name] as Item), more: 'x' }] : []),
      ];
      expect(others.length, name).toBeGreaterThan(0);
      for (const other of others)
        for (const [from, to] of [
          [sample[name], other],
          [other, sample[name]],
          ...(isMap && other === null ? [[null, {}]] : []),
        ]) {
          const stored = merger.copy({ ...structuredClone(sample), [name]: structuredClone(from) });
          const change = merger.merge(stored, { ...structuredClone(sample), [name]: structuredClone(to) });
          expect(change, `${name} from ${JSON.stringify(from)} to ${JSON.stringify(to)}`).toBe(
            expectedChange(field, from, to),
          );
          expect(stored).toEqual({ ...sample, [name]: to });
        }
    }
  });

  it('between equal samples there are none, and what was kept stays the very object', () => {
    const merger = merging();
    const stored = merger.copy(structuredClone(sample));
    const kept = { ...stored };
    expect(merger.merge(stored, structuredClone(sample))).toBe('none');
    for (const [name, { ticks, rows }] of fields)
      if (!ticks && rows === undefined) expect(stored[name] === kept[name], name).toBe(true);
  });

  it('none either between two that do not know the same', () => {
    const merger = merging();
    for (const [name, { shape }] of fields) {
      if (!isNullable(shape) && shape.patternProperties === undefined) continue;
      const unknown = { ...sample, [name]: null };
      expect(merger.merge(merger.copy(structuredClone(unknown)), structuredClone(unknown)), name).toBe('none');
    }
  });

  it('other entries are reported as such, whatever else differs', () => {
    const merger = merging();
    const [keyed] = fields.find(([, { key }]) => key !== undefined) ?? [];
    if (keyed === undefined) return;
    for (const [name, { ticks }] of fields) {
      if (name === keyed || ticks) continue;
      const next = structuredClone({ ...sample, [name]: near(sample[name])[0], [keyed]: [] });
      expect(merger.merge(merger.copy(structuredClone(sample)), next), name).toBe('entries');
    }
  });

  it('in one part of a record leave its other lists the objects that were kept', () => {
    const merger = merging();
    for (const [name, { rows }] of fields) {
      if (rows === undefined) continue;
      const record = sample[name] as Item;
      const lists = Object.keys(rows).filter((part) => Array.isArray(record[part]));
      expect(lists.length).toBeGreaterThan(0);
      for (const part of Object.keys(rows)) {
        const stored = merger.copy(structuredClone(sample));
        const kept = stored[name] as Item;
        const [other] = near(record[part]);
        merger.merge(stored, { ...structuredClone(sample), [name]: { ...structuredClone(record), [part]: other } });
        for (const list of lists)
          expect((stored[name] as Item)[list] === kept[list], `${name}.${list} as ${part} differs`).toBe(list !== part);
      }
    }
  });

  it('what samples share becomes one object where it is equal, and only there', () => {
    const merger = merging();
    for (const [name, { shared }] of fields) {
      if (typeof sample[name] !== 'object') continue;
      const own = merger.copy(structuredClone(sample));
      const like = merger.copy(structuredClone(sample));
      merger.share(own, like);
      expect(own[name] === like[name], name).toBe(shared === true);
      const [other] = near(sample[name]);
      const differs = merger.copy({ ...structuredClone(sample), [name]: other });
      merger.share(differs, like);
      expect(differs[name], name).toEqual(other);
    }
  });

  it('no labels are one object for all; labels that are not given are null', () => {
    const merger = merging();
    const [name] = fields.find(([, { shape }]) => shape.patternProperties !== undefined) ?? [];
    if (name === undefined) return;
    const copies = [{}, {}].map((labels) => merger.copy({ ...sample, [name]: labels })[name]);
    expect(copies[0]).toEqual({});
    expect(copies[0]).toBe(copies[1]);
    expect(merger.copy({ ...sample, [name]: null })[name]).toBeNull();
    expect(merger.copy({ ...sample, [name]: undefined })[name]).toBeNull();
  });
});

describe('the source of a merger', () => {
  const row = (workerFields as FieldTable).cpuPercent as FieldTable[string];

  it.each(['a b', 'a;b', '0a', '', 'a-b', 'x}'])('a field named %j is refused: names become code', (name) => {
    expect(() => mergerSource({ [name]: row }, [])).toThrow('is no name of a field');
    expect(() => mergerSource({ cpuPercent: row }, [name])).toThrow('is no name of a field');
    expect(() => mergerSource({ cpuPercent: { ...row, rows: { [name]: row } } }, [])).toThrow('is no name of a field');
  });
});
