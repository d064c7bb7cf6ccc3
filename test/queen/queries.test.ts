import { describe, expect, it } from 'vitest';
import { countRows } from '../../lib/client/mirror.js';
import type { GpuSample, Heartbeat } from '../../lib/contract/heartbeat.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import type { Registry } from '../../lib/queen/registry.js';
import { bareHeartbeat, gpuSample, mib, onGpu, runB, TestQueen, workerSample } from './heartbeats.js';

const keys = (items: readonly { key: string }[]) => items.map((item) => item.key);

/** Chance in a fixed order. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

describe('lists', () => {
  it('sorts by a value with unknown ones last, and pages through ties without loss', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const use = [5, null, 90, 5, 5, null, 40];
    queen.hear('a', 1, { workers: use.map((cpuPercent, i) => workerSample(`llm/${i}`, { cpuPercent })) });
    const all = (sort: 'cpuPercent' | '-cpuPercent', limit: number) => {
      const found: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = queen.workers({ sort, limit, cursor: cursor ?? null });
        found.push(...page.items.map((item) => item.instance));
        cursor = page.nextCursor;
      }
      return found.join('');
    };
    for (const limit of [1, 2, 3, 7, 100]) {
      expect(all('cpuPercent', limit)).toBe('0346215');
      expect(all('-cpuPercent', limit)).toBe('2603415');
    }
  });

  it('a page survives workers that come and go between it and the next', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const sendHeartbeat = (seq: number, names: readonly number[]) =>
      queen.hear('a', seq, { workers: names.map((name) => workerSample(`llm/${name}`)) });
    sendHeartbeat(1, [1, 2, 3, 4, 5]);
    const first = queen.workers({ limit: 2 });
    sendHeartbeat(2, [1, 3, 4, 6, 0]);
    const second = queen.workers({ limit: 2, cursor: first.nextCursor });
    const third = queen.workers({ limit: 2, cursor: second.nextCursor });
    expect([first, second, third].map((page) => page.items.map((item) => item.instance))).toEqual([
      ['1', '2'],
      ['3', '4'],
      ['6'],
    ]);
    expect(third.nextCursor).toBeNull();
  });

  it.each([['nonsense'], ['WyJrZXkiXQ'], [Buffer.from('["-cpuPercent",1,"a","b"]').toString('base64url')]])(
    'refuses the cursor %s',
    (cursor) => {
      const queen = new TestQueen({ clock: () => 0 });
      expect(() => queen.workers({ cursor })).toThrowError(
        expect.objectContaining({ code: 'INVALID_OPTION', subject: 'cursor' }),
      );
    },
  );

  it.each([[0], [1001], [1.5]])('refuses a limit of %s', (limit) => {
    const queen = new TestQueen({ clock: () => 0 });
    expect(() => queen.workers({ limit })).toThrowError(expect.objectContaining({ subject: 'limit' }));
  });

  it('finds workers by labels of their own and of their hive, their own first', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const workers = [workerSample('llm/1'), workerSample('llm/2', { labels: { zone: 'x' } })];
    queen.hear('a', 1, { hive: { labels: { zone: 'y' } }, workers });
    expect(keys(queen.workers({ labels: { zone: 'y' } }).items)).toEqual(['a/llm/1']);
    expect(keys(queen.workers({ labels: { zone: 'x' } }).items)).toEqual(['a/llm/2']);
    queen.hear('a', 2, { hive: { labels: { zone: 'z' } }, workers });
    expect(queen.workers({ labels: { zone: 'y' } }).items).toEqual([]);
    expect(keys(queen.workers({ labels: { zone: 'z' } }).items)).toEqual(['a/llm/1']);
    expect(queen.audit()).toEqual([]);
  });

  it('lists GPUs by room and health, in the order of their hosts', () => {
    const queen = new TestQueen({ clock: () => 0 });
    queen.hear('b', 1, {
      gpus: [
        gpuSample('GPU-b1'),
        gpuSample('GPU-b0', { index: 1, memoryTotalBytes: mib(48_576), memoryUsedBytes: mib(44_000) }),
      ],
    });
    queen.hear('a', 1, { gpus: [gpuSample('GPU-a', { health: 'lost', memoryUsedBytes: null })] });
    const uuids = (asked: Parameters<Registry['gpus']>[0]) => queen.gpus(asked).items.map((gpu) => gpu.uuid);
    expect(uuids({})).toEqual(['GPU-a', 'GPU-b1', 'GPU-b0']);
    expect(uuids({ minFreeBytes: mib(4576) })).toEqual(['GPU-b1', 'GPU-b0']);
    expect(uuids({ minFreeBytes: mib(4577) })).toEqual(['GPU-b1']);
    expect(uuids({ health: 'lost' })).toEqual(['GPU-a']);
    expect(queen.gpu('GPU-a')).toMatchObject({ hive: 'a', freeBytes: null });
    const first = queen.gpus({ limit: 2 });
    expect(queen.gpus({ limit: 2, cursor: first.nextCursor }).items.map((gpu) => gpu.uuid)).toEqual(['GPU-b0']);
  });

  it('a worker that an incomplete snapshot leaves out is kept, with the age of what is known of it', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { workers: [workerSample('llm/1'), workerSample('llm/2')] });
    queen.time.advance(1000);
    queen.hear('a', 2, { workersComplete: false, workers: [workerSample('llm/2')] });
    queen.time.advance(500);
    expect(queen.workers().items.map((worker) => [worker.id, worker.ageMs])).toEqual([
      ['llm/1', 1500],
      ['llm/2', 500],
    ]);
    queen.hear('a', 3, { workers: [workerSample('llm/2')] });
    expect(keys(queen.workers().items)).toEqual(['a/llm/2']);
  });

  /** As it comes in at the door, with what is wrong in it. */
  const read = (value: Heartbeat): Heartbeat => {
    const verdict = readHeartbeat(JSON.parse(JSON.stringify(value)), { maxWorkers: 100 });
    if (!verdict.ok) throw new Error(verdict.refusal.message);
    return verdict.heartbeat;
  };

  it('a worker that could not be read is kept, and is not said to be gone', () => {
    const queen = new TestQueen();
    const workers = [workerSample('llm/1'), workerSample('llm/2')];
    queen.heartbeat(read(bareHeartbeat('a', 1, { workers })));
    queen.time.advance(1000);
    const wrong = { ...workers[0]!, cpuPercent: 'x' as unknown as number };
    queen.heartbeat(read(bareHeartbeat('a', 2, { workers: [wrong, workers[1]!] })));
    expect(queen.workers().items.map((worker) => [worker.id, worker.ageMs])).toEqual([
      ['llm/1', 1000],
      ['llm/2', 0],
    ]);
    expect(queen.events.recent().map((event) => event.kind)).not.toContain('workerGone');
    expect(queen.hive('a')).toMatchObject({ workersComplete: false, faults: [{ code: 'MALFORMED_WORKER' }] });
    queen.heartbeat(read(bareHeartbeat('a', 3, { workers: [workers[1]!] })));
    expect(keys(queen.workers().items)).toEqual(['a/llm/2']);
    expect(queen.audit()).toEqual([]);
  });

  it('a GPU that could not be read is kept as it was, in its place, without room on it; one that is not named goes', () => {
    const queen = new TestQueen();
    const gpus = ['GPU-0', 'GPU-1', 'GPU-2'].map((uuid, index) => gpuSample(uuid, { index, memoryUsedBytes: mib(8) }));
    const on = [workerSample('llm/1', onGpu('GPU-1'))];
    queen.heartbeat(read(bareHeartbeat('a', 1, { gpus, workers: on })));
    queen.time.advance(1000);
    const wrong = { ...gpus[1]!, utilizationPercent: 'x' as never };
    queen.heartbeat(read(bareHeartbeat('a', 2, { gpus: [gpus[0]!, wrong], workers: on })));
    expect(queen.gpus().items.map(({ uuid, ageMs, memoryUsedBytes }) => [uuid, ageMs, memoryUsedBytes])).toEqual([
      ['GPU-0', 0, mib(8)],
      ['GPU-1', 1000, mib(8)],
    ]);
    expect(queen.gpu('GPU-1')?.freeBytes).toBeNull();
    expect(queen.audit()).toEqual([]);
    // Where even its name can't be read, none of them is said to be gone.
    queen.heartbeat(
      read(bareHeartbeat('a', 3, { gpus: [{ ...gpus[0]!, uuid: 7 as unknown as string }], workers: on })),
    );
    expect(queen.gpus().items.map(({ uuid }) => uuid)).toEqual(['GPU-0', 'GPU-1']);
    queen.heartbeat(read(bareHeartbeat('a', 4, { gpus: gpus.slice(0, 2), workers: on })));
    expect(queen.gpu('GPU-1')).toMatchObject({ ageMs: 0, freeBytes: mib(24_576 - 8) });
    queen.heartbeat(read(bareHeartbeat('a', 5, { gpus: [gpus[0]!] })));
    expect(queen.gpus().items.map(({ uuid }) => uuid)).toEqual(['GPU-0']);
    expect(queen.audit()).toEqual([]);
  });

  it('another run says all anew: what it could not say of a GPU is not the word of the former one', () => {
    const queen = new TestQueen({ clock: () => 0 });
    queen.heartbeat(read(bareHeartbeat('a', 1, { gpus: [gpuSample('GPU-0')] })));
    const hive = { incarnation: runB, startedAt: '2026-02-02T03:04:05.000Z' };
    queen.heartbeat(
      read(bareHeartbeat('a', 1, { hive, gpus: [gpuSample('GPU-0', { utilizationPercent: 'x' as never })] })),
    );
    expect(queen.gpus().items).toEqual([]);
    expect(queen.audit()).toEqual([]);
  });
});

