import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundTop, timeTicks } from '../../lib/dashboard/parts/ticks.js';

describe('axes of charts', () => {
  it('end at a round number that is not much above the highest value, bytes in their own units', () => {
    expect([0.7, 1, 7, 37, 100, 101, 3.1e3].map(roundTop)).toEqual([0.8, 1, 8, 40, 100, 200, 4000]);
    const gib = 2 ** 30;
    expect([3.1 * gib, 80 * gib, 94 * gib, 1500 * gib].map((value) => roundTop(value) / gib)).toEqual([
      4, 80, 100, 2048,
    ]);
    for (const nothing of [0, -1, Number.NaN]) expect(roundTop(nothing)).toBe(1);
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e15, noNaN: true }), (value) => {
        const top = roundTop(value);
        expect(top).toBeGreaterThanOrEqual(value * (1 - 1e-6));
        expect(top).toBeLessThanOrEqual(value * 2.0001);
      }),
    );
  });

  it('have times of day that are round where somebody looks at them, some of them and not many', () => {
    const at = Date.parse('2026-03-01T10:07:13Z');
    const hours = 3_600_000;
    const text = (ticks: readonly number[], zoneMs: number) =>
      ticks.map((tick) => new Date(tick + zoneMs).toISOString().slice(11, 16));
    expect(text(timeTicks(at - hours, at, 0), 0)).toEqual(['09:15', '09:30', '09:45', '10:00']);
    const india = 5.5 * hours;
    expect(text(timeTicks(at - 24 * hours, at, india), india)).toEqual(['18:00', '00:00', '06:00', '12:00']);
    fc.assert(
      fc.property(fc.integer({ min: 20_000, max: 86_400_000 }), fc.constantFrom(-8, 0, 5.5), (spanMs, zone) => {
        const ticks = timeTicks(at - spanMs, at, zone * hours);
        expect(ticks.length).toBeLessThanOrEqual(6);
        if (spanMs > 300_000) expect(ticks.length).toBeGreaterThanOrEqual(2);
      }),
    );
  });
});
