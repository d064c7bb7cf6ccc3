import { constants, createGunzip, gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GzipStream, takesGzip } from '../../lib/http/gzip-stream.js';

const messages = fc.array(fc.string({ maxLength: 2000 }), { maxLength: 20 });

describe('a stream of messages in gzip', () => {
  it('is one gzip, whatever the messages, and a message that several read is packed once', () => {
    fc.assert(
      fc.property(messages, (texts) => {
        const buffers = texts.map((text) => Buffer.from(text));
        const [one, two] = [new GzipStream(), new GzipStream()];
        const parts = buffers.map((buffer) => [one.pack(buffer), two.pack(buffer)] as const);
        // After the first, which has the header, both have the same bytes at the same place.
        for (const [a, b] of parts.slice(1)) expect(a).toBe(b);
        expect(gunzipSync(Buffer.concat([...parts.map(([a]) => a), one.end()])).toString()).toBe(texts.join(''));
      }),
    );
  });

  it('can be read message by message, before it ends', async () => {
    const stream = new GzipStream();
    const gunzip = createGunzip({ flush: constants.Z_SYNC_FLUSH });
    let read = '';
    gunzip.on('data', (data: Buffer) => {
      read += data.toString();
    });
    for (const [index, text] of ['one\n', 'two\n', 'three\n'].entries()) {
      gunzip.write(stream.pack(Buffer.from(text)));
      await expect.poll(() => read).toBe(['one\n', 'two\n', 'three\n'].slice(0, index + 1).join(''));
    }
    gunzip.destroy();
  });

  it('is given to whoever takes it', () => {
    for (const accepted of ['gzip', 'br, gzip', 'gzip;q=0.5', 'GZIP ; q=1', '*', 'deflate, *;q=0.1'])
      expect(takesGzip(accepted), accepted).toBe(true);
    for (const accepted of [undefined, '', 'br', 'identity', 'gzip;q=0', 'gzip; q=0.00', 'xgzip'])
      expect(takesGzip(accepted), accepted).toBe(false);
  });
});
