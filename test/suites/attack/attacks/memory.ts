import { eventOf, gpuOf, heartbeatOf, workerOf } from '../../../harness/heartbeats.js';
import { type Attack, type AttackerToken, gzipped } from '../attack.js';

const labelsOf = (seed: string, count = 32, length = 200) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, `${seed}-${i}-`.padEnd(length, 'x')]));

/** Hives of one token, each as large as `body` makes it. */
const hives = (name: string, count: number, over: (turn: number) => object, as: AttackerToken = 'anyHive'): Attack => ({
  name,
  kind: 'memory',
  run: async (attacker) => {
    await attacker.times(count, 6, async (turn) => {
      const text = JSON.stringify(heartbeatOf(`big-${turn}`, 1, { hive: { labels: {} }, ...over(turn) }));
      await attacker.packed(await gzipped(text, { level: 1 }), as);
    });
    await attacker.hold();
  },
});

/** What a queen keeps, made as large as it can be. */
export const memoryAttacks: readonly Attack[] = [
  hives('100 hives of one token, each with 2,000 workers and their labels', 100, (turn) => ({
    workers: Array.from({ length: 2000 }, (_, i) =>
      workerOf(`llm/${i}`, { command: null, labels: labelsOf(`${turn}-${i}`, 16, 100) }),
    ),
  })),
  hives('400 hives of one token, each with 1,000 faults of a kilobyte', 400, (turn) => ({
    faults: Array.from({ length: 1000 }, (_, i) => ({
      source: 'x',
      code: `C${i}`,
      message: `${turn} ${i}`.padEnd(1000, 'x'),
    })),
  })),
  hives('10,000 hives of one token with all labels there may be', 10_000, (turn) => ({
    hive: { labels: labelsOf(String(turn), 32, 250) },
    workers: [],
    gpus: [],
  })),
  hives('200 hives of one token with 256 GPUs each', 200, (turn) => ({
    gpus: Array.from({ length: 256 }, (_, i) => gpuOf(`GPU-${turn}-${i}`.padEnd(90, 'x'))),
  })),
  {
    name: '10,000 events of 4 kB of empty objects',
    kind: 'memory',
    run: async (attacker) => {
      const detail = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`k${i}`, {}]));
      await attacker.times(100, 4, async (turn) => {
        const events = Array.from({ length: 200 }, (_, i) => eventOf(i + 1, { detail }));
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf(`events-${turn}`, 1, { events }))));
      });
      await attacker.hold();
    },
  },
  {
    name: 'streams that do not read, while a hive of 2,000 workers changes',
    kind: 'memory',
    run: async (attacker) => {
      const body = async (seq: number) =>
        gzipped(
          JSON.stringify(
            heartbeatOf('large', seq, {
              workers: Array.from({ length: 2000 }, (_, i) => workerOf(`llm/${i}`, { cpuPercent: seq })),
            }),
          ),
          { level: 1 },
        );
      await attacker.packed(await body(1));
      await attacker.times(1000, 64, async () => {
        const socket = await attacker.socket(attacker.head('/v1/events', { as: 'read' }));
        socket?.pause();
      });
      let seq = 1;
      await attacker.flood(1, async () => attacker.packed(await body(++seq)));
    },
  },
  {
    name: '20,000 reservations of nothing',
    kind: 'memory',
    run: async (attacker) => {
      const body = JSON.stringify({ vramBytes: 0, reserveSeconds: 600 });
      await attacker.times(20_000, 32, () =>
        attacker.send('/v1/placements', { body, as: 'schedule', connections: 32 }),
      );
      await attacker.hold();
    },
  },
  {
    name: '100,000 hive ids of one token',
    kind: 'memory',
    run: (attacker) =>
      attacker.flood(32, (turn) =>
        attacker.send('/v1/heartbeats', {
          body: JSON.stringify(heartbeatOf(`id-${turn}`, 1, { workers: [], gpus: [] })),
          as: 'anyHive',
          connections: 32,
        }),
      ),
  },
  {
    name: 'all places for hives, taken by one token',
    kind: 'memory',
    args: ['--max-hives', '500'],
    run: async (attacker) => {
      await attacker.times(600, 16, (turn) =>
        attacker.heartbeat(heartbeatOf(`place-${turn}`, 1, { workers: [], gpus: [] })),
      );
      await attacker.hold();
    },
  },
  {
    name: 'one hive that is restarted at each heartbeat, with other names for all',
    kind: 'memory',
    run: (attacker) =>
      attacker.flood(1, async (turn) => {
        const over = {
          hive: {
            incarnation: `00000000-0000-4000-8000-${String(turn).padStart(12, '0')}`,
            startedAt: new Date(Date.UTC(2026, 0, 2) + turn * 1000).toISOString(),
          },
          workers: Array.from({ length: 1000 }, (_, i) => workerOf(`g${turn}/${i}`, { model: `m-${turn}-${i}` })),
        };
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf('restarting', 1, over)), { level: 1 }));
      }),
  },
  {
    name: 'hives of 2,000 workers with 16 models each, and whoever asks for totals and metrics',
    kind: 'memory',
    run: async (attacker) => {
      await attacker.times(12, 4, async (turn) => {
        const workers = Array.from({ length: 2000 }, (_, i) =>
          workerOf(`llm/${i}`, {
            command: null,
            labels: {},
            model: `m-${turn}-${i}`,
            models: Array.from({ length: 16 }, (__, k) => `m-${turn}-${i}-${k}`.padEnd(60, 'x')),
          } as never),
        );
        await attacker.packed(
          await gzipped(JSON.stringify(heartbeatOf(`models-${turn}`, 1, { workers })), { level: 1 }),
        );
      });
      await attacker.flood(4, (turn) => attacker.send(turn % 2 ? '/v1/fleet' : '/metrics', { as: 'read' }));
    },
  },
  {
    name: 'picks of 64 that are never done, each with a prefix of its own',
    kind: 'memory',
    run: async (attacker) => {
      const workers = Array.from({ length: 300 }, (_, i) => workerOf(`llm/${i}`, { model: 'picked', state: 'idle' }));
      await attacker.heartbeat(heartbeatOf('picked', 1, { workers }));
      await attacker.flood(64, (turn) =>
        attacker.send(
          `/v1/workers/best?model=picked&count=64&promptTokens=1&prefixKey=${String(turn).padEnd(200, 'x')}`,
          {
            as: 'schedule',
            connections: 64,
          },
        ),
      );
    },
  },
  {
    name: 'listings of hives with 1,000 faults of a kilobyte each',
    kind: 'memory',
    run: async (attacker) => {
      await attacker.times(150, 6, async (turn) => {
        const faults = Array.from({ length: 1000 }, (_, i) => ({
          source: 'gpu' as const,
          code: `C${i}`,
          message: `${turn} ${i}`.padEnd(1000, 'x'),
        }));
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf(`wordy-${turn}`, 1, { faults })), { level: 1 }));
      });
      await attacker.send('/v1/hives?limit=1000', { as: 'read' });
      await attacker.flood(2, () => attacker.send('/v1/hives?limit=1000', { as: 'read' }));
    },
  },
  {
    name: '100 hives with 1,000 faults each, and whoever asks what needs attention',
    kind: 'memory',
    run: async (attacker) => {
      await attacker.times(100, 6, async (turn) => {
        const faults = Array.from({ length: 1000 }, (_, i) => ({
          source: 'gpu' as const,
          code: `C${turn}_${i}`,
          message: `${i}`.padEnd(100, 'x'),
        }));
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf(`ill-${turn}`, 1, { faults })), { level: 1 }));
      });
      await attacker.flood(4, () => attacker.send('/v1/attention', { as: 'read' }));
    },
  },
  {
    name: '256 other GPUs with each heartbeat, so that as many are missing',
    kind: 'memory',
    run: async (attacker) => {
      await attacker.flood(2, async (turn) => {
        const gpus = Array.from({ length: 256 }, (_, i) => gpuOf(`GPU-${turn}-${i}`.padEnd(90, 'x')));
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf('swapping', turn + 1, { gpus })), { level: 1 }));
      });
    },
  },
];
