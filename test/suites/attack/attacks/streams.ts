import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { decodeKeyframe, encodeKeyframe, sentSchema } from '../../../../lib/contract/stream/codec.js';
import { ownSchema } from '../../../../lib/contract/stream/columns.js';
import { helloOf, subprotocol } from '../../../../lib/contract/stream/messages.js';
import { StreamEncoder } from '../../../../lib/hive/stream-encoder.js';
import { heartbeatOf, servingOf, workerOf } from '../../../harness/heartbeats.js';
import { type Attack, type Attacker, type AttackerToken, gzipped } from '../attack.js';

const opcodes = { more: 0, text: 1, binary: 2, ping: 9 } as const;

/** A message of a client, or a part of one, as RFC 6455 has it on the wire, with a mask that changes nothing. `isLast`: of its message. */
function onWire(kind: keyof typeof opcodes, payload: Buffer | string = '', isLast = true): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(14);
  head[0] = (isLast ? 0x80 : 0) | opcodes[kind];
  let length = 2;
  if (body.length < 126) head[1] = 0x80 | body.length;
  else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(body.length), 2);
    length += 8;
  }
  return Buffer.concat([head.subarray(0, length + 4), body]);
}

/** A connection that has become a WebSocket. Null where it was refused. */
async function webSocket(
  attacker: Attacker,
  { reads = true, as = 'boundHive' as AttackerToken } = {},
): Promise<Socket | null> {
  const headers = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    'sec-websocket-protocol': subprotocol,
  };
  const socket = await attacker.socket(attacker.head('/v1/stream', { as, headers }));
  if (socket === null) return null;
  const answer = await new Promise<Buffer>((resolve) => {
    socket.once('data', resolve);
    socket.once('close', () => resolve(Buffer.alloc(0)));
  });
  if (!answer.includes('101 Switching')) {
    socket.destroy();
    return null;
  }
  if (reads) socket.resume();
  else socket.pause();
  return socket;
}

/** Writes as fast as the other end reads, until the time is over. */
async function pour(attacker: Attacker, socket: Socket | null, bytes: Buffer): Promise<void> {
  while (!attacker.over && socket !== null && !socket.destroyed) {
    const isFull = !socket.write(bytes);
    await new Promise<void>((resolve) => {
      if (!isFull) return void setImmediate(resolve);
      socket.once('drain', resolve);
      socket.once('close', resolve);
      setTimeout(resolve, 200).unref();
    });
  }
}

/** The same bytes again and again on so many connections; a connection that is ended is made anew. */
const pouring = (
  name: string,
  connections: number,
  bytes: () => Buffer,
  { reads = true, greets = false } = {},
): Attack => ({
  name,
  kind: 'shares',
  run: async (attacker) => {
    const text = bytes();
    await attacker.flood(connections, async () => {
      const socket = await webSocket(attacker, { reads });
      if (greets) socket?.write(hello);
      await pour(attacker, socket, text);
      socket?.destroy();
    });
  },
});

const hello = onWire('text', helloOf(sentSchema(ownSchema)));
const many = (part: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => part));

/** A whole heartbeat of many workers, and what their engines say after it, again and again; of any hive. */
async function loadsOf(workers: number, messages: number) {
  const rows = Array.from({ length: workers }, (_, i) => workerOf(`llm/${i}`, { command: null }));
  const encoder = new StreamEncoder(
    () => 0,
    () => 0.5,
  );
  const { bytes } = await encoder.encode(heartbeatOf('any', 1, { workers: rows }));
  const { epoch } = decodeKeyframe(bytes);
  const loads = Array.from({ length: messages }, (_, turn) =>
    onWire(
      'binary',
      encoder.encodeLoads(new Map(rows.map(({ id }) => [id, servingOf({ running: turn % 40 }) as never]))) as Buffer,
    ),
  );
  const keyframe = async (hive: string) => {
    const body = await gzipped(JSON.stringify(heartbeatOf(hive, 1, { workers: rows })), { level: 1 });
    return onWire('binary', encodeKeyframe({ epoch, encoding: 'gzip', body }));
  };
  return { keyframe, loads };
}

