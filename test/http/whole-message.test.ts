import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { firstMessage, onMessages } from '../../lib/http/whole-message.js';
import { bytes, frame, message, opcodes } from './frames.js';

interface Reader extends EventEmitter {
  write(bytes: Buffer): boolean;
}
const { Receiver } = ws as unknown as { readonly Receiver: new (options: object) => Reader };

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

  it('that come together are given at once, four of them, and the library has what follows', async () => {
    const { client, socket, fed } = connection();
    const read: string[] = [];
    onMessages(client as unknown as ws.WebSocket, socket as unknown as Socket, (data) => read.push(String(data)));
    const key = Buffer.from([1, 2, 3, 4]);
    const all = (texts: readonly string[]) => texts.map((text) => frame(opcodes.binary, Buffer.from(text), key));
    socket.emit('data', Buffer.concat(all(['one', 'two', 'three', 'four'])));
    expect([fed(), read]).toEqual([0, ['one', 'two', 'three', 'four']]);
    const part = frame(opcodes.binary, Buffer.from('part'), key);
    socket.emit('data', Buffer.concat([...all(['five']), part.subarray(0, 8)]));
    expect([fed(), read.slice(4)]).toEqual([1, ['five']]);
    socket.emit('data', Buffer.concat([part.subarray(8), ...all(['a'])]));
    while (read.length < 7) await turn();
    socket.emit('data', Buffer.concat(all(['b', 'c', 'd', 'e', 'f'])));
    expect([fed(), read.slice(5)]).toEqual([3, ['part', 'a', 'b', 'c', 'd', 'e']]);
    while (read.length < 12) await turn();
    expect(read.at(-1)).toBe('f');
  });

  it('after one that ends the connection are not given', () => {
    const { client, socket, fed } = connection();
    const read: string[] = [];
    onMessages(client as unknown as ws.WebSocket, socket as unknown as Socket, (data) => {
      read.push(String(data));
      socket.destroyed = true;
    });
    const key = Buffer.from([1, 2, 3, 4]);
    const [one, two] = ['one', 'two'].map((text) => frame(opcodes.binary, Buffer.from(text), key));
    socket.emit('data', Buffer.concat([one!, two!, two!.subarray(0, 7)]));
    expect([fed(), read]).toEqual([0, ['one']]);
  });

  it('without a mask, with reserved bits, or with too few bytes are left to the library', () => {
    const key = Buffer.from([9, 8, 7, 6]);
    const good = frame(opcodes.binary, bytes(200, 3), key);
    expect(firstMessage(Buffer.from(good))).toEqual(bytes(200, 3));
    expect(firstMessage(Buffer.concat([good, good.subarray(0, 7)]))).toEqual(bytes(200, 3));
    const changed = (at: number, value: number) =>
      Buffer.concat([good.subarray(0, at), Buffer.from([value]), good.subarray(at + 1)]);
    for (const bad of [
      changed(0, 0xc2),
      changed(0, 0x02),
      changed(0, 0x81),
      changed(1, 126),
      changed(1, 0xff),
      changed(3, 201),
      good.subarray(0, good.length - 1),
      good.subarray(0, 3),
      good.subarray(0, 1),
      Buffer.alloc(0),
      frame(opcodes.binary, bytes(100, 3), key, { form: 1 }),
      frame(opcodes.binary, bytes(70_000, 3), key),
    ])
      expect(firstMessage(Buffer.from(bad))).toBeNull();
  });
});
