import { crc32 } from 'node:zlib';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { readSchema } from '../../../lib/contract/stream/codec.js';
import { cellCount, countRows, NumericState } from '../../../lib/contract/stream/state.js';

/** Anew each time: what takes the numbers of a row is made once for its columns. */
const newSchema = () =>
  readSchema({
    head: [
      ['intervalMs', 1],
      ['host.pressure.cpu', 100],
    ],
    gpu: [
      ['powerWatts', 100],
      ['memoryUsedBytes', 1],
      ['health', ['ok', 'lost', 'degraded']],
    ],
    worker: [
      ['state', ['idle', 'busy']],
      ['serving.running', 1],
      ['pid', 1],
      ['cpuPercent', 100],
    ],
    held: [['memoryUsedBytes', 1]],
  });
const { NaN: none } = Number;

const worker = (pid: unknown, over: object, ...held: unknown[]) => ({
  ...{ pid, cpuPercent: null, ...over },
  gpus: held.map((memoryUsedBytes) => ({ memoryUsedBytes })),
});
const heartbeat = {
  intervalMs: 2000,
  host: { pressure: { cpu: 12.5 } },
  gpus: [
    { powerWatts: 61.25, memoryUsedBytes: 5e9, health: 'lost' },
    { powerWatts: Number.POSITIVE_INFINITY, memoryUsedBytes: -0, health: 'burning' },
  ],
  workers: [
    worker(11, { state: 'busy', serving: { running: 4 } }, 1e9, 2e9),
    worker('12', { state: 'idle', serving: null }),
    worker(13, { state: 1, cpuPercent: 99.5 }, 3e9),
  ],
};
/** Row by row, as the schema has them. */
const rows = [
  [2000, 12.5],
  [61.25, 5e9, 1],
  [none, 0, none],
  [1, 4, 11, none],
  [0, none, none, none],
  [none, none, 13, 99.5],
  [1e9],
  [2e9],
  [3e9],
];

function taken() {
  const state = new NumericState(newSchema(), countRows(heartbeat));
  state.take(heartbeat);
  return state;
}

function withoutCode() {
  vi.stubGlobal('Function', function refused() {
    throw new EvalError('Code generation from strings disallowed for this context');
  });
  onTestFinished(() => void vi.unstubAllGlobals());
}

describe('the numbers of a heartbeat', () => {
  it.each([
    ['by code that is generated', () => {}],
    ['by loops, where none may be', withoutCode],
  ])('are taken row by row, %s', (_how, before) => {
    before();
    expect([...taken().values]).toEqual(rows.flat());
    // As JSON has it, a zero is none below zero.
    expect(Object.is(taken().values[6], 0)).toBe(true);
    const bare = { ...heartbeat, host: undefined };
    const state = taken();
    state.takeRow(0, bare);
    expect([...state.values]).toEqual([2000, none, ...rows.slice(1).flat()]);
  });

  it('are null before they are taken, and those of a worker are taken with what it holds', () => {
    const state = new NumericState(newSchema(), countRows(heartbeat));
    expect([...state.values]).toEqual(rows.flat().map(() => none));
    state.takeWorker(2, worker(31, { state: 'busy' }, 7e9));
    state.takeWorker(0, worker(30, {}, 8e9, 9e9));
    const expected = rows.flat().map(() => none);
    expected.splice(8, 4, none, none, 30, none);
    expected.splice(16, 4, 1, none, 31, none);
    expected.splice(20, 3, 8e9, 9e9, 7e9);
    expect([...state.values]).toEqual(expected);
  });

  it('have the same checksum on both ends, and another where one is another', () => {
    const state = taken();
    expect(taken().checksum()).toBe(state.checksum());
    expect(state.checksum()).toBe(crc32(Buffer.from(state.values.buffer)));
    state.values[22] = 4e9;
    expect(taken().checksum()).not.toBe(state.checksum());
  });
});

describe('rows of a state', () => {
  let state: NumericState;
  beforeEach(() => {
    state = taken();
  });
  const all = rows.map((_, row) => row);

  it('stand one behind the other, by type', () => {
    expect(countRows(heartbeat)).toEqual({ gpus: 2, workers: 3, held: [2, 0, 1] });
    expect([state.rowCount, state.firstGpu, state.firstWorker, state.firstHeld]).toEqual([9, 1, 3, 6]);
    expect(cellCount(state.schema, countRows(heartbeat))).toBe(rows.flat().length);
    expect(all.map((row) => state.typeOf(row))).toEqual([
      'head',
      'gpu',
      'gpu',
      'worker',
      'worker',
      'worker',
      'held',
      'held',
      'held',
    ]);
    expect(all.map((row) => state.offsetOf(row))).toEqual([0, 2, 5, 8, 12, 16, 20, 21, 22]);
    expect(all.map((row) => state.columnsOf(row).length)).toEqual(rows.map((row) => row.length));
  });

  it('of what a worker holds say whose they are', () => {
    expect([6, 7, 8].map((row) => state.holderOf(row))).toEqual([
      { worker: 0, gpu: 0 },
      { worker: 0, gpu: 1 },
      { worker: 2, gpu: 0 },
    ]);
    expect([6, 7, 8].map((row) => state.workerOfHeld(row))).toEqual([0, 0, 2]);
    expect([0, 1, 2].map((index) => state.heldRowsOf(index))).toEqual([
      [6, 8],
      [8, 8],
      [8, 9],
    ]);
    expect([0, 1, 2, 3].map((index) => state.firstHeldOf(index))).toEqual([6, 8, 8, 9]);
  });

  it('are those of one made likewise, which knows no numbers yet', () => {
    const other = state.likewise();
    expect(other.schema).toBe(state.schema);
    expect(all.map((row) => [other.typeOf(row), other.offsetOf(row)])).toEqual(
      all.map((row) => [state.typeOf(row), state.offsetOf(row)]),
    );
    expect([0, 1, 2].map((index) => other.heldRowsOf(index))).toEqual([0, 1, 2].map((i) => state.heldRowsOf(i)));
    expect([...other.values]).toEqual(rows.flat().map(() => none));
    expect(other.rowCount).toBe(9);
  });

  it('are the head alone where a host has nothing', () => {
    const bare = new NumericState(newSchema(), countRows({ gpus: [], workers: [] }));
    expect([bare.rowCount, bare.values.length, bare.typeOf(0), bare.firstHeldOf(0)]).toEqual([1, 2, 'head', 1]);
  });
});
