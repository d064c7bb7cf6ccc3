import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { SocketRounds } from '../../lib/http/socket-rounds.js';
import { onMessages } from '../../lib/http/whole-message.js';
import { type Binding, loadBinding } from '../../lib/native/binding.js';
import { bytes, frame, message, opcodes } from './frames.js';

const { binding } = loadBinding();
const key = Buffer.from([9, 8, 7, 6]);
const binary = (text: string) => frame(opcodes.binary, Buffer.from(text), key);
const until = (condition: () => void) => vi.waitFor(condition, { timeout: 30_000, interval: 2 });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Peer {
  /** The client's end. */
  readonly raw: Socket;
  /** The server's. */
  readonly socket: Socket;
  readonly client: WebSocket;
  readonly read: string[];
  isClosed: boolean;
}

/** A server whose sockets are read in rounds from their first message on. */
async function serve() {
  const rounds = SocketRounds.create()!;
  const streams = new WebSocketServer({ noServer: true, perMessageDeflate: false, allowSynchronousEvents: false });
  const accepted: ((peer: Omit<Peer, 'raw'>) => void)[] = [];
  const server = createServer().on('upgrade', (request, socket, head) => {
    streams.handleUpgrade(request, socket, head, (client) => {
      const peer = { socket: request.socket, client, read: [] as string[], isClosed: false };
      const show = (data: Buffer, isBinary: boolean) =>
        peer.read.push(`${isBinary ? 'binary' : 'text'} ${data.toString('latin1')}`);
      onMessages(
        client,
        request.socket,
        (data, isBinary) => void show(data as Buffer, isBinary),
        () => rounds,
      );
      client.on('error', () => client.terminate());
      client.once('close', () => (peer.isClosed = true));
      accepted.shift()!(peer);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const peers: Peer[] = [];
  onTestFinished(async () => {
    for (const { client, raw } of peers) {
      client.terminate();
      raw.destroy();
    }
    await until(() => expect(rounds.size).toBe(0));
    rounds.close();
    server.close();
  });
  const join = async (): Promise<Peer> => {
    const raw = connect(port, '127.0.0.1').setNoDelay();
    raw.on('error', () => undefined);
    const socket = new Promise<Omit<Peer, 'raw'>>((resolve) => accepted.push(resolve));
    raw.write(
      'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    await once(raw, 'data');
    raw.resume();
    const peer = Object.assign(await socket, { raw });
    peers.push(peer);
    return peer;
  };
  /** One whose socket is read in rounds. */
  const joinTaken = async (): Promise<Peer> => {
    const [peer, before] = [await join(), rounds.size];
    peer.raw.write(binary('first'));
    await until(() => expect(rounds.size).toBe(before + 1));
    return peer;
  };
  return { rounds, join, joinTaken };
}

/** What these frames bring a queen. */
const shown = (frames: readonly Buffer[]): string[] => {
  const [first] = frames as readonly [Buffer, ...Buffer[]];
  const opcode = first[0]! & 15;
  if (opcode > 2) return [];
  const payloads = frames
    .filter((each) => (each[0]! & 15) <= 2)
    .map((each) => {
      const length = each[1]! & 127;
      const maskAt = length < 126 ? 2 : length === 126 ? 4 : 10;
      return Buffer.from(each.subarray(maskAt + 4).map((byte, i) => byte ^ each[maskAt + (i & 3)]!));
    });
  return [`${opcode === opcodes.text ? 'text' : 'binary'} ${Buffer.concat(payloads).toString('latin1')}`];
};

describe.skipIf(binding === undefined)('sockets that are read in rounds (needs the addon)', () => {
  it('give all that their peers sent, in its order, however it comes', async () => {
    const { join } = await serve();
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 });
    const sent = fc.array(fc.record({ all: fc.array(message, { minLength: 1, maxLength: 6 }), cuts }), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(sent, async (clients) => {
        await Promise.all(
          clients.map(async ({ all, cuts: places }) => {
            const peer = await join();
            const whole = Buffer.concat(all.flat());
            const ends = [...new Set([...places.map((place) => Math.floor(place * whole.length)), whole.length])];
            let begin = 0;
            for (const end of ends.sort((a, b) => a - b)) {
              peer.raw.write(whole.subarray(begin, end));
              begin = end;
              await turn();
            }
            const expected = all.flatMap(shown);
            await until(() => expect(peer.read).toHaveLength(expected.length));
            expect(peer.read).toEqual(expected);
            peer.raw.destroy();
            await until(() => expect(peer.isClosed).toBe(true));
          }),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('go back to Node with a chunk that is no message, and are taken again with the next message', async () => {
    const { rounds, joinTaken } = await serve();
    const { raw, read } = await joinTaken();
    raw.write(frame(opcodes.text, Buffer.from('text'), key));
    await until(() => expect(read).toEqual(['binary first', 'text text']));
    expect(rounds.size).toBe(0);
    raw.write(binary('next'));
    await until(() => expect([rounds.size, read.at(-1)]).toEqual([1, 'binary next']));
    raw.write(Buffer.concat([binary('a'), binary('b')]));
    await until(() => expect(read.slice(-2)).toEqual(['binary a', 'binary b']));
    expect(rounds.size).toBe(1);
    const part = binary('part');
    raw.write(Buffer.concat([binary('c'), part.subarray(0, 7)]));
    await until(() => expect([rounds.size, read.at(-1)]).toEqual([0, 'binary c']));
    raw.write(part.subarray(7));
    await until(() => expect(read.at(-1)).toBe('binary part'));
  });

  it.each([
    ['its end', (raw: Socket) => raw.end()],
    ['a reset', (raw: Socket) => raw.resetAndDestroy()],
    ['a message and its end', (raw: Socket) => raw.end(binary('last'))],
  ])('end with %s as others do', async (_, end) => {
    const { rounds, joinTaken } = await serve();
    const peer = await joinTaken();
    end(peer.raw);
    await until(() => expect(peer.isClosed).toBe(true));
    expect(rounds.size).toBe(0);
    expect(peer.read.slice(1)).toEqual(end.toString().includes('last') ? ['binary last'] : []);
  });

  it('that are ended here give nothing more, also where their descriptor is that of another socket by then', async () => {
    const { rounds, joinTaken } = await serve();
    for (let i = 0; i < 30; i++) {
      const old = await joinTaken();
      old.raw.write(binary('late'));
      old.client.terminate();
      const next = await joinTaken();
      next.raw.write(binary(`${i}`));
      await until(() => expect(next.read).toEqual(['binary first', `binary ${i}`]));
      expect(old.read).not.toContain('binary late');
      next.client.terminate();
      await until(() => expect(rounds.size).toBe(0));
    }
  });

  it('may be more, and their messages longer, than are read in one go', async () => {
    const { joinTaken } = await serve();
    const peers: Peer[] = [];
    for (let i = 0; i < 150; i++) peers.push(await joinTaken());
    const long = frame(opcodes.binary, bytes(60_000, 1), key);
    for (const [i, { raw }] of peers.entries()) raw.write(i % 5 === 0 ? long : binary(`${i}`));
    await until(() => expect(peers.every(({ read }) => read.length === 2)).toBe(true));
    for (const [i, { read }] of peers.entries())
      expect(read[1]).toBe(i % 5 === 0 ? `binary ${bytes(60_000, 1).toString('latin1')}` : `binary ${i}`);
  });

  it('are neither encrypted, paused, nor closed', async () => {
    const { rounds, join } = await serve();
    const { socket } = await join();
    const onChunk = () => 1;
    expect(rounds.take(Object.assign(Object.create(socket), { encrypted: true }), onChunk)).toBe(false);
    socket.pause();
    expect(rounds.take(socket, onChunk)).toBe(false);
    socket.destroy();
    expect(rounds.take(socket, onChunk)).toBe(false);
    expect(rounds.size).toBe(0);
  });

  it('are not what is no socket, and what cannot be read is refused', () => {
    const Reader = binding!.SocketReader;
    const of = (...given: unknown[]) => new Reader(...(given as ConstructorParameters<typeof Reader>));
    expect(() => of()).toThrow(TypeError);
    expect(() => of(new Uint8Array(8), new Float64Array(8))).toThrow(TypeError);
    const reader = of(new Uint8Array(65_536), new Int32Array(3));
    expect(() => reader.add('1' as unknown as number, 1)).toThrow(TypeError);
    expect(reader.add(-1, 1)).toBeGreaterThan(0);
    reader.remove(-1);
    expect(reader.read()).toBe(0);
    // Room for no read at all.
    expect(of(new Uint8Array(65_535), new Int32Array(3)).read()).toBe(0);
    reader.close();
    expect([reader.read(), reader.add(1, 1)]).toEqual([0, 9]);
  });
});

/** Rounds that find so many chunks of a byte each, all of one socket. `onRead`: before each round. */
function roundsOf(given: number[], onRead: () => void = () => undefined) {
  const fake = class {
    readonly #reads: Int32Array;
    constructor(_: Uint8Array, reads: Int32Array) {
      this.#reads = reads;
    }
    add = () => 0;
    read(): number {
      onRead();
      const count = given.shift() ?? 0;
      for (let i = 0; i < count; i++) this.#reads.set([1, i, 1], 3 * i);
      return count;
    }
  };
  const rounds = SocketRounds.create(() => ({ binding: { SocketReader: fake } as unknown as Binding }))!;
  const socket = new Socket();
  Object.assign(socket, { _handle: { fd: 7, readStart: () => undefined, readStop: () => undefined } });
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  return { rounds, socket };
}

describe('a round of reading', () => {
  it('is a hundredth of a second after the last, or at once where not all were read', async () => {
    const atMs: number[] = [];
    const { rounds, socket } = roundsOf([1, 64, 64, 63, 0], () => atMs.push(Date.now() - beganAt));
    const beganAt = Date.now();
    let chunks = 0;
    const onChunk = ({ length }: Buffer) => {
      chunks += length;
      return length;
    };
    expect(rounds.take(socket, onChunk)).toBe(true);
    await vi.advanceTimersByTimeAsync(45);
    // The fake clock's turn is a millisecond.
    expect(atMs).toEqual([10, 20, 21, 22, 32, 42]);
    expect(chunks).toBe(192);
    // No socket, no rounds.
    socket.emit('close');
    await vi.advanceTimersByTimeAsync(100);
    expect(atMs).toHaveLength(7);
  });

  it('is answered as a whole: each answer in its order, once all is taken in; outside of one at once', async () => {
    const { rounds, socket } = roundsOf([3, 1]);
    const seen: string[] = [];
    let count = 0;
    rounds.take(socket, ({ length }) => {
      const name = String(++count);
      seen.push(`read ${name}`);
      rounds.answer(() => {
        seen.push(`answer ${name}`);
        // Whoever answers may answer once more.
        rounds.answer(() => seen.push(`after ${name}`));
      });
      return length;
    });
    rounds.answer(() => seen.push('at once'));
    expect(seen.splice(0)).toEqual(['at once']);
    await vi.advanceTimersByTimeAsync(15);
    const answers = ['1', '2', '3'].flatMap((name) => [`answer ${name}`, `after ${name}`]);
    expect(seen.splice(0)).toEqual(['read 1', 'read 2', 'read 3', ...answers]);
    await vi.advanceTimersByTimeAsync(10);
    expect(seen).toEqual(['read 4', 'answer 4', 'after 4']);
  });
});

describe('sockets without the addon', () => {
  it('are read one by one', () => {
    expect(SocketRounds.create(() => ({ reason: 'none' }))).toBeNull();
    const failing = { SocketReader: () => undefined } as unknown as Binding;
    expect(SocketRounds.create(() => ({ binding: failing }))).toBeNull();
  });
});
