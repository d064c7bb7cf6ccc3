import { expect, it } from 'vitest';
import { ChangedCells } from '../../../lib/contract/stream/cells.js';
import { readSchema } from '../../../lib/contract/stream/codec.js';
import { NumericState } from '../../../lib/contract/stream/state.js';

type Cell = readonly [row: number, column: number, before: number];

/** What they say, cell by cell. */
function read(cells: ChangedCells): [row: number, column: number][] {
  const found: [number, number][] = [];
  for (let i = 0; i < cells.rowCount; i++)
    for (let cell = cells.begin(i); cell < cells.end(i); cell++) found.push([cells.row(i), cells.column(cell)]);
  return found;
}

const filled = (cells: ChangedCells, given: readonly Cell[]): ChangedCells => {
  for (const cell of given) cells.add(...cell);
  return cells;
};

it('changed cells stand by their rows, however many rows and cells there are', () => {
  const cells = new ChangedCells();
  expect([cells.length, cells.rowCount]).toEqual([0, 0]);
  for (const [rows, columns] of [
    [1, 1],
    [3, 2],
    [64, 4],
    [65, 3],
    [64, 5],
    [300, 7],
    [1, 257],
    [2, 700],
  ] as const) {
    const given = Array.from(
      { length: rows * columns },
      (_, i): Cell => [2 * Math.floor(i / columns), 3 * (i % columns), i],
    );
    cells.clear();
    filled(cells, given);
    expect([cells.length, cells.rowCount]).toEqual([rows * columns, rows]);
    expect(read(cells)).toEqual(given.map(([row, column]) => [row, column]));
  }
});

it('rows that are the last of before and the first of now are not one', () => {
  const cells = filled(new ChangedCells(), [[5, 1, 10]]);
  cells.clear();
  filled(cells, [
    [5, 2, 20],
    [6, 0, 30],
  ]);
  expect(read(cells)).toEqual([
    [5, 2],
    [6, 0],
  ]);
  expect([cells.begin(0), cells.end(0), cells.begin(1), cells.end(1)]).toEqual([0, 1, 1, 2]);
});

it('are taken back, each to what it was, and no others', () => {
  const columns = Array.from({ length: 9 }, (_, i) => [`c${i}`, 1]);
  const schema = readSchema({ head: columns, gpu: columns, worker: columns, held: columns });
  const state = new NumericState(schema, { gpus: 40, workers: 30, held: new Array(30).fill(1) });
  const numbers = state.values.map((_, i) => i + 0.5);
  state.values.set(numbers);
  const cells = new ChangedCells();
  for (let row = 0; row < state.rowCount; row += 1 + (row % 3))
    for (let column = row % 2; column < columns.length; column += 2) {
      const at = state.offsetOf(row) + column;
      cells.add(row, column, state.values[at]!);
      state.values[at] = -1;
    }
  const others = state.values.findIndex((value) => value !== -1);
  state.values[others] = 7777;
  cells.restore(state);
  expect(state.values).toEqual(numbers.with(others, 7777));
});

it('of what was said before nothing is taken back', () => {
  const schema = readSchema({ head: [['a', 1]], gpu: [['b', 1]], worker: [], held: [] });
  const state = new NumericState(schema, { gpus: 2, workers: 0, held: [] });
  const cells = filled(new ChangedCells(), [
    [0, 0, 10],
    [1, 0, 20],
    [2, 0, 30],
  ]);
  cells.clear();
  state.values.set([1, 2, 3]);
  filled(cells, [[1, 0, 9]]).restore(state);
  expect([...state.values]).toEqual([1, 9, 3]);
});
