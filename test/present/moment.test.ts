import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatClock, formatMoment, isToday, zoneName } from '../../lib/present/moment.js';

describe('absolute times', () => {
  const at = new Date(2026, 2, 1, 19, 21, 59);

  it('say their zone, and the day where it is another one', () => {
    expect(formatMoment(at)).toMatch(/^1 Mar 2026, 19:21:59 \S+/);
    expect(formatMoment(at)).toContain(zoneName(at));
    expect(formatClock(at, new Date(2026, 2, 1, 23, 59))).toBe('19:21:59');
    expect(formatClock(at, new Date(2026, 2, 2, 0, 0))).toBe('1 Mar 19:21:59');
    expect(isToday(at.toISOString(), at.getTime() + 1000)).toBe(true);
    expect(isToday(at, new Date(2027, 2, 1, 19))).toBe(false);
  });

  it('are those that the platform writes itself, of any moment, and of none', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1990-01-01'), max: new Date('2090-01-01'), noInvalidDate: false }),
        (any) => {
          const clock = any.toLocaleTimeString('en-GB');
          const day = any.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
          expect(formatMoment(any)).toBe(any.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'long' }));
          expect(formatClock(any, new Date(1980, 0, 1))).toBe(`${day} ${clock}`);
        },
      ),
    );
  });
});
