import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import type { WorkerQuery } from '../../lib/queen/queries.js';
import type { Registry } from '../../lib/queen/registry.js';
import { portion } from '../harness/draws.js';
import { gib, gpuSample, mib, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** What a registry would be with neither indexes nor merging: lists of what was said last, searched from end to end. */
class NaiveFleet {
  readonly hives = new Map<string, NaiveHive>();

  sendHeartbeat(id: string, hive: Omit<NaiveHive, 'id'>): void {
    this.hives.set(id, { id, ...hive });
  }

  advance(nowMs: number): void {
    for (const [id, hive] of this.hives) if (nowMs - hive.heardAtMs >= 90_000) this.hives.delete(id);
  }

  liveness(hive: NaiveHive, nowMs: number): string {
    const silence = nowMs - hive.heardAtMs;
    return silence >= 10_000 ? 'offline' : silence >= 3000 ? 'late' : 'online';
  }

  workers(query: WorkerQuery, nowMs: number): string[] {
    const keys: string[] = [];
    for (const hive of this.hives.values())
      for (const worker of hive.workers) {
        const labels = { ...hive.labels, ...worker.labels };
        const free = Math.max(-1, ...worker.gpus.map((gpu) => hive.free.get(gpu.uuid) ?? -1));
        const matches =
          (query.model === undefined || query.model === worker.model) &&
          (query.state === undefined || query.state === worker.state) &&
          (query.group === undefined || query.group === worker.group) &&
          (query.hive === undefined || query.hive === hive.id) &&
          (query.liveness === undefined || query.liveness === this.liveness(hive, nowMs)) &&
          (query.minFreeVramBytes === undefined || free >= query.minFreeVramBytes) &&
          Object.entries(query.labels ?? {}).every(([key, value]) => labels[key] === value);
        if (matches) keys.push(`${hive.id}/${worker.id}`);
      }
    return keys.sort();
  }
}

interface NaiveHive {
  readonly id: string;
  readonly heardAtMs: number;
  readonly labels: Record<string, string>;
  readonly free: ReadonlyMap<string, number>;
  readonly workers: readonly WorkerSample[];
}

const hiveIds = ['a', 'b', 'c'];
const models = ['m1', 'M1', 'm2', null];
const states = ['starting', 'idle', 'busy', 'unknown'] as const;
const labels = fc.constantFrom<Record<string, string>>({}, { zone: 'x' }, { zone: 'y', tier: 'gold' });

const workerSeed = fc.record({
  id: fc.constantFrom('llm/1', 'llm/2', 'embed/1', 'embed/2', 'llm/10'),
  model: fc.constantFrom(...models),
  state: fc.constantFrom(...states),
  gpu: fc.option(fc.constantFrom('0', '1')),
  labels,
});
const sendHeartbeat = fc.record({
  do: fc.constant('heartbeat' as const),
  hive: fc.constantFrom(...hiveIds),
  workers: fc.uniqueArray(workerSeed, { selector: (seed) => seed.id, maxLength: 5 }),
  complete: fc.boolean(),
  restart: fc.boolean(),
  labels,
  used: fc.tuple(fc.integer({ min: 0, max: 24 }), fc.integer({ min: 0, max: 24 })),
  gpuCount: fc.integer({ min: 0, max: 2 }),
});
const step = fc.oneof(
  { weight: 6, arbitrary: sendHeartbeat },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 999, 3000, 7000, 10_000, 80_000, 90_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), hive: fc.constantFrom(...hiveIds) }) },
);
const query: fc.Arbitrary<WorkerQuery> = fc.record(
  {
    model: fc.constantFrom(...models),
    state: fc.constantFrom(...states),
    group: fc.constantFrom('llm', 'embed', 'none'),
    hive: fc.constantFrom(...hiveIds, 'd'),
    labels,
    minFreeVramBytes: fc.constantFrom(0, gib(4), gib(12), gib(24), gib(39), gib(50)),
    liveness: fc.constantFrom('online' as const, 'late' as const, 'offline' as const),
  },
  { requiredKeys: [] },
);

