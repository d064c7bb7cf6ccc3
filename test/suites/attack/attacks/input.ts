import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { eventOf, gpuOf, heartbeatOf, workerOf } from '../../../harness/heartbeats.js';
import { type Attack, bomb, gzipped } from '../attack.js';

const brotli = promisify(brotliCompress);

const keys = (count: number): string => Array.from({ length: count }, (_, i) => `"k${i}":0`).join(',');

/** The text of a heartbeat with one part written by hand. */
const withRaw = (raw: string, over: Parameters<typeof heartbeatOf>[2] = {}): string =>
  JSON.stringify(heartbeatOf('nested-string', 1, { ...over, faults: ['RAW'] as never })).replace('["RAW"]', raw);

const repeated = (name: string, body: () => string, atOnce = 4): Attack => ({
  name,
  kind: 'input',
  run: async (attacker) => {
    const packed = await gzipped(body());
    await attacker.flood(atOnce, () => attacker.packed(packed));
  },
});

/** Texts that cost whoever reads them more than their length says. */
export const inputAttacks: readonly Attack[] = [
  repeated('an event whose detail has 400,000 members', () =>
    JSON.stringify(heartbeatOf('with-members', 1, { events: [eventOf(1, { detail: { RAW: 1 } })] })).replace(
      '"RAW":1',
      keys(400_000),
    ),
  ),
  repeated('500,000 labels of a hive', () =>
    JSON.stringify(heartbeatOf('with-labels', 1, { hive: { labels: { RAW: '1' } } })).replace(
      '"RAW":"1"',
      Array.from({ length: 500_000 }, (_, i) => `"k${i}":""`).join(','),
    ),
  ),
  repeated(
    '4.1 million nested brackets in an unknown field',
    () => `{"x":${'['.repeat(4_100_000)}${']'.repeat(4_000_000)}}`,
    8,
  ),
  repeated('a string of 7 MB', () => withRaw(`[{"source":"${'\\u0041'.repeat(1_200_000)}"}]`)),
  repeated('2,000 workers, each wrong in another way', () =>
    JSON.stringify(
      heartbeatOf('wrong-workers', 1, {
        workers: Array.from({ length: 2000 }, (_, i) => ({
          ...workerOf(`llm/${i}`),
          pid: 'x',
          [`f${i}`]: [[i]],
        })) as never,
      }),
    ),
  ),
  repeated('256 GPUs with numbers that no device has', () =>
    JSON.stringify(
      heartbeatOf('wrong-gpus', 1, {
        gpus: Array.from({ length: 256 }, (_, i) => ({
          ...gpuOf(`GPU-${i}`),
          memoryUsedBytes: 1e300,
          powerWatts: 1e300,
          temperatureCelsius: -1e300,
        })),
      }),
    ),
  ),
  {
    name: 'plain heartbeats of just under what is looked through, of brackets alone',
    kind: 'input',
    run: async (attacker) => {
      const body = `{"x":${'['.repeat(55_000)}${']'.repeat(55_000)}}`;
      await attacker.flood(32, () => attacker.send('/v1/heartbeats', { body, as: 'anyHive', connections: 32 }));
    },
  },
  {
    name: 'gzip that inflates to a gigabyte',
    kind: 'input',
    run: async (attacker) => {
      const packed = await bomb(1024);
      await attacker.flood(16, () => attacker.packed(packed));
    },
  },
  {
    name: 'Brotli that inflates to 256 MB, and encodings that nobody knows',
    kind: 'input',
    run: async (attacker) => {
      const packed = await brotli(Buffer.alloc(256 * 1024 * 1024, 0x20), {
        params: { [constants.BROTLI_PARAM_QUALITY]: 1 },
      });
      const encodings = ['br', 'br', 'zstd', 'gzip, br', 'x'.repeat(8000)];
      await attacker.flood(16, (turn) =>
        attacker.send('/v1/heartbeats', {
          body: packed,
          as: 'anyHive',
          connections: 16,
          headers: { 'content-encoding': encodings[turn % encodings.length] as string },
        }),
      );
    },
  },
  {
    name: 'bodies in chunks of a byte, with trailers without end',
    kind: 'input',
    run: async (attacker) => {
      const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
      const head = attacker.head('/v1/heartbeats', { method: 'POST', as: 'anyHive', headers });
      const chunks = '1\r\n[\r\n'.repeat(20_000);
      const trailers = `0\r\n${'x-trailer: value\r\n'.repeat(20_000)}`;
      await attacker.flood(32, async () => {
        const socket = await attacker.socket(head, { reads: true });
        for (let i = 0; i < 8 && socket !== null && !socket.destroyed && !attacker.over; i++) {
          socket.write(i < 6 ? chunks : trailers);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        socket?.destroy();
      });
    },
  },
  {
    name: '200 bodies of 8 MB that arrive slowly',
    kind: 'input',
    waits: true,
    run: async (attacker) => {
      const bytes = 8 * 1024 * 1024;
      const head = attacker.head('/v1/heartbeats', {
        method: 'POST',
        as: 'anyHive',
        headers: { 'content-type': 'application/json', 'content-length': String(bytes) },
      });
      const chunk = Buffer.alloc(bytes - 4096, 0x20);
      await attacker.times(200, 32, async () => void (await attacker.socket(head))?.write(chunk));
      await attacker.hold();
    },
  },
  {
    name: 'heartbeats that are stale, with all that a heartbeat may hold',
    kind: 'input',
    run: async (attacker) => {
      const detail = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, {}]));
      const body = (seq: number) =>
        gzipped(
          JSON.stringify(
            heartbeatOf('stale', seq, {
              events: Array.from({ length: 1000 }, (_, i) => eventOf(i + 1, { detail })),
            }),
          ),
        );
      await attacker.packed(await body(1000));
      const stale = await body(1);
      await attacker.flood(8, () => attacker.packed(stale));
    },
  },
  {
    name: 'placements of nested JSON, 64 KiB each',
    kind: 'input',
    run: async (attacker) => {
      const body = `{"vramBytes":1,"labels":{"a":${'['.repeat(32_000)}${']'.repeat(32_000)}}}`;
      await attacker.flood(32, () => attacker.send('/v1/placements', { body, as: 'schedule', connections: 32 }));
    },
  },
  {
    name: 'queries of 16 KiB, with every label there is',
    kind: 'input',
    run: async (attacker) => {
      const labels = Array.from({ length: 400 }, (_, i) => `label=${'k'.repeat(20)}${i}:v`).join('&');
      await attacker.flood(32, () => attacker.send(`/v1/workers?${labels}`, { as: 'read', connections: 32 }));
    },
  },
];
