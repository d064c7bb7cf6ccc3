import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decompress, encodingOf, parseJson, UnreadableBody } from '../../lib/queen/heartbeat-body.js';

describe('the encoding of a body', () => {
  it.each([
    [null, null],
    ['', null],
    ['  ', null],
    ['identity', null],
    [' Identity ', null],
    ['GZIP', 'gzip'],
    [' br\t', 'br'],
    ['zstd', 'zstd'],
  ])('%j is %j', (header, encoding) => {
    expect(encodingOf(header)).toBe(encoding);
  });
});

describe('a compressed body', () => {
  const plain = Buffer.from('{"a":"ä"}');
  /** Longer than what is decompressed on the spot, however it is compressed. */
  const long = Buffer.from(Array.from({ length: 20_000 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 0).join(' '));
  const quickBrotli = (body: Buffer) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } });
  const encoders = { gzip: gzipSync, 'x-gzip': gzipSync, deflate: deflateSync, br: quickBrotli } as const;

  it.each(Object.keys(encoders) as (keyof typeof encoders)[])('of %s is what was compressed', async (encoding) => {
    for (const body of [plain, long]) {
      const sent = encoders[encoding](body);
      expect(sent.length > 64 * 1024).toBe(body === long);
      expect((await decompress(sent, encoding, 2 ** 20)).equals(body)).toBe(true);
    }
  });

  it('of up to 64 KiB is there at once, a longer one when another thread is done with it', async () => {
    // Not compressed any further: a byte more is one more that is sent.
    const stored = (length: number) => gzipSync(Buffer.alloc(length, 'x'), { level: 0 });
    const over = stored(60_000).length - 60_000;
    for (const [length, isAtOnce] of [
      [64 * 1024, true],
      [64 * 1024 + 1, false],
    ] as const) {
      const sent = stored(length - over);
      expect(sent).toHaveLength(length);
      let isDone = false;
      const done = decompress(sent, 'gzip', 2 ** 20).then((body) => {
        isDone = true;
        return body;
      });
      await Promise.resolve();
      await Promise.resolve();
      expect(isDone).toBe(isAtOnce);
      expect(await done).toHaveLength(length - over);
    }
  });

  it('is no longer than it may be, to the byte, also where it is decompressed elsewhere', async () => {
    for (const body of [plain, long]) {
      const sent = gzipSync(body);
      expect(await decompress(sent, 'gzip', body.length)).toHaveLength(body.length);
      await expect(decompress(sent, 'gzip', body.length - 1)).rejects.toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        message: `The body inflates to more than ${body.length - 1} bytes.`,
        field: undefined,
      });
    }
  });

  it.each([
    ['gzip', 'INVALID_ENCODING', 'The body is not gzip.'],
    ['x-gzip', 'INVALID_ENCODING', 'The body is not gzip.'],
    ['br', 'INVALID_ENCODING', 'The body is not br.'],
    ['zstd', 'UNSUPPORTED_ENCODING', 'content-encoding zstd is not one of gzip, deflate, br.'],
    ['toString', 'UNSUPPORTED_ENCODING', 'content-encoding toString is not one of gzip, deflate, br.'],
    ['x'.repeat(50), 'UNSUPPORTED_ENCODING', `content-encoding ${'x'.repeat(40)} is not one of gzip, deflate, br.`],
  ])('that is not what it says (%s) is refused with the reason', async (encoding, code, message) => {
    const wrong = decompress(Buffer.from('{}'), encoding, 1000);
    await expect(wrong).rejects.toBeInstanceOf(UnreadableBody);
    await expect(wrong).rejects.toMatchObject({ code, message, field: 'content-encoding' });
  });
});

describe('the text of a body', () => {
  it('is JSON of any letters', () => {
    for (const value of [{ a: 'plain' }, { a: 'ä ✓ 🐝' }, [1, null], 'x'])
      expect(parseJson(Buffer.from(JSON.stringify(value)))).toEqual(value);
  });

  it.each([
    ['that is not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'INVALID_JSON', 'The body is not UTF-8.'],
    // The message of the engine quotes the text.
    ['that is not JSON', Buffer.from('{"secret": 1'), 'INVALID_JSON', 'The body is not JSON (position 12).'],
    ['that ends too soon', Buffer.from(''), 'INVALID_JSON', 'The body is not JSON.'],
  ])('%s is refused, and is not quoted', (_, body, code, message) => {
    expect(() => parseJson(body)).toThrowError(expect.objectContaining({ code, message, field: undefined }));
  });

  it('may be of many parts while it is short; a longer one is counted before it is read', () => {
    const nested = (length: number) => {
      const deep = `${'['.repeat(40)}${']'.repeat(40)}`;
      return Buffer.from(`[${deep}${' '.repeat(length - deep.length - 2)}]`);
    };
    const most = 112 * 1024;
    expect(parseJson(nested(most))).toHaveLength(1);
    expect(() => parseJson(nested(most + 1))).toThrowError(
      expect.objectContaining({ code: 'TOO_COMPLEX', message: 'The body has more than 32 levels of brackets.' }),
    );
    expect(parseJson(Buffer.from(`[[1]${' '.repeat(most)}]`))).toEqual([[1]]);
  });
});
