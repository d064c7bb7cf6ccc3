import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HttpAnswer, HttpAnswerReader, NotHttp } from '../../lib/engines/http-answer.js';

const maxBodyBytes = 2000;

/** Feeds bytes in pieces, each in the same memory as the one before; null: no answer yet. */
function readIn(pieces: readonly Buffer[], ended = false): HttpAnswer | null {
  const reader = new HttpAnswerReader(maxBodyBytes);
  const memory = Buffer.alloc(Math.max(0, ...pieces.map(({ length }) => length)));
  for (const piece of pieces) {
    piece.copy(memory.fill(0xff));
    const answer = reader.push(memory.subarray(0, piece.length));
    if (answer !== null) return answer;
  }
  return ended ? reader.end() : null;
}

const read = (text: string, ended = false) => readIn([Buffer.from(text, 'latin1')], ended);

/** The bytes cut at random places. */
const cut = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
};

const caseOf = (name: string, upper: boolean) => (upper ? name.toUpperCase() : name);
const fieldName = fc.stringMatching(/^x-[a-z0-9-]{1,20}$/);
const fieldValue = fc.stringMatching(/^[ -~]{0,40}$/);
const answers = fc.record({
  version: fc.constantFrom('1.0', '1.1'),
  status: fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
  reason: fc.constantFrom('', ' OK', ' Not Found Here'),
  fields: fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 6 }),
  upper: fc.boolean(),
  informational: fc.integer({ min: 0, max: 2 }),
  framing: fc.constantFrom('length', 'chunked', 'close'),
  connection: fc.constantFrom(undefined, 'close', 'keep-alive', 'Close'),
  parts: fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 8 }),
  extension: fc.constantFrom('', ';a=b', ' '),
  trailer: fc.boolean(),
});

type Made = typeof answers extends fc.Arbitrary<infer T> ? T : never;

