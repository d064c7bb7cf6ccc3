import { describe, expect, it } from 'vitest';
import { Hold } from '../../lib/dashboard/data/hold.js';

describe('what is held while one scrolls', () => {
  it('rows hold at most 5 s: then all that waits is drawn, and the next hold begins', () => {
    const hold = new Hold(5000);
    expect(hold.isHeld(1000, true, true)).toBe(true);
    expect(hold.isHeld(5999, true, true)).toBe(true);
    for (const nowMs of [6000, 6016, 6032]) expect(hold.isHeld(nowMs, true, true)).toBe(false);
    expect(hold.isHeld(6048, true, false)).toBe(false);
    expect(hold.isHeld(6064, true, true)).toBe(true);
    expect(hold.isHeld(11_063, true, true)).toBe(true);
    expect(hold.isHeld(11_064, true, true)).toBe(false);
  });

  it('nothing is held once scrolling ended, and another scroll holds for its own time', () => {
    const hold = new Hold(5000);
    expect(hold.isHeld(0, true, true)).toBe(true);
    expect(hold.isHeld(4000, false, true)).toBe(false);
    expect(hold.isHeld(4500, true, true)).toBe(true);
    expect(hold.isHeld(9499, true, true)).toBe(true);
    expect(hold.isHeld(9500, true, true)).toBe(false);
  });
});
