import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Heartbeat, HiveEvent } from '../../lib/contract/heartbeat.js';
import type { HeartbeatTransport } from '../../lib/hive/transport.js';
import { ReportedStore } from '../../lib/sampling/reported.js';
import { recordExit, type WorkerExit, type WorkerRecord, writeRecord } from '../../lib/workers/records.js';
import { waitFor } from '../harness/wait.js';
import { workerRecord } from '../harness/worker-record.js';
import { FakeHost } from './fake-host.js';

const path = '/hivepulse.slice/g/a';
const killed: WorkerExit = {
  at: '2026-02-03T04:05:06.000Z',
  code: null,
  signal: 'SIGKILL',
  oomKills: 1,
  remaining: 0,
};

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});

const recordOf = (over: Partial<WorkerRecord> = {}): WorkerRecord =>
  workerRecord({ cgroup: join(host.cgroupRoot, path), startedAt: '2026-02-03T04:00:06.000Z', ...over });

async function launch(over: Partial<WorkerRecord> = {}): Promise<WorkerRecord> {
  host.worker(path, { pid: 100, argv: ['x'] });
  const record = recordOf(over);
  await writeRecord(host.runtimeDir, record);
  return record;
}

async function end(record: WorkerRecord, exit: WorkerExit = killed): Promise<void> {
  host.remove(path);
  await recordExit(host.runtimeDir, record, exit);
}

/**
 * A run of the hive that sees so many workers (null: not waited for), and what its queen has heard from it; `takes` false:
 * the queen hears and keeps nothing.
 */
async function run({ takes = true, queens = ['http://queen'], workers = null as number | null } = {}) {
  const heartbeats: Heartbeat[] = [];
  const lines: string[] = [];
  const log = (_fields: object, text: string) => void lines.push(text);
  const transport = (queen: string): HeartbeatTransport => ({
    queen,
    async send(heartbeat) {
      heartbeats.push(heartbeat);
      const ackEventSeq = takes ? (heartbeat.events.at(-1)?.seq ?? 0) : 0;
      return { kind: 'ack', reply: { accepted: true, queenId: 'q', ackEventSeq, intervalMs: heartbeat.intervalMs } };
    },
    close: async () => undefined,
  });
  const hive = await host.startHive({ queens, logger: { info: log, warn: log } as never }, { transport });
  const seen = () => hive.snapshot()?.hive.state === 'ready' && hive.snapshot()?.workers.length === workers;
  if (workers !== null) await waitFor(seen, { what: 'the hive to have seen its host' });
  /** Each event once, however often it was sent. */
  const events = (): HiveEvent[] => {
    const all = new Map(heartbeats.flatMap((heartbeat) => heartbeat.events).map((event) => [event.seq, event]));
    return [...all.values()].filter(({ kind }) => kind !== 'workerStarted');
  };
  const later = async (count = 3) => {
    const from = heartbeats.length;
    await waitFor(() => heartbeats.length >= from + count, { what: 'heartbeats' });
  };
  return { hive, heartbeats, lines, events, later };
}

/** A run that sees so many workers and reports nothing of them. */
async function silentRun(workers: number): Promise<void> {
  const now = await run({ workers });
  await now.later();
  expect(now.events()).toEqual([]);
}

