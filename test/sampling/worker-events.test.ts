import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ReportedEnds, ReportedStore, workerRunKey } from '../../lib/sampling/reported.js';
import { StartClock } from '../../lib/sampling/start-clock.js';
import { type Tracked, track } from '../../lib/sampling/tracked.js';
import { WorkerEvents } from '../../lib/sampling/worker-events.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { workerRecord } from '../harness/worker-record.js';
import { watched } from './worker-support.js';

const wallMs = Date.parse('2026-03-04T05:06:07.008Z');
const at = '2026-03-04T05:06:07.008Z';

/** Events of workers on a hive that began at 100,000 ms. */
class Scene {
  nowMs = 100_000;
  readonly #events: WorkerEvents;

  constructor(reported: ReportedEnds | null = null) {
    const nowMs = () => this.nowMs;
    const clock = new StartClock({ host: { latest: () => null }, clockTicks: 100, nowMs, wallMs: () => wallMs });
    this.#events = new WorkerEvents({ root: '/cg', reported, nowMs, wallMs: () => wallMs }, clock);
  }

  /** What an act makes known. */
  of(act: (events: WorkerEvents) => void) {
    act(this.#events);
    this.#events.settle({ ended: [], recordsReadAtMs: this.nowMs }, () => undefined);
    const events = this.#events.take();
    expect(this.#events.take()).toEqual([]);
    return events;
  }
}

const worker = (over: Partial<Tracked> = {}, origin: 'launched' | 'adopted' = 'launched'): Tracked =>
  Object.assign(track(watched({ origin }), 0, 0), over);
const run = { pid: 7, incarnation: '7/70' };

describe('a worker that is seen for the first time', () => {
  it.each([
    [5, true],
    [5.001, false],
    [null, false],
  ])('with an uptime of %s s where the hive has run for 5 s: it started now is %s', (uptimeSeconds, isNew) => {
    const scene = new Scene();
    scene.nowMs += 5000;
    const tracked = worker({ uptimeSeconds });
    const events = scene.of((each) => each.started(tracked, null));
    expect(events.map(({ kind }) => kind)).toEqual(isNew ? ['workerStarted'] : []);
    expect([tracked.live, tracked.predates]).toEqual([true, !isNew]);
  });

  it('is said with its process, its run, and the reservation that it was started for', () => {
    const scene = new Scene();
    const main = { key: '7/70', pid: 7, startTicks: 70, startedAt: '2026-01-01T00:00:00.000Z', bootWallMs: 0 };
    const tracked = worker({ uptimeSeconds: 0, run, main }, 'adopted');
    expect(scene.of((events) => events.started(tracked, workerRecord({ reservationId: 'r1' })))).toEqual([
      {
        at: main.startedAt,
        kind: 'workerStarted',
        workerId: 'llm/0',
        detail: { ...run, origin: 'adopted', reservationId: 'r1' },
      },
    ]);
    const [bare] = scene.of((events) => events.started(worker({ uptimeSeconds: 0 }), workerRecord()));
    expect(bare).toEqual({
      at,
      kind: 'workerStarted',
      workerId: 'llm/0',
      detail: { pid: null, incarnation: null, origin: 'launched' },
    });
  });
});

describe('OOM kills', () => {
  const record = workerRecord();
  const kept: ReportedEnds = { continued: true, exited: () => false, oomKills: () => 2 };
  const kills = (scene: Scene, tracked: Tracked, total: number, since: number | null) =>
    scene.of((events) => events.countOomKills(tracked, total, since));

  it('are those since the last reading, none where it is not known how many there are', () => {
    const scene = new Scene();
    const tracked = worker();
    expect(kills(scene, tracked, 5, 2)).toEqual([
      { at, kind: 'oomKill', workerId: 'llm/0', detail: { kills: 2, total: 5 } },
    ]);
    expect(kills(scene, tracked, 5, 0)).toEqual([]);
    expect(kills(scene, tracked, Number.NaN, 3)).toEqual([]);
    expect(tracked.oomKills).toBe(5);
  });

  it.each<[string, Partial<Tracked>, 'launched' | 'adopted', ReportedEnds | null, number]>([
    ['that an earlier occupant left', { oomKills: 3 }, 'launched', null, 2],
    ['of which an earlier occupant had more', { oomKills: 9 }, 'launched', null, 0],
    ['of one that was made for it while the hive ran', { uptimeSeconds: 0 }, 'launched', null, 5],
    ['of one that ran before', { uptimeSeconds: 900 }, 'launched', null, 0],
    ['of an adopted one', { uptimeSeconds: 0 }, 'adopted', null, 0],
    ['beyond those that an earlier hive reported', { recordSeen: record }, 'launched', kept, 3],
    ['of one without a record', {}, 'launched', kept, 0],
    ['where there was no earlier hive', { recordSeen: record }, 'launched', { ...kept, continued: false }, 0],
  ])('at the first reading, of 5 those %s are news', (_title, over, origin, reported, news) => {
    const found = kills(new Scene(reported), worker(over, origin), 5, null);
    expect(found.map(({ detail }) => detail)).toEqual(news === 0 ? [] : [{ kills: news, total: 5 }]);
  });

  it('are noted of the run of a record, where notes are kept', () => {
    const noted = (reported: ReportedEnds | null, recordSeen: Tracked['recordSeen']) =>
      kills(new Scene(reported), worker({ recordSeen }), 5, 1)[0]?.reportMark;
    expect(noted(kept, record)).toEqual({ worker: workerRunKey(record), exited: false, oomKills: 5 });
    expect([noted(null, record), noted(kept, null)]).toEqual([undefined, undefined]);
  });
});

it('a worker that stalls or goes on says so once, with what its engine says', () => {
  const scene = new Scene();
  const tracked = worker();
  const serving = { engine: 'vllm', running: 3, waiting: 2, progressAgeMs: 61_000 } as never;
  const say = (isStalled: boolean, said: typeof serving | null) =>
    scene.of((events) => events.stalled(tracked, isStalled, said));
  expect(say(false, serving)).toEqual([]);
  const detail = { engine: 'vllm', running: 3, waiting: 2, progressAgeMs: 61_000 };
  expect(say(true, serving)).toEqual([{ at, kind: 'workerStalled', workerId: 'llm/0', detail }]);
  expect(say(true, serving)).toEqual([]);
  const nothing = { engine: null, running: null, waiting: null, progressAgeMs: null };
  expect(say(false, null)).toEqual([{ at, kind: 'workerRecovered', workerId: 'llm/0', detail: nothing }]);
  expect(tracked.stalled).toBe(false);
});

it('a worker that ended is said with what was known of it', () => {
  const scene = new Scene();
  const ended = (over: Partial<Tracked>) => scene.of((events) => events.departed(worker(over, 'adopted')))[0];
  expect(ended({ run, uptimeSeconds: 12.3456 })).toMatchObject({
    ...{ at, kind: 'workerExited', workerId: 'llm/0' },
    detail: { ...run, code: null, signal: null, uptimeSeconds: 12.35 },
  });
  expect(ended({})?.detail).toMatchObject({ pid: null, incarnation: null, uptimeSeconds: null });
});

describe('the note of what was reported, by events', () => {
  const failed = (error: unknown): never => {
    throw error;
  };
  const opened = async () => {
    const directory = temporaryDirectory();
    onTestFinished(() => directory.remove());
    const open = (onFailure: (error: unknown) => void = failed) => ReportedStore.open(directory.path, 'h1', onFailure);
    const path = () => join(directory.path, readdirSync(directory.path)[0] as string, 'h1.json');
    const written = () => JSON.parse(readFileSync(path(), 'utf8')).workers;
    return { directory, open, path, written, store: await open() };
  };
  const mark = (worker: string, oomKills: number, exited = false) => ({ worker, exited, oomKills });

  it('has each worker once: an exit stays one, and kills never become fewer', async () => {
    const { store, open, written } = await opened();
    store.sent(1, mark('a', 5));
    store.sent(2, mark('b', 1));
    store.sent(3, mark('a', 3, true));
    store.sent(4, mark('a', 4));
    store.acknowledged(0);
    expect([store.oomKills('a'), store.exited('a')]).toEqual([0, false]);
    store.acknowledged(1);
    expect([store.oomKills('a'), store.exited('a'), store.oomKills('b')]).toEqual([5, false, 0]);
    store.acknowledged(9);
    expect([store.oomKills('a'), store.exited('a'), store.oomKills('b')]).toEqual([5, true, 1]);
    await store.flush(5000);
    expect(written()).toEqual([
      ['b', false, 1],
      ['a', true, 5],
    ]);
    const again = await open();
    expect([again.continued, again.oomKills('a'), again.exited('a'), again.exited('c')]).toEqual([
      true,
      5,
      true,
      false,
    ]);
  });

  it('of another form counts as none, and of its entries those that are whole', async () => {
    const { open, path, store } = await opened();
    expect(store.continued).toBe(false);
    const whole = [
      ['a', true, 3],
      ['b', false, 2],
    ];
    const torn = [['c', 1, 2], [7, true, 2], ['d', true, 1.5], ['e', true], { 0: 'f', 1: true, 2: 3 }, 'ghi', 7, null];
    writeFileSync(path(), JSON.stringify({ workers: [...torn, ...whole] }));
    const read = await open();
    expect(read.continued).toBe(true);
    expect(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => read.oomKills(name))).toEqual([3, 2, 0, 0, 0, 0]);
    expect([read.exited('a'), read.exited('b'), read.exited('e')]).toEqual([true, false, false]);
    expect(JSON.parse(readFileSync(path(), 'utf8'))).toEqual({ schema: 1, workers: whole });
    for (const text of ['', '{"workers"', 'null']) {
      writeFileSync(path(), text);
      expect([text, (await open()).continued]).toEqual([text, false]);
    }
    writeFileSync(path(), '{"workers":{"a":1}}');
    expect((await open()).oomKills('a')).toBe(0);
  });

  it('that cannot be read is not replaced: the caller learns why', async () => {
    const { open, path } = await opened();
    rmSync(path());
    mkdirSync(path());
    await expect(open()).rejects.toThrow();
    rmSync(path(), { recursive: true });
    writeFileSync(path(), ' '.repeat(2 * 1024 * 1024));
    await expect(open()).rejects.toThrow();
  });

  it('has no more workers than exits are kept, the newest', async () => {
    const { store } = await opened();
    for (let i = 0; i <= 2000; i += 1) store.sent(i, mark(`w${i}`, 1));
    store.acknowledged(2000);
    expect([0, 1, 2000].map((i) => store.oomKills(`w${i}`))).toEqual([0, 1, 1]);
    await store.flush(5000);
  });

  it('is written again for what is acknowledged while it is written, and a failure is said and costs nothing', async () => {
    const failures: unknown[] = [];
    const { directory, open, written } = await opened();
    const store = await open((error) => void failures.push(error));
    store.sent(1, mark('a', 1));
    store.sent(2, mark('b', 2));
    store.acknowledged(1);
    store.acknowledged(2);
    await store.flush(5000);
    expect(written()).toEqual([
      ['a', false, 1],
      ['b', false, 2],
    ]);
    directory.remove();
    store.sent(3, mark('c', 3));
    store.acknowledged(3);
    await store.flush(5000);
    expect(failures).toHaveLength(1);
    expect(store.oomKills('c')).toBe(3);
  });
});
