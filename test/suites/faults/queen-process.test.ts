import { describe, expect, test } from 'vitest';
import type { Fleet, FleetEvent, HiveList } from '../../../lib/contract/api.js';
import { faultSeconds } from '../../harness/cadence-watch.js';
import { type Daemon, getJson, type Harness, useHarness } from '../../harness/harness.js';
import { residentMiB } from '../../harness/resources.js';
import { createFleet, type SimulatedFleet } from '../../harness/simulated-fleet.js';
import type { StreamReader } from '../../harness/sse.js';
import { waitFor } from '../../harness/wait.js';
import { lasts, wholeStory } from './fault-scenario.js';

const hives = 50;
/** Long enough that a hive would be offline if the queen's own silence were counted against it. */
const silence = Math.max(faultSeconds, 12);

async function startFleet(harness: Harness, queen: Daemon, seed: number): Promise<SimulatedFleet> {
  const fleet = createFleet({ hives, workersPerHive: 8, gpusPerHive: 1, queenUrls: [queen.url], seed });
  harness.defer(() => fleet.close());
  fleet.start();
  await allOnline(queen);
  return fleet;
}

const allOnline = (queen: Daemon) =>
  waitFor(
    async () => {
      const { items } = await getJson<HiveList>(`${queen.url}/v1/hives?limit=1000`);
      return items.length === hives && items.every(({ liveness }) => liveness === 'online');
    },
    { timeoutMs: 40_000, what: `${hives} hives online` },
  );

const facts = (stream: StreamReader): FleetEvent[] =>
  stream.messages
    .filter(({ event }) => event === 'event' || event === 'queenEvent')
    .map(({ data }) => data as FleetEvent);

/** A preload that lets a process be told to do nothing but wait, on SIGUSR2. */
const blockable = (seconds: number) => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(
    `process.on('SIGUSR2',()=>Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,${seconds * 1000}))`,
  )}`,
});

describe('a queen that fails', () => {
  const harness = useHarness();

  test('queen_killed: -9 under load, 50 hives are back by themselves, no event lost or told twice', async () => {
    const queen = await harness().queen();
    const { port } = new URL(queen.url);
    const fleet = await startFleet(harness(), queen, 11);
    queen.process.signalGroup('SIGKILL');
    await queen.process.ended();
    // What happens on the hosts while nobody listens.
    const lost = fleet.hives.map((hive) => `${hive.id}/${hive.killWorker(undefined, 'oom')}`);
    await lasts(faultSeconds);
    const again = await harness().queen({ args: ['--port', port] });
    expect((await getJson<Fleet>(`${again.url}/v1/fleet`)).warming).toBe(true);
    await allOnline(again);
    await waitFor(() => fleet.hives.every(({ pendingEvents }) => pendingEvents === 0), {
      timeoutMs: 20_000,
      what: 'all events to be acknowledged',
    });
    const stream = await wholeStory(harness(), again);
    const ends = () =>
      facts(stream)
        .filter(({ kind }) => kind === 'workerExited')
        .map(({ hive, workerId }) => `${hive}/${workerId}`);
    await waitFor(() => ends().length >= hives, { what: 'the exits of the time of the fault' });
    expect(ends().sort()).toEqual(lost.sort());
    expect(fleet.hives.reduce((sum, hive) => sum + hive.workerIds.length, 0)).toBe(hives * 7);
    expect((await getJson<Fleet>(`${again.url}/v1/fleet`)).workers.total).toBe(hives * 7);
  });

  test.each([
    ['queen_stopped: SIGSTOP', 'stop'],
    ['queen_blocked: its event loop does nothing', 'block'],
  ] as const)('%s: no hive is taken for dead, and all are heard again at once', async (_, how) => {
    const queen = await harness().queen({ env: how === 'block' ? blockable(silence) : {} });
    const fleet = await startFleet(harness(), queen, 12);
    const stream = await wholeStory(harness(), queen);
    const before = residentMiB(queen.process.pid);
    queen.process.signal(how === 'stop' ? 'SIGSTOP' : 'SIGUSR2');
    const silent = performance.now();
    await lasts(silence);
    if (how === 'stop') queen.process.signal('SIGCONT');
    await waitFor(() => getJson(`${queen.url}/healthz`), { timeoutMs: 30_000, what: 'the queen to answer again' });
    expect(performance.now() - silent).toBeGreaterThan(silence * 900);
    const accepted = fleet.hives.map(({ counts }) => counts.accepted);
    await waitFor(() => fleet.hives.every(({ counts }, i) => counts.accepted > accepted[i]! + 1), {
      timeoutMs: 20_000,
      what: 'two heartbeats of every hive to be taken',
    });
    await allOnline(queen);
    expect(facts(stream).filter(({ kind }) => /^hive(Late|Offline|Removed)$/.test(kind))).toEqual([]);
    expect(residentMiB(queen.process.pid)).toBeLessThan(before + 128);
  });
});