/** All pages of a query, one after another. */
function pages(queen: Registry, asked: WorkerQuery, limit: number): string[] {
  const keys: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = queen.workers({ ...asked, limit, ...(cursor ? { cursor } : {}) });
    expect(page.items.length).toBeLessThanOrEqual(limit);
    keys.push(...page.items.map((item) => item.key));
    cursor = page.nextCursor;
  }
  return keys;
}

/** A hive is forgotten where it is there, or is missing. */
function remove(queen: TestQueen, naive: NaiveFleet, hive: string): void {
  const isMissing = queen.listMissing({ hive }).items.length > 0;
  const isThere = naive.hives.delete(hive);
  expect(queen.removeHive(hive)).toBe(isThere || isMissing);
}

describe('the registry against a naive one', () => {
  it('answers every query alike after any heartbeats, silences and removals, and its indexes are sound', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.array(query, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 6 }),
        (steps, queries, limit) => {
          const queen = new TestQueen();
          const naive = new NaiveFleet();
          const runs = new Map<string, { run: number; seq: number }>();

          for (const one of steps) {
            if (one.do === 'wait') queen.time.advance(one.ms);
            else if (one.do === 'remove') remove(queen, naive, one.hive);
            else {
              naive.advance(queen.time.nowMs);
              const run = runs.get(one.hive) ?? { run: 0, seq: 0 };
              run.seq++;
              if (one.restart) run.run++;
              runs.set(one.hive, run);
              const gpus = [0, 1].slice(0, one.gpuCount).map((index) =>
                gpuSample(`GPU-${one.hive}-${index}`, {
                  index,
                  // No two alike, so that none is taken for another.
                  memoryTotalBytes: gib(24 + 24 * index + 8 * hiveIds.indexOf(one.hive)),
                  memoryUsedBytes: gib(one.used[index]!),
                  memoryReservedBytes: mib(300 + 500 * index),
                }),
              );
              const workers = one.workers.map(({ id, model, state, gpu, labels: own }) =>
                workerSample(id, {
                  model,
                  state,
                  labels: own,
                  ...(gpu === null ? {} : onGpu(`GPU-${one.hive}-${gpu}`)),
                }),
              );
              const outcome = queen.hear(one.hive, run.seq, {
                hive: {
                  incarnation: `run-${run.run}`,
                  labels: one.labels,
                  startedAt: new Date(run.run * 1000).toISOString(),
                },
                gpus: structuredClone(gpus),
                workers: structuredClone(workers),
                workersComplete: one.complete,
              });
              expect(outcome.accepted).toBe(true);
              const before = naive.hives.get(one.hive);
              const named = new Set(workers.map((worker) => worker.id));
              const kept =
                one.complete || one.restart ? [] : (before?.workers ?? []).filter((worker) => !named.has(worker.id));
              naive.sendHeartbeat(one.hive, {
                heardAtMs: queen.time.nowMs,
                labels: one.labels,
                free: new Map(
                  gpus.map(({ uuid, memoryTotalBytes, memoryUsedBytes, memoryReservedBytes }) => [
                    uuid,
                    Math.max(0, memoryTotalBytes! - memoryUsedBytes! - memoryReservedBytes!),
                  ]),
                ),
                workers: [...workers, ...kept],
              });
            }
            naive.advance(queen.time.nowMs);
            expect(queen.audit()).toEqual([]);
            const there = new Set([...naive.hives.keys(), ...naive.workers({}, queen.time.nowMs)]);
            expect(queen.listMissing().items.filter(({ key }) => there.has(key))).toEqual([]);
          }

          for (const asked of queries)
            expect(pages(queen, asked, limit)).toEqual(naive.workers(asked, queen.time.nowMs));
          expect(pages(queen, {}, limit)).toEqual(naive.workers({}, queen.time.nowMs));
          const sorted = pages(queen, { sort: '-vramUsedBytes' }, limit);
          expect([...sorted].sort()).toEqual(naive.workers({}, queen.time.nowMs));
          expect(queen.hives().items.map((hive) => hive.id)).toEqual([...naive.hives.keys()].sort());
          const idle = queen.findIdleWorkers().map((worker) => worker.key);
          expect(idle).toEqual(naive.workers({ state: 'idle', liveness: 'online' }, queen.time.nowMs));
          const roomy = queen
            .findWorkersWithCapacity(gib(12))
            .map((worker) => worker.key)
            .sort();
          expect(roomy).toEqual(naive.workers({ minFreeVramBytes: gib(12), liveness: 'online' }, queen.time.nowMs));
        },
      ),
      { numRuns: portion(150) },
    );
  });
});

