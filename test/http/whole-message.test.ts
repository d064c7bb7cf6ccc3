import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { onMessages, wholeMessage } from '../../lib/http/whole-message.js';

interface Reader extends EventEmitter {
  write(bytes: Buffer): boolean;
}
const { Receiver } = ws as unknown as { readonly Receiver: new (options: object) => Reader };

const opcodes = { continuation: 0, text: 1, binary: 2, ping: 9, pong: 10 } as const;

/** A frame of a client (RFC 6455, section 5.2). `form`: bytes of its length beyond those that it needs. */
function frame(opcode: number, payload: Buffer, mask: Buffer, { isFinal = true, form = 0 } = {}): Buffer {
  const least = payload.length < 126 ? 0 : payload.length < 65_536 ? 1 : 2;
  const long = Math.min(2, least + form);
  const length = Buffer.alloc([0, 2, 8][long]!);
  if (long === 1) length.writeUInt16BE(payload.length);
  if (long === 2) length.writeBigUInt64BE(BigInt(payload.length));
  const head = Buffer.from([(isFinal ? 0x80 : 0) | opcode, 0x80 | [payload.length, 126, 127][long]!]);
  return Buffer.concat([head, length, mask, Buffer.from(payload.map((byte, i) => byte ^ mask[i & 3]!))]);
}

const bytes = (count: number, seed: number) =>
  Buffer.from(Array.from({ length: count }, (_, i) => (i * 31 + seed) & 255));
const length = fc.oneof(
  { weight: 20, arbitrary: fc.nat(6) },
  { weight: 20, arbitrary: fc.constantFrom(0, 125, 126, 127, 300) },
  { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536) },
);
const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((each) => Buffer.from(each));

/** The frames of one message, or of a ping or pong. */
const message: fc.Arbitrary<readonly Buffer[]> = fc
  .record({
    kind: fc.constantFrom('binary', 'binary', 'binary', 'text', 'ping', 'pong', 'pieces', 'longForm'),
    length,
    seed: fc.nat(255),
    mask,
  })
  .map(({ kind, length: count, seed, mask: key }) => {
    const payload = bytes(count, seed);
    switch (kind) {
      case 'text':
        return [frame(opcodes.text, Buffer.alloc(count, 'a'), key)];
      case 'ping':
      case 'pong':
        return [frame(opcodes[kind], payload.subarray(0, 125), key)];
      case 'pieces':
        return [
          frame(opcodes.binary, payload, key, { isFinal: false }),
          frame(opcodes.ping, Buffer.alloc(2), key),
          frame(opcodes.continuation, payload, key),
        ];
      default:
        return [frame(opcodes.binary, payload, key, { form: kind === 'longForm' ? 1 : 0 })];
    }
  });

/** A client and its socket, whose chunks go to the library's own reader. */
function connection() {
  const receiver = new Receiver({ isServer: true, allowSynchronousEvents: false });
  const client = new EventEmitter();
  for (const event of ['message', 'ping', 'pong', 'error'])
    receiver.on(event, (...given: unknown[]) => void client.emit(event, ...given));
  let fed = 0;
  const feed = (chunk: Buffer) => {
    fed++;
    receiver.write(chunk);
  };
  const socket = Object.assign(new EventEmitter(), { destroyed: false });
  socket.on('data', feed);
  return { client, socket, fed: () => fed };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const shown = (data: Buffer, isBinary: boolean): string => `${isBinary ? 'binary' : 'text'} ${data.toString('latin1')}`;

describe('messages of a client', () => {
  it('are those that the library reads, in their order, however their bytes come', async () => {
    const cuts = fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), waits: fc.boolean() }), {
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 8 }),
        cuts,
        fc.boolean(),
        async (all, cut, byMessage) => {
          const frames = all.flat();
          const whole = Buffer.concat(frames);
          let end = 0;
          const ends = byMessage ? frames.map((each) => (end += each.length)) : [];
          const places = [...new Set([...ends, ...cut.map(({ at }) => Math.floor(at * whole.length)), whole.length])];
          places.sort((a, b) => a - b);
          const [plain, shortened] = [connection(), connection()];
          const expected: string[] = [];
          const read: string[] = [];
          plain.client.on('message', (data: Buffer, isBinary: boolean) => expected.push(shown(data, isBinary)));
          onMessages(
            shortened.client as unknown as ws.WebSocket,
            shortened.socket as unknown as Socket,
            (data, isBinary) => read.push(shown(data as Buffer, isBinary)),
          );
          let begin = 0;
          for (const [i, place] of places.entries()) {
            const chunk = whole.subarray(begin, place);
            begin = place;
            if (chunk.length === 0) continue;
            for (const { socket } of [plain, shortened]) socket.emit('data', Buffer.from(chunk));
            if (cut[i % Math.max(1, cut.length)]?.waits) await turn();
          }
          for (let turns = 0; turns < 4 * frames.length; turns++) await turn();
          expect(expected).toHaveLength(all.filter((each) => ![9, 10].includes(each[0]![0]! & 15)).length);
          expect(read).toEqual(expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('that come one by one do not go through the library, once it has given back what it had', async () => {
    const { client, socket, fed } = connection();
    const read: string[] = [];
    onMessages(client as unknown as ws.WebSocket, socket as unknown as Socket, (data) => read.push(String(data)));
    const key = Buffer.from([1, 2, 3, 4]);
    const send = (opcode: number, text: string) => socket.emit('data', frame(opcode, Buffer.from(text), key));
    send(opcodes.text, 'hello');
    send(opcodes.binary, 'one');
    expect([fed(), read]).toEqual([2, []]);
    while (read.length < 2) await turn();
    send(opcodes.binary, 'two');
    expect([fed(), read]).toEqual([2, ['hello', 'one', 'two']]);
    socket.destroyed = true;
    send(opcodes.binary, 'three');
    expect([fed(), read]).toEqual([2, ['hello', 'one', 'two']]);
  });

  it('without a mask, with reserved bits, or with too few or too many bytes are left to the library', () => {
    const key = Buffer.from([9, 8, 7, 6]);
    const good = frame(opcodes.binary, bytes(200, 3), key);
    expect(wholeMessage(Buffer.from(good))).toEqual(bytes(200, 3));
    const changed = (at: number, value: number) =>
      Buffer.concat([good.subarray(0, at), Buffer.from([value]), good.subarray(at + 1)]);
    for (const bad of [
      changed(0, 0xc2),
      changed(0, 0x02),
      changed(0, 0x81),
      changed(1, 126),
      changed(1, 0xff),
      changed(3, 201),
      changed(3, 199),
      good.subarray(0, good.length - 1),
      good.subarray(0, 3),
      good.subarray(0, 1),
      Buffer.alloc(0),
      Buffer.concat([good, Buffer.alloc(1)]),
      frame(opcodes.binary, bytes(100, 3), key, { form: 1 }),
      frame(opcodes.binary, bytes(70_000, 3), key),
    ])
      expect(wholeMessage(Buffer.from(bad))).toBeNull();
  });
});
