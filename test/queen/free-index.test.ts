import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreeIndex } from '../../lib/queen/free-index.js';
import type { GpuRecord } from '../../lib/queen/records.js';

const mib = 2 ** 20;
const gpu = (freeBytes: number | null): GpuRecord => ({ freeBytes }) as GpuRecord;

describe('GPUs by their room', () => {
  it('any changes: those with enough are found, most first to within 256 MiB, and each stands once', () => {
    const room = fc.oneof(
      fc.constant(null),
      fc.nat(4096).map((n) => n * mib),
      fc.constantFrom(0, 1, 256 * mib - 1, 256 * mib),
    );
    const step = fc.record({ at: fc.nat(5), to: room, out: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(4096), (steps, asked) => {
        const index = new FreeIndex();
        const inside = new Map<number, GpuRecord>();
        for (const { at, to, out } of steps) {
          const known = inside.get(at);
          if (known === undefined) {
            inside.set(at, gpu(to));
            index.add(inside.get(at) as GpuRecord);
          } else if (out) {
            index.delete(known);
            inside.delete(at);
          } else {
            index.set(known, to);
            expect(known.freeBytes).toBe(to);
          }
          const all = [...inside.values()];
          expect(index.size).toBe(all.length);
          const placed = [...index.members()];
          expect(placed).toHaveLength(new Set(placed).size);
          expect(new Set(placed)).toEqual(new Set(all.filter(({ freeBytes }) => freeBytes !== null)));
          for (const each of all) expect(index.has(each)).toBe(true);
          for (const bytes of [0, asked * mib, ...all.flatMap(({ freeBytes }) => freeBytes ?? [])]) {
            const found = [...index.atLeast(bytes)];
            expect(new Set(found)).toEqual(
              new Set(all.filter((each) => each.freeBytes !== null && each.freeBytes >= bytes)),
            );
            const rooms = found.map((each) => Math.floor((each.freeBytes as number) / (256 * mib)));
            expect(rooms).toEqual(rooms.toSorted((a, b) => b - a));
          }
        }
      }),
    );
  });

  it('one whose room changed behind its back does not stand where that says', () => {
    const index = new FreeIndex();
    const [moved, kept] = [gpu(300 * mib), gpu(10 * mib)];
    index.add(moved);
    index.add(kept);
    moved.freeBytes = 900 * mib;
    expect([index.has(moved), index.has(kept)]).toEqual([false, true]);
    moved.freeBytes = 0;
    expect(index.has(moved)).toBe(false);
    expect(index.has(gpu(20 * mib))).toBe(false);
  });
});
