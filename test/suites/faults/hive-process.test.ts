import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FleetEvent, HiveList, HiveView } from '../../../lib/contract/api.js';
import { cgroupSuite, createHost, sleeping, workerSeen, workersOf } from '../../e2e/fleet.js';
import { CadenceWatch, faultGone, faultNamed, faultSeconds } from '../../harness/cadence-watch.js';
import { type Daemon, getJson, useHarness } from '../../harness/harness.js';
import type { StreamReader } from '../../harness/sse.js';
import { waitFor } from '../../harness/wait.js';
import { comeAndGo, eventKindsOf, intervalMs, lasts, startFaultScenario, withstand } from './fault-scenario.js';

const suite = cgroupSuite('a hive that fails');
const hiveOf = async (queen: Daemon): Promise<HiveView | undefined> =>
  (await getJson<HiveList>(`${queen.url}/v1/hives`)).items[0];
const liveness = (queen: Daemon, wanted: HiveView['liveness']) =>
  waitFor(async () => (await hiveOf(queen))?.liveness === wanted, {
    timeoutMs: 40_000,
    what: `the hive to be ${wanted}`,
  });
const kinds = (stream: StreamReader): string[] =>
  stream.messages
    .filter(({ event }) => event === 'queenEvent' || event === 'event')
    .map(({ data }) => (data as FleetEvent).kind);