describe('what a hive has reported of its workers', () => {
  it('an exit while no hive ran is reported by the next run, with how it ended, and by no later one', async () => {
    const record = await launch();
    const first = await run({ workers: 1 });
    await first.hive.close();
    await end(record);

    const second = await run();
    await waitFor(() => second.events().length >= 2, { what: 'the exit' });
    // By the first heartbeat that says the worker is gone: nobody calls it gone without a reason first. On a busy machine the exit
    // is known before all workers are.
    const saysGone = () => second.heartbeats.findIndex(({ workersComplete }) => workersComplete);
    await waitFor(() => saysGone() >= 0, { what: 'a heartbeat with all workers' });
    const heard = second.heartbeats.slice(0, saysGone() + 1).flatMap(({ events }) => events);
    expect(new Set(heard.map(({ seq }) => seq)).size).toBe(2);
    await second.later();
    expect(second.events()).toMatchObject([
      { kind: 'oomKill', workerId: 'g/a', at: killed.at, detail: { kills: 1, total: 1 } },
      {
        kind: 'workerExited',
        workerId: 'g/a',
        at: killed.at,
        detail: { code: null, signal: 'SIGKILL', uptimeSeconds: 300 },
      },
    ]);
    // What keeps them apart between runs does not travel.
    for (const event of second.events()) expect(Object.keys(event)).not.toContain('tells');
    await second.hive.close();

    await silentRun(0);
  });

  it('an exit that the run before had seen, and no queen acknowledged, is reported again', async () => {
    const record = await launch();
    const first = await run({ takes: false, workers: 1 });
    await end(record);
    await waitFor(() => first.events().length === 2, { what: 'the exit' });
    await first.hive.close();
    const second = await run();
    await waitFor(() => second.events().length === 2, { what: 'the exit, again' });
    await second.hive.close();
    await silentRun(0);
  });

  it('an exit that the run before had reported, with its last heartbeat too, is not reported again', async () => {
    const record = await launch();
    const first = await run({ workers: 1 });
    await end(record);
    await waitFor(() => first.hive.snapshot()?.workers.length === 0, { what: 'the worker to be gone' });
    await first.hive.close();
    const heard = first.events().length;
    const second = await run({ workers: 0 });
    await second.later();
    expect([...first.events(), ...second.events()].map(({ kind }) => kind)).toEqual(['oomKill', 'workerExited']);
    expect(heard === 0 || second.events().length === 0).toBe(true);
  });

  it('an OOM kill while no hive ran of a worker that lives on is reported by the next run, once', async () => {
    await launch();
    host.set(path, 'memory.events', 'oom_kill 2\n');
    const first = await run({ workers: 1 });
    // What was before the first run of all is nobody's to report.
    await first.later();
    expect(first.events()).toEqual([]);
    host.set(path, 'memory.events', 'oom_kill 3\n');
    await waitFor(() => first.events().length === 1, { what: 'the kill' });
    await first.later();
    await first.hive.close();
    host.set(path, 'memory.events', 'oom_kill 5\n');
    const second = await run();
    await waitFor(() => second.events().length > 0, { what: 'the kills' });
    await second.later();
    expect(second.events()).toMatchObject([{ kind: 'oomKill', workerId: 'g/a', detail: { kills: 2, total: 5 } }]);
    await second.hive.close();
    await silentRun(1);
  });

  it('a worker that begins and ends between two looks of the hive is reported by its exit', async () => {
    const now = await run({ workers: 0 });
    await recordExit(host.runtimeDir, recordOf(), { ...killed, code: 3, signal: null, oomKills: null });
    await waitFor(() => now.events().length > 0, { what: 'the exit' });
    await now.later();
    expect(now.events()).toMatchObject([{ kind: 'workerExited', workerId: 'g/a', detail: { code: 3, signal: null } }]);
  });

  it('children that live on keep an exit from being reported until they end', async () => {
    const record = await launch();
    const now = await run({ workers: 1 });
    await recordExit(host.runtimeDir, record, { ...killed, oomKills: null, remaining: 1 });
    await now.later(12);
    expect(now.events()).toEqual([]);
    host.remove(path);
    await waitFor(() => now.events().length > 0, { what: 'the exit' });
    await now.later();
    expect(now.events()).toMatchObject([{ kind: 'workerExited', detail: { signal: 'SIGKILL', remaining: 1 } }]);
  });

  it('workers of another cgroup tree are not this hive’s to report', async () => {
    await recordExit(host.runtimeDir, recordOf({ cgroup: '/elsewhere/hivepulse.slice/g/a' }), killed);
    await silentRun(0);
  });

  it('without a queen, what its own readers were told counts', async () => {
    await recordExit(host.runtimeDir, recordOf(), killed);
    const alone = await run({ queens: [], workers: 0 });
    await alone.hive.close();
    await silentRun(0);
  });

  it('where it cannot be kept, the log says so and old exits are not reported at each start', async () => {
    writeFileSync(join(host.runtimeDir, 'told'), 'a file where a directory should be');
    await recordExit(host.runtimeDir, recordOf(), killed);
    const now = await run({ workers: 0 });
    await now.later();
    expect(now.lines.join('\n')).toMatch(/exits this hive has reported cannot be saved in/);
    expect(now.events()).toEqual([]);
  });
});

describe('the note of what was reported', () => {
  const failed = (error: unknown): never => {
    throw error;
  };

  it.each(['', '{"wor', 'null', '[]', '{"workers":{"a":1}}', '{"workers":[["x",1,"y"],7]}'])(
    'a file of %j is no note, and is replaced',
    async (text) => {
      mkdirSync(join(host.runtimeDir, 'told'));
      writeFileSync(join(host.runtimeDir, 'told/h1.json'), text);
      const store = await ReportedStore.open(host.runtimeDir, 'h1', failed);
      expect(store.exited('x')).toBe(false);
      expect(JSON.parse(readFileSync(join(host.runtimeDir, 'told/h1.json'), 'utf8'))).toEqual({
        schema: 1,
        workers: [],
      });
    },
  );

  it('holds what is acknowledged and no more, bounded, the newest kept', async () => {
    const store = await ReportedStore.open(host.runtimeDir, 'h1', failed);
    expect(store.continued).toBe(false);
    for (let i = 1; i <= 2500; i += 1) store.sent(i, { worker: `w${i}`, exited: true, oomKills: i });
    store.acknowledged(2400);
    await store.flush(5000);
    const again = await ReportedStore.open(host.runtimeDir, 'h1', failed);
    expect(again.continued).toBe(true);
    expect([again.exited('w400'), again.exited('w401'), again.exited('w2400'), again.exited('w2401')]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(again.oomKills('w2400')).toBe(2400);
  });
});
