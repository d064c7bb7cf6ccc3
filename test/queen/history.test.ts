import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HistoryStore, joinHistories, originMs } from '../../lib/queen/history.js';
import { fromHalf, toHalf } from '../../lib/queen/history-day.js';
import { adoptHistory, historyText, parseHistory } from '../../lib/queen/history-file.js';
import { ringsOf } from '../../lib/queen/history-keys.js';
import { historyStepMs, historySteps } from '../../lib/queen/history-sizes.js';
import type { Indexes } from '../../lib/queen/indexes.js';
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
    const blank = { newestAgeMs: 0, series: { a: [], b: [], c: [], d: [] } };
    for (const ring of [again, -1]) {
      expect(store.read(ring, names, 5)).toEqual({ stepMs: 10_000, ...blank });
      expect(store.readDay(ring, names, 5)).toEqual({ stepMs: 120_000, ...blank });
      expect(store.save(ring, 5)).toBeNull();
    }
    // Without a ring there is no history, and no harm.
    store.add(-1, 0, 1, 1, 1, 1);
    store.close(-1);
    expect(store.read(-1, names, 0)).toEqual({
      stepMs: 10_000,
      newestAgeMs: 0,
      series: { a: [], b: [], c: [], d: [] },
    });
  });

  it('knows nothing of a time in which nothing was heard, though an hour before something was', () => {
    const store = new HistoryStore(300);
    const rings = Array.from({ length: 300 }, () => store.open());
    const ring = rings.at(-1)!;
    for (let step = 0; step < historySteps; step++) store.add(ring, step * historyStepMs, 1, 2, 3, 4);
    for (const gap of [1, 30, historySteps - 2, historySteps, 3 * historySteps]) {
      const store = new HistoryStore(1);
      const ring = store.open();
      for (let step = 0; step < historySteps; step++) store.add(ring, step * historyStepMs, 1, 2, 3, 4);
      store.add(ring, (historySteps + gap) * historyStepMs, 5, 5, 5, 5);
      const { a } = store.read(ring, names, (historySteps + gap) * historyStepMs).series;
      const ones = Math.max(0, historySteps - 1 - gap);
      const expected = [...Array<number>(ones).fill(1), ...(ones === 0 ? [] : Array<null>(gap).fill(null)), 5];
      expect([gap, a]).toEqual([gap, expected]);
    }
    // Of 300 rings none has what another was given.
    store.add(rings[1]!, 0, 9, 9, 9, 9);
    expect(store.read(ring, names, 0).series.a!.every((value) => value === 1)).toBe(true);
    expect(store.read(rings[1]!, names, 0).series.d).toEqual([9]);
  });

  it('is kept from ten days before the start of the clock', () => {
    const store = new HistoryStore(1);
    const ring = store.open();
    store.add(ring, -originMs, 1, 2, 3, 4);
    expect(store.read(ring, names, -originMs + 7)).toMatchObject({ newestAgeMs: 7, series: { a: [1], d: [4] } });
    expect(store.readDay(ring, names, -originMs + 7)).toMatchObject({ newestAgeMs: 7, series: { a: [1], d: [4] } });
    store.add(ring, -originMs + historyStepMs, 3, 2, 3, 4);
    expect(store.read(ring, names, -originMs + historyStepMs).series.a).toEqual([1, 3]);
  });

  it('of several rings that end together begins where the longest does, and is as old as they are', () => {
    const own = { stepMs: 10_000, newestAgeMs: 40, series: { a: [1, 2, 3], b: [null, 2, 3] } };
    const later = { stepMs: 10_000, newestAgeMs: 40, series: { c: [7] } };
    for (const histories of [
      [own, later],
      [later, own],
    ])
      expect(joinHistories(histories)).toEqual({
        stepMs: 10_000,
        newestAgeMs: 40,
        series: { a: [1, 2, 3], b: [null, 2, 3], c: [null, null, 7] },
      });
  });

  it('has a key for each ring in use: hosts first, then GPUs, then workers', () => {
    const worker = (id: string, ring: number, servingRing: number) => ({
      hive: { id: 'a' },
      current: { id },
      ring,
      servingRing,
    });
    const hives = [
      ...[{ id: 'a', ring: 5, gpuOrder: [], workerOrder: [worker('llm/0', 1, 0), worker('llm/1', 2, -1)] }],
      ...[{ id: 'b', ring: -1, gpuOrder: [{ current: { uuid: 'GPU-0' }, ring: 3 }], workerOrder: [] }],
    ];
    const indexes = { hives: new Map(hives.map((hive) => [hive.id, hive])) } as unknown as Indexes;
    expect([...ringsOf(indexes)]).toEqual([
      ['h a', 5],
      ['h b', -1],
      ['g GPU-0', 3],
      ['w a/llm/0', 1],
      ['s a/llm/0', 0],
      ['w a/llm/1', 2],
    ]);
  });

  it('takes room as it fills, none for what is not known, and gives it back', () => {
    const store = new HistoryStore(100);
    const rings = Array.from({ length: 100 }, () => store.open());
    const run = (ring: number, steps: number, value: number | null) => {
      for (let at = 0; at < steps; at++) store.add(ring, at * historyStepMs, value, value, value, value);
    };
    for (const ring of rings) run(ring, 4, null);
    expect(store.usedBytes).toBe(0);
    for (const ring of rings.slice(0, 10)) run(ring, 4, 1);
    const few = store.usedBytes;
    expect(few).toBeGreaterThan(0);
    expect(few).toBeLessThanOrEqual(10 * 400);
    for (const ring of rings.slice(0, 10)) run(ring, 2 * 8640, 1);
    // Each an hour of Float32 and a day of halves.
    expect(store.usedBytes).toBe(10 * (360 * 4 * 4 + 720 * 4 * 2));
    for (const ring of rings) store.close(ring);
    expect(store.usedBytes).toBe(0);
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

describe('history of a day', () => {
  const values = fc.option(fc.integer({ min: 0, max: 1_000_000 }), { freq: 4 });
  const samples = fc.array(fc.tuple(fc.constantFrom(1000, 10_000, 60_000, 125_000, 4_000_000), values), {
    maxLength: 200,
  });

  const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const into = (map: Map<number, number[]>, key: number, values: readonly number[]) =>
    map.set(key, [...(map.get(key) ?? []), ...values]);

  /** What a plain list of everything says of each two minutes. */
  function modelOf(added: readonly (readonly [at: number, value: number | null])[]): Map<number, number[]> {
    const steps = new Map<number, number[]>();
    for (const [at, value] of added) into(steps, Math.floor(at / historyStepMs), value === null ? [] : [value]);
    const days = new Map<number, number[]>();
    for (const [step, numbers] of steps) if (numbers.length > 0) into(days, Math.floor(step / 12), [mean(numbers)]);
    return days;
  }
  const agrees = (value: number | null, expected: readonly number[] | undefined): boolean =>
    expected === undefined
      ? value === null
      : value !== null && Math.abs(value - mean(expected)) <= 0.005 * mean(expected);

  it('is the mean of the 10 s steps of each two minutes, whatever comes when, within half a percent', () => {
    fc.assert(
      fc.property(samples, (list) => {
        const store = new HistoryStore(1);
        const ring = store.open();
        let now = 0;
        const added = list.map(([ms, value]) => {
          now += ms;
          store.add(ring, now, value, null, null, null);
          return [now, value] as const;
        });
        const { series, stepMs, newestAgeMs } = store.readDay(ring, names, now);
        if (added.length === 0) return series.a!.length === 0;
        const days = modelOf(added);
        const last = Math.floor(now / stepMs);
        expect(newestAgeMs).toBe(now - last * stepMs);
        const first = last - series.a!.length + 1;
        // The newest is of a time that is not over.
        for (const [index, value] of series.a!.slice(0, -1).entries())
          expect(agrees(value, days.get(first + index)), `step ${first + index}: ${value}`).toBe(true);
        const oldest = Math.min(...[...days.keys()].filter((day) => day > last - 720));
        return oldest === Number.POSITIVE_INFINITY || first <= oldest;
      }),
    );
  });

  it('half a Float32 keeps every value within 0.4 %, and what is not known', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true, min: 0 }), (value) => {
        const kept = fromHalf(toHalf(value));
        expect(Number.isFinite(kept)).toBe(true);
        expect(Math.abs(kept - value)).toBeLessThanOrEqual(Math.max(0.008 * value, 1e-38));
      }),
    );
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN();
  });

  it('is kept only of what lives for two minutes, as far as there is room, and comes back blank', () => {
    const store = new HistoryStore(3, 1);
    const rings = [store.open(), store.open(), store.open()];
    const run = (ring: number, fromMs: number, toMs: number) => {
      for (let at = fromMs; at < toMs; at += 10_000) store.add(ring, at, 1, 1, 1, 1);
    };
    run(rings[0]!, 0, 110_000);
    expect(store.days).toBe(0);
    run(rings[1]!, 0, 4_200_000);
    run(rings[2]!, 0, 4_200_000);
    expect(store.days).toBe(1);
    // More than the hour, and with no room for a day no more than the hour's own last step.
    expect(store.readDay(rings[1]!, names, 4_200_000).series.a).toHaveLength(35);
    expect(store.readDay(rings[2]!, names, 4_200_000).series.a).toEqual([1]);
    store.close(rings[1]!);
    expect(store.days).toBe(0);
    const again = store.open();
    run(again, 4_200_000, 4_500_000);
    expect(store.readDay(again, names, 4_500_000).series.a!.length).toBeLessThanOrEqual(3);
  });
});

