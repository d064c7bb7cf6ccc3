import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareHives,
  compareText,
  compareWorkers,
  GpuRecord,
  HiveRecord,
  isSchedulable,
  type Unwritten,
  WorkerRecord,
  workerKey,
} from '../../lib/queen/records.js';
import { bareHeartbeat, gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** Its records can be looked at. */
class Queen extends TestQueen {
  get parts() {
    const hive = this.indexes.hives.get('a')!;
    return { hive, gpu: hive.gpuOrder[0]!, worker: hive.workerOrder[0]! };
  }
}

function setUp() {
  const queen = new Queen({ clock: () => 7 });
  queen.hear('a', 1, {
    gpus: [gpuSample('GPU-0')],
    workers: [workerSample('llm/1', { ...onGpu('GPU-0'), serving: null })],
  });
  return queen.parts;
}

describe('what is to be written into a record', () => {
  /** Says what it was asked to write. */
  function noted(hive: HiveRecord): string[] {
    const notes: string[] = [];
    hive.unwritten = {
      writeHead: () => notes.push('head'),
      writeGpu: (place) => notes.push(`GPU ${place}`),
      writeWorker: (place) => notes.push(`worker ${place}`),
      writeAll: () => notes.push('all'),
      powerRows: () => null,
    } satisfies Unwritten;
    return notes;
  }

  it('is written when somebody looks at its numbers, and of that alone', () => {
    const { hive, gpu, worker } = setUp();
    const notes = noted(hive);
    gpu.place = 3;
    worker.place = 5;
    expect([gpu.current.uuid, worker.current.id, hive.head.host.memoryAvailableBytes]).toEqual([
      ...['GPU-0', 'llm/1'],
      hive.memoryAvailableBytes,
    ]);
    expect(notes).toEqual([]);
    expect([gpu.sample.uuid, worker.sample.id]).toEqual(['GPU-0', 'llm/1']);
    expect(notes.splice(0)).toEqual(['GPU 3', 'worker 5']);
    expect([hive.host, hive.collection]).toEqual([hive.head.host, hive.head.collection]);
    expect(notes.splice(0)).toEqual(['head', 'head']);
    hive.endStream();
    expect(notes.splice(0)).toEqual(['all']);
    expect([hive.unwritten, hive.host === hive.head.host, notes]).toEqual([null, true, []]);
    hive.endStream();
  });

  it('a worker whose list of GPUs is written anew keeps the lists that were handed out as they were', () => {
    const { worker } = setUp();
    const before = worker.sample.gpus;
    const copy = worker.copyHeld();
    expect(copy).toEqual(before);
    expect(copy).not.toBe(before);
    expect(worker.sample.gpus).toBe(copy);
  });
});

describe('a new record', () => {
  const heartbeat = bareHeartbeat('a', 5, {
    ...{ intervalMs: 1500, host: { memoryAvailableBytes: 9 }, faults: [] },
    ...{ gpusKnown: 'unknown', gpusReason: 'no driver', workersComplete: false },
  });
  const charge = {} as HiveRecord['charge'];
  const fresh = () =>
    new HiveRecord(heartbeat, { heardAtMs: 70, listeningMs: 60, ackEventSeq: 3, charge, ring: 4, cordon: null });

  it('of a hive is as its first heartbeat says, with neither workers nor GPUs, and in no table', () => {
    const hive = fresh();
    const { host, collection, hive: info, intervalMs } = heartbeat;
    expect(hive).toMatchObject({
      ...{ id: 'a', info, liveness: 'online', cordon: null, heardAtMs: 70, ackEventSeq: 3, ring: 4, charge },
      ...{ memoryAvailableBytes: 9, gpusKnown: 'unknown', gpusReason: 'no driver', workersComplete: false },
      ...{ intervalMs: 1500, heartbeats: 0, duplicateAtMs: null, unwritten: null, faults: [], dueMs: Infinity },
      ...{ workerOrder: [], gpuOrder: [] },
    });
    expect([hive.host, hive.collection, hive.head]).toEqual([host, collection, { intervalMs, host, collection }]);
    expect([hive.workers.size, hive.gpus.size]).toEqual([0, 0]);
    const { incarnation: current, startedAt } = info;
    expect(hive.incarnations).toEqual({ current, seq: 5, eventSeq: 0, startedAt, heardAtMs: 60, retired: [] });
    const room = { table: null, place: -1, memoryBytes: null, workerCount: 0, gpus: [], vendors: [] };
    expect(hive.room).toEqual(room);
  });

  it('of a worker or a GPU belongs to no stream, and has nothing but what was said of it', () => {
    const hive = fresh();
    const sample = gpuSample('GPU-0');
    expect(new GpuRecord(hive, sample as never, { namedIn: 2, ring: 8 })).toMatchObject({
      ...{ hive, namedIn: 2, ring: 8, place: -1, freeBytes: null, isParent: false, workerCount: 0 },
      ...{ unseenSinceMs: null, current: sample },
    });
    const worker = workerSample('llm/1');
    expect(new WorkerRecord(hive, worker as never, { namedIn: 2, hash: 5, ring: 8 })).toMatchObject({
      ...{ hive, namedIn: 2, hash: 5, ring: 8, place: -1, servingRing: -1, labels: [], picks: 0, load: null },
      ...{ unseenSinceMs: null, current: worker },
    });
  });
});

describe('whether work may be sent to a hive', () => {
  const cordon = { reason: 'a fan', by: 'kim' } as unknown as NonNullable<HiveRecord['cordon']>;
  it.each([
    ['online', 'ready', null, true],
    ['late', 'ready', null, false],
    ['offline', 'ready', null, false],
    ['online', 'starting', null, false],
    ['online', 'draining', null, false],
    ['online', 'stopping', null, false],
    ['online', 'ready', cordon, false],
  ] as const)('that is %s and %s, with the cordon %j: %s, and its row says so at once', (liveness, state, its, may) => {
    expect(isSchedulable({ liveness, info: { state }, cordon: its })).toBe(may);
    const { hive } = setUp();
    const said: [number, boolean][] = [];
    hive.room.table = { setSchedulable: (place, is) => said.push([place, is]) };
    hive.room.place = 4;
    hive.liveness = liveness;
    hive.info = { ...hive.info, state };
    hive.cordon = its;
    expect(said.at(-1)).toEqual([4, may]);
    // What stays as it was is not said again.
    const { length } = said;
    hive.liveness = liveness;
    expect(said).toHaveLength(length);
    expect([hive.liveness, hive.info.state, hive.cordon]).toEqual([liveness, state, its]);
  });

  it.each([
    ['its liveness', (hive: HiveRecord) => (hive.liveness = 'late')],
    ['its state', (hive: HiveRecord) => (hive.info = { ...hive.info, state: 'draining' })],
    ['a cordon', (hive: HiveRecord) => (hive.cordon = cordon)],
  ])('each alone is said to its row: %s', (_, change) => {
    const { hive } = setUp();
    const said: boolean[] = [];
    hive.room.table = { setSchedulable: (_place, is) => said.push(is) };
    change(hive);
    expect(said).toEqual([false]);
    // In no table there is nobody to tell.
    hive.room.table = null;
    change(hive);
  });
});

describe('the order of lists', () => {
  const worker = (hive: HiveRecord, id: string) => ({ hive, current: { id } }) as unknown as WorkerRecord;
  const name = fc.constantFrom('a', 'b', 'B', 'a/', 'é');

  it('is that of the letters of hive and then worker, and none of two that are the same', () => {
    fc.assert(
      fc.property(name, name, name, name, (hiveA, idA, hiveB, idB) => {
        const hives = [hiveA, hiveB].map((id) => ({ id }) as HiveRecord);
        const [a, b] = [worker(hives[0]!, idA), worker(hives[1]!, idB)];
        const expected = hiveA === hiveB ? order(idA, idB) : order(hiveA, hiveB);
        expect(compareWorkers(a, b)).toBe(expected);
        expect(compareWorkers(worker(hives[0]!, idA), worker(hives[0]!, idB))).toBe(order(idA, idB));
        expect(compareWorkers(a, a)).toBe(0);
        expect(compareText(hiveA, hiveB)).toBe(order(hiveA, hiveB));
        expect(compareHives(hives[0]!, hives[1]!)).toBe(order(hiveA, hiveB));
        expect(workerKey(a)).toBe(`${hiveA}/${idA}`);
      }),
    );
  });
});

const order = (a: string, b: string) => (a === b ? 0 : [a, b].sort()[0] === a ? -1 : 1);
