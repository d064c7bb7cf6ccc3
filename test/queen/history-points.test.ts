import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RingPoints } from '../../lib/queen/history-points.js';
import { seriesPerRing } from '../../lib/queen/history-sizes.js';

const layout = { steps: 12, stepsPerPiece: 3, unknown: 7, make: (length: number) => new Uint16Array(length) };
/** Of four series, two bytes each. */
const pieceBytes = 3 * seriesPerRing * 2;

/** The same, as a plain map. */
class Plain {
  readonly #known = new Map<string, number>();
  readonly #pieces = new Set<string>();

  #keyOf = (ring: number, series: number, step: number) => `${ring}/${series}/${step % 12}`;

  set(ring: number, series: number, step: number, value: number): void {
    if (value !== layout.unknown) this.#pieces.add(`${ring}/${Math.floor((step % 12) / 3)}`);
    this.#known.set(this.#keyOf(ring, series, step), value);
  }

  blank(ring: number, step: number): void {
    for (let i = 0; i < seriesPerRing; i++) this.#known.delete(this.#keyOf(ring, i, step));
  }

  clear(ring: number): void {
    for (const kept of [this.#known, this.#pieces])
      for (const key of [...kept.keys()]) if (key.startsWith(`${ring}/`)) kept.delete(key);
  }

  get(ring: number, series: number, step: number): number {
    return this.#known.get(this.#keyOf(ring, series, step)) ?? layout.unknown;
  }

  get usedBytes(): number {
    return this.#pieces.size * pieceBytes;
  }
}

const places = (rings: readonly number[], steps: number) =>
  rings.flatMap((ring) =>
    Array.from(
      { length: seriesPerRing * steps },
      (_, at) => [ring, at % seriesPerRing, Math.floor(at / seriesPerRing)] as const,
    ),
  );

describe('points of many rings', () => {
  it('are what was set last of each place, and take a piece for each time of which anything is known', () => {
    const act = fc.record({
      kind: fc.constantFrom('set' as const, 'set' as const, 'set' as const, 'blank' as const, 'clear' as const),
      ring: fc.constantFrom(0, 1, 255, 256, 700),
      series: fc.nat(seriesPerRing - 1),
      step: fc.nat(40),
      value: fc.integer({ min: 7, max: 9 }),
    });
    const looked = places([0, 1, 2, 255, 256, 257, 700], 24);
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const [points, plain] = [new RingPoints(layout), new Plain()];
        for (const { kind, ring, series, step, value } of acts)
          for (const each of [points, plain])
            if (kind === 'set') each.set(ring, series, step, value);
            else if (kind === 'blank') each.blank(ring, step);
            else each.clear(ring);
        expect(looked.map((place) => points.get(...place))).toEqual(looked.map((place) => plain.get(...place)));
        expect(points.usedBytes).toBe(plain.usedBytes);
      }),
    );
  });

  it('of more rings than one table or slab has stay apart, and given back room comes back blank', () => {
    const points = new RingPoints(layout);
    const rings = 600;
    const pointOf = (ring: number, series: number, step: number) => ring * 50 + series * 12 + step + 8;
    const all = places(
      Array.from({ length: rings }, (_, ring) => ring),
      12,
    );
    for (const place of all) points.set(...place, pointOf(...place));
    expect(all.filter((place) => points.get(...place) !== pointOf(...place))).toEqual([]);
    expect(points.usedBytes).toBe(rings * 4 * pieceBytes);
    // No step but that one, and none of the time after it.
    points.blank(299, 4);
    expect([0, 1, 2, 3].map((series) => points.get(299, series, 4))).toEqual(Array(4).fill(layout.unknown));
    for (const step of [3, 5, 6, 7]) expect(points.get(299, 0, step)).toBe(pointOf(299, 0, step));
    points.clear(300);
    points.clear(300);
    expect(points.usedBytes).toBe((rings - 1) * 4 * pieceBytes);
    expect([points.get(299, 0, 0), points.get(300, 0, 0), points.get(301, 0, 0)]).toEqual([
      pointOf(299, 0, 0),
      layout.unknown,
      pointOf(301, 0, 0),
    ]);
    points.set(300, 1, 4, 9);
    expect([points.get(300, 0, 4), points.get(300, 1, 3), points.get(300, 1, 4), points.get(300, 1, 5)]).toEqual([
      layout.unknown,
      layout.unknown,
      9,
      layout.unknown,
    ]);
    expect(points.usedBytes).toBe((rings - 1) * 4 * pieceBytes + pieceBytes);
  });

  it('of a ring that has none are unknown, and to take them away changes nothing', () => {
    const points = new RingPoints({ ...layout, unknown: Number.NaN, make: (length) => new Float32Array(length) });
    points.clear(3);
    points.blank(3, 1);
    points.set(3, 0, 1, Number.NaN);
    expect([points.get(3, 0, 1), points.usedBytes]).toEqual([Number.NaN, 0]);
    points.set(3, 0, 1, 2);
    points.clear(1000);
    points.blank(3, 4);
    expect([points.get(3, 0, 1), points.usedBytes]).toEqual([2, 3 * seriesPerRing * 4]);
  });
});
