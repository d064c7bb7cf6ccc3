import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GpuView, HiveView, WorkerView } from '../../lib/contract/api.js';
import { gpuHealths, workerStates } from '../../lib/contract/enums.js';
import { modelsOf } from '../../lib/contract/models.js';
import type { GpuQuery, HiveQuery, Page, Paging, WorkerQuery } from '../../lib/queen/queries.js';
import { portion } from '../harness/draws.js';
import { gib, gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

const livenesses = ['offline', 'late', 'online'] as const;
const label = fc.dictionary(fc.constantFrom('zone', 'team'), fc.constantFrom('x', 'y'), { maxKeys: 2 });
const number = fc.option(fc.constantFrom(0, 5, 5, 90));
const someStates = workerStates.slice(0, 4);
const someHealths = gpuHealths.slice(0, 2);
const workerSeed = fc.record({
  id: fc.constantFrom('llm/1', 'llm/2', 'llm/10', 'embed/1', 'a/z'),
  model: fc.constantFrom('m', 'M2', null),
  models: fc.option(fc.constantFrom<string[]>(['m', 'alias'], ['alias', 'm2'])),
  state: fc.constantFrom(...someStates),
  ready: fc.option(fc.boolean()),
  labels: label,
  cpuPercent: number,
  gpu: fc.option(fc.nat(2)),
});
const gpuSeed = fc.record({
  health: fc.constantFrom(...someHealths),
  memoryUsedBytes: fc.option(fc.constantFrom(0, gib(4), gib(20)), { freq: 5 }),
});
const hiveSeed = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'aa', 'Z'),
  liveness: fc.constantFrom(...livenesses, 'online' as const),
  state: fc.constantFrom('ready' as const, 'ready' as const, 'draining' as const),
  labels: label,
  gpus: fc.array(gpuSeed, { maxLength: 3 }),
  workers: fc.uniqueArray(workerSeed, { selector: ({ id }) => id, maxLength: 4 }),
});
type HiveSeed = typeof hiveSeed extends fc.Arbitrary<infer T> ? T : never;
const fleet = fc.uniqueArray(hiveSeed, { selector: ({ id }) => id, maxLength: 5 });

function queenOf(seeds: readonly HiveSeed[]): TestQueen {
  const queen = new TestQueen({ warmingMs: 0 });
  for (const liveness of livenesses) {
    for (const { id, state, labels, gpus, workers, ...hive } of seeds) {
      if (hive.liveness !== liveness) continue;
      queen.hear(id, 1, {
        hive: { state, labels },
        // The order of the driver is not that of their names.
        gpus: gpus.map((gpu, index) => gpuSample(`GPU-${id}-${9 - index}`, { index, ...gpu })),
        workers: workers.map(({ id: worker, gpu, ...fields }) =>
          workerSample(worker, { ...fields, ...(gpu === null ? {} : onGpu(`GPU-${id}-${9 - gpu}`)) }),
        ),
      });
    }
    queen.time.advance(liveness === 'offline' ? 9000 : liveness === 'late' ? 4000 : 0);
  }
  return queen;
}

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const hasLabels = (own: Readonly<Record<string, string>>, asked: Readonly<Record<string, string>> = {}) =>
  Object.entries(asked).every(([key, value]) => own[key] === value);

/** All items of a list, page by page: each page but the last is full. */
function pagesOf<Q extends Paging, V>(list: (query: Q) => Page<V>, query: Q, limit: number): V[] {
  const found: V[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = list({ ...query, limit, ...(cursor !== undefined && { cursor }) });
    expect(page.warming).toBe(false);
    if (page.nextCursor !== null) expect(page.items).toHaveLength(limit);
    else expect(page.items.length).toBeLessThanOrEqual(limit);
    found.push(...page.items);
    cursor = page.nextCursor;
  }
  return found;
}

/** What a fleet has, by what was sent of it, in the order of its lists. */
function everything(queen: TestQueen, seeds: readonly HiveSeed[]) {
  const sorted = [...seeds].sort((a, b) => byText(a.id, b.id));
  const hives = sorted.map(({ id }) => queen.hive(id)!);
  const gpus = sorted.flatMap(({ id, gpus }) => gpus.map((_, i) => queen.gpu(`GPU-${id}-${9 - i}`)!));
  const workers = sorted.flatMap(({ id, workers }) =>
    workers
      .map((worker) => worker.id)
      .sort(byText)
      .map((worker) => queen.worker(id, ...(worker.split('/') as [string, string]))!),
  );
  expect(hives.map(({ liveness }) => liveness)).toEqual(sorted.map(({ liveness }) => liveness));
  return { hives, gpus, workers };
}
type Everything = ReturnType<typeof everything>;

