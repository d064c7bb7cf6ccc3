import { describe, expect, it } from 'vitest';
import {
  defaultPlace,
  type FieldTable,
  optionalFields,
  placed,
  readerOf,
  rowsOf,
  unknown,
  unmeasured,
  valueAt,
} from '../../lib/contract/fields/field.js';
import { amount, integer, isNullable, known, nullable, record, share, text } from '../../lib/contract/fields/shape.js';
import { sortKeyOf, workerSortNames } from '../../lib/contract/fields/sorts.js';
import { servingOf, workerOf } from '../harness/heartbeats.js';

const part = { shape: amount('of a part'), panel: { section: 's', label: 'part', place: 5 } };
const table = {
  last: { shape: text({}), panel: { section: 's', label: 'last', place: defaultPlace + 1 } },
  usual: { shape: amount('a'), panel: { section: 's', label: 'usual' }, unmeasured: null },
  usualToo: { shape: amount('b'), panel: { section: 's', label: 'usual too' }, optional: true },
  held: { shape: nullable(record({ part: part.shape })), rows: { part }, optional: true },
  list: { shape: integer(0), unmeasured: [] },
} as const satisfies FieldTable;

describe('rows of a table of fields', () => {
  it('are those of the table, and behind a record those of its own', () => {
    expect(rowsOf(table).map(({ name }) => name)).toEqual(['last', 'usual', 'usualToo', 'held', 'held.part', 'list']);
    expect(rowsOf(table)[4]?.field).toBe(part);
    expect(optionalFields(table)).toEqual(['usualToo', 'held']);
  });

  it('stand by their place, those without one as they are written, and what is not shown is left out', () => {
    const rows = placed(table, 'panel');
    expect(rows.map(({ name, spec }) => [name, spec.label])).toEqual([
      ['held.part', 'part'],
      ['usual', 'usual'],
      ['usualToo', 'usual too'],
      ['last', 'last'],
    ]);
    expect(placed(table, 'column')).toEqual([]);
  });

  it('are read by their name: null where the record that holds one is not known', () => {
    expect(readerOf('usual')({ usual: 7 })).toBe(7);
    expect(valueAt({ held: { part: 8 } }, 'held.part')).toBe(8);
    for (const held of [{ part: null }, {}, null, undefined]) expect(valueAt({ held }, 'held.part')).toBeNull();
  });

  it('of what is there and cannot be measured are what their field says, each its own; else null where they may be', () => {
    expect(unmeasured(table)).toEqual({ usual: null, list: [] });
    expect(unmeasured(table).list).not.toBe(unmeasured(table).list);
    expect(unknown(table)).toEqual({ usual: null, list: [], usualToo: null, held: null });
  });
});

describe('shapes', () => {
  it('say whether a value may be null, and what it is else', () => {
    const plain = integer(1, 'a count', 9);
    expect(plain).toEqual({ type: 'integer', minimum: 1, maximum: 9, description: 'a count' });
    expect(integer(1)).toEqual({ type: 'integer', minimum: 1 });
    expect([isNullable(plain), isNullable(nullable(plain)), isNullable({ anyOf: [plain] })]).toEqual([
      false,
      true,
      false,
    ]);
    expect([known(plain), known(nullable(plain)), known({ anyOf: [{ type: 'null' }] })]).toEqual([
      ...[plain, plain, { anyOf: [{ type: 'null' }] }],
    ]);
    expect(known(share('of a core'))).toEqual({ type: 'number', minimum: 0, maximum: 100, description: 'of a core' });
    expect(known(amount('bytes'))).toEqual({ type: 'number', minimum: 0, description: 'bytes' });
    expect(record({ a: plain })).toEqual({ type: 'object', required: ['a'], properties: { a: plain } });
  });
});

describe('sorts of workers', () => {
  it('are the key, and each figure both ways', () => {
    const [first, ...others] = workerSortNames;
    expect(first).toBe('key');
    expect(others.length).toBeGreaterThan(6);
    others.forEach((name, i) => void expect(name.startsWith('-')).toBe(i % 2 === 1));
  });

  it('go by the value of the worker, or of its engine', () => {
    const worker = workerOf('llm/0', { cpuPercent: 12, serving: servingOf({ waiting: 3 }) });
    expect([sortKeyOf('cpuPercent')(worker), sortKeyOf('-cpuPercent')(worker)]).toEqual([12, 12]);
    expect(sortKeyOf('-waiting')(worker)).toBe(3);
    expect(sortKeyOf('waiting')(workerOf('llm/0', { serving: null }))).toBeNull();
  });
});
