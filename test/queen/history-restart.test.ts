import { describe, expect, it } from 'vitest';
import { HistoryStore } from '../../lib/queen/history.js';
import { toHalf } from '../../lib/queen/history-day.js';
import { historyStepMs } from '../../lib/queen/history-sizes.js';

const names = ['a', 'b', 'c', 'd'];

describe('a ring over a restart', () => {
  /** A ring of so many 10 s steps up to `endMs`, and what is saved of it at `nowMs`. */
  function saved(steps: number, endMs: number, nowMs: number) {
    const store = new HistoryStore(2);
    const ring = store.open();
    for (let step = 0; step <= steps; step++) {
      const at = endMs - (steps - step) * historyStepMs;
      store.add(ring, at, 1, 2, step % 2 === 0 ? 4 : null, null);
    }
    return { store, ring, day: store.save(ring, nowMs) };
  }
  const text = (points: string) => [...new Uint16Array(Uint8Array.from(Buffer.from(points, 'base64')).buffer)];

  it('is saved up to its newest whole step of a day, with how long ago that ended', () => {
    // Two steps of a day are whole, and 50 s of the third.
    const { day, store, ring } = saved(29, 290_000, 295_000);
    expect(day!.ageMs).toBe(55_000);
    const [one, two, four, none] = [1, 2, 4, Number.NaN].map(toHalf);
    expect(text(day!.points)).toEqual([one, one, two, two, four, four, none, none]);
    // None is whole: the first closes with the next that begins.
    expect(saved(11, 110_000, 115_000).day).toBeNull();
    expect(text(saved(12, 120_000, 120_000).day!.points)).toEqual([one, two, four, none]);
    store.close(ring);
    expect(store.save(ring, 295_000)).toBeNull();
  });

  it.each([
    // Its newest step of a day ended so long ago, and so long ago the one under way began.
    [0, 0, 0],
    [50_000, 50_000, 50_000],
    [70_000, 70_000, 70_000],
    [10_000, 70_000, 70_000],
    [600_000, 0, 600_000],
    [130_000, 10_000, 130_000],
  ])('of which the newest step ended %i ms ago goes on from it, %i ms into a step of its own', (ageMs, into, age) => {
    const nowMs = 1_200_000 + into;
    const store = new HistoryStore(3, 3, () => nowMs);
    // What was in the ring before is not in the one that is taken over.
    const former = store.open();
    store.add(former, nowMs, 100, 100, 100, 100);
    store.close(former);
    const { day } = saved(29, 290_000, 295_000);
    store.kept.adopt([{ key: 'k', ...day!, ageMs }], 0);
    const ring = store.open('k');
    expect([ring, store.used, store.days]).toEqual([former, 1, 1]);
    expect([...store.kept.left()]).toEqual([]);
    const hour = store.read(ring, names, nowMs);
    const expected = { a: 1, b: 2, c: 4 };
    for (const [name, value] of Object.entries(expected)) expect(hour.series[name]).toEqual(Array(24).fill(value));
    expect(hour.series.d).toEqual(Array(24).fill(null));
    expect(hour.newestAgeMs).toBe(age + historyStepMs);
    const whole = store.readDay(ring, names, nowMs);
    expect(whole).toMatchObject({ newestAgeMs: age + 120_000, series: { a: [1, 1], b: [2, 2], c: [4, 4] } });
    // The step that was under way goes on with what is known of it.
    store.add(ring, nowMs, 3, null, 4, 7);
    const after = store.read(ring, names, nowMs).series;
    expect(after.a!.at(-1)).toBe(3);
    expect(after.a!.slice(0, 24)).toEqual(Array(24).fill(1));
    expect(after.b!.at(-1)).toBeNull();
    expect(after.d!.at(-1)).toBe(7);
    expect(after.a).toHaveLength(24 + Math.floor(age / historyStepMs) + 1);
  });

  it('without room for a ring is kept for later, and without room for a day begins anew', () => {
    const { day } = saved(29, 290_000, 295_000);
    const full = new HistoryStore(1);
    const own = full.open();
    full.kept.adopt([{ key: 'k', ...day!, ageMs: 0 }], 0);
    expect(full.open('k')).toBe(-1);
    expect([full.days, [...full.kept.left()].length]).toEqual([0, 1]);
    full.close(own);
    // A clock of its own is given, or stands at nothing.
    const ring = full.open('k');
    expect(full.read(ring, names, 0)).toMatchObject({ newestAgeMs: historyStepMs, series: { a: Array(24).fill(1) } });

    const without = new HistoryStore(2, 0);
    without.kept.adopt([{ key: 'k', ...day!, ageMs: 0 }], 0);
    const blank = without.open('k');
    expect([blank, without.days]).toEqual([0, 0]);
    expect(without.read(blank, names, 0)).toMatchObject({ newestAgeMs: 0, series: { a: [] } });
    expect(without.usedBytes).toBe(0);
  });

  it('has no day of another, once it was given back', () => {
    const store = new HistoryStore(3);
    const rings = [store.open(), store.open(), store.open()];
    for (const [i, ring] of rings.entries())
      for (let at = 0; at < 300_000; at += 10_000) store.add(ring, at, i, i, i, i);
    expect(store.days).toBe(3);
    store.close(rings[0]!);
    const again = store.open();
    store.add(again, 300_000, 9, 9, 9, 9);
    expect(store.readDay(again, names, 300_000).series.a).toEqual([9]);
    expect(store.save(again, 300_000)).toBeNull();
    expect(store.readDay(rings[1]!, names, 300_000).series.a).toEqual([1, 1, 1]);
  });
});
