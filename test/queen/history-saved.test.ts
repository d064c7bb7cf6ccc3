import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DayStore, dayStepMs, daySteps, fromHalf, meanOfHour, toHalf } from '../../lib/queen/history-day.js';
import { KeptDays, restoreDay, saveDay } from '../../lib/queen/history-saved.js';
import { historySteps, seriesPerRing } from '../../lib/queen/history-sizes.js';
import { ManualClock } from './heartbeats.js';

const dayMs = daySteps * dayStepMs;
const unknown = toHalf(Number.NaN);

/** A day of nothing but what was set. */
function openDay() {
  const store = new DayStore(1);
  return store.points(store.open());
}

describe('a day as text', () => {
  it('comes back as it was, from its first known step on, wherever it ended', () => {
    const points = fc.array(fc.tuple(fc.nat(seriesPerRing - 1), fc.nat(daySteps - 1), fc.nat(1000)), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(
        points,
        fc.integer({ min: daySteps, max: 5000 }),
        fc.integer({ min: daySteps, max: 5000 }),
        (given, last, later) => {
          const before = openDay();
          for (const [series, back, value] of given) before.set(series, last - back, toHalf(value));
          const saved = saveDay(before, last, 1234)!;
          expect(saved.ageMs).toBe(1234);
          const length = Math.max(...given.map(([, back]) => back)) + 1;
          expect(Buffer.from(saved.points, 'base64')).toHaveLength(length * seriesPerRing * 2);
          const after = openDay();
          restoreDay(after, saved.points, later);
          const allOf = (day: typeof before, newest: number) =>
            Array.from({ length: seriesPerRing * daySteps }, (_, at) =>
              day.get(at % seriesPerRing, newest - Math.floor(at / seriesPerRing)),
            );
          expect(allOf(after, later)).toEqual(allOf(before, last));
        },
      ),
      { numRuns: 20 },
    );
  });

  it('is written series after series, the lower byte first', () => {
    const day = openDay();
    day.set(0, 800, 0x0102);
    day.set(3, 801, 0x0304);
    const [low, high] = [unknown & 255, unknown >> 8];
    const none = [low, high];
    expect([...Buffer.from(saveDay(day, 801, 5)!.points, 'base64')]).toEqual([
      ...[2, 1, ...none],
      ...[...none, ...none],
      ...[...none, ...none],
      ...[...none, 4, 3],
    ]);
  });

  it('of nothing is none, and a step that is older than a day is not in it', () => {
    const day = openDay();
    expect(saveDay(day, 900, 0)).toBeNull();
    day.set(2, 900, 1);
    expect(saveDay(day, 900 + daySteps - 1, 0)).not.toBeNull();
    expect(Buffer.from(saveDay(day, 900, 0)!.points, 'base64')).toHaveLength(seriesPerRing * 2);
  });

  it.each([
    ['of half a step', Buffer.alloc(seriesPerRing * 2 * 3 + 2, 1)],
    ['of more than a day', Buffer.alloc(seriesPerRing * 2 * (daySteps + 1), 1)],
  ])('%s changes nothing', (_, bytes) => {
    const day = openDay();
    restoreDay(day, bytes.toString('base64'), 1000);
    for (let at = 0; at < daySteps; at++) expect(day.get(0, 1000 - at)).toBe(unknown);
    // A whole day is the most.
    restoreDay(day, Buffer.alloc(seriesPerRing * 2 * daySteps, 1).toString('base64'), 1000);
    for (let at = 0; at < daySteps; at++) expect(day.get(0, 1000 - at)).toBe(0x0101);
  });
});

describe('days of a run before this one', () => {
  const ring = (key: string, ageMs: number) => ({ key, ageMs, points: 'AAAAAAAAAAA=' });

  it('are taken once, as old as they are by then', () => {
    const clock = new ManualClock(70);
    const days = new KeptDays(clock.read);
    days.adopt([ring('a', 1000), ring('b', 30)], 500);
    clock.advance(7);
    expect(days.take('c')).toBeUndefined();
    expect(days.take('a')).toEqual({ ageMs: 1507, points: 'AAAAAAAAAAA=' });
    expect(days.take('a')).toBeUndefined();
    expect([...days.left()]).toEqual([{ key: 'b', ageMs: 537, points: 'AAAAAAAAAAA=' }]);
  });

  it('are kept for an hour for whoever is not heard yet', () => {
    const clock = new ManualClock(70);
    const days = new KeptDays(clock.read);
    days.adopt([ring('a', 0)], 0);
    clock.advance(3_600_000);
    expect([...days.left()].map(({ key }) => key)).toEqual(['a']);
    clock.advance(1);
    expect([...days.left()]).toEqual([]);
    expect(days.take('a')).toBeUndefined();
  });

  it.each([
    ['of a day ago', ring('a', dayMs - 500), false],
    ['of just less', ring('a', dayMs - 501), true],
    ['of now', ring('a', -500), true],
    ['of what is still to come', ring('a', -501), false],
    ['without a key', ring('', 0), false],
    ['of a key that is too long', ring('k'.repeat(513), 0), false],
    ['of points that are no text', { ...ring('a', 0), points: 7 }, false],
    ['of nothing', null, false],
  ])('%s: taken or left out', (_, given, isTaken) => {
    const days = new KeptDays(() => 0);
    days.adopt([given], 500);
    expect([...days.left()]).toHaveLength(isTaken ? 1 : 0);
  });
});