const limit = fc.integer({ min: 1, max: 4 });
const asked = <T>(values: Readonly<Record<string, fc.Arbitrary<unknown>>>) =>
  fc.record({ ...values }, { requiredKeys: [] }) as fc.Arbitrary<T>;
const liveness = fc.constantFrom(...livenesses);
const hive = fc.constantFrom('a', 'b', 'aa', 'gone');
const hiveQuery = asked<HiveQuery>({
  ...{ liveness, labels: label, state: fc.constantFrom('ready', 'draining') },
});
const gpuQuery = asked<GpuQuery>({
  ...{ liveness, hive, health: fc.constantFrom(...someHealths), minFreeBytes: fc.constantFrom(0, gib(4), gib(20)) },
});
const workerQuery = asked<WorkerQuery>({
  ...{ liveness, hive, labels: label, state: fc.constantFrom(...someStates), group: fc.constantFrom('llm', 'embed') },
  model: fc.constantFrom('m', 'alias', 'm2', null),
  minFreeVramBytes: fc.constantFrom(0, gib(4), gib(20)),
  sort: fc.constantFrom('key', 'cpuPercent', '-cpuPercent'),
});

const hasRoom = ({ gpus }: Everything, worker: WorkerView, bytes: number): boolean =>
  gpus.some(
    ({ hive, uuid, freeBytes }) =>
      hive === worker.hive &&
      worker.gpus.some((held) => held.uuid === uuid) &&
      freeBytes !== null &&
      freeBytes >= bytes,
  );

function workersOf(all: Everything, { model, labels, minFreeVramBytes, sort, ...fields }: WorkerQuery): WorkerView[] {
  const labelsOf = (worker: WorkerView) => ({
    ...all.hives.find(({ id }) => id === worker.hive)!.labels,
    ...worker.labels,
  });
  const found = all.workers.filter(
    (worker) =>
      Object.entries(fields).every(([name, value]) => worker[name as 'state'] === value) &&
      (model === undefined || (model === null ? modelsOf(worker).length === 0 : modelsOf(worker).includes(model))) &&
      hasLabels(labelsOf(worker), labels) &&
      (minFreeVramBytes === undefined || hasRoom(all, worker, minFreeVramBytes)),
  );
  if (sort === undefined || sort === 'key') return found;
  const sign = sort.startsWith('-') ? -1 : 1;
  const figureOf = ({ cpuPercent }: WorkerView) => (cpuPercent === null ? Number.POSITIVE_INFINITY : sign * cpuPercent);
  // What is alike stays in the order of keys.
  return found.sort((a, b) => {
    const [one, other] = [figureOf(a), figureOf(b)];
    return one === other ? 0 : one - other;
  });
}

