import fc from 'fast-check';

/** Code points between the halves of UTF-16 pairs stand alone nowhere. */
const firstHalf = 0xd800;
const halves = 0x800;

const letterAt = (index: number): string => String.fromCodePoint(index < firstHalf ? index : index + halves);

function indexOf(letter: unknown): number {
  const point = typeof letter === 'string' ? letter.codePointAt(0) : undefined;
  if (point === undefined || String.fromCodePoint(point) !== letter) throw new Error('no letter alone');
  if (point < firstHalf) return point;
  if (point < firstHalf + halves) throw new Error('half of a letter');
  return point - halves;
}

/** Any character of Unicode. Its like in fast-check (`unit: 'binary'`) makes a table of them all: a second, and 85 MB of a process. */
export const anyLetter: fc.Arbitrary<string> = fc.integer({ min: 0, max: 0x10ffff - halves }).map(letterAt, indexOf);
