import { heartbeatOf, workerOf } from '../../../harness/heartbeats.js';
import { type Attack, type Attacker, type AttackerToken, gzipped } from '../attack.js';

/** The same request from many connections. */
const asking = (
  name: string,
  path: (turn: number) => string,
  as: AttackerToken,
  { connections = 64, headers = {} }: { connections?: number; headers?: Readonly<Record<string, string>> } = {},
): Attack => ({
  name,
  kind: 'shares',
  run: (attacker) => attacker.flood(connections, (turn) => attacker.send(path(turn), { as, connections, headers })),
});

/** A fleet, so that answers about it have a size; heard anew where an attack before had one. */
async function fleet(attacker: Attacker, count = 400): Promise<void> {
  const workers = [0, 1, 2, 3].map((i) => workerOf(`llm/${i}`));
  await attacker.times(count, 16, (turn) =>
    attacker.heartbeat(heartbeatOf(`fleet-${turn}`, attacker.target.turn + 1, { workers })),
  );
}

const overFleet = (attack: Attack): Attack => ({
  ...attack,
  prepare: async (attacker) => {
    await fleet(attacker);
    await attack.prepare?.(attacker);
  },
});

/** One who takes what is for all. */
export const shareAttacks: readonly Attack[] = [
  {
    name: 'connections that are kept open without a token, more than the queen may have',
    kind: 'shares',
    descriptors: 1024,
    run: async (attacker) => {
      await attacker.times(1500, 256, () => attacker.socket(attacker.head('/healthz'), { reads: true }));
      await attacker.hold();
    },
  },
  {
    name: 'headers that never end, on 3,000 connections',
    kind: 'shares',
    waits: true,
    run: async (attacker) => {
      await attacker.times(3000, 256, () => attacker.socket('GET /v1/hives HTTP/1.1\r\nhost: x\r\nx-a: '));
      await attacker.hold();
    },
  },
  asking('the description of the API, on 600 connections', () => '/docs/yaml', 'none', { connections: 600 }),
  asking(
    'every file of the page and of the documentation',
    (turn) => (turn % 2 ? '/' : '/docs/static/swagger-ui-bundle.js'),
    'none',
  ),
  overFleet(asking('listings of 1,000 hives', () => '/v1/hives?limit=1000', 'read')),
  overFleet(asking('listings of 1,000 workers by a label', () => '/v1/workers?limit=1000&label=team:search', 'read')),
  overFleet(
    asking('listings of 1,000 workers, compressed', () => '/v1/workers?limit=1000', 'read', {
      headers: { 'accept-encoding': 'gzip' },
    }),
  ),
  overFleet(asking('histories', (turn) => `/v1/hives/fleet-${turn % 400}/history`, 'read')),
  overFleet(asking('histories of a day', (turn) => `/v1/hives/fleet-${turn % 400}/history?span=day`, 'read')),
  overFleet(asking('/metrics', () => '/metrics', 'read')),
  overFleet({
    name: 'placements over the whole fleet',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(64, () =>
        attacker.send('/v1/placements', {
          body: JSON.stringify({ vramBytes: 1, strategy: 'spread' }),
          as: 'schedule',
          connections: 64,
        }),
      ),
  }),
  asking('requests without a token', () => '/v1/workers', 'none'),
  {
    name: 'wrong tokens',
    kind: 'shares',
    sharesAddress: true,
    run: (attacker) =>
      attacker.flood(64, (turn) =>
        attacker.send('/v1/hives', {
          headers: { authorization: `Bearer wrong-token-${turn}-000000` },
          connections: 64,
        }),
      ),
  },
  {
    name: 'wrong tokens in cookies and at the log-in',
    kind: 'shares',
    sharesAddress: true,
    run: (attacker) =>
      attacker.flood(64, (turn) =>
        turn % 2
          ? attacker.send('/v1/session', {
              headers: { cookie: `hivepulse_token=wrong-token-${turn}-000` },
              connections: 64,
            })
          : attacker.send('/v1/session', {
              body: JSON.stringify({ token: `wrong-token-${turn}-000000` }),
              connections: 64,
            }),
      ),
  },
  {
    name: '600 streams, each with a filter of its own',
    kind: 'shares',
    run: async (attacker) => {
      await attacker.times(600, 64, (turn) =>
        attacker.socket(attacker.head(`/v1/events?kind=heartbeat,k${turn}&model=m${turn}`, { as: 'read' }), {
          reads: true,
        }),
      );
      let seq = 0;
      await attacker.flood(2, (turn) =>
        attacker.heartbeat(
          heartbeatOf(`streamed-${turn % 2}`, ++seq, {
            workers: Array.from({ length: 50 }, (_, i) => workerOf(`llm/${i}`, { cpuPercent: seq, model: `m${i}` })),
          }),
        ),
      );
    },
  },
  {
    name: 'all streams there are, held by one token',
    kind: 'shares',
    args: ['--max-streams', '200'],
    run: async (attacker) => {
      await attacker.times(400, 128, () =>
        attacker.socket(attacker.head('/v1/events?kind=none', { as: 'read' }), { reads: true }),
      );
      await attacker.hold();
    },
  },
  overFleet({
    name: 'streams that are opened and closed, each with a snapshot',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(16, async () => {
        const socket = await attacker.socket(attacker.head('/v1/events', { as: 'read' }), { reads: true });
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket?.destroy();
      }),
  }),
  {
    name: '2,000 new workers with each heartbeat, 20 a second',
    kind: 'shares',
    run: async (attacker) => {
      let seq = 0;
      const packed = (turn: number) =>
        gzipped(
          JSON.stringify(
            heartbeatOf('churning', ++seq, {
              workers: Array.from({ length: 2000 }, (_, i) => workerOf(`g${turn}/${i}`, { command: null, labels: {} })),
            }),
          ),
          { level: 1 },
        );
      await attacker.flood(1, async (turn) => attacker.packed(await packed(turn)));
    },
  },
  {
    name: '1,000 events in each of 20 heartbeats a second',
    kind: 'shares',
    run: async (attacker) => {
      let seq = 0;
      await attacker.flood(1, async (turn) => {
        const events = Array.from({ length: 1000 }, () => eventNumber(++seq));
        await attacker.packed(
          await gzipped(JSON.stringify(heartbeatOf('eventful', turn + 1, { events })), { level: 1 }),
        );
      });
    },
  },
  {
    name: 'events of one hive after the other, each in a ring that those before have filled',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(1, async (turn) => {
        const seq = (turn % 4) + 1;
        const events = Array.from({ length: 1000 }, (_, i) => eventNumber((seq - 1) * 1000 + i + 1));
        const heartbeat = heartbeatOf(`ring-${Math.floor(turn / 4)}`, seq, { events });
        await attacker.packed(await gzipped(JSON.stringify(heartbeat), { level: 1 }));
      }),
  },
  {
    name: 'good heartbeats of one hive as fast as they go',
    kind: 'shares',
    run: (attacker) => attacker.flood(32, (turn) => attacker.heartbeat(heartbeatOf('fast', turn + 1))),
  },
  {
    name: 'picks by every model name',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(64, (turn) =>
        attacker.send(`/v1/workers/best?model=m${turn}`, { as: 'schedule', connections: 64 }),
      ),
  },
  overFleet({
    name: 'streams that ask for all events there are, opened and closed',
    kind: 'shares',
    run: async (attacker) => {
      let seq = 0;
      await attacker.times(20, 1, async (turn) => {
        const events = Array.from({ length: 400 }, () => eventNumber(++seq));
        await attacker.packed(await gzipped(JSON.stringify(heartbeatOf(`full-${turn}`, 1, { events })), { level: 1 }));
      });
      const epoch = await epochOf(attacker);
      const ids = [`${epoch}-1`, `${epoch}-99999999999`, '-', '%00', `${epoch}-${'9'.repeat(100)}`];
      await attacker.flood(16, async (turn) => {
        const path = `/v1/events?lastEventId=${ids[turn % 2 ? 0 : turn % ids.length]}`;
        const socket = await attacker.socket(attacker.head(path, { as: 'read' }), { reads: true });
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket?.destroy();
      });
    },
  }),
  overFleet(
    asking(
      'listings in every order, from the last page back',
      (turn) => `/v1/workers?limit=1000&sort=${turn % 2 ? '-' : ''}vramFree&cursor=${'x'.repeat(turn % 2000)}`,
      'read',
    ),
  ),
  overFleet({
    name: '1,000 requests at once on each of 64 connections',
    kind: 'shares',
    run: async (attacker) => {
      const requests = attacker.head('/v1/workers?limit=1000', { as: 'read' }).repeat(1000);
      await attacker.flood(64, async () => {
        const socket = await attacker.socket(requests, { reads: true });
        await new Promise((resolve) => setTimeout(resolve, 300));
        socket?.destroy();
      });
    },
  }),
  overFleet({
    name: 'methods that routes do not have, and heads of everything',
    kind: 'shares',
    run: (attacker) =>
      attacker.flood(64, (turn) =>
        attacker.send(['/v1/hives?limit=1000', '/docs/yaml', '/v1/events', '/metrics'][turn % 4] as string, {
          method: (['HEAD', 'OPTIONS', 'DELETE', 'POST'] as const)[(turn >> 2) % 4] as 'OPTIONS',
          as: 'read',
          connections: 64,
        }),
      ),
  }),
];