describe('lists of a fleet', () => {
  it('page through all that matches a query, in order, each once, whatever the size of a page', () => {
    fc.assert(
      fc.property(fleet, hiveQuery, gpuQuery, workerQuery, limit, (seeds, ofHives, ofGpus, ofWorkers, most) => {
        const queen = queenOf(seeds);
        const all = everything(queen, seeds);
        const fits = <T>(item: T, fields: object) =>
          Object.entries(fields).every(([name, value]) => item[name as keyof T] === value);
        const { labels, ...hiveFields } = ofHives;
        expect(pagesOf((query) => queen.hives(query), ofHives, most)).toEqual(
          all.hives.filter((each: HiveView) => fits(each, hiveFields) && hasLabels(each.labels, labels)),
        );
        const { minFreeBytes, ...gpuFields } = ofGpus;
        expect(pagesOf((query) => queen.gpus(query), ofGpus, most)).toEqual(
          all.gpus.filter(
            (each: GpuView) =>
              fits(each, gpuFields) &&
              (minFreeBytes === undefined || (each.freeBytes !== null && each.freeBytes >= minFreeBytes)),
          ),
        );
        expect(pagesOf((query) => queen.workers(query), ofWorkers, most)).toEqual(workersOf(all, ofWorkers));
        expect(queen.snapshot()).toMatchObject({ hives: all.hives, workers: all.workers });
      }),
      { numRuns: portion(320) },
    );
  });

  /** Three hosts that differ in all that can be asked for. */
  const seedOf = (id: HiveSeed['id'], at: number): HiveSeed => ({
    ...{
      id,
      liveness: livenesses[at]!,
      state: at === 1 ? 'draining' : 'ready',
      labels: { zone: at === 0 ? 'x' : 'y' },
    },
    gpus: [0, 1, 2].map((i) => ({
      health: someHealths[(at + i) % 2]!,
      memoryUsedBytes: [0, gib(20), null][(at + i) % 3]!,
    })),
    workers: ['a/z', 'embed/1', 'llm/1', 'llm/10', 'llm/2'].map((worker, i) => ({
      ...{ id: worker, model: (['m', null, 'M2', 'm', null] as const)[(at + i) % 5]! },
      models: i === 2 ? ['alias', 'm2'] : null,
      ...{ state: someStates[(at + i) % 4]!, ready: null, labels: i === at ? { zone: 'x' } : {} },
      ...{ cpuPercent: [5, null, 5, 90][(at + i) % 4]!, gpu: i === 4 ? null : i },
    })) as unknown as HiveSeed['workers'],
  });
  const seeds = (['b', 'aa', 'c'] as const).map((id, at) => seedOf(id, at));
  const total = gpuSample('GPU').memoryTotalBytes!;

  /** Each of them alone, and any two of different names together. */
  function pairsOf<Q extends object>(filters: readonly Q[]): Q[] {
    const pairs = filters.flatMap((a, i) => filters.slice(i + 1).map((b) => ({ ...a, ...b })));
    return [{} as Q, ...filters, ...pairs.filter((pair) => Object.keys(pair).length === 2)];
  }

  it('page through what matches any two filters', () => {
    const queen = queenOf(seeds);
    const all = everything(queen, seeds);
    const ofBoth = [...livenesses.map((liveness) => ({ liveness })), ...['aa', 'c', 'gone'].map((hive) => ({ hive }))];
    const labels = [{ labels: { zone: 'x' } }, { labels: { zone: 'y' } }, { labels: { team: 'x' } }];
    const workerFilters: WorkerQuery[] = [
      ...ofBoth,
      ...labels,
      ...['m', 'alias', 'm2', null].map((model) => ({ model })),
      ...someStates.map((state) => ({ state })),
      ...['llm', 'embed'].map((group) => ({ group })),
      ...[0, total - gib(20), total - gib(20) + 1, total].map((minFreeVramBytes) => ({ minFreeVramBytes })),
      ...(['cpuPercent', '-cpuPercent'] as const).map((sort) => ({ sort })),
    ];
    for (const query of pairsOf(workerFilters))
      expect(
        pagesOf((each) => queen.workers(each), query, 2).map(({ key }) => key),
        JSON.stringify(query),
      ).toEqual(workersOf(all, query).map(({ key }) => key));
    const gpuFilters: GpuQuery[] = [
      ...ofBoth,
      ...someHealths.map((health) => ({ health })),
      ...[0, total - gib(20), total - gib(20) + 1].map((minFreeBytes) => ({ minFreeBytes })),
    ];
    for (const query of pairsOf(gpuFilters)) {
      const { minFreeBytes, ...fields } = query;
      const fits = (gpu: GpuView) =>
        Object.entries(fields).every(([name, value]) => gpu[name as 'hive'] === value) &&
        (minFreeBytes === undefined || (gpu.freeBytes !== null && gpu.freeBytes >= minFreeBytes));
      expect(
        pagesOf((each) => queen.gpus(each), query, 2),
        JSON.stringify(query),
      ).toEqual(all.gpus.filter(fits));
    }
    const states = (['ready', 'draining'] as const).map((state) => ({ state }));
    for (const query of pairsOf<HiveQuery>([...livenesses.map((liveness) => ({ liveness })), ...labels, ...states])) {
      const { labels: asked, ...fields } = query;
      const fits = (hive: HiveView) =>
        Object.entries(fields).every(([name, value]) => hive[name as 'state'] === value) &&
        hasLabels(hive.labels, asked);
      expect(
        pagesOf((each) => queen.hives(each), query, 1),
        JSON.stringify(query),
      ).toEqual(all.hives.filter(fits));
    }
  });

  it('a worker that holds a GPU which its host does not list has no room on it', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { workers: [workerSample('llm/1', onGpu('GPU-gone'))] });
    expect(queen.workers({ minFreeVramBytes: 0 }).items).toEqual([]);
  });

  it.each(['7', '{}', '["key",null,"a"]', '["key","x","a","b"]', '["key",null,"a",7]', '["key",null,7,8]', 'x'])(
    'a cursor that no query gave is refused: %s',
    (text) => {
      const cursor = Buffer.from(text).toString('base64url');
      expect(() => new TestQueen().workers({ cursor })).toThrowError(
        expect.objectContaining({ code: 'INVALID_OPTION', subject: 'cursor' }),
      );
    },
  );

  it('a page has a thousand items at most', () => {
    const queen = new TestQueen();
    expect(queen.workers({ limit: 1000 }).items).toEqual([]);
    expect(() => queen.workers({ limit: 1001 })).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION', subject: 'limit' }),
    );
  });

  it('what is looked for is found among what can be sent to, or among all, as many as are asked for', () => {
    const options = fc.record({ includeStale: fc.boolean(), limit: fc.nat(3) }, { requiredKeys: [] });
    const named = fc.record({ caseInsensitive: fc.boolean(), prefix: fc.boolean() }, { requiredKeys: [] });
    fc.assert(
      fc.property(fleet, options, named, fc.constantFrom('m', 'M', 'alias', 'al'), (seeds, given, how, model) => {
        const queen = queenOf(seeds);
        const all = everything(queen, seeds);
        const hiveOf = ({ hive: id }: WorkerView) => all.hives.find((each) => each.id === id)!;
        const isOnline = (worker: WorkerView) => hiveOf(worker).liveness === 'online';
        const isOpen = (worker: WorkerView) => isOnline(worker) && hiveOf(worker).state === 'ready';
        const isReady = ({ state, ready }: WorkerView) =>
          state === 'idle' || state === 'busy' ? ready !== false : false;
        const among = (matches: (worker: WorkerView) => boolean, fresh = isOpen) =>
          all.workers
            .filter((worker) => (given.includeStale || fresh(worker)) && matches(worker))
            .slice(0, given.limit);
        expect(queen.getAllWorkers(given)).toEqual(among(() => true, isOnline));
        expect(queen.listAvailable(given)).toEqual(among(isReady));
        expect(queen.findIdleWorkers(given)).toEqual(among((worker) => worker.state === 'idle' && isReady(worker)));
        const fold = (text: string) => (how.caseInsensitive ? text.toLowerCase() : text);
        const matches = (name: string) =>
          how.prefix ? fold(name).startsWith(fold(model)) : fold(name) === fold(model);
        // In the order of names, so of all of them.
        const found = queen.findWorkersWithModel(model, { ...how, includeStale: given.includeStale ?? false });
        expect(found.map(({ key }) => key).sort(byText)).toEqual(
          all.workers
            .filter((worker) => (given.includeStale || isOpen(worker)) && modelsOf(worker).some(matches))
            .map(({ key }) => key)
            .sort(byText),
        );
        for (const bytes of [0, gib(4), gib(20)])
          expect(
            queen
              .findWorkersWithCapacity(bytes, { includeStale: given.includeStale ?? false })
              .map(({ key }) => key)
              .sort(byText),
          ).toEqual(
            all.workers
              .filter((worker) => (given.includeStale || isOpen(worker)) && hasRoom(all, worker, bytes))
              .map(({ key }) => key)
              .sort(byText),
          );
        expect(queen.listOnline()).toEqual(all.hives.filter((each) => each.liveness === 'online'));
        expect([queen.hiveIds(), queen.hiveCount]).toEqual([all.hives.map(({ id }) => id), all.hives.length]);
        for (const { id } of all.hives)
          expect(queen.workersOf(id)).toEqual(all.workers.filter((worker) => worker.hive === id));
      }),
      { numRuns: portion(200) },
    );
  });

  it('of what is not there are empty, and one of it is null', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { workers: [workerSample('llm/1')] });
    for (const query of [{ hive: 'gone' }, { group: 'gone' }, { model: 'gone' }, { labels: { zone: 'gone' } }])
      expect(queen.workers(query)).toEqual({ items: [], nextCursor: null, warming: true });
    expect([queen.hive('gone'), queen.worker('gone', 'llm', '1'), queen.worker('a', 'llm', '2')]).toEqual([
      null,
      null,
      null,
    ]);
    expect([queen.gpu('gone'), queen.scrape('gone', { gpus: 1, illGpus: 1, workers: 1 })]).toEqual([null, null]);
    expect([queen.workersOf('gone'), queen.ownerOf('gone'), queen.hasHive('gone')]).toEqual([[], null, false]);
    expect([queen.history('gone'), queen.history('a', 'llm/2'), queen.gpuHistory('gone')]).toEqual([null, null, null]);
    expect(queen.history('a', 'llm/1', 'day')?.stepMs).toBe(120_000);
    expect(queen.history('a', 'llm/1')?.stepMs).toBe(10_000);
  });

  it('of GPUs begin a host anew where the last of a page is gone: shown twice rather than not at all', () => {
    const queen = new TestQueen();
    const hear = (seq: number, uuids: readonly string[]) =>
      queen.hear('a', seq, { gpus: uuids.map((uuid, index) => gpuSample(uuid, { index })) });
    hear(1, ['GPU-0', 'GPU-1', 'GPU-2']);
    queen.hear('b', 1, { gpus: [gpuSample('GPU-b')] });
    const { nextCursor: cursor } = queen.gpus({ limit: 2 });
    const rest = () => queen.gpus({ cursor }).items.map(({ uuid }) => uuid);
    expect(rest()).toEqual(['GPU-2', 'GPU-b']);
    hear(2, ['GPU-0', 'GPU-2']);
    expect(rest()).toEqual(['GPU-0', 'GPU-2', 'GPU-b']);
    queen.removeHive('a');
    expect(rest()).toEqual(['GPU-b']);
  });

  it('of GPUs have all of a host that names a GPU which the page before ended with at another host', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    queen.hear('b', 1, { gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, memoryTotalBytes: gib(48) })] });
    const { items, nextCursor: cursor } = queen.gpus({ limit: 1 });
    expect(items.map(({ hive, uuid }) => [hive, uuid])).toEqual([['a', 'GPU-0']]);
    expect(queen.gpus({ cursor }).items.map(({ hive, uuid }) => [hive, uuid])).toEqual([
      ['b', 'GPU-0'],
      ['b', 'GPU-1'],
    ]);
  });

  it('of one host have all that comes after a cursor of the whole fleet', () => {
    const queen = new TestQueen();
    for (const id of ['a', 'b', 'c'])
      queen.hear(id, 1, { workers: ['llm/1', 'llm/2', 'llm/3'].map((worker) => workerSample(worker)) });
    const { nextCursor: cursor } = queen.workers({ limit: 5 });
    const idsOf = (hive: string) => queen.workers({ hive, cursor }).items.map(({ id }) => id);
    expect(['b', 'c'].map(idsOf)).toEqual([['llm/3'], ['llm/1', 'llm/2', 'llm/3']]);
  });

  it('a worker on several GPUs has the room of the one with most; one without any has none', () => {
    const queen = new TestQueen();
    const gpus = [
      gpuSample('GPU-0', { memoryUsedBytes: gib(20) }),
      gpuSample('GPU-1', { index: 1, memoryTotalBytes: gib(48) }),
      gpuSample('GPU-2', { index: 2, memoryTotalBytes: gib(80), memoryUsedBytes: null }),
    ];
    const held = ['GPU-0', 'GPU-1', 'GPU-2'].map((uuid) => onGpu(uuid).gpus![0]!);
    const workers = [
      workerSample('llm/all', { gpus: held }),
      workerSample('llm/first', { gpus: held.slice(0, 1) }),
      workerSample('llm/none'),
      workerSample('llm/unread', { gpus: held.slice(2) }),
    ];
    queen.hear('a', 1, { gpus, workers });
    const found = (minFreeVramBytes: number) =>
      queen.workers({ minFreeVramBytes }).items.map(({ instance }) => instance);
    expect([0, gib(4), gib(4) + 1, gib(48), gib(48) + 1].map(found)).toEqual([
      ['all', 'first'],
      ['all', 'first'],
      ['all'],
      ['all'],
      [],
    ]);
    expect(queen.findWorkersWithCapacity(gib(4)).map(({ instance }) => instance)).toEqual(['all', 'first']);
  });
});
