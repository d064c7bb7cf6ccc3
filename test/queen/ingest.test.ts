import { describe, expect, it } from 'vitest';
import type { Fault, GpuSample, Heartbeat, WorkerSample } from '../../lib/contract/heartbeat.js';
import { labelPair } from '../../lib/queen/indexes.js';
import { type Delta, mergeGpus, mergeHive, mergeWorkers, takeFigures } from '../../lib/queen/ingest.js';
import type { HiveRecord } from '../../lib/queen/records.js';
import { hashText } from '../../lib/queen/request-cost.js';
import { servingOf } from '../harness/heartbeats.js';
import { bareHeartbeat, gib, gpuSample, type HeartbeatFields, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** Its rows can be merged one list at a time. */
class Queen extends TestQueen {
  readonly parts = { indexes: this.indexes, histories: this.histories, routing: this.routing };

  get record(): HiveRecord {
    return this.indexes.hives.get('a')!;
  }

  get used(): number {
    return this.histories.used;
  }

  workersNow(): (readonly [id: string, unseenSinceMs: number | null])[] {
    return this.record.workerOrder.map(({ current, unseenSinceMs }) => [current.id, unseenSinceMs]);
  }

  merge(workers: readonly WorkerSample[], over: { complete?: boolean; replaces?: boolean } = {}) {
    const { complete = true, replaces = false } = over;
    const heartbeat = bareHeartbeat('a', 2, { workers: structuredClone([...workers]), workersComplete: complete });
    this.record.heartbeats++;
    const delta = mergeWorkers(this.indexes, this.histories, this.record, heartbeat, replaces, this.time.nowMs);
    return namesOf(delta);
  }

  mergeGpus(
    gpus: readonly GpuSample[],
    over: { faults?: readonly Fault[]; replaces?: boolean; holding?: boolean } = {},
  ) {
    const { faults = [], replaces = false, holding = false } = over;
    const heartbeat = bareHeartbeat('a', 2, { gpus: structuredClone([...gpus]), faults: [...faults] });
    const { record } = this;
    record.heartbeats++;
    const delta = mergeGpus(this.indexes, this.histories, record, heartbeat, replaces, holding, this.time.nowMs);
    const uuids = (records: typeof delta.appeared) => records.map(({ current }) => current.uuid);
    return {
      ...{ appeared: uuids(delta.appeared), removed: uuids(delta.removed) },
      order: record.gpuOrder.map(({ current }) => current.uuid),
    };
  }
}

const namesOf = ({ changed, appeared, removed, stateChanged, gpusChanged }: Delta) => {
  const ids = (records: Delta['changed']) => records.map(({ current }) => current.id);
  return {
    ...{ changed: ids(changed), appeared: ids(appeared), removed: ids(removed), gpusChanged },
    stateChanged: stateChanged.map(({ worker, from }) => [worker.current.id, from, worker.current.state]),
  };
};
const nothing = { changed: [], appeared: [], removed: [], stateChanged: [], gpusChanged: false };

function queenWith(fields: HeartbeatFields): Queen {
  const queen = new Queen({ warmingMs: 0 });
  queen.hear('a', 1, structuredClone(fields));
  return queen;
}
const one = workerSample('llm/1', { labels: { team: 'x' }, serving: null, ...onGpu('GPU-0', 5) });
const two = workerSample('llm/2', { serving: servingOf({ running: 2 }) });

describe('the workers of a heartbeat', () => {
  it.each<[string, readonly WorkerSample[], object]>([
    ['nothing', [one, two], {}],
    ['another order', [two, one], {}],
    ['a value', [{ ...one, cpuPercent: 4 }, two], { changed: ['llm/1'] }],
    ['what changes by itself', [{ ...one, uptimeSeconds: 4000 }, two], {}],
    ['a state', [one, { ...two, state: 'busy' }], { changed: ['llm/2'], stateChanged: [['llm/2', 'idle', 'busy']] }],
    ['a label', [{ ...one, labels: { team: 'y' } }, two], { changed: ['llm/1'] }],
    ['what one holds of a GPU', [{ ...one, ...onGpu('GPU-0', 6) }, two], { changed: ['llm/1'] }],
    ['the GPUs of one', [{ ...one, ...onGpu('GPU-1', 5) }, two], { changed: ['llm/1'], gpusChanged: true }],
    ['one more', [one, two, workerSample('llm/0')], { changed: ['llm/0'], appeared: ['llm/0'], gpusChanged: true }],
    ['one less', [two], { removed: ['llm/1'], gpusChanged: true }],
    ['one less that is named twice', [two, two], { removed: ['llm/1'], gpusChanged: true }],
    ['none', [], { removed: ['llm/1', 'llm/2'], gpusChanged: true }],
  ])('say what is different: %s', (_, workers, different) => {
    const queen = queenWith({
      workers: [one, two],
      gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { memoryTotalBytes: gib(48) })],
    });
    expect(queen.merge(workers)).toEqual({ ...nothing, ...different });
    const { indexes } = queen.parts;
    const isX = indexes.byLabel.get(labelPair('team', 'x'))?.size ?? 0;
    const isLabelled = workers.some(({ labels }) => labels.team === 'x');
    expect(isX).toBe(isLabelled ? 1 : 0);
    const ids = [...new Set(workers.map(({ id }) => id))].sort();
    expect(queen.workersNow()).toEqual(ids.map((id) => [id, null]));
    expect(queen.workers({ state: 'busy' }).items.map(({ id }) => id)).toEqual(
      workers.filter(({ state }) => state === 'busy').map(({ id }) => id),
    );
  });

  it('that it leaves out though it is incomplete are kept, with when they were seen last', () => {
    const queen = queenWith({ workers: [one, two] });
    const rings = queen.used;
    const firstMs = queen.record.heardAtMs;
    queen.time.advance(1000);
    expect(queen.merge([two], { complete: false })).toEqual(nothing);
    queen.record.heardAtMs = queen.time.nowMs;
    expect(queen.merge([two], { complete: false })).toEqual(nothing);
    expect(queen.workersNow()).toEqual([
      ['llm/1', firstMs],
      ['llm/2', null],
    ]);
    expect(queen.merge([one, two], { complete: false })).toEqual(nothing);
    expect(queen.workersNow()[0]).toEqual(['llm/1', null]);
    expect(queen.used).toBe(rings);
    // A new run of the hive has only what it names.
    expect(queen.merge([two], { complete: false, replaces: true })).toEqual({
      ...{ ...nothing, removed: ['llm/1'], gpusChanged: true },
    });
    expect(queen.used).toBe(rings - 1);
  });

  it('that come have a place for prefixes and a history by their key; those that go give all of it back', () => {
    const queen = queenWith({ workers: [one, two] });
    const [first, second] = queen.record.workerOrder as [HiveRecord['workerOrder'][0], HiveRecord['workerOrder'][0]];
    expect(first.hash).toBe(hashText('a/llm/1'));
    expect([first.ring >= 0, first.servingRing, second.servingRing >= 0]).toEqual([true, -1, true]);
    first.picks = 4;
    const used = queen.used;
    queen.merge([one]);
    expect(first.picks).toBe(0);
    expect([second.ring, second.servingRing, queen.used]).toEqual([-1, -1, used - 2]);
    expect(second.labels).toEqual([]);
    expect(queen.worker('a', 'llm', '2')).toBeNull();
  });

  it('add to their histories what they are, and where there is no room for one nothing', () => {
    const figures = { cpuPercent: 1, workingSetBytes: 2, gpuUtilizationPercent: 3, vramUsedBytes: 4 };
    const serving = servingOf({ running: 5, waiting: 6, kvPercent: 7, generationTokensPerSecond: 8 });
    const fields: HeartbeatFields = {
      workers: [workerSample('llm/1', { ...figures, serving })],
      gpus: [
        gpuSample('GPU-0', { utilizationPercent: 9, memoryUsedBytes: 10, powerWatts: 11, temperatureCelsius: 12 }),
      ],
    };
    const queen = queenWith(fields);
    const points = (history: { series: object } | null) =>
      Object.fromEntries(Object.entries(history!.series).map(([name, [value]]) => [name, value]));
    expect(points(queen.history('a', 'llm/1'))).toEqual({
      ...{ ...figures, running: 5, waiting: 6, kvPercent: 7, generationTokensPerSecond: 8 },
    });
    expect(points(queen.gpuHistory('GPU-0'))).toEqual({
      ...{ utilizationPercent: 9, memoryUsedBytes: 10, powerWatts: 11, temperatureCelsius: 12 },
    });
    // Of what an engine no longer says nothing is known.
    queen.time.advance(10_000);
    queen.merge([workerSample('llm/1', { ...figures, serving: null })]);
    expect(queen.history('a', 'llm/1')!.series.running).toEqual([5, null]);
    const without = new Queen({ historyRings: 0 });
    without.hear('a', 1, structuredClone(fields));
    expect([without.used, without.record.workerOrder[0]!.servingRing]).toEqual([0, -1]);
    expect(without.history('a', 'llm/1')!.series).toMatchObject({ cpuPercent: [] });
  });
});

