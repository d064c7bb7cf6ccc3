import { heartbeatOf, servingOf, workerOf } from '../../../harness/heartbeats.js';
import { type Attack, type Attacker, gzipped } from '../attack.js';
import { asking, overFleet } from './shares.js';

/** A hive of many workers of which every figure changes, as fast as the queen takes it. */
async function change(attacker: Attacker, hive: string, workers = 1000): Promise<void> {
  await attacker.flood(1, async (turn) => {
    const rows = Array.from({ length: workers }, (_, i) =>
      workerOf(`llm/${i}`, {
        command: null,
        cpuPercent: turn,
        memoryBytes: 2 ** 30 + turn,
        serving: servingOf({ running: turn % 50 }),
      }),
    );
    const heartbeat = heartbeatOf(hive, attacker.target.turn * 100_000 + turn + 1, { workers: rows });
    await attacker.packed(await gzipped(JSON.stringify(heartbeat), { level: 1 }));
  });
}

const following = (name: string, path: (turn: number) => string, encoding: string): Attack => ({
  name,
  kind: 'shares',
  prepare: async (attacker) => {
    const headers = { 'accept-encoding': encoding };
    await attacker.times(64, 16, (turn) =>
      attacker.socket(attacker.head(path(turn), { as: 'read', headers }), { reads: true }),
    );
  },
  run: (attacker) => change(attacker, 'changing'),
});

/** Six series in one chart, of hosts, workers and GPUs, for a day; by turns as one who compares all pairs. */
const charted = (turn: number): string => {
  const span = turn % 5 ? 'day' : 'hour';
  const hive = `fleet-${turn % 400}`;
  return [
    `/v1/workers/${hive}/llm/${turn % 4}/history?span=${span}`,
    `/v1/hives/${hive}/history?span=${span}`,
    `/v1/fleet/history?span=${span}`,
  ][turn % 3] as string;
};

/** One who follows and charts everything there is. */
export const followerAttacks: readonly Attack[] = [
  following(
    '64 streams of changes held by one token, each with other kinds, while 1,000 workers change',
    (turn) => `/v1/events?changes=true&kind=heartbeat,k${turn}`,
    'gzip',
  ),
  following(
    '64 streams of changes without compression held by one token, while 1,000 workers change',
    (turn) => `/v1/events?changes=true&kind=heartbeat,k${turn}${turn % 2 ? '&lists=true' : ''}`,
    'identity',
  ),
  overFleet(
    asking('series of a day for charts of six, of workers, hosts and fleet, on 96 connections', charted, 'read', {
      connections: 96,
    }),
  ),
  overFleet(
    asking(
      'lists of what is missing, of what needs attention and of events, by turns',
      (turn) => ['/v1/missing?limit=1000', '/v1/attention', '/v1/models', '/v1/fleet'][turn % 4] as string,
      'read',
    ),
  ),
];