describe('half a Float32', () => {
  it.each([
    [0, 0],
    [1, 0x3f80],
    [-1, 0xbf80],
    [2, 0x4000],
    // Rounded to the nearer one, in the middle up.
    [1 + 2 ** -8, 0x3f81],
    [1 + 2 ** -8 - 2 ** -20, 0x3f80],
    [-1 - 2 ** -8, 0xbf81],
    // The largest does not become infinite; what is infinite stays so.
    [3.4028234663852886e38, 0x7f7f],
    [Number.POSITIVE_INFINITY, 0x7f80],
    [Number.NaN, 0x7fc0],
  ])('of %d is %i', (value, half) => {
    expect(toHalf(value)).toBe(half);
  });

  it('is the number again', () => {
    expect([0x3f80, 0xbf80, 0x4049, 0x7f80].map(fromHalf)).toEqual([1, -1, 3.140625, Number.POSITIVE_INFINITY]);
    expect(fromHalf(0x7fc0)).toBeNaN();
  });
});

describe('the mean of two minutes', () => {
  const at = (known: Readonly<Record<number, number>>) => (series: number, step: number) =>
    series === 1 ? (known[step] ?? Number.NaN) : 1e9;

  it('is that of its own steps which are known', () => {
    const hour = at({ 11: 100, 12: 2, 15: 4, 23: 9, 24: 100 });
    expect(meanOfHour(hour, 1, 1, 400)).toBeNaN();
    expect(meanOfHour(hour, 1, 1, 300)).toBe(5);
    // Up to the one that is still open.
    expect(meanOfHour(hour, 1, 1, 23)).toBe(3);
    expect(meanOfHour(hour, 1, 1, 16)).toBe(3);
    expect(meanOfHour(hour, 1, 1, 15)).toBe(2);
    expect(meanOfHour(hour, 1, 1, 12)).toBeNaN();
    expect(meanOfHour(at({}), 1, 1, 300)).toBeNaN();
  });

  it('has none of more than an hour ago', () => {
    const hour = at({ 12: 2, 13: 4, 23: 6 });
    expect([0, 1, 2].map((more) => meanOfHour(hour, 1, 1, historySteps + 12 + more))).toEqual([4, 5, 6]);
  });
});

describe('days', () => {
  it('are as many as there is room for, and come back blank', () => {
    const store = new DayStore(2);
    expect([store.open(), store.open(), store.open(), store.used]).toEqual([0, 1, -1, 2]);
    store.points(1).set(0, 5, 3);
    expect(store.usedBytes).toBe(36 * seriesPerRing * 2);
    store.close(-1);
    expect(store.used).toBe(2);
    store.close(0);
    expect(store.used).toBe(1);
    expect(store.open()).toBe(0);
    store.close(1);
    expect([store.used, store.usedBytes, store.open(), store.points(1).get(0, 5)]).toEqual([1, 0, 1, unknown]);
  });

  it('close the step in which anything was last, from the hour; what lies between is not known', () => {
    const store = new DayStore(1);
    const day = store.open();
    const points = store.points(day);
    for (let step = 0; step < daySteps; step++)
      for (let series = 0; series < seriesPerRing; series++) points.set(series, step, 1);
    // The last of step 100 is that of 1207; it is 1230 now, of step 102.
    store.fold(day, (series, step) => (step < 1200 || step > 1207 ? 1e9 : series * 100 + step - 1200), 1207, 1230);
    const half = (value: number) => toHalf(value);
    expect([0, 1, 2, 3].map((series) => points.get(series, 100))).toEqual([3.5, 103.5, 203.5, 303.5].map(half));
    expect([99, 101, 102, 103].map((step) => points.get(2, step))).toEqual([1, unknown, unknown, 1]);
  });

  it('after a day without anything know nothing', () => {
    const store = new DayStore(1);
    const day = store.open();
    const points = store.points(day);
    for (const ago of [daySteps - 1, daySteps]) {
      for (let step = 0; step < daySteps; step++) points.set(0, step, 1);
      store.fold(day, () => 5, 1207, (100 + ago) * 12 + 3);
      expect(points.get(0, 100)).toBe(ago < daySteps ? toHalf(5) : unknown);
      for (let step = 101; step < 100 + daySteps; step++) expect(points.get(0, step)).toBe(unknown);
    }
  });
});
