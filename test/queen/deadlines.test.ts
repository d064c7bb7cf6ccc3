import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Deadlines } from '../../lib/queen/deadlines.js';

it('deadlines come soonest first, none before its time, and each once', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: -5, max: 9 }) }) },
    fc.record({ due: fc.integer({ min: -5, max: 9 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const deadlines = new Deadlines<number>();
      const left = new Map<number, number>();
      const soonest = () => (left.size === 0 ? null : Math.min(...left.values()));
      for (const [item, each] of [...steps, ...steps.map(() => ({ due: 10 }))].entries()) {
        if ('push' in each) {
          deadlines.push(item, each.push);
          left.set(item, each.push);
        } else {
          const next = soonest();
          const due = deadlines.popDue(each.due);
          expect(due?.atMs ?? null).toBe(next !== null && next <= each.due ? next : null);
          if (due === null) continue;
          expect(left.get(due.item)).toBe(due.atMs);
          left.delete(due.item);
        }
        expect([deadlines.size, deadlines.nextMs()]).toEqual([left.size, soonest()]);
      }
      expect(left.size).toBe(0);
    }),
  );
});