describe('history over a restart', () => {
  const fields = (use: number) => ({
    host: { cpuPercent: use },
    gpus: [gpuSample('GPU-0', { utilizationPercent: use })],
    workers: [workerSample('llm/1', { cpuPercent: use })],
  });

  it('goes on: the day as it was, the hour in steps of the day, a gap where nothing ran', () => {
    const clock = new ManualClock(20_000);
    const before = new TestQueen({ clock: clock.read });
    let seq = 0;
    // Two hours, of which the second is busier.
    for (let at = 0; at < 7_200_000; at += 10_000) {
      before.hear('a', ++seq, fields(at < 3_600_000 ? 10 : 40));
      clock.advance(10_000);
    }
    const text = [...historyText(before, 1_000_000)].join('');
    expect(text.length).toBeLessThan(10_000);
    const parsed = parseHistory(text);
    if ('reason' in parsed) throw new Error(parsed.reason);

    // Another run has another clock; ten minutes passed meanwhile.
    const later = new ManualClock(5);
    const after = new TestQueen({ clock: later.read });
    adoptHistory(after, parsed.state, 1_600_000);
    // What nobody asked for yet is not lost at the next restart.
    const again = parseHistory([...historyText(after, 1_600_000)].join(''));
    expect('state' in again && again.state).toHaveLength(5);
    for (let next = 1; next <= 30; next++) {
      after.hear('a', next, fields(80));
      later.advance(10_000);
    }
    for (const history of [after.history('a', undefined, 'day'), after.history('a', 'llm/1', 'day')]) {
      const points = history!.series.cpuPercent!;
      expect(points.slice(0, 25).every((value) => value === 10)).toBe(true);
      expect(points.at(-1)).toBe(80);
      const gap = points.filter((value) => value === null).length;
      expect(gap).toBeGreaterThanOrEqual(4);
      expect(gap).toBeLessThanOrEqual(6);
      expect(points.length).toBeGreaterThanOrEqual(60);
    }
    expect(
      after.gpuHistory('GPU-0', 'day')!.series.utilizationPercent!.filter((value) => value === 40).length,
    ).toBeGreaterThan(25);
    const hour = after.history('a')!.series.cpuPercent!;
    expect(hour.filter((value) => value === 40).length).toBeGreaterThan(200);
    expect(hour.slice(-25).every((value) => value === 80)).toBe(true);
    expect(after.audit()).toEqual([]);
    // Of a file that is old, or no history at all, nothing is taken.
    for (const rings of [parsed.state, [{ writtenAtMs: 0 }, {}, null, { key: 'h a', ageMs: 0, points: '!' }], []]) {
      const fresh = new TestQueen({ clock: new ManualClock(5).read });
      adoptHistory(fresh, rings, 1_000_000 + 100_000_000);
      fresh.hear('a', 1, fields(1));
      expect(fresh.history('a', undefined, 'day')!.series.cpuPercent).toEqual([1]);
    }
  });

  it('any text that is taken for points leaves a history that can be read', () => {
    fc.assert(
      fc.property(fc.base64String({ maxLength: 7000 }), fc.nat(90_000_000), (points, ageMs) => {
        const clock = new ManualClock(5);
        const queen = new TestQueen({ clock: clock.read });
        adoptHistory(queen, [{ writtenAtMs: 0 }, { key: 'h a', ageMs, points }], 0);
        queen.hear('a', 1, fields(1));
        clock.advance(300_000);
        queen.hear('a', 2, fields(2));
        const { series } = queen.history('a', undefined, 'day')!;
        expect(series.cpuPercent!.length).toBeLessThanOrEqual(720);
        expect(series.cpuPercent!.at(-1)).toBe(2);
        for (const value of queen.history('a')!.series.cpuPercent!) expect(value).not.toBeNaN();
      }),
      { numRuns: 40 },
    );
  });
});