describe('models', () => {
  const queen = new TestQueen({ clock: () => 0 });
  const named = ['Qwen/Qwen3-32B', 'qwen/qwen3-32b', 'Qwen/Qwen3-8B', null];
  queen.hear('a', 1, { workers: named.map((model, i) => workerSample(`llm/${i}`, { model })) });

  it('are found exactly, or case-insensitively, or by a prefix', () => {
    expect(keys(queen.findWorkersWithModel('Qwen/Qwen3-32B'))).toEqual(['a/llm/0']);
    expect(keys(queen.findWorkersWithModel('QWEN/qwen3-32B', { caseInsensitive: true }))).toEqual([
      'a/llm/0',
      'a/llm/1',
    ]);
    expect(keys(queen.findWorkersWithModel('Qwen/', { prefix: true }))).toEqual(['a/llm/0', 'a/llm/2']);
    expect(queen.findWorkersWithModel('qwen/', { prefix: true, caseInsensitive: true })).toHaveLength(3);
    expect(queen.findWorkersWithModel('qwen/', { prefix: true, caseInsensitive: true, limit: 2 })).toHaveLength(2);
    expect(queen.findWorkersWithModel('')).toEqual([]);
  });
});

describe('the best worker for a model', () => {
  const model = 'm';
  const fleet = (workers: Parameters<typeof bareHeartbeat>[2], random = seeded(7)) => {
    const queen = new TestQueen({ clock: () => 0, random });
    queen.hear('a', 1, workers);
    return queen;
  };

  it('is found by any name of its model, and by no former one', () => {
    const worker = workerSample('llm/0', { model, models: [model, 'alias', 'm:latest'], ready: true });
    const queen = fleet({ workers: [worker] });
    const found = (name: string) => [
      queen.findBestWorkerForModel(name)?.instance,
      queen.workers({ model: name }).items.length,
      queen.workers({ model: name, state: worker.state }).items.length,
      queen.findWorkersWithModel(name).length,
    ];
    for (const name of worker.models ?? []) expect(found(name)).toEqual(['0', 1, 1, 1]);
    expect(queen.findWorkersWithModel('m', { prefix: true })).toHaveLength(1);
    expect(queen.counts().models).toEqual({ m: 1, alias: 1, 'm:latest': 1 });
    queen.hear('a', 2, { workers: [{ ...worker, models: [model, 'other'] }] });
    expect(found('alias')).toEqual([undefined, 0, 0, 0]);
    expect(found('other')).toEqual(['0', 1, 1, 1]);
    // An older hive says one name.
    queen.hear('a', 3, { workers: [workerSample('llm/0', { model: 'alias', models: null, ready: true })] });
    expect([found('alias'), found('other')]).toEqual([
      ['0', 1, 1, 1],
      [undefined, 0, 0, 0],
    ]);
    expect(queen.audit()).toEqual([]);
  });

  /** No engine reports for it. */
  const silent = (id: string, over: Parameters<typeof workerSample>[1]) => workerSample(id, { serving: null, ...over });

  it('is ready and idle, else the least loaded, never one that cannot serve', () => {
    const gpus = [gpuSample('GPU-0')];
    const idle = silent('llm/idle', { model, ready: true });
    const light = silent('llm/light', { model, state: 'busy', ...onGpu('GPU-0', 0, 20) });
    const heavy = silent('llm/heavy', { model, state: 'busy', ...onGpu('GPU-0', 0, 95) });
    const unknown = silent('llm/unknown', {
      model,
      state: 'unknown',
      ...onGpu('GPU-0'),
      gpuUtilizationPercent: null,
    });
    const starting = silent('llm/starting', { model, state: 'starting' });
    const notReady = silent('llm/notReady', { model, ready: false });
    const best = (...workers: (typeof idle)[]) =>
      fleet({ gpus, workers: structuredClone(workers) }).findBestWorkerForModel(model)?.instance;
    expect(best(starting, notReady, heavy, light, idle)).toBe('idle');
    expect(best(starting, notReady, heavy, unknown, light)).toBe('light');
    expect(best(starting, notReady, heavy, unknown)).toBe('heavy');
    expect(best(starting, notReady)).toBeUndefined();
  });

  it('a hundred callers within one interval spread evenly, and the next heartbeat settles the debt', () => {
    const workers = Array.from({ length: 10 }, (_, i) => silent(`llm/${i}`, { model }));
    const queen = fleet({ workers });
    const picks = new Map<string, number>();
    for (let i = 0; i < 100; i++) {
      const id = queen.findBestWorkerForModel(model)!.id;
      picks.set(id, (picks.get(id) ?? 0) + 1);
    }
    expect([...picks.values()]).toEqual(Array.from({ length: 10 }, () => 10));
    // Of two heartbeats later, only the one that has not been named since still carries its picks.
    queen.hear('a', 2, { workers: workers.slice(0, 9).map((w) => structuredClone(w)), workersComplete: false });
    const next = Array.from({ length: 9 }, () => queen.findBestWorkerForModel(model)!.id);
    expect(new Set(next).size).toBe(9);
    expect(next).not.toContain('llm/9');
  });

  it('draws ties at random', () => {
    const workers = Array.from({ length: 4 }, (_, i) => silent(`llm/${i}`, { model }));
    const random = seeded(3);
    const first = new Map<string, number>();
    for (let i = 0; i < 400; i++) {
      const id = fleet({ workers: structuredClone(workers) }, random).findBestWorkerForModel(model)!.id;
      first.set(id, (first.get(id) ?? 0) + 1);
    }
    for (const count of first.values()) expect(count).toBeGreaterThan(50);
    expect(first.size).toBe(4);
  });

  it('of thousands is an idle one while there are some, and never two callers at one of them too soon', () => {
    const workers = Array.from({ length: 2000 }, (_, i) =>
      silent(`llm/${i}`, { model, state: i < 1500 ? 'idle' : 'busy', cpuPercent: 80 }),
    );
    const queen = fleet({ workers });
    const picked = Array.from({ length: 200 }, () => queen.findBestWorkerForModel(model)!);
    expect(picked.every((worker) => worker.state === 'idle')).toBe(true);
    expect(new Set(picked.map((worker) => worker.id)).size).toBe(200);
  });
});

