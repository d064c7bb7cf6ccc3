import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compare, countsOver, isOver, isSlower, nativeToLimit, type Pair, ratioOf } from '../../bench/compare.js';

/** What a machine that does other things adds to a call: nothing at times, up to three times as much at others. */
const noise = fc.double({ min: 0, max: 3, noNaN: true });
const rounds = (factor: number, quiet: Pair = { current: 100 * factor, base: 100 }) =>
  fc
    .array(fc.tuple(noise, noise), { minLength: 6, maxLength: 12 })
    .map((all) => [quiet, ...all.map(([a, b]) => ({ current: 100 * factor * (1 + a), base: 100 * (1 + b) }))]);

describe('bench_check', () => {
  test('bench_check: an unchanged tree is not slower, however noisy, where each side had one quiet round', () => {
    fc.assert(fc.property(rounds(1), (pairs) => !isSlower(compare(pairs))));
  });

  test('bench_check: twice the work is found where both meet the same noise', () => {
    const same = fc.array(noise, { minLength: 6, maxLength: 12 });
    fc.assert(
      fc.property(same, (all) => isSlower(compare(all.map((a) => ({ current: 200 * (1 + a), base: 100 * (1 + a) }))))),
    );
  });

  test('bench_check: 15 % is the line, and both views must be over it', () => {
    expect(isSlower(compare([{ current: 114, base: 100 }]))).toBe(false);
    expect(isSlower(compare([{ current: 116, base: 100 }]))).toBe(true);
    expect(isSlower({ least: 2, paired: 1.1 })).toBe(false);
    expect(isSlower({ least: 1.1, paired: 2 })).toBe(false);
  });

  test('bench_check: the native reader is within its bound where the C loop alone had a lucky pass, and not with a read too many', () => {
    // Recorded under a load of 3.4: the least of either side gave 2.22.
    const lucky = { current: 1027, base: 462 };
    const loaded = fc.array(fc.tuple(noise, fc.double({ min: 1.15, max: 1.4, noNaN: true })), { minLength: 6 });
    const factor = (extra: number) =>
      loaded.map((all) => [
        ...all.map(([a, ratio]) => ({ current: 800 * (1 + a) * (ratio + extra), base: 800 * (1 + a) })),
        { current: lucky.current + 462 * extra, base: lucky.base },
      ]);
    fc.assert(fc.property(factor(0), (pairs) => ratioOf(compare(pairs)) <= nativeToLimit));
    fc.assert(fc.property(factor(0.9), (pairs) => ratioOf(compare(pairs)) > nativeToLimit));
  });

  test('bench_check: what was not measured is an error, and a count that is none is over its limit', () => {
    expect(() => compare([])).toThrow(RangeError);
    expect(isOver({ name: 'reads', value: Number.NaN, unit: '', atMost: 1 })).toBe(true);
  });

  test('bench_check: counts are compared by name; one that the base does not have is not', () => {
    const bounds = countsOver({ reads: 2, bytes: 110, fresh: 5 }, { reads: 1, bytes: 100 });
    expect(bounds.map(({ name, value }) => [name, value])).toEqual([
      ['reads', 2],
      ['bytes', 1.1],
    ]);
    expect(bounds.map(isOver)).toEqual([true, false]);
  });
});