/** What engines of 16 hives say, each message as long after the one before as `everyMs` says; each hive is heard before. */
function loading(name: string, everyMs: number): Attack {
  let sockets: (Socket | null)[] = [];
  let loads: readonly Buffer[] = [];
  return {
    name,
    kind: 'shares',
    prepare: async (attacker) => {
      const made = await loadsOf(1000, 200);
      ({ loads } = made);
      sockets = [];
      await attacker.times(16, 4, async (turn) => {
        const socket = await webSocket(attacker, { as: 'anyHive' });
        sockets.push(socket);
        socket?.write(hello);
        socket?.write(await made.keyframe(`loading-${attacker.target.turn}-${turn}`));
        await new Promise((resolve) => setTimeout(resolve, 100));
      });
    },
    run: async (attacker) => {
      await Promise.all(
        sockets.map(async (socket) => {
          for (let i = 0; socket !== null && !socket.destroyed && !attacker.over; i++) {
            socket.write(loads[i % loads.length] as Buffer);
            await new Promise((resolve) => setTimeout(resolve, everyMs));
          }
        }),
      );
    },
  };
}

/** A hive that sends over a WebSocket what no hive does. */
export const streamAttacks: readonly Attack[] = [
  {
    name: 'stream: a hello whose schema is nested 30,000 deep',
    kind: 'input',
    waits: true,
    run: (attacker) =>
      attacker.flood(4, async () => {
        const socket = await webSocket(attacker);
        const schema = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
        socket?.write(onWire('text', `{"type":"hello","schema":${schema}}`));
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket?.destroy();
      }),
  },
  pouring('stream: pings as fast as they go, with the answers read', 32, () => many(onWire('ping'), 10_000)),
  pouring(
    'stream: pings of 125 bytes, and none of the answers read',
    16,
    () => many(onWire('ping', 'x'.repeat(125)), 500),
    {
      reads: false,
    },
  ),
  pouring('stream: empty messages as fast as they go', 32, () => many(onWire('binary', Buffer.of(2)), 8000), {
    greets: true,
  }),
  pouring('stream: fragments of a byte, of messages without end', 32, () => many(onWire('more', 'x', false), 8000)),
  {
    name: 'stream: 200 messages of 8 MB that arrive slowly, on connections that are asked to close and do not',
    kind: 'memory',
    run: async (attacker) => {
      const whole = onWire('text', Buffer.alloc(8 * 1024 * 1024 - 64));
      const start = whole.subarray(0, whole.length - 4096);
      await attacker.times(200, 32, async () => void (await webSocket(attacker))?.write(start));
      await attacker.hold();
    },
  },
  {
    name: 'stream: hellos of 64 schemas of its own, held',
    kind: 'shares',
    waits: true,
    run: async (attacker) => {
      await attacker.times(200, 16, async (turn) => {
        const schema = { ...sentSchema(ownSchema), worker: [[`made.up${turn}`, 1]] };
        (await webSocket(attacker))?.write(onWire('text', helloOf(schema as never)));
      });
      await attacker.hold();
    },
  },
  {
    name: 'stream: upgrades without a token, and to other protocols',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(64, async (turn) => {
        const headers = { connection: 'upgrade', upgrade: turn % 2 ? 'websocket' : 'h2c' };
        const path = ['/v1/stream', '/v1/events', '/healthz', '/docs/yaml'][turn % 4] as string;
        const socket = await attacker.socket(attacker.head(path, { headers }), { reads: true });
        await new Promise((resolve) => setTimeout(resolve, 10));
        socket?.destroy();
      }),
  },
  {
    name: 'stream: bodies of 8 MB announced with an upgrade, and never sent',
    kind: 'input',
    waits: true,
    run: async (attacker) => {
      const headers = {
        connection: 'upgrade',
        upgrade: 'websocket',
        'content-type': 'application/json',
        'content-length': String(8 * 1024 * 1024),
      };
      for (const as of ['anyHive', 'boundHive', 'read', 'schedule'] as const)
        await attacker.times(50, 16, () =>
          attacker.socket(attacker.head('/v1/heartbeats', { method: 'POST', as, headers })),
        );
      await attacker.hold();
    },
  },
  loading('stream: loads of 1,000 engines each, 20 a second on 16 connections', 50),
  loading('stream: loads of 1,000 engines each, as fast as they go on 16 connections', 0),
  {
    name: 'stream: keyframes of 2,000 workers on 16 connections',
    kind: 'shares',
    run: async (attacker) => {
      let seq = 0;
      const workers = Array.from({ length: 2000 }, (_, i) => workerOf(`llm/${i}`));
      const packed = async () =>
        gzipped(JSON.stringify(heartbeatOf(attacker.boundHive, ++seq, { workers })), { level: 1 });
      const keyframe = encodeKeyframe({ epoch: 1, encoding: 'gzip', body: await packed() });
      await attacker.flood(16, async () => {
        const socket = await webSocket(attacker);
        socket?.write(hello);
        await pour(attacker, socket, onWire('binary', keyframe));
        socket?.destroy();
      });
    },
  },
];