const fakeTime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const noFakeTime = existsSync(fakeTime) ? '' : ' (skipped: libfaketime is not installed)';

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();

  test.each([
    ['hive_killed: -9, then started again', 'SIGKILL'],
    ['hive_suspended: SIGSTOP, then SIGCONT', 'SIGSTOP'],
  ] as const)('%s: out of scheduling while silent, and its workers live on', async (_, signal) => {
    const queen = await harness().queen();
    const stream = harness().stream(`${queen.url}/v1/events`);
    const scenario = await startFaultScenario(harness(), [queen.url]);
    const { host, hive, args } = scenario;
    const worker = host.worker('demo', 'steady', sleeping, ['--model', 'm']);
    const seen = await workerSeen(queen, 'demo/steady');
    const brief = host.worker('demo', 'brief', sleeping);
    await workerSeen(queen, 'demo/brief');
    await withstand({
      scenario,
      hiveStops: true,
      breakIt: () => hive.process.signal(signal),
      named: async () => {
        await liveness(queen, 'offline');
        // Shown with its liveness, never scheduled.
        expect((await workersOf(queen)).map(({ id, liveness: now }) => `${id} ${now}`)).toEqual([
          'demo/brief offline',
          'demo/steady offline',
        ]);
        const best = await fetch(`${queen.url}/v1/workers/best?model=m`);
        expect(best.status === 404 || ((await best.json()) as { worker: unknown }).worker === null).toBe(true);
      },
      happens: async () => {
        // It ends while nobody watches, and its `run` with it.
        brief.signal('SIGTERM');
        expect(await brief.ended()).toBe(143);
        return { ended: 'demo/brief' };
      },
      meanwhile: () => expect(worker.running).toBe(true),
      fix: async () => {
        if (signal === 'SIGSTOP') return void hive.process.signal('SIGCONT');
        const next = await harness().hive([queen.url], { args });
        return { hive: next, cadence: await CadenceWatch.start(harness(), next.url, intervalMs) };
      },
      recovered: async () => {
        await liveness(queen, 'online');
        const back = await workerSeen(queen, 'demo/steady', ({ liveness: now }) => now === 'online');
        expect(back).toMatchObject({ pid: seen.pid, model: 'm', origin: 'launched' });
        // Time that passed unseen is divided by, not taken for one interval.
        expect(back.cpuPercent === null || back.cpuPercent < 100).toBe(true);
      },
      stream: () => stream,
    });
    expect(kinds(stream).filter((kind) => kind === 'hiveOffline')).toHaveLength(1);
    expect(
      eventKindsOf(stream, 'demo/steady').filter((kind) => kind === 'workerGone' || kind === 'workerExited'),
    ).toEqual([]);
    const exit = stream.messages
      .map(({ data }) => data as FleetEvent)
      .find(({ kind, workerId }) => kind === 'workerExited' && workerId === 'demo/brief');
    expect(exit?.detail).toMatchObject({ code: null, signal: 'SIGTERM' });
  });

  test.skipIf(noFakeTime !== '')(
    `hive_clock_jumped: a day forward and back${noFakeTime}: heartbeats, rates and liveness do not follow`,
    async () => {
      const queen = await harness().queen();
      const stream = harness().stream(`${queen.url}/v1/events`);
      const file = join(harness().directory(), 'offset');
      writeFileSync(file, '+0\n');
      const env = {
        LD_PRELOAD: fakeTime,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
      };
      const { host, hive, cadence } = await startFaultScenario(harness(), [queen.url], { env });
      host.worker('demo', 'steady', sleeping);
      await workerSeen(queen, 'demo/steady', ({ cpuPercent }) => cpuPercent !== null);
      const sentAt = async () => {
        const snapshot = await getJson<{ sentAt: string }>(`${hive.url}/v1/snapshot`);
        return Date.parse(snapshot.sentAt) - Date.now();
      };
      const day = 86_400_000;
      for (const [offset, expected] of [
        ['+1d', day],
        ['-1d', -day],
        ['+0', 0],
      ] as const) {
        cadence.begin();
        writeFileSync(file, `${offset}\n`);
        await waitFor(async () => Math.abs((await sentAt()) - expected) < 60_000, {
          timeoutMs: 20_000,
          what: `the hive's clock to be ${offset}`,
        });
        await lasts(faultSeconds);
        expect(cadence.uneven()).toBeNull();
        const worker = await workerSeen(queen, 'demo/steady');
        expect(worker.liveness).toBe('online');
        expect(worker.cpuPercent).toBeGreaterThanOrEqual(0);
        expect(worker.cpuPercent).toBeLessThan(100);
      }
      expect(kinds(stream).filter((kind) => /^hive(Late|Offline|Removed|Restarted)$/.test(kind))).toEqual([]);
      expect(kinds(stream).filter((kind) => kind === 'workerExited' || kind === 'workerGone')).toEqual([]);
    },
  );

  test('hive_cloned: two hives of one id are told apart, by name, and one that ends leaves the other alone', async () => {
    const queen = await harness().queen();
    const stream = harness().stream(`${queen.url}/v1/events`);
    const first = await startFaultScenario(harness(), [queen.url], { name: 'first' });
    await liveness(queen, 'online');
    const host = await createHost(harness());
    const args = [...host.watchArgs, '--id', 'alpha', '--interval', `${intervalMs}ms`];
    let second = first.hive;
    await withstand({
      scenario: first,
      breakIt: async () => {
        second = await harness().hive([queen.url], { args, name: 'second' });
      },
      named: async () => {
        const refused = await faultNamed(first.hive.url, ({ code }) => code.includes('DUPLICATE_HIVE_ID'), 40_000);
        expect(refused).toMatchObject({ source: 'queen' });
        await waitFor(() => kinds(stream).includes('duplicateHiveId'), { what: 'the event of a duplicate id' });
        await queen.process.line(/duplicate|DUPLICATE|one id/i);
        expect((await getJson<HiveList>(`${queen.url}/v1/hives`)).items).toHaveLength(1);
      },
      // Of the one that is shown: the other's facts wait until it has an id of its own.
      happens: () => comeAndGo({ host, hive: second }),
      fix: async () => {
        await first.hive.process.stop();
        return { hive: second, cadence: await CadenceWatch.start(harness(), second.url, intervalMs) };
      },
      recovered: async () => {
        await workerSeen(queen, 'demo/during', ({ liveness: now }) => now === 'online');
        await faultGone(second.url, ({ source }) => source === 'queen');
      },
      stream: () => stream,
    });
  });
});