describe('the GPUs of a heartbeat', () => {
  const gpus = ['GPU-0', 'GPU-1', 'GPU-2'].map((uuid, index) => gpuSample(uuid, { index }));
  const [zero, first, last] = gpus as [GpuSample, GpuSample, GpuSample];
  const added = gpuSample('GPU-3', { index: 3 });
  const unread = (gpuUuid?: string, over: Partial<Fault> = {}): Fault => ({
    ...{ source: 'queen', code: 'MALFORMED_GPU', message: 'x', ...(gpuUuid !== undefined && { gpuUuid }) },
    ...over,
  });

  it.each<[string, readonly GpuSample[], Parameters<Queen['mergeGpus']>[1], object]>([
    ['the same', gpus, {}, { order: ['GPU-0', 'GPU-1', 'GPU-2'] }],
    ['the same in another order', [last, zero, first], {}, { order: ['GPU-2', 'GPU-0', 'GPU-1'] }],
    ['one twice', [zero, first, last, zero], {}, { order: ['GPU-0', 'GPU-1', 'GPU-2'] }],
    ['one more', [added, ...gpus], {}, { appeared: ['GPU-3'], order: ['GPU-3', 'GPU-0', 'GPU-1', 'GPU-2'] }],
    [
      'another instead',
      [zero, added, last],
      {},
      { appeared: ['GPU-3'], removed: ['GPU-1'], order: ['GPU-0', 'GPU-3', 'GPU-2'] },
    ],
    ['none', [], {}, { removed: ['GPU-0', 'GPU-1', 'GPU-2'], order: [] }],
    ['one that could not be read', [zero, last], { faults: [unread('GPU-1')] }, { order: ['GPU-0', 'GPU-1', 'GPU-2'] }],
    [
      'one that could not be read beside one that is gone',
      [zero],
      { faults: [unread('GPU-1')] },
      { removed: ['GPU-2'], order: ['GPU-0', 'GPU-1'] },
    ],
    ['some without even a name', [last], { faults: [unread()] }, { order: ['GPU-0', 'GPU-1', 'GPU-2'] }],
    [
      'a new run, which has only what it names',
      [zero],
      { faults: [unread()], replaces: true },
      { removed: ['GPU-1', 'GPU-2'], order: ['GPU-0'] },
    ],
    [
      'a fault of the hive',
      [zero, first],
      { faults: [unread('GPU-2', { source: 'gpu' })] },
      { removed: ['GPU-2'], order: ['GPU-0', 'GPU-1'] },
    ],
    [
      'a fault of another kind',
      [zero, first],
      { faults: [unread('GPU-2', { code: 'MALFORMED_WORKER' })] },
      { removed: ['GPU-2'], order: ['GPU-0', 'GPU-1'] },
    ],
  ])('are what the hive has, in its order: %s', (_, named, over, found) => {
    const queen = queenWith({ gpus });
    const used = queen.used;
    const none: readonly string[] = [];
    const expected = { appeared: none, removed: none, order: none, ...found };
    const before = new Map(queen.record.gpus);
    queen.time.advance(500);
    expect(queen.mergeGpus(named, over)).toEqual(expected);
    expect(queen.used).toBe(used + expected.appeared.length - expected.removed.length);
    for (const uuid of expected.removed) expect([before.get(uuid)!.ring, queen.gpu(uuid)]).toEqual([-1, null]);
    const { heardAtMs, gpuOrder } = queen.record;
    const unseen = gpuOrder.filter(({ unseenSinceMs }) => unseenSinceMs !== null);
    expect(unseen.map(({ current }) => current.uuid)).toEqual(
      expected.order.filter((uuid) => !named.some((gpu) => gpu.uuid === uuid)),
    );
    for (const { unseenSinceMs } of unseen) expect(unseenSinceMs).toBe(heardAtMs);
    expect([...queen.record.gpus.keys()].sort()).toEqual([...expected.order].sort());
  });

  it('that could not be read twice were seen before the first time, and are seen again once they are read', () => {
    const queen = queenWith({ gpus });
    const seenMs = queen.record.heardAtMs;
    const faults = [unread('GPU-1')];
    queen.mergeGpus([zero, last], { faults });
    queen.record.heardAtMs = queen.time.nowMs + 1000;
    queen.mergeGpus([zero, last], { faults });
    expect(queen.record.gpus.get('GPU-1')!.unseenSinceMs).toBe(seenMs);
    queen.mergeGpus(gpus);
    expect(queen.record.gpus.get('GPU-1')!.unseenSinceMs).toBeNull();
  });

  it('have the values of the first where they are alike, and values of their own where not', () => {
    const reasons = ['swPowerCap'];
    const queen = queenWith({
      gpus: [
        { ...zero, throttleReasons: [...reasons] },
        { ...first, throttleReasons: [...reasons] },
        { ...last, throttleReasons: [] },
      ],
    });
    const lists = queen.record.gpuOrder.map(({ sample }) => sample.throttleReasons);
    expect(lists).toEqual([reasons, reasons, []]);
    expect(lists[1]).toBe(lists[0]);
    queen.mergeGpus(
      [...gpus, { ...added, throttleReasons: [...reasons] }].map((gpu) => ({ ...gpu, throttleReasons: [...reasons] })),
    );
    const [one, , , four] = queen.record.gpuOrder;
    expect(four!.sample.throttleReasons).toBe(one!.sample.throttleReasons);
  });

  it('count the workers that hold them, once they or the workers are others', () => {
    const held = (uuid: string, id: string) => workerSample(id, onGpu(uuid));
    const queen = queenWith({
      gpus,
      workers: [held('GPU-0', 'llm/1'), held('GPU-0', 'llm/2'), held('GPU-9', 'llm/3')],
    });
    const counts = () => queen.record.gpuOrder.map(({ workerCount }) => workerCount);
    expect(counts()).toEqual([2, 0, 0]);
    // They have one text of a uuid.
    queen.merge([held('GPU-1', 'llm/1'), held('GPU-0', 'llm/2'), held('GPU-9', 'llm/3')]);
    queen.mergeGpus(gpus);
    expect(counts()).toEqual([2, 0, 0]);
    queen.mergeGpus(gpus, { holding: true });
    expect(counts()).toEqual([1, 1, 0]);
    queen.mergeGpus([first, zero, last]);
    expect(counts()).toEqual([1, 1, 0]);
    queen.mergeGpus([first, zero, last, gpuSample('GPU-9')]);
    expect(counts()).toEqual([1, 1, 0, 1]);
  });

  it.each<[string, readonly Partial<GpuSample>[], readonly boolean[]]>([
    ['none is cut', [{}, {}, {}], [false, false, false]],
    ['a part is listed', [{}, { parentUuid: 'GPU-0' }, {}], [true, false, false]],
    ['parts of two are', [{}, { parentUuid: 'GPU-2' }, { parentUuid: 'GPU-0' }], [true, false, true]],
    ['it says so itself', [{}, { migMode: true }, { migMode: false }], [false, true, false]],
    ['the hive does not know', [{ migMode: null }, {}, {}], [false, false, false]],
  ])('that are cut into parts are no place for a whole worker: %s', (_, over, isParent) => {
    const queen = queenWith({ gpus: gpus.map((gpu, i) => ({ ...gpu, ...over[i] })) });
    expect(queen.record.gpuOrder.map((gpu) => gpu.isParent)).toEqual(isParent);
  });
});