/** The name of the queen's stream of events, which every reader sees. */
async function epochOf(attacker: Attacker): Promise<string> {
  const socket = await attacker.socket(attacker.head('/v1/events', { as: 'read' }));
  let text = '';
  while (socket !== null && !/"lastEventId":"([^"]+)-\d+"/.test(text) && !attacker.over)
    text += String(await new Promise((resolve) => socket.once('data', resolve)));
  socket?.destroy();
  return /"lastEventId":"([^"]+)-\d+"/.exec(text)?.[1] ?? '';
}

const eventNumber = (seq: number) => ({
  seq,
  at: '2026-01-02T03:04:05.000Z',
  kind: 'workerStarted' as const,
  workerId: 'llm/0',
  detail: { pid: seq },
});

/** Pages of other sites, in the browser of somebody who may ask. */
export const siteAttacks: readonly Attack[] = [
  {
    name: 'pages of another site that embed the stream, and pages that rebind their name',
    kind: 'site',
    run: (attacker) =>
      attacker.flood(48, (turn) =>
        attacker.send('/v1/events', {
          as: 'read',
          connections: 48,
          headers: turn % 2 ? { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'iframe' } : { host: 'evil.example' },
        }),
      ),
  },
  {
    name: 'WebSockets and heartbeats of another site, in the browser of somebody who may ask',
    kind: 'site',
    run: (attacker) =>
      attacker.flood(48, (turn) => {
        const headers = { origin: 'http://evil.example', ...(turn % 2 ? { 'sec-fetch-site': 'cross-site' } : {}) };
        if (turn % 3 === 0)
          return attacker.send('/v1/heartbeats', {
            body: JSON.stringify(heartbeatOf(`site-${turn}`, 1)),
            headers: { ...headers, 'content-type': 'text/plain' },
            connections: 48,
          });
        return attacker.send('/v1/stream', { as: 'read', headers, connections: 48 });
      }),
  },
];