function bytesOf(made: Made): Buffer {
  const body = Buffer.concat(made.parts);
  const head = [
    ...Array.from({ length: made.informational }, () => 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'),
    `HTTP/${made.version} ${made.status}${made.reason || ' '}\r\n`,
    ...made.fields.map(([name, value]) => `${caseOf(name, made.upper)}: ${value}\r\n`),
    made.connection === undefined ? '' : `${caseOf('connection', made.upper)}:${made.connection}\r\n`,
    made.framing === 'length' ? `${caseOf('content-length', made.upper)}: ${body.length}\r\n` : '',
    made.framing === 'chunked' ? `${caseOf('transfer-encoding', made.upper)}: chunked\r\n` : '',
    '\r\n',
  ].join('');
  const chunks = made.parts.flatMap((part) => [
    Buffer.from(`${part.length.toString(16)}${made.extension}\r\n`),
    Buffer.from(part),
    Buffer.from('\r\n'),
  ]);
  const last = Buffer.from(`0\r\n${made.trailer ? 'x-trailer: 1\r\n' : ''}\r\n`);
  return Buffer.concat([Buffer.from(head, 'latin1'), ...(made.framing === 'chunked' ? [...chunks, last] : [body])]);
}

describe('HttpAnswerReader', () => {
  it('reads every well-formed answer, however it is cut into pieces', () => {
    fc.assert(
      fc.property(answers, fc.array(fc.nat(5000), { maxLength: 12 }), (made, places) => {
        const bytes = bytesOf(made);
        const answer = readIn(cut(bytes, places), made.framing === 'close');
        expect(answer?.status).toBe(made.status);
        expect(answer?.body).toEqual(Buffer.concat(made.parts));
        const closes = made.framing === 'close' || /close/i.test(made.connection ?? '');
        const keeps = made.connection === 'keep-alive' || made.version === '1.1';
        expect(answer?.reusable).toBe(!closes && keeps);
      }),
      { numRuns: 500 },
    );
  });

  it('reads an answer that comes byte by byte', () => {
    fc.assert(
      fc.property(answers, (made) => {
        const bytes = bytesOf(made);
        const answer = readIn(
          Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)),
          made.framing === 'close',
        );
        expect(answer).toMatchObject({ status: made.status, body: Buffer.concat(made.parts) });
      }),
      { numRuns: 50 },
    );
  });

  it('of any bytes it makes an answer, waits for more, or says that they are no HTTP', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          'HTTP/1.1 200 OK\r\n',
          'content-length: 5\r\n',
          'content-length: -1\r\n',
          'transfer-encoding: chunked\r\n',
          '\r\n',
          'ffffffff\r\n',
          '0\r\n\r\n',
          '5\r\nhello\r\n',
          ':\r\n',
        )
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.boolean(), (pieces, ended) => {
        try {
          const answer = readIn(pieces, ended);
          if (answer !== null) expect(answer.status).toBeGreaterThanOrEqual(200);
        } catch (error) {
          expect(error).toBeInstanceOf(NotHttp);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['another protocol', '\x15\x03\x01\x00\x02\x02\x46'],
    ['a status that is none', 'HTTP/1.1 OK\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: 0x10\r\n\r\n'],
    ['a transfer encoding that is not known', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n'],
    ['a chunk longer than its size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(5000)}`],
    ['a chunk size without end', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${'1'.repeat(300)}`],
  ])('says of %s that it is no HTTP', (_what, text) => {
    expect(() => read(text)).toThrow(NotHttp);
  });

  it.each([
    ['with a length', `HTTP/1.1 500 No\r\ncontent-length: 5000\r\n\r\n${'x'.repeat(2001)}`],
    ['in chunks', `HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n${'x'.repeat(2001)}`],
    ['to its end', `HTTP/1.1 500 No\r\n\r\n${'x'.repeat(2001)}`],
  ])('of a body that is too long %s it gives the status alone', (_how, text) => {
    expect(read(text)).toEqual({ status: 500, body: null, reusable: false });
  });

  it('an answer that ends too early is none', () => {
    expect(() => read('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell', true)).toThrow(NotHttp);
    expect(() => read('HTTP/1.1 200 O', true)).toThrow(NotHttp);
  });

  it('an answer without a body needs none, and what follows it is not its own', () => {
    expect(read('HTTP/1.1 204 No Content\r\n\r\n')).toEqual({ status: 204, body: Buffer.alloc(0), reusable: true });
    expect(read('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK')).toMatchObject({ reusable: false });
  });

  const ok = 'HTTP/1.1 200 OK\r\n';
  const bodyOf = (text: string) => read(text)?.body?.toString('latin1');

  it.each([
    ['with a length', (body: string) => `${ok}content-length: ${body.length}\r\n\r\n${body}`],
    [
      'in chunks',
      (body: string) => `${ok}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
    ['to its end', (body: string) => `HTTP/1.1 200\r\n\r\n${body}`],
  ])('a body as long as is wanted is whole, and one byte more is too long: %s', (how, of) => {
    const answer = read(of('x'.repeat(maxBodyBytes)), how === 'to its end');
    expect(answer).toMatchObject({ status: 200, body: Buffer.from('x'.repeat(maxBodyBytes)) });
    expect(read(of('x'.repeat(maxBodyBytes + 1)))).toEqual({ status: 200, body: null, reusable: false });
    // What is much longer than any head is no head for that.
    expect(read(of('x'.repeat(20_000)))).toEqual({ status: 200, body: null, reusable: false });
  });

  it('what follows an answer is not its body, however it comes', () => {
    const text = `${ok}content-length: 5\r\n\r\nhelloHTTP/1.1`;
    for (const cutAt of [text.length, text.indexOf('lo')]) {
      const bytes = Buffer.from(text);
      const answer = readIn([bytes.subarray(0, cutAt), bytes.subarray(cutAt)]);
      expect([answer?.body?.toString(), answer?.reusable]).toEqual(['hello', false]);
    }
  });

  it('a head, and a line between chunks, may be so long and no longer, whole or not', () => {
    const start = `${ok}x: `;
    const head = (length: number) => start + 'y'.repeat(length - start.length);
    expect(read(`${head(16 * 1024)}\r\n\r\n`, true)?.status).toBe(200);
    expect(() => read(`${head(16 * 1024 + 1)}\r\n\r\n`, true)).toThrow(NotHttp);
    expect(read(head(16 * 1024))).toBeNull();
    expect(() => read(head(16 * 1024 + 1))).toThrow(NotHttp);
    const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;
    const size = (length: number) => `${chunked}1;${'y'.repeat(length - 2)}`;
    expect(bodyOf(`${size(256)}\r\na\r\n0\r\n\r\n`)).toBe('a');
    expect(() => read(`${size(257)}\r\na\r\n0\r\n\r\n`)).toThrow(NotHttp);
    expect(read(size(256))).toBeNull();
    expect(() => read(size(257))).toThrow(NotHttp);
    const long = 'z'.repeat(300);
    expect(bodyOf(`${chunked}1\r\na\r\n12c\r\n${long}\r\n0\r\n\r\n`)).toBe(`a${long}`);
  });

  it.each(['x', 'x5', '5x', '', '-5', '123456789'])('a chunk of the size %j is none', (size) => {
    expect(() => read(`${ok}transfer-encoding: chunked\r\n\r\n${size}\r\nhello\r\n`)).toThrow(NotHttp);
  });

  it.each(['nocolon', 'nocolon\r\nx: y', ': x', 'x: y\r\n: z'])('a field without a name is none: %j', (fields) => {
    expect(() => read(`${ok}${fields}\r\n\r\n`)).toThrow(NotHttp);
  });

  it.each([
    ['connection: upgrade', true],
    ['connection: close', false],
    ['connection: upgrade, close', false],
    ['x: a\nconnection: close', true],
    ['x: a\r?connection: close', true],
    ['transfer-encoding: identity', true],
    ['content-length: 5', true],
  ])('beside %j it can be used again: %s', (field, reusable) => {
    const answer = read(`${ok}content-length: 5\r\n${field}\r\n\r\nhello`);
    expect(answer).toEqual({ status: 200, body: Buffer.from('hello'), reusable });
  });

  it('one that says that nothing has changed has no body, whatever length it names', () => {
    const none = { status: 304, body: Buffer.alloc(0), reusable: true };
    expect(read('HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n')).toEqual(none);
  });
});
