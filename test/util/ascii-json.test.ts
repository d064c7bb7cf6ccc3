import { isAscii } from 'node:buffer';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { asciiJson } from '../../lib/util/ascii-json.js';
import { anyLetter } from '../harness/any-letter.js';

it('is ASCII and says the same, whatever letters a value holds', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: anyLetter }), (value) => {
      const text = asciiJson(value);
      expect(isAscii(Buffer.from(text))).toBe(true);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
