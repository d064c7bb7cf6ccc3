import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { textFrame } from '../../lib/http/text-frame.js';

const { frame: frameOf } = (ws as unknown as { readonly Sender: { frame(data: Buffer, options: object): Buffer[] } })
  .Sender;

describe('a text message of a server', () => {
  it('has the bytes that the library writes, at every length', () => {
    const length = fc.oneof(fc.constantFrom(0, 1, 124, 125, 126, 127, 255, 256, 65_534, 65_535), fc.nat(65_535));
    fc.assert(
      fc.property(length, fc.integer({ min: 0, max: 127 }), (count, code) => {
        const text = String.fromCharCode(code).repeat(count);
        const options = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };
        expect(Buffer.from(textFrame(text), 'latin1')).toEqual(Buffer.concat(frameOf(Buffer.from(text), options)));
      }),
    );
  });

  it('is refused beyond what its header can say', () => {
    expect(() => textFrame('x'.repeat(65_536))).toThrow(RangeError);
  });
});