describe('totals', () => {
  it('count a GPU that is cut up once: whole, or by its parts where its own memory is not known', () => {
    const queen = new TestQueen({ queenId: 'q' });
    const cut = gpuSample('GPU-a', { migMode: true, memoryTotalBytes: mib(20_000), memoryUsedBytes: mib(3000) });
    const part = (uuid: string, used: number | null) =>
      gpuSample(uuid, { parentUuid: 'GPU-a', memoryTotalBytes: mib(9000), memoryUsedBytes: used });
    const parts = [part('MIG-1', mib(2000)), part('MIG-2', null)];
    const unread = { ...cut, memoryUsedBytes: null };
    let seq = 0;
    for (const [gpus, total, used, uncounted] of [
      [[cut], 20_000, 3000, 0],
      [[cut, ...parts], 20_000, 3000, 0],
      [[unread, ...parts], 9000, 2000, 1],
      [parts, 9000, 2000, 1],
    ] as const) {
      queen.hear('a', ++seq, { gpus: structuredClone(gpus) as GpuSample[] });
      expect(queen.fleet().gpus).toEqual({
        total: gpus.length,
        byHealth: { ok: gpus.length },
        memoryTotalBytes: mib(total),
        memoryUsedBytes: mib(used),
        uncounted,
        unknownHives: 0,
      });
    }
  });

  it('hold no memory of GPUs whose use is not known, and none of hives that are not heard', () => {
    const queen = new TestQueen();
    expect(queen.fleet().gpus).toMatchObject({ total: 0, memoryTotalBytes: null, memoryUsedBytes: null, uncounted: 0 });
    const stalled = ['GPU-0', 'GPU-1'].map((uuid, index) =>
      gpuSample(uuid, { index, health: 'stalled', memoryUsedBytes: null, utilizationPercent: null }),
    );
    queen.hear('a', 1, { gpus: stalled, workers: [workerSample('llm/1', { state: 'unknown' })] });
    expect(queen.fleet().gpus).toEqual({
      total: 2,
      byHealth: { stalled: 2 },
      memoryTotalBytes: null,
      memoryUsedBytes: null,
      uncounted: 2,
      unknownHives: 0,
    });
    queen.time.advance(20_000);
    const busy = [workerSample('llm/1', { state: 'busy' }), workerSample('llm/2')];
    queen.hear('b', 1, { gpus: [gpuSample('GPU-2', { memoryUsedBytes: mib(1) })], workers: busy });
    expect(queen.fleet()).toMatchObject({
      hives: { online: 1, late: 0, offline: 1 },
      gpus: {
        total: 3,
        byHealth: { offline: 2, ok: 1 },
        memoryTotalBytes: mib(24_576),
        memoryUsedBytes: mib(1),
        uncounted: 2,
        unknownHives: 0,
      },
      workers: { total: 3, byState: { offline: 1, busy: 1, idle: 1 } },
    });
    expect(queen.fleet().workers.byState.unknown).toBeUndefined();
    queen.time.advance(20_000);
    expect(queen.fleet()).toMatchObject({
      gpus: { total: 3, byHealth: { offline: 3 }, memoryTotalBytes: null, memoryUsedBytes: null, uncounted: 3 },
      workers: { total: 3, byState: { offline: 3 } },
    });
  });

  it('count a hive whose GPUs are not known, and do not take it for one without', () => {
    const queen = new TestQueen();
    queen.hear('none', 1, { gpus: [], gpusKnown: 'none', gpusReason: 'there is no GPU driver on this host' });
    queen.hear('failed', 1, { gpus: [], gpusKnown: 'unknown', gpusReason: 'the driver cannot be read' });
    expect(queen.fleet().gpus).toMatchObject({ total: 0, uncounted: 0, unknownHives: 1 });
    expect(queen.hive('failed')).toMatchObject({ gpusKnown: 'unknown', gpusReason: 'the driver cannot be read' });
    expect(queen.place({ vramBytes: 1 }).refusals).toEqual([
      expect.objectContaining({
        hive: 'failed',
        reason: 'gpusUnknown',
        detail: expect.stringContaining('the driver cannot be read'),
      }),
      expect.objectContaining({ hive: 'none', reason: 'noGpu', detail: 'there is no GPU driver on this host' }),
    ]);
  });

  it('are those that the page counts from its rows', () => {
    const queen = new TestQueen();
    const fleet = (id: string, at: number) =>
      queen.hear(id, at, {
        gpus: [
          gpuSample(`GPU-${id}`, { memoryUsedBytes: mib(5) }),
          gpuSample(`MIG-${id}`, { index: 1, parentUuid: `GPU-${id}`, memoryTotalBytes: mib(9000) }),
          gpuSample(`GPU-${id}2`, {
            ...{ index: 2, health: 'stalled', memoryUsedBytes: null, memoryTotalBytes: mib(48_000) },
          }),
        ],
        workers: [workerSample('llm/1'), workerSample('llm/2', { state: 'busy' })],
      });
    fleet('a', 1);
    queen.time.advance(9000);
    fleet('b', 1);
    queen.time.advance(4000);
    fleet('c', 1);
    const { hives, workers } = queen.snapshot();
    const rows = countRows(hives, workers);
    const { hives: liveness, gpus, workers: counted } = queen.fleet();
    expect(liveness).toEqual({ online: 1, late: 1, offline: 1 });
    expect(rows).toEqual({
      liveness,
      gpus: gpus.total,
      health: gpus.byHealth,
      usedBytes: gpus.memoryUsedBytes,
      totalBytes: gpus.memoryTotalBytes,
      uncounted: gpus.uncounted,
      unknownGpuHives: gpus.unknownHives,
      workers: counted.total,
      state: counted.byState,
    });
  });

  it('count what is fresh, or all; the fleet counts all', () => {
    const queen = new TestQueen({ queenId: 'q' });
    queen.hear('a', 1, {
      gpus: [gpuSample('GPU-a', { memoryUsedBytes: mib(576) })],
      workers: [workerSample('llm/1', { model: 'm' })],
    });
    queen.time.advance(5000);
    const parts = [
      gpuSample('GPU-b'),
      gpuSample('MIG-1', { index: 1, parentUuid: 'GPU-b', memoryTotalBytes: mib(10_000) }),
    ];
    queen.hear('b', 1, { gpus: parts, workers: [workerSample('llm/1', { state: 'busy' })] });
    expect(queen.counts()).toMatchObject({
      hives: { online: 1, late: 1, offline: 0 },
      workers: 1,
      gpus: 2,
      byState: { busy: 1, idle: 0 },
    });
    expect(queen.counts({ includeStale: true })).toMatchObject({ workers: 2, gpus: 3, models: { m: 1 } });
    expect(queen.fleet()).toEqual({
      hives: { online: 1, late: 1, offline: 0 },
      gpus: {
        total: 3,
        byHealth: { ok: 3 },
        memoryTotalBytes: mib(2 * 24_576),
        memoryUsedBytes: mib(576),
        uncounted: 0,
        unknownHives: 0,
      },
      workers: { total: 2, byState: { idle: 1, busy: 1 } },
      heartbeatsPerSecond: 0.4,
      queenId: 'q',
      bus: 'memory',
      missing: { hives: 0, gpus: 0, workers: 0, revision: 0 },
      warming: true,
    });
    expect(queen.listOnline().map((hive) => hive.id)).toEqual(['b']);
    expect(keys(queen.listAvailable())).toEqual(['b/llm/1']);
    expect(keys(queen.getAllWorkers())).toEqual(['b/llm/1']);
    expect(keys(queen.getAllWorkers({ includeStale: true }))).toEqual(['a/llm/1', 'b/llm/1']);
  });
});
