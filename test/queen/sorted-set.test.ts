import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lowerBound, SortedSet } from '../../lib/queen/sorted-set.js';

interface Item {
  readonly n: number;
}
const byNumber = (a: Item, b: Item): number => a.n - b.n;
const item = (n: number): Item => ({ n });
/** Where a walk begins: at the first that is not below it. */
const notBelow = (n: number) => (other: Item) => other.n - n;

describe('a set in order', () => {
  const step = fc.record({ from: fc.nat(900), count: fc.integer({ min: 1, max: 400 }), stays: fc.boolean() });

  /** Adds or takes away so many numbers, not in their order; each says whether that changed anything. */
  function move(
    set: SortedSet<Item>,
    plain: Set<number>,
    { from, count, stays }: typeof step extends fc.Arbitrary<infer S> ? S : never,
  ) {
    for (let i = 0; i < count; i++) {
      const n = from + ((i * 7) % count) * 2;
      expect(stays ? set.add(item(n)) : set.delete(item(n))).toBe(stays ? !plain.has(n) : plain.has(n));
      if (stays) plain.add(n);
      else plain.delete(n);
    }
  }

  function compare(set: SortedSet<Item>, plain: ReadonlySet<number>, places: readonly number[]) {
    const sorted = [...plain].sort((a, b) => a - b);
    expect(set.size).toBe(sorted.length);
    expect(Array.from(set, ({ n }) => n)).toEqual(sorted);
    for (const n of places) {
      expect(set.has(item(n))).toBe(plain.has(n));
      expect(Array.from(set.from(notBelow(n)), (each) => each.n)).toEqual(sorted.filter((each) => each >= n));
    }
    for (const at of [0, 1, 255, 256, 257]) expect(set.at(at)?.n).toBe(sorted[at]);
  }

  it('holds what a sorted list does, whatever comes and goes, also where it is cut into parts', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const set = new SortedSet<Item>(byNumber);
        const plain = new Set<number>();
        for (const each of steps) {
          move(set, plain, each);
          compare(set, plain, [each.from - 1, each.from, each.from + 1, each.from + each.count]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('of many is right at both ends and past them', () => {
    const set = new SortedSet<Item>(byNumber);
    for (let n = 0; n < 2000; n++) expect(set.add(item((n * 1237) % 2000))).toBe(true);
    expect(set.size).toBe(2000);
    expect([set.at(0)?.n, set.at(1999)?.n, set.at(2000), set.at(5000)]).toEqual([0, 1999, undefined, undefined]);
    expect(Array.from({ length: 2000 }, (_, at) => set.at(at)?.n)).toEqual(Array.from({ length: 2000 }, (_, n) => n));
    expect([set.has(item(-1)), set.has(item(0)), set.has(item(1999)), set.has(item(2000))]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect([set.delete(item(-1)), set.delete(item(2000)), set.delete(item(0.5))]).toEqual([false, false, false]);
    expect([...set.from(notBelow(2000))]).toEqual([]);
    expect([...set.from(notBelow(1999))]).toEqual([item(1999)]);
    expect([...set.from(notBelow(-5))]).toHaveLength(2000);
    // The largest of all comes behind the last part, once.
    expect([set.add(item(2000)), set.add(item(2000)), set.size]).toEqual([true, false, 2001]);
    for (let n = 2000; n >= 0; n--) expect(set.delete(item(n))).toBe(true);
    expect([set.size, set.at(0), [...set], set.delete(item(3)), set.has(item(3))]).toEqual([
      0,
      undefined,
      [],
      false,
      false,
    ]);
    expect([set.add(item(3)), set.size, [...set]]).toEqual([true, 1, [item(3)]]);
  });

  it('keeps the member that came first of two that are alike', () => {
    const set = new SortedSet<Item>(byNumber);
    const first = item(1);
    set.add(first);
    expect(set.add(item(1))).toBe(false);
    expect([...set][0]).toBe(first);
  });

  it('the first place that is not before another is found in any list', () => {
    expect([[], [1], [1, 3], [1, 3, 3, 5]].map((list) => lowerBound(list, (n) => n - 3))).toEqual([0, 1, 1, 1]);
    expect(lowerBound([1, 2], (n) => n - 9)).toBe(2);
  });
});
