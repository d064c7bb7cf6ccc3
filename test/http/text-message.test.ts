import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { serverMessage } from '../../lib/http/text-message.js';

interface Reader {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  write(bytes: Buffer): void;
}
const { Receiver } = ws as unknown as { readonly Receiver: new (options: object) => Reader };

describe('a text message of a server', () => {
  it('is what a client of the library reads, at every length, and nothing is left over', () => {
    const length = fc.oneof(fc.constantFrom(0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000), fc.nat(70_000));
    fc.assert(
      fc.property(
        fc.array(length, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 0, max: 127 }),
        (counts, code) => {
          const texts = counts.map((count) => String.fromCharCode(code).repeat(count));
          const reader = new Receiver({ isServer: false, allowSynchronousEvents: true });
          const read: string[] = [];
          reader.on('message', (data, isBinary) => read.push(isBinary ? 'binary' : data.toString()));
          reader.on('error', (error) => {
            throw error;
          });
          reader.write(Buffer.from(texts.map(serverMessage).join(''), 'latin1'));
          expect(read).toEqual(texts);
        },
      ),
    );
  });
});
