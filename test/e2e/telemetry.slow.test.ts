import { describe, expect, test, vi } from 'vitest';
import type {
  Fleet,
  FleetEvent,
  HiveList,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from '../../lib/contract/api.js';
import { Control } from '../harness/control.js';
import { getJson, useHarness } from '../harness/harness.js';
import type { StreamMessage } from '../harness/sse.js';
import { waitFor } from '../harness/wait.js';
import { busy, cgroupSuite, createHost, sleeping, workerGone, workerSeen, workersOf } from './fleet.js';

// Real processes on a machine that others load as well: each wait has a deadline of its own, the test a generous one.
vi.setConfig({ testTimeout: 90_000 });

const suite = cgroupSuite('a queen, hives and workers as processes');

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();

  for (const reader of ['native', 'files'] as const) {
    test(`end_to_end_telemetry_flow: a worker with group, instance and model, in the registry and in the stream (${reader} reader)`, async () => {
      const host = await createHost(harness());
      const env = reader === 'files' ? { HIVEPULSE_NO_NATIVE: '1' } : {};
      const control = await Control.start(harness());
      const queen = await harness().queen();
      const stream = harness().stream(`${queen.url}/v1/events`);
      await stream.next((message) => message.event === 'snapshot');
      await harness().hive([queen.url], { args: [...host.watchArgs, '--id', 'alpha'], env });
      await stream.next((message) => message.event === 'heartbeat');
      host.worker('llm', '8080', busy, ['--model', 'tiny', '--label', 'tier=gold']);

      // From the start of its process to the heartbeat that the queen took and told of, whole: a cgroup may be seen an instant before
      // its record. Rows in the stream are those of the registry.
      const named = (message: StreamMessage) =>
        message.event === 'heartbeat' &&
        (message.data as StreamHeartbeat).workers.find(({ key, model }) => key === 'alpha/llm/8080' && model !== null);
      const told = await stream.next((message) => named(message) !== false && named(message) !== undefined, 30_000);
      const row = named(told) as WorkerView;
      expect(row).toMatchObject({ group: 'llm', instance: '8080', model: 'tiny' });
      const startedAt = Date.parse(row.startedAt as string) - (Date.now() - performance.now());
      const late = control.lateMs(startedAt, told.at);
      expect(told.at - startedAt, `the control timer was ${late} ms late`).toBeLessThanOrEqual(3000 + late);
      expect((await workersOf(queen)).map(({ key }) => key)).toEqual(['alpha/llm/8080']);
      const events = stream.messages.filter(({ event }) => event === 'event' || event === 'queenEvent');
      const kinds = events.slice(0, 5).map(({ data }) => {
        const { kind, workerId } = data as FleetEvent;
        return `${kind} ${workerId ?? ''}`.trim();
      });
      expect(kinds).toContain('workerStarted llm/8080');
      expect(kinds).toContain('workerAppeared llm/8080');

      const worker = await workerSeen(queen, 'llm/8080', ({ cpuPercent }) => cpuPercent !== null && cpuPercent > 0);
      expect(worker).toMatchObject({
        key: 'alpha/llm/8080',
        hive: 'alpha',
        group: 'llm',
        instance: '8080',
        model: 'tiny',
        labels: { tier: 'gold' },
        origin: 'launched',
        liveness: 'online',
      });
      expect(worker.pid).toBeGreaterThan(1);
      expect(worker.memoryBytes).toBeGreaterThan(1 << 20);
      expect((await workersOf(queen, '?model=tiny')).map(({ id }) => id)).toEqual(['llm/8080']);
      expect(await workersOf(queen, '?model=other')).toEqual([]);

      const [hive] = (await getJson<HiveList>(`${queen.url}/v1/hives`)).items;
      expect(hive?.collection.cgroupReader).toBe(reader);
      if (reader === 'files') expect(hive?.collection.cgroupReaderReason).toMatch(/HIVEPULSE_NO_NATIVE/);

      // In the stream: the fact, then rows whose figures move.
      const started = await stream.next(
        ({ event, data }) => event === 'event' && (data as FleetEvent).kind === 'workerStarted',
      );
      expect((started.data as FleetEvent).workerId).toBe('llm/8080');
      const figures = () =>
        new Set(
          stream.messages
            .filter(({ event }) => event === 'heartbeat')
            .flatMap(({ data }) => (data as StreamHeartbeat).workers)
            .map(({ cpuPercent }) => cpuPercent),
        );
      await waitFor(() => figures().size >= 3, { what: 'CPU figures that move' });
    });
  }

  test('worker_dies_removed_from_registry: at the next heartbeat', async () => {
    const host = await createHost(harness());
    const queen = await harness().queen();
    await harness().hive([queen.url], { args: host.watchArgs });
    const run = host.worker('demo', 'short', sleeping);
    const other = host.worker('demo', 'long', sleeping);
    const { pid } = await workerSeen(queen, 'demo/short');
    await workerSeen(queen, 'demo/long');
    process.kill(pid as number, 'SIGKILL');
    expect(await run.ended()).toBe(128 + 9);
    await workerGone(queen, 'demo/short');
    expect((await workersOf(queen)).map(({ id }) => id)).toEqual(['demo/long']);
    expect(other.running).toBe(true);
  });

  test('worker_dies_removed_from_registry: by time when its hive died', async () => {
    const host = await createHost(harness());
    const queen = await harness().queen({ args: ['--stale-after', '11s'] });
    const hive = await harness().hive([queen.url], { args: host.watchArgs });
    host.worker('demo', 'orphan', sleeping);
    await workerSeen(queen, 'demo/orphan');
    hive.process.signalGroup('SIGKILL');
    // Never shown as fresh once the hive is silent, and gone with it.
    await waitFor(async () => (await workersOf(queen))[0]?.liveness === 'offline', {
      timeoutMs: 30_000,
      what: 'the hive to be offline',
    });
    await workerGone(queen, 'demo/orphan');
    expect((await getJson<HiveList>(`${queen.url}/v1/hives`)).items).toEqual([]);
  });

  test('queen_restart_recovers: its hives and workers are back within 5 s of its listening', async () => {
    const host = await createHost(harness());
    const queen = await harness().queen();
    const { port } = new URL(queen.url);
    await harness().hive([queen.url], { args: [...host.watchArgs, '--id', 'alpha'] });
    host.worker('demo', 'steady', sleeping);
    await workerSeen(queen, 'demo/steady');
    queen.process.signalGroup('SIGKILL');
    await queen.process.ended();
    const control = await Control.start(harness());
    const again = await harness().queen({ args: ['--port', port] });
    const listening = performance.now();
    const fleet = await getJson<Fleet>(`${again.url}/v1/fleet`);
    expect(fleet.warming).toBe(true);
    await workerSeen(again, 'demo/steady');
    const back = performance.now();
    const late = control.lateMs(listening, back);
    expect(back - listening, `the control timer was ${late} ms late`).toBeLessThanOrEqual(5000 + late);
    expect((await getJson<HiveList>(`${again.url}/v1/hives`)).items).toMatchObject([
      { id: 'alpha', liveness: 'online' },
    ]);
  });

  test('hive_restart_clears_workers: what ended meanwhile is gone, what lives on is found again with its labels', async () => {
    const host = await createHost(harness());
    const queen = await harness().queen();
    const args = [...host.watchArgs, '--id', 'alpha'];
    const first = await harness().hive([queen.url], { args });
    const ending = host.worker('demo', 'ending', sleeping);
    host.worker('demo', 'staying', sleeping, ['--label', 'keep=me']);
    await workerSeen(queen, 'demo/ending');
    await workerSeen(queen, 'demo/staying');
    expect(await first.process.stop()).toBe(0);
    ending.signal('SIGTERM');
    await ending.ended();
    await harness().hive([queen.url], { args });
    await workerGone(queen, 'demo/ending');
    const staying = await workerSeen(queen, 'demo/staying');
    expect(staying).toMatchObject({ labels: { keep: 'me' }, origin: 'launched' });
  });

  test('scheduling_queries: three sleeping workers are idle, another model has none', async () => {
    const host = await createHost(harness());
    const queen = await harness().queen();
    await harness().hive([queen.url], { args: [...host.watchArgs, '--idle-for', '1s'] });
    for (const instance of ['1', '2', '3']) host.worker('demo', instance, sleeping, ['--model', 'm']);
    await waitFor(async () => (await workersOf(queen, '?state=idle')).length === 3, {
      timeoutMs: 20_000,
      what: 'three idle workers',
    });
    expect(await workersOf(queen, '?model=x')).toEqual([]);
    expect(await workersOf(queen, '?model=m&state=idle')).toHaveLength(3);
  });

  test('shutdown: the last heartbeat says stopping, streams end, and both end with 0', async () => {
    const host = await createHost(harness());
    const up = await harness().up({ args: [...host.watchArgs, '--id', 'alpha'] });
    const stream = harness().stream(`${up.url}/v1/events`);
    const open = await stream.next(({ event }) => event === 'snapshot');
    expect((open.data as StreamSnapshot).hives.map(({ id }) => id).filter((id) => id !== 'alpha')).toEqual([]);
    await waitFor(async () => (await getJson<HiveList>(`${up.url}/v1/hives`)).items[0]?.state === 'ready', {
      what: 'the hive to be ready',
    });
    up.process.signal('SIGTERM');
    expect(await up.process.ended(5000)).toBe(0);
    await waitFor(() => stream.ended, { what: 'the stream to end' });
    expect(stream.messages.some(({ data }) => JSON.stringify(data).includes('"state":"stopping"'))).toBe(true);
  });

  test('a port that is taken: one clear line and exit 1', async () => {
    const queen = await harness().queen();
    const { port } = new URL(queen.url);
    const second = harness().cli(['queen', '--port', port]);
    expect(await second.ended()).toBe(1);
    const lines = second.lines.filter((line) => line.includes('ADDRESS_IN_USE'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(port);
  });

  test('a cgroup root that does not exist: up runs, and says what is missing', async () => {
    const missing = `${harness().directory()}/nowhere`;
    const up = await harness().up({ args: ['--root', missing, '--gpu', 'none', '--no-auto'] });
    const hive = await waitFor(async () => (await getJson<HiveList>(`${up.url}/v1/hives`)).items[0], {
      what: 'the hive at its queen',
    });
    expect(hive.host.cpuCount).toBeGreaterThan(0);
    const fault = await waitFor(
      async () =>
        (await getJson<HiveList>(`${up.url}/v1/hives`)).items[0]?.faults.find(({ source }) => source === 'cgroup'),
      { what: 'the fault' },
    );
    expect(fault.message).toContain(missing);
  });
});