describe('the host of a heartbeat', () => {
  it('is what the newest says, and a new label is of all its workers', () => {
    const queen = queenWith({ workers: [one] });
    const next: Heartbeat = {
      ...bareHeartbeat('a', 2, {
        hive: { labels: { zone: 'z' }, state: 'draining' },
        host: { memoryAvailableBytes: 77, load1: 9 },
        faults: [{ source: 'gpu', code: 'STALLED', message: 'x' }],
        workersComplete: false,
      }),
      ...{ gpusKnown: 'unknown', gpusReason: 'why' },
      collection: { ...bareHeartbeat('a', 2).collection, ageMs: 3 },
    };
    expect(mergeHive(queen.record, next)).toBe(true);
    const { info, host, memoryAvailableBytes, faults, collection, gpusKnown, gpusReason, workersComplete } =
      queen.record;
    expect({ hive: info, host, faults, collection, gpusKnown, gpusReason, workersComplete }).toEqual({
      ...{ hive: next.hive, host: next.host, faults: next.faults, collection: next.collection },
      ...{ gpusKnown: 'unknown', gpusReason: 'why', workersComplete: false },
    });
    expect(memoryAvailableBytes).toBe(77);
    expect(mergeHive(queen.record, next)).toBe(false);
    queen.hear('a', 3, { hive: { labels: { zone: 'z' } }, workers: [structuredClone(one)] });
    queen.hear('a', 4, { hive: { labels: { zone: 'new' } }, workers: [structuredClone(one)] });
    expect(queen.workers({ labels: { zone: 'new' } }).items.map(({ id }) => id)).toEqual(['llm/1']);
    expect(queen.workers({ labels: { zone: 'z' } }).items).toEqual([]);
    expect(queen.audit()).toEqual([]);
  });

  it('has the sums of what its rows do, of which a part of a GPU is none, and what engines report', () => {
    const queen = queenWith({
      gpus: [
        gpuSample('GPU-0', { utilizationPercent: 10, powerWatts: 100 }),
        gpuSample('GPU-1', { utilizationPercent: 30, powerWatts: null, memoryTotalBytes: gib(48) }),
        gpuSample('MIG-0', { utilizationPercent: 90, powerWatts: 900, parentUuid: 'GPU-0', memoryTotalBytes: gib(10) }),
      ],
      workers: [
        workerSample('llm/1', {
          model: 'm',
          ready: true,
          endpoint: 'http://h:1',
          serving: servingOf({ running: 9, generationTokensPerSecond: 5 }),
        }),
        workerSample('llm/2', { serving: servingOf({ generationTokensPerSecond: null }) }),
        workerSample('llm/3', { serving: null }),
      ],
    });
    const sums = { utilization: 40, utilizationCount: 2, watts: 100, wattsCount: 1, tokens: 5, tokensCount: 1 };
    expect(queen.record.sums).toEqual(sums);
    takeFigures(queen.record, queen.parts.routing, queen.time.nowMs);
    expect(queen.record.sums).toEqual(sums);
    expect(queen.pickWorkers({ model: 'm' }).picks[0]!.why.requests).toBe(9);
    expect(queen.record.workerOrder.map(({ load }) => load !== null)).toEqual([true, true, false]);
  });
});