describe('readers and writers', () => {
  it('10 concurrent writers to 10 hives leave exactly what each wrote last', async () => {
    const queen = new TestQueen({ clock: () => 0 });
    await Promise.all(
      Array.from({ length: 10 }, async (_, h) => {
        for (let seq = 1; seq <= 50; seq++) {
          const workers = Array.from({ length: 1 + ((seq + h) % 5) }, (_, w) =>
            workerSample(`llm/${w}`, { model: `model-${(seq + w) % 3}`, state: seq % 2 ? 'busy' : 'idle' }),
          );
          expect(queen.hear(`host-${h}`, seq, { workers }).accepted).toBe(true);
          await Promise.resolve();
        }
      }),
    );
    const expected = Array.from({ length: 10 }, (_, h) => 1 + ((50 + h) % 5));
    expect(queen.hives().items.map((hive) => hive.workerCount)).toEqual(expected);
    expect(queen.findIdleWorkers()).toHaveLength(expected.reduce((sum, count) => sum + count, 0));
    const models = queen.counts().models;
    for (const model of ['model-0', 'model-1', 'model-2'])
      expect(queen.findWorkersWithModel(model)).toHaveLength(models[model]!);
    expect(queen.audit()).toEqual([]);
  });

  it('1 writer with 5 readers x 100: each read is of one whole heartbeat', async () => {
    const queen = new TestQueen({ clock: () => 0 });
    const write = (seq: number) =>
      queen.hear('a', seq, {
        workers: ['llm/1', 'llm/2', 'llm/3'].map((id) => workerSample(id, { model: `m-${seq}`, cpuPercent: seq })),
      });
    write(1);
    const writer = (async () => {
      for (let seq = 2; seq <= 200; seq++) {
        write(seq);
        await Promise.resolve();
      }
    })();
    let reads = 0;
    const readers = Array.from({ length: 5 }, async () => {
      for (let i = 0; i < 100; i++) {
        const all = queen.getAllWorkers();
        const seq = all[0]!.cpuPercent!;
        expect(all.map((worker) => [worker.key, worker.cpuPercent, worker.model])).toEqual(
          ['a/llm/1', 'a/llm/2', 'a/llm/3'].map((key) => [key, seq, `m-${seq}`]),
        );
        expect(queen.findWorkersWithModel(`m-${seq}`)).toHaveLength(3);
        reads++;
        await Promise.resolve();
      }
    });
    await Promise.all([writer, ...readers]);
    expect(reads).toBe(500);
  });

  it('what a reader holds does not change under it', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const write = (seq: number, use: number) =>
      queen.hear('a', seq, {
        gpus: [gpuSample('GPU-0', { utilizationPercent: use })],
        workers: [workerSample('llm/1', { ...onGpu('GPU-0', 0, use), labels: { use: `${use}` }, cpuPercent: use })],
      });
    write(1, 10);
    const held = [queen.workers(), queen.hives(), queen.gpus(), queen.snapshot()];
    const before = structuredClone(held);
    write(2, 90);
    expect(held).toEqual(before);
    expect(queen.worker('a', 'llm', '1')).toMatchObject({ cpuPercent: 90, labels: { use: '90' } });
  });
});
