import { describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { adoptHistory, historyText, parseHistory } from '../../lib/queen/history-file.js';
import { Registry, type RegistryOptions } from '../../lib/queen/registry.js';
import { servingOf } from '../harness/heartbeats.js';
import { bareHeartbeat, gib, gpuSample, type HeartbeatFields, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** Its histories can be opened. */
class Queen extends TestQueen {
  get rings() {
    return this.histories;
  }

  hearFrom(owner: string, id: string, seq: number, fields?: HeartbeatFields): void {
    expect(this.heartbeat(bareHeartbeat(id, seq, fields), { owner, textBytes: 0 }).accepted).toBe(true);
  }
}

const silent = { serving: null };
const worker = (id: string, fields: Parameters<typeof workerSample>[1] = {}) =>
  workerSample(id, { ...silent, ...fields });
const keys = (items: readonly { readonly key: string }[]) => items.map(({ key }) => key);
const ids = (items: readonly { readonly id: string }[]) => items.map(({ id }) => id);

/** `a` is heard, `b` is late, `c` is heard and takes no work; they came in another order. */
function fleet(options: RegistryOptions = {}): Queen {
  const queen = new Queen(options);
  queen.hear('b', 1, { workers: [worker('llm/1', { model: 'm' })] });
  queen.time.advance(5000);
  queen.hear('c', 1, { hive: { state: 'draining' }, workers: [worker('llm/1', { model: 'M', ready: true })] });
  queen.hearFrom('token of a', 'a', 1, {
    gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, memoryTotalBytes: gib(80) })],
    workers: [
      worker('llm/1', { model: 'm', state: 'busy', ...onGpu('GPU-0') }),
      worker('llm/2', { model: 'm-2', ready: false, ...onGpu('GPU-1') }),
      worker('llm/3', { model: null }),
    ],
  });
  return queen;
}

