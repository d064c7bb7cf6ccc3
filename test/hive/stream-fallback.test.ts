import { describe, expect, it } from 'vitest';
import { StreamFallback } from '../../lib/hive/stream-fallback.js';

const minute = 60_000;

describe('a stream that something on the way does not bear', () => {
  it('is left for ten minutes after it has failed twice in a minute', () => {
    const fallback = new StreamFallback();
    expect(fallback.failed(1000)).toBe(false);
    expect(fallback.isAway(1000)).toBe(false);
    expect(fallback.failed(1000 + minute - 1)).toBe(true);
    const leftAt = 1000 + minute - 1;
    expect([leftAt, leftAt + 10 * minute - 1, leftAt + 10 * minute].map((ms) => fallback.isAway(ms))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('is kept where a minute lies between two failures, however many there are', () => {
    const fallback = new StreamFallback();
    for (let n = 0; n < 20; n += 1) expect(fallback.failed(n * minute)).toBe(false);
    expect(fallback.isAway(20 * minute)).toBe(false);
  });

  it('is left at once where it is not known there, and failures are counted anew afterwards', () => {
    const fallback = new StreamFallback();
    fallback.failed(0);
    fallback.unsupported(1);
    expect(fallback.isAway(10 * minute)).toBe(true);
    expect(fallback.isAway(10 * minute + 1)).toBe(false);
    expect(fallback.failed(10 * minute + 2)).toBe(false);
  });
});
