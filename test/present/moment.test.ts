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
});
