import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HistoryStore, historyStepMs, historySteps } from '../../lib/queen/history.js';
import { servingOf } from '../harness/heartbeats.js';
import { gpuSample, ManualClock, onGpu, TestQueen, workerSample } from './heartbeats.js';

const names = ['a', 'b', 'c', 'd'];

describe('history', () => {
  it('keeps the mean of each 10 s, null where nothing was heard, for the last hour', () => {
    const store = new HistoryStore(4);
    const ring = store.open();
    store.add(ring, 0, 1, null, 3, 4);
    store.add(ring, 5000, 3, null, 3, 4);
    store.add(ring, 30_000, 10, 5, null, 4);
    expect(store.read(ring, names, 34_000)).toEqual({
      stepMs: 10_000,
      newestAgeMs: 4000,
      series: { a: [2, null, null, 10], b: [null, null, null, 5], c: [3, null, null, null], d: [4, null, null, 4] },
    });
  });

  it('agrees with a plain list of everything, over any times', () => {
    const samples = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 400_000 }), fc.option(fc.integer({ min: 0, max: 1000 }))),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(samples, (list) => {
        const store = new HistoryStore(1);
        const ring = store.open();
        const bySteps = new Map<number, number[]>();
        let now = 0;
        for (const [ms, value] of list) {
          now += ms;
          store.add(ring, now, value, value, null, null);
          const step = Math.floor(now / historyStepMs);
          const values = bySteps.get(step) ?? [];
          if (value !== null) values.push(value);
          bySteps.set(step, values);
        }
        const last = Math.floor(now / historyStepMs);
        const expected: (number | null)[] = [];
        for (let step = Math.max(0, last - historySteps + 1); step <= last; step++) {
          const values = bySteps.get(step) ?? [];
          const mean = values.length === 0 ? null : Math.fround(values.reduce((a, b) => a + b, 0) / values.length);
          if (expected.length > 0 || mean !== null) expected.push(mean);
        }
        const { series } = store.read(ring, names, now);
        const found = series.a!.map((value) => (value === null ? null : Math.fround(value)));
        expect(found).toEqual(expected);
        expect(series.b).toEqual(series.a);
        expect(series.c).toEqual(expected.map(() => null));
      }),
    );
  });

  it('hands out no more rings than it may, and a returned one comes back blank', () => {
    const store = new HistoryStore(2);
    const [first, second] = [store.open(), store.open()];
    expect([first, second, store.open()]).toEqual([0, 1, -1]);
    store.add(first, 0, 1, 1, 1, 1);
    store.close(first);
    expect(store.used).toBe(1);
    const again = store.open();
    expect(again).toBe(first);
    expect(store.read(again, names, 0).series.a).toEqual([]);
    // Without a ring there is no history, and no harm.
    store.add(-1, 0, 1, 1, 1, 1);
    store.close(-1);
    expect(store.read(-1, names, 0)).toEqual({
      stepMs: 10_000,
      newestAgeMs: 0,
      series: { a: [], b: [], c: [], d: [] },
    });
  });

  it('of a worker whose engine reports holds what it reports, from when it first did', () => {
    const clock = new ManualClock(20_000);
    const queen = new TestQueen({ clock: clock.read });
    const serving = servingOf({ running: 3, waiting: 1, kvPercent: 50, generationTokensPerSecond: 90 });
    for (const [seq, its] of [null, serving, null, { ...serving, running: 5 }].entries()) {
      queen.hear('a', seq + 1, { workers: [workerSample('llm/1', { cpuPercent: 10, serving: its })] });
      clock.advance(10_000);
    }
    expect(queen.history('a', 'llm/1')?.series).toMatchObject({
      cpuPercent: [10, 10, 10, 10],
      running: [null, 3, null, 5],
      waiting: [null, 1, null, 1],
      kvPercent: [null, 50, null, 50],
      generationTokensPerSecond: [null, 90, null, 90],
    });
    expect(queen.audit()).toEqual([]);
    queen.hear('a', 5);
    expect(queen.audit()).toEqual([]);
  });

  it('of a registry: hives, workers and GPUs by name, gone with what it was of', () => {
    const clock = new ManualClock(20_000);
    const queen = new TestQueen({ clock: clock.read, historyRings: 3 });
    const sendHeartbeat = (seq: number, use: number) =>
      queen.hear('a', seq, {
        host: { cpuPercent: use, load1: null },
        gpus: [gpuSample('GPU-0', { utilizationPercent: use })],
        workers: [
          workerSample('llm/1', {
            ...onGpu('GPU-0', 1024, use),
            cpuPercent: use,
            workingSetBytes: 4096,
            serving: null,
          }),
        ],
      });
    sendHeartbeat(1, 10);
    clock.advance(10_000);
    sendHeartbeat(2, 30);
    expect(queen.history('a')?.series).toEqual({
      cpuPercent: [10, 30],
      memoryAvailableBytes: [96 * 2 ** 30, 96 * 2 ** 30],
      load1: [null, null],
      workers: [1, 1],
    });
    expect(queen.history('a', 'llm/1')?.series).toEqual({
      cpuPercent: [10, 30],
      workingSetBytes: [4096, 4096],
      gpuUtilizationPercent: [10, 30],
      vramUsedBytes: [1024, 1024],
    });
    expect(queen.gpuHistory('GPU-0')?.series.utilizationPercent).toEqual([10, 30]);
    expect([queen.history('b'), queen.history('a', 'llm/2'), queen.gpuHistory('GPU-1')]).toEqual([null, null, null]);
    queen.hear('a', 3);
    expect(queen.history('a', 'llm/1')).toBeNull();
    expect(queen.audit()).toEqual([]);
  });
});