describe('a registry', () => {
  it('without options goes by the clocks and chance of its process, and warms up', () => {
    const queen = new Registry();
    const workers = ['llm/1', 'llm/2', 'llm/3'].map((id) => worker(id, { model: 'm' }));
    queen.heartbeat(bareHeartbeat('a', 1, { gpus: [gpuSample('GPU-0')], workers }));
    expect(queen.warming).toBe(true);
    expect(queen.hive('a')!.ageMs).toBeLessThan(60_000);
    expect(queen.pickWorkers({ model: 'm' }).worker).not.toBeNull();
    const before = Date.now();
    queen.heartbeat(bareHeartbeat('a', 2, { workers }));
    const [item] = queen.listMissing().items;
    expect(Date.parse(item!.since)).toBeGreaterThanOrEqual(before - 1000);
    expect(Date.parse(item!.since)).toBeLessThanOrEqual(Date.now() + 1000);
  });

  it('goes by what it is given instead, and refuses what it cannot use', () => {
    const wallMs = 1_772_366_400_000;
    const queen = new Queen({ wallClock: () => wallMs, warmingMs: 700 });
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    queen.hear('a', 2);
    expect(queen.listMissing().items).toMatchObject([
      { kind: 'gpu', key: 'GPU-0', since: new Date(wallMs).toISOString() },
    ]);
    queen.time.advance(699);
    expect([queen.warming, queen.hives().warming, queen.snapshot().warming]).toEqual([true, true, true]);
    queen.time.advance(1);
    expect([queen.warming, queen.hives().warming, queen.pickWorkers({ model: 'm' }).warming]).toEqual([
      false,
      false,
      false,
    ]);
    const usual = new Queen();
    usual.time.advance(defaults.warmingMs - 1);
    expect(usual.warming).toBe(true);
    usual.time.advance(1);
    expect(usual.warming).toBe(false);
    expect(() => new Registry({ warmingMs: -1 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('chooses among equals by the chance that it is given', () => {
    const picked = (chance: number) => {
      const queen = new Queen({ random: () => chance });
      queen.hear('a', 1, { workers: [1, 2, 3].map((n) => worker(`llm/${n}`, { model: 'm' })) });
      return queen.findBestWorkerForModel('m')?.id;
    };
    expect(Array.from({ length: 12 }, () => picked(0))).toEqual(Array(12).fill('llm/3'));
    expect(Array.from({ length: 12 }, () => picked(0.999))).toEqual(Array(12).fill('llm/1'));
  });

  it('keeps so many histories, and 30,000 where nothing is said', () => {
    const queen = fleet({ historyRings: 1 });
    expect(queen.history('a')?.series.workers).toEqual([]);
    expect(queen.history('b')?.series.workers?.[0]).toBe(1);
    const { rings } = new Queen();
    for (let ring = 0; ring < 30_000; ring++) rings.open();
    expect([rings.used, rings.open()]).toEqual([30_000, -1]);
  });
});

describe('questions about what there is', () => {
  it('hives: by name, all, those that are heard; null where there is none of that name', () => {
    const queen = fleet();
    expect([ids(queen.hives().items), queen.hiveIds(), ids([...queen.eachHive()]).sort(), queen.hiveCount]).toEqual([
      ...[['a', 'b', 'c'], ['a', 'b', 'c'], ['a', 'b', 'c'], 3],
    ]);
    expect(queen.hive('b')).toMatchObject({ id: 'b', liveness: 'late', ageMs: 5000 });
    expect([...queen.eachHive()].map(({ ageMs }) => ageMs)).toEqual([5000, 0, 0]);
    expect(ids(queen.listOnline())).toEqual(['a', 'c']);
    expect(['a', 'z'].map((id) => queen.hasHive(id))).toEqual([true, false]);
    expect([queen.ownerOf('a'), queen.ownerOf('z')]).toEqual(['token of a', null]);
    const room = { gpus: 9, illGpus: 9, workers: 9 };
    expect(queen.scrape('a', room)).toMatchObject({ hive: { id: 'a', ageMs: 0 }, gpus: [{}, {}] });
    expect([queen.hive('z'), queen.scrape('z', room)]).toEqual([null, null]);
    expect(new Queen().hiveIds()).toEqual([]);
  });

  it('workers and GPUs: by name, of a hive, in pages', () => {
    const queen = fleet();
    expect(queen.worker('a', 'llm', '2')).toMatchObject({ key: 'a/llm/2' });
    expect([queen.worker('a', 'llm', '9'), queen.worker('z', 'llm', '1')]).toEqual([null, null]);
    expect([keys(queen.workersOf('a')), queen.workersOf('z')]).toEqual([['a/llm/1', 'a/llm/2', 'a/llm/3'], []]);
    expect(keys(queen.workers({ hive: 'b' }).items)).toEqual(['b/llm/1']);
    const page = queen.workers({ limit: 2 });
    expect([keys(page.items), page.warming]).toEqual([['a/llm/1', 'a/llm/2'], true]);
    expect(keys(queen.workers({ limit: 9, cursor: page.nextCursor }).items)).toEqual(['a/llm/3', 'b/llm/1', 'c/llm/1']);
    expect(queen.gpus().items.map(({ uuid }) => uuid)).toEqual(['GPU-0', 'GPU-1']);
    expect([queen.gpu('GPU-1')?.hive, queen.gpu('GPU-9')]).toEqual(['a', null]);
    const { hives, workers, lastEventId, warming } = queen.snapshot();
    expect([ids(hives), keys(workers), lastEventId, warming]).toEqual([
      ...[['a', 'b', 'c'], ['a/llm/1', 'a/llm/2', 'a/llm/3', 'b/llm/1', 'c/llm/1'], queen.lastEventId, true],
    ]);
    expect(queen.audit()).toEqual([]);
  });

  it('counts: of hives that are online, or of all', () => {
    const queen = fleet();
    expect([queen.counts().workers, queen.counts({ includeStale: true }).workers]).toEqual([4, 5]);
    expect(queen.counts({ includeStale: false })).toMatchObject({ workers: 4, gpus: 2, hives: { online: 2, late: 1 } });
  });

  it('each looks at the time first', () => {
    const answers: readonly ((queen: Queen) => unknown)[] = [
      (queen) => queen.hive('a')!.liveness,
      (queen) => queen.listOnline().length === 0 && 'offline',
      (queen) => queen.counts().hives.offline === 3 && 'offline',
      (queen) => queen.workersOf('a')[0]!.liveness,
      (queen) => queen.snapshot().hives[0]!.liveness,
      (queen) => queen.attention().items.some(({ hive, cause }) => hive === 'a' && /offline/i.test(cause)) && 'offline',
    ];
    for (const answer of answers) {
      const queen = fleet();
      queen.time.advance(20_000);
      expect(answer(queen)).toBe('offline');
    }
    const gone = (ask: (queen: Queen) => unknown) => {
      const queen = fleet();
      queen.time.advance(defaults.staleAfterMs);
      return ask(queen);
    };
    expect(gone((queen) => queen.hiveIds())).toEqual([]);
    expect(gone((queen) => queen.listMissing({ kind: 'hive' }).items.length)).toBe(3);
  });
});

describe('workers are found', () => {
  it('idle and ready, on hives that take work, unless all are asked for', () => {
    const queen = fleet();
    expect(keys(queen.findIdleWorkers())).toEqual(['a/llm/3']);
    expect(keys(queen.findIdleWorkers({ includeStale: true }))).toEqual(['a/llm/3', 'b/llm/1', 'c/llm/1']);
    expect(keys(queen.findIdleWorkers({ includeStale: true, limit: 2 }))).toEqual(['a/llm/3', 'b/llm/1']);
    for (const limit of [0, -1]) expect(queen.findIdleWorkers({ includeStale: true, limit })).toEqual([]);
    expect(keys(queen.findIdleWorkers({ includeStale: true, limit: 1 }))).toEqual(['a/llm/3']);
  });

  it('that requests can be sent to, or all of hives that are heard', () => {
    const queen = fleet();
    expect(keys(queen.listAvailable())).toEqual(['a/llm/1', 'a/llm/3']);
    expect(keys(queen.listAvailable({ includeStale: true }))).toEqual(['a/llm/1', 'a/llm/3', 'b/llm/1', 'c/llm/1']);
    expect(keys(queen.getAllWorkers())).toEqual(['a/llm/1', 'a/llm/2', 'a/llm/3', 'c/llm/1']);
    expect(keys(queen.getAllWorkers({ limit: 1 }))).toEqual(['a/llm/1']);
  });

  it('by model: exactly, whatever its letters, or by how it begins', () => {
    const queen = fleet();
    const found = (...[model, options]: Parameters<Queen['findWorkersWithModel']>) =>
      keys(queen.findWorkersWithModel(model, { includeStale: true, ...options }));
    expect(found('m')).toEqual(['a/llm/1', 'b/llm/1']);
    expect(keys(queen.findWorkersWithModel('m'))).toEqual(['a/llm/1']);
    expect(found('M', { caseInsensitive: true }).sort()).toEqual(['a/llm/1', 'b/llm/1', 'c/llm/1']);
    expect(found('m', { prefix: true }).sort()).toEqual(['a/llm/1', 'a/llm/2', 'b/llm/1']);
    expect(found('M', { prefix: true })).toEqual(['c/llm/1']);
    expect(found('M', { prefix: true, caseInsensitive: true })).toHaveLength(4);
    expect(found('', { prefix: true })).toHaveLength(4);
    expect(found('m-2', { caseInsensitive: true })).toEqual(['a/llm/2']);
    expect(found('x', { prefix: true })).toEqual([]);
  });

  it('one that serves under two names is found once by how both begin', () => {
    const queen = new Queen();
    queen.hear('a', 1, { workers: [worker('llm/1', { model: 'm', models: ['m', 'm:latest'] })] });
    expect(keys(queen.findWorkersWithModel('m', { prefix: true }))).toEqual(['a/llm/1']);
  });

  it('by room on a GPU that they hold', () => {
    const queen = fleet();
    expect(keys(queen.findWorkersWithCapacity(gib(20)))).toEqual(['a/llm/2', 'a/llm/1']);
    expect(keys(queen.findWorkersWithCapacity(gib(30), { limit: 5 }))).toEqual(['a/llm/2']);
  });
});

describe('picks', () => {
  it('are as many as are asked for, one after the other, with where to send them', () => {
    const queen = new Queen({ random: () => 0.999 });
    queen.hear('a', 1, {
      workers: [1, 2].map((n) => worker(`llm/${n}`, { model: 'm', endpoint: `http://10.0.0.${n}:1` })),
    });
    const { worker: first, picks, warming } = queen.pickWorkers({ model: 'm', count: 3 });
    expect([first?.key, warming]).toEqual(['a/llm/1', true]);
    expect(picks.map(({ key, endpoint }) => [key, endpoint])).toEqual([
      ['a/llm/1', 'http://10.0.0.1:1'],
      ['a/llm/2', 'http://10.0.0.2:1'],
      ['a/llm/1', 'http://10.0.0.1:1'],
    ]);
    expect(picks[0]).toMatchObject({ id: expect.stringMatching(/-1$/), why: { reason: 'utilization' } });
    expect(queen.pickWorkers({ model: 'm' }).picks).toHaveLength(1);
    expect(queen.pickWorkers({ model: 'x', count: 2 })).toEqual({ worker: null, picks: [], warming: true });
    expect([queen.findBestWorkerForModel('x'), queen.findBestWorkerForModel('m')?.hive]).toEqual([null, 'a']);
  });

  it('that are over count no longer', () => {
    const queen = new Queen();
    queen.hear('a', 1, { workers: [workerSample('llm/1', { model: 'm', serving: servingOf() })] });
    const [pick] = queen.pickWorkers({ model: 'm' }).picks;
    expect([queen.pickDone(pick!.id), queen.pickDone(pick!.id)]).toEqual([true, false]);
  });
});

describe('a GPU that is missing and that another hive reports', () => {
  it('is said to be there, as long as that hive is heard', () => {
    const queen = new Queen();
    const card = { gpus: [gpuSample('GPU-0')] };
    queen.hearFrom('token of a', 'a', 1, card);
    queen.hearFrom('token of a', 'a', 2);
    const shown = () =>
      queen.listMissing().items.map((item) => [item.kind, 'reportedBy' in item ? item.reportedBy : undefined]);
    expect(shown()).toEqual([['gpu', undefined]]);
    queen.hearFrom('token of b', 'b', 1, card);
    queen.hearFrom('token of c', 'c', 1, card);
    expect(shown()).toEqual([['gpu', 'b']]);
    expect(queen.attention().items).toMatchObject([{ hive: 'a', text: expect.stringContaining('b says') }]);
    queen.time.advance(9000);
    queen.hearFrom('token of c', 'c', 2, card);
    expect(shown()).toEqual([['gpu', 'c']]);
    queen.time.advance(9000);
    expect(shown()).toEqual([['gpu', undefined]]);
  });

  it('is not taken for a worker of that name', () => {
    const queen = new Queen();
    queen.hearFrom('token of a', 'a', 1, { workers: [worker('llm/1')] });
    queen.hearFrom('token of a', 'a', 2);
    queen.hearFrom('token of b', 'b', 1, { gpus: [gpuSample('a/llm/1')] });
    expect(queen.listMissing().items).toMatchObject([{ kind: 'worker', key: 'a/llm/1' }]);
    expect(queen.listMissing().items[0]).not.toHaveProperty('reportedBy');
  });
});

describe('histories', () => {
  function heard(): Queen {
    const queen = new Queen();
    const serving = servingOf({ running: 3 });
    for (let seq = 1; seq <= 30; seq++) {
      queen.hear('a', seq, {
        gpus: [gpuSample('GPU-0', { utilizationPercent: 40 })],
        workers: [
          workerSample('llm/1', { cpuPercent: 10, serving: seq === 1 ? null : serving }),
          worker('llm/2', { cpuPercent: 20 }),
        ],
      });
      queen.sampleFleet();
      queen.time.advance(10_000);
    }
    return queen;
  }

  it('are of an hour, or of a day where that is asked for', () => {
    const queen = heard();
    const asked: readonly ((span?: 'hour' | 'day') => ReturnType<Queen['history']>)[] = [
      (span) => queen.history('a', undefined, span),
      (span) => queen.history('a', 'llm/1', span),
      (span) => queen.history('a', 'llm/2', span),
      (span) => queen.gpuHistory('GPU-0', span),
      (span) => queen.fleetHistory(span),
    ];
    for (const ask of asked)
      expect([ask()?.stepMs, ask('hour')?.stepMs, ask('day')?.stepMs]).toEqual([10_000, 10_000, 120_000]);
    expect(queen.history('a')?.series.workers?.[0]).toBe(2);
    expect(queen.gpuHistory('GPU-0')?.series.utilizationPercent?.[0]).toBe(40);
    expect(queen.fleetHistory().series.gpuUtilizationPercent?.[0]).toBe(40);
    const { series } = queen.history('a', 'llm/1')!;
    expect([series.cpuPercent?.slice(0, 2), series.running?.slice(0, 2)]).toEqual([
      [10, 10],
      [null, 3],
    ]);
    expect(queen.history('a', 'llm/2')?.series).not.toHaveProperty('running');
    expect([queen.history('z'), queen.history('a', 'llm/9'), queen.history('z', 'llm/1')]).toEqual([null, null, null]);
    expect(queen.gpuHistory('GPU-9')).toBeNull();
  });

  it('of days outlive the process: the fleet first, then hosts, GPUs and workers; what nobody has asked for yet too', () => {
    const queen = heard();
    const saved = [...queen.savedHistories()].map(({ key }) => key);
    expect(saved).toEqual(['fleet', 'h a', 'g GPU-0', 'w a/llm/1', 's a/llm/1', 'w a/llm/2']);
    expect([...fleet({ historyRings: 0 }).savedHistories()]).toEqual([]);
    const kept = parseHistory([...historyText(queen, 1000)].join(''));
    if (!('state' in kept)) throw new Error(kept.reason);
    const next = new Queen();
    adoptHistory(next, kept.state, 1000);
    expect([...next.savedHistories()].map(({ key }) => key)).toEqual(saved.slice(1));
    next.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    expect(next.gpuHistory('GPU-0', 'day')?.series.utilizationPercent).toContain(40);
    expect(next.fleetHistory('day').series.gpuUtilizationPercent).toContain(40);
  });
});
