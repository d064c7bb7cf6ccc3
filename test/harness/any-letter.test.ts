import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyLetter } from './any-letter.js';

describe('any letter', () => {
  const text = fc.string({ unit: anyLetter });

  it('is one character that UTF-8 can hold', () => {
    fc.assert(
      fc.property(anyLetter, (letter) => {
        expect([...letter]).toHaveLength(1);
        expect(Buffer.from(letter).toString()).toBe(letter);
      }),
    );
  });

  it('is drawn from the whole of Unicode', () => {
    const points = fc.sample(anyLetter, { numRuns: 2000, seed: 1 }).map((letter) => letter.codePointAt(0) ?? -1);
    for (const [from, to] of [
      [0, 0x7f],
      [0x80, 0xd7ff],
      [0xe000, 0xffff],
      [0x10000, 0x10ffff],
    ] as const)
      expect(points.some((point) => point >= from && point <= to)).toBe(true);
  });

  it('is read back from a text, so that names with a meaning to JavaScript are drawn too and a failure is made short', () => {
    expect(text.canShrinkWithoutContext('__proto__\u{10ffff}\ue000\ud7ff')).toBe(true);
    expect(text.canShrinkWithoutContext('half: \ud800')).toBe(false);
    const drawn = fc.sample(text, { numRuns: 20_000, seed: 1 });
    expect(drawn).toContain('__proto__');
  });
});
