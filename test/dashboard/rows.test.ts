import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chosenColumns, parseKept } from '../../lib/dashboard/data/kept-tables.js';
import { columnTemplate, fitColumns, groupRows, holdRows, sortRows } from '../../lib/dashboard/data/rows.js';

describe('rows of lists', () => {
  it('any order keeps every row once, and what is not known comes last', () => {
    const row = fc.record({ name: fc.string(), value: fc.option(fc.double({ noNaN: true }), { nil: null }) });
    fc.assert(
      fc.property(fc.array(row), fc.constantFrom('asc', 'desc'), (rows, direction) => {
        const sorted = sortRows(
          rows,
          ({ value }) => value,
          ({ name }) => name,
          direction,
        );
        expect(new Set(sorted)).toEqual(new Set(rows));
        expect(sorted).toHaveLength(rows.length);
        const known = sorted.map(({ value }) => value).filter((value) => value !== null && Number.isFinite(value));
        const ordered = [...known].sort((a, b) => (direction === 'asc' ? a! - b! : b! - a!));
        expect(known).toEqual(ordered);
        const firstUnknown = sorted.findIndex(({ value }) => value === null);
        if (firstUnknown >= 0)
          expect(
            sorted
              .slice(firstUnknown)
              .every(({ value }) => value === null || value === Infinity || value === -Infinity),
          ).toBe(true);
      }),
    );
  });

  it('a row is in each of its groups, and one without a name in the last', () => {
    const rows = [{ of: ['b10', 'b9'] }, { of: [] }, { of: ['b9', 'b9'] }];
    expect(groupRows(rows, ({ of }) => of)).toEqual([
      { name: 'b9', rows: [rows[0], rows[2]] },
      { name: 'b10', rows: [rows[0]] },
      { name: null, rows: [rows[1]] },
    ]);
  });

  const columns = [
    { id: 'name', width: 100, grow: 1, rank: 0 },
    { id: 'a', width: 60, hasSpark: true, rank: 1 },
    { id: 'b', width: 60, hasSpark: true, rank: 3 },
    { id: 'c', width: 60, rank: 2 },
  ];
  const idsAt = (width: number) => fitColumns(columns, width).columns.map(({ id }) => id);

  it('where there is no room lines go first, then the least important columns, and names never', () => {
    expect(fitColumns(columns, 456)).toEqual({ columns, sparks: true });
    expect(fitColumns(columns, 455)).toEqual({ columns, sparks: false });
    expect(idsAt(319)).toEqual(['name', 'a', 'c']);
    expect(idsAt(249)).toEqual(['name', 'a']);
    expect(idsAt(10)).toEqual(['name']);
    expect(columnTemplate(columns.slice(0, 2), true)).toBe('minmax(100px, 1fr) minmax(128px, 0.4fr)');
  });

  it('rows stand as they stood while they are held, until something else is asked for', () => {
    const before = { question: 'all', rows: [1, 2] };
    expect(holdRows(before, { question: 'all', rows: [2, 1] }, true)).toBe(before);
    expect(holdRows(before, { question: 'all', rows: [2, 1] }, false).rows).toEqual([2, 1]);
    expect(holdRows(before, { question: 'some', rows: [2] }, true).rows).toEqual([2]);
    expect(holdRows(null, before, true)).toBe(before);
  });

  it('a choice of columns keeps their own order and those that stay', () => {
    const ids = (kept: readonly string[] | undefined) => chosenColumns(columns, kept, ['a']).map(({ id }) => id);
    expect(ids(undefined)).toEqual(['name', 'a']);
    expect(ids(['c', 'b', 'gone'])).toEqual(['name', 'b', 'c']);
    expect(ids([])).toEqual(['name']);
  });

  it('whatever stands in the storage of the browser, only choices are read', () => {
    expect(parseKept('{"gpus":{"columns":["a"],"sort":"vram","dir":"desc","more":1},"x":7}')).toEqual({
      gpus: { columns: ['a'], sort: 'vram', dir: 'desc' },
    });
    expect(parseKept('{"gpus":{"columns":[1],"sort":2,"dir":"up"}}')).toEqual({ gpus: {} });
    for (const text of [null, '', '[]', 'null', '7', '{', '{"a":null}']) expect(parseKept(text)).toEqual({});
    fc.assert(
      fc.property(fc.json(), (text) => {
        for (const kept of Object.values(parseKept(text)))
          for (const name of Object.keys(kept)) expect(['columns', 'sort', 'dir']).toContain(name);
      }),
    );
  });
});
