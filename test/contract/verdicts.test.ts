import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { optionalFields } from '../../lib/contract/fields/field.js';
import { servingFields } from '../../lib/contract/fields/serving.js';
import type { Heartbeat, WorkerSample } from '../../lib/contract/heartbeat.js';
import { maxDetailLength } from '../../lib/contract/limits.js';
import { addAbsentOfGpu, addAbsentOfWorker, asSent, storedGpu, storedWorker } from '../../lib/contract/stored.js';
import { areRightItems, readHeartbeat } from '../../lib/contract/validate.js';
import { eventOf, gpuOf, heartbeatOf, servingOf, wire, workerOf } from '../harness/heartbeats.js';

const read = (over: object, maxWorkers = 200) => readHeartbeat(wire({ ...heartbeatOf('a'), ...over }), { maxWorkers });
function taken(over: object, maxWorkers?: number) {
  const verdict = read(over, maxWorkers);
  if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.field} ${verdict.refusal.message}`);
  return verdict;
}
const faultsOf = (over: object) => taken(over).heartbeat.faults;
function refused(over: object, maxWorkers?: number) {
  const verdict = read(over, maxWorkers);
  if (verdict.ok) throw new Error('accepted');
  return verdict.refusal;
}
const held = { uuid: 'GPU-0', memoryUsedBytes: 2 ** 60, utilizationPercent: 1 };
const many = (count: number, item: object) => Array.from({ length: count }, () => item);
/** An event whose detail has so many characters as JSON. */
const eventOfLength = (length: number) => eventOf(1, { detail: { x: 'y'.repeat(length - '{"x":""}'.length) } });

describe('a heartbeat with one thing wrong', () => {
  it.each([
    ['memoryTotalBytes', { host: { ...heartbeatOf('a').host, memoryTotalBytes: 2 ** 60 } }],
    ['powerWatts', { gpus: [{ ...gpuOf('GPU-0'), powerWatts: 1e9 }] }],
    ['cpuPercent', { workers: [workerOf('llm/0', { cpuPercent: 1e12 })] }],
    ['running', { workers: [workerOf('llm/0', { serving: servingOf({ running: 1e12 }) })] }],
    ['memoryUsedBytes', { workers: [workerOf('llm/0', { gpus: [held] })] }],
  ])('that no device has (%s) is taken without it, and says so', (field, over) => {
    const { heartbeat, isAltered } = taken(over);
    expect(heartbeat.faults).toEqual([expect.objectContaining({ source: 'queen', code: 'IMPLAUSIBLE', field })]);
    expect(isAltered).toBe(true);
    // What is left is right.
    expect(readHeartbeat(wire(heartbeat), { maxWorkers: 200 })).toMatchObject({ ok: true, isAltered: false });
  });

  it('nothing wrong is not altered, nor is one of which only what is newer was left out', () => {
    expect(taken({}).isAltered).toBe(false);
    expect(taken({ colour: 'red' }).isAltered).toBe(false);
    expect(taken({ events: [{}] }).isAltered).toBe(true);
  });

  it.each(['workers', 'gpus', 'events', 'faults'])('of %s: what is no object is left out', (list) => {
    for (const item of [null, 7, 'x', [], true])
      expect(faultsOf({ [list]: [item] })).toMatchObject([{ source: 'queen', field: `${list}.0` }]);
  });

  it.each([
    ['workers.0.id', 'is not group/instance', { workers: [{ ...workerOf('llm/0'), instance: '1' }] }],
    ['workers.1.id', 'is there twice', { workers: [workerOf('llm/0'), workerOf('llm/0')] }],
    ['gpus.1.uuid', 'is there twice', { gpus: [gpuOf('GPU-0'), gpuOf('GPU-0', { memoryTotalBytes: 16e9 })] }],
    ['events.0.detail', 'characters of JSON', { events: [eventOfLength(maxDetailLength + 1)] }],
    ['events.0.kind', 'only a queen may report', { events: [eventOf(1, { kind: 'hiveRemoved' as never })] }],
    [
      'workers.0.labels',
      'is too large',
      { workers: [workerOf('llm/0', { labels: Object.fromEntries(many(9000, {}).map((_, i) => [`k${i}`, ''])) })] },
    ],
    ['workers.0.gpus', '', { workers: [{ ...workerOf('llm/0'), gpus: [null] }] }],
    ['workers.0.serving', '', { workers: [{ ...workerOf('llm/0'), serving: 'x' }] }],
  ])('says where and what: %s %s', (field, what, over) => {
    const [fault, ...others] = faultsOf(over);
    expect(others).toEqual([]);
    expect(fault).toMatchObject({
      field: expect.stringMatching(new RegExp(`^${field}`)),
      message: expect.stringContaining(what),
    });
  });

  it('an event keeps a detail that is as long as it may be; one that is no plain object is left out', () => {
    expect(taken({ events: [eventOfLength(maxDetailLength)] })).toMatchObject({ isAltered: false });
    const text = JSON.stringify({ ...heartbeatOf('a'), events: [eventOf(1, { detail: { x: 1 } })] });
    const poisoned = readHeartbeat(JSON.parse(text.replace('"x":1', '"__proto__":1')), { maxWorkers: 9 });
    expect(poisoned).toMatchObject({ ok: true, heartbeat: { events: [], faults: [{ field: 'events.0.detail' }] } });
    let detail: object = {};
    for (let depth = 0; depth < 200_000; depth++) detail = { x: detail };
    const nested = { ...heartbeatOf('a'), events: [{ ...eventOf(1), detail }] };
    expect(readHeartbeat(nested, { maxWorkers: 9 })).toMatchObject({
      heartbeat: { events: [], faults: [{ field: 'events.0.detail' }] },
    });
  });

  it.each([
    ['of the longest name', 'x'.repeat(96), true],
    ['of a longer name', 'x'.repeat(97), false],
    ['without a name', '', false],
    ['of a name that is none', 7, false],
  ])('a fault names what it is of: one %s', (_, name, isNamed) => {
    const [worker] = faultsOf({ workers: [{ ...workerOf('llm/0'), id: name }] });
    expect(worker?.workerId).toBe(isNamed ? name : undefined);
    const [gpu] = faultsOf({ gpus: [{ ...gpuOf('GPU-0'), uuid: name, index: 'x' }] });
    expect(gpu?.gpuUuid).toBe(isNamed ? name : undefined);
    const [event] = faultsOf({ events: [{ uuid: 'GPU-0', id: 'llm/0' }] });
    expect([event?.gpuUuid, event?.workerId]).toEqual([undefined, undefined]);
  });

  it('what is newer is left out of a record that may be null, too, and a word of another type is none', () => {
    const [worker] = taken({
      workers: [
        { ...workerOf('llm/0'), serving: { ...servingOf(), future: 1 } },
        { ...workerOf('llm/1'), serving: null },
      ],
    }).heartbeat.workers;
    expect(worker?.serving).toEqual(servingOf());
    expect(refused({ hive: { ...heartbeatOf('a').hive, state: 7 } })).toMatchObject({ field: 'hive.state' });
  });

  it('that is refused names the first of what is wrong, and what about it', () => {
    const { hive } = heartbeatOf('a');
    expect(refused({ seq: 0, intervalMs: 'x', sentAt: 7 })).toMatchObject({ field: 'seq' });
    expect(refused({ seq: 0 }).message).not.toContain('missing');
    expect(refused({ hive: { ...hive, labels: { 'rack/row': 7 } } }).field).toBe('hive.labels.rack/row');
    const labels = Object.fromEntries(many(33, {}).map((_, i) => [`k${i}`, '']));
    expect(refused({ hive: { ...hive, labels } }).message).toBe('hive.labels has too many entries.');
    expect(refused({ schema: 2 })).toMatchObject({ code: 'UNSUPPORTED_SCHEMA', field: 'schema' });
    expect(readHeartbeat(null, { maxWorkers: 9 })).toMatchObject({ refusal: { field: '' } });
    expect(refused({ hive: { ...hive, labels: { 'a~b': 7, c: '' } } }).field).toBe('hive.labels.a~b');
    const [fault] = faultsOf({ workers: [{ ...workerOf('llm/0'), labels: { [`${'n'.repeat(140)}`]: 7 } }] });
    expect(fault?.field).toHaveLength(128);
  });
});

describe('how much a heartbeat may list', () => {
  it('is at most so many workers, GPUs and events, and of faults the first', () => {
    const workers = many(200, {}).map((_, i) => workerOf(`llm/${i}`));
    expect(taken({ workers }).heartbeat.workers).toHaveLength(200);
    expect(refused({ workers: [...workers, workerOf('llm/200')] })).toMatchObject({ code: 'TOO_MANY_WORKERS' });
    expect(taken({ workers: many(1001, {}) }, 2000).heartbeat.workers).toEqual([]);
    const gpus = many(256, {}).map((_, i) => gpuOf(`GPU-${i}`, { index: i }));
    const [first, ...others] = gpus;
    expect(taken({ gpus: [{ ...first, index: 'x' }, ...others] }).heartbeat.gpus).toHaveLength(255);
    expect(refused({ gpus: [...gpus, gpuOf('GPU-256')] })).toEqual({
      ...{ code: 'INVALID_HEARTBEAT', field: 'gpus' },
      message: 'gpus has 257 entries; at most 256 are taken.',
    });
    expect(refused({ events: many(10_001, {}) })).toMatchObject({ code: 'INVALID_HEARTBEAT', field: 'events' });
    expect(taken({ events: many(300, {}) }).heartbeat.events).toEqual([]);
    const faults = many(1001, {}).map((_, i) => ({ source: 'gpu', code: `F${i}`, message: 'x' }));
    expect(faultsOf({ faults }).map(({ code }) => code)).toEqual(faults.slice(0, 1000).map(({ code }) => code));
    const whole = wire({ ...heartbeatOf('a'), faults: faults.slice(0, 1000) });
    expect(readHeartbeat(whole, { maxWorkers: 9 })).toMatchObject({ isAltered: false });
  });

  it('and of many that are wrong it is said of 32 what is', () => {
    const faults = faultsOf({ gpus: many(40, {}) });
    expect(faults[31]?.message).toMatch(/missing/);
    expect(faults[32]).toMatchObject({ field: 'gpus.32', message: 'Left out: gpus.32 is malformed.' });
  });
});

describe('what a hive of before does not say', () => {
  const { gpusReason: _, ...silent } = workerOf('llm/0', { gpus: [] });
  it.each([
    ['a newer one leaves it out where it is null', {}, silent, null],
    ['an older one does not know it', { gpusKnown: undefined }, silent, expect.stringContaining('older version')],
    ['an older one says why', { gpusKnown: undefined }, { ...silent, gpusReason: 'noDriver' }, 'noDriver'],
    ['an older one holds some', { gpusKnown: undefined }, { ...silent, gpus: [{ ...held, memoryUsedBytes: 1 }] }, null],
  ])('of the GPUs of a worker: %s', (_what, over, worker, reason) => {
    expect(taken({ ...over, workers: [worker] }).heartbeat.workers[0]?.gpusReason).toEqual(reason);
  });

  it('is null in what is kept, at every level, whatever else comes with it', () => {
    const optional = optionalFields(servingFields as FieldTable);
    expect(optional.length).toBeGreaterThan(0);
    const nulls = Object.fromEntries(optional.map((name) => [name, null]));
    expect(addAbsentOfWorker({ future: 1, serving: { engine: 'vllm' } })).toMatchObject({
      ...{ future: 1, gpusReason: null },
      serving: { engine: 'vllm', ...nulls },
    });
    for (const serving of [null, 'x', ['x']]) expect(addAbsentOfWorker({ serving }).serving).toEqual(serving);
    expect(addAbsentOfGpu({ uuid: 'GPU-0', migMode: true })).toMatchObject({ migMode: true });
    expect(addAbsentOfGpu({ uuid: 'GPU-0' })).toMatchObject({ uuid: 'GPU-0', migMode: null });
  });

  it('what is kept or sent is a copy where it differs', () => {
    const worker = workerOf('llm/0') as WorkerSample;
    expect(storedWorker(worker).serving).toEqual(worker.serving);
    expect(storedWorker(worker).serving).not.toBe(worker.serving);
    // Also where it is completed in place, since it has what nobody knows here.
    const newer = { engine: 'vllm', future: 1 };
    expect(storedWorker(workerOf('llm/0', { serving: newer as never })).serving).toHaveProperty('version', null);
    expect(newer).toEqual({ engine: 'vllm', future: 1 });
    const bare = workerOf('llm/0', { serving: null });
    expect(storedWorker(bare).serving).toBeNull();
    const gpu = gpuOf('GPU-0');
    expect(storedGpu(gpu)).not.toBe(gpu);
    expect(asSent(heartbeatOf('a', 1, { gpus: [gpu] })).gpus[0]).toBe(gpu);
  });

  it('a list of which one word is the one for "not known" is known', () => {
    const [unknown] = asSent(heartbeatOf('a', 1, { gpus: [gpuOf('GPU-0', { throttleReasons: null })] })).gpus;
    const word = unknown!.throttleReasons![0] as string;
    const read = (throttleReasons: string[]) => addAbsentOfGpu({ throttleReasons }).throttleReasons;
    expect(read([word])).toBeNull();
    expect(read([word, 'powerCap'])).toEqual([word, 'powerCap']);
  });
});

describe('what a worker holds of a GPU', () => {
  const heldBy = (own: object) => {
    const { heartbeat } = taken({ workers: [workerOf('llm/0', { gpus: [{ ...held, ...own } as never] })] });
    return [heartbeat.workers[0]?.gpus[0], heartbeat.faults.map(({ code, field }) => [code, field])];
  };

  it.each([
    ['memoryUsedBytes', 2 ** 46, 2 ** 46 + 1024],
    // Of several processes that share it each may be counted whole.
    ['utilizationPercent', 1000, 1000.5],
  ])('%s: up to %d, and nothing beyond', (field, most, beyond) => {
    const right = { ...held, memoryUsedBytes: 1 };
    expect(heldBy({ ...right, [field]: most })).toEqual([{ ...right, [field]: most }, []]);
    expect(heldBy({ ...right, [field]: beyond })).toEqual([{ ...right, [field]: null }, [['IMPLAUSIBLE', field]]]);
    expect(heldBy({ ...right, [field]: 0 })).toEqual([{ ...right, [field]: 0 }, []]);
    expect(heldBy({ ...right, [field]: -0.5 })).toEqual([{ ...right, [field]: null }, [['IMPLAUSIBLE', field]]]);
  });
});

describe('items that come without their heartbeat', () => {
  type Items = Pick<Heartbeat, 'gpus' | 'workers' | 'events' | 'faults'>;
  const right = (): Items => ({
    workers: [workerOf('llm/0'), workerOf('llm/1')],
    gpus: [gpuOf('GPU-0')],
    events: [eventOf(1)],
    faults: [{ source: 'gpu', code: 'X', message: 'y' }],
  });
  const fault = right().faults[0]!;

  it.each<[string, object, boolean]>([
    ['as they are', {}, true],
    ['none', { workers: [], gpus: [], events: [], faults: [] }, true],
    ['as many events as are taken', { events: many(10_000, eventOf(1)) }, true],
    ['more events', { events: many(10_001, eventOf(1)) }, false],
    ['as many faults as are taken', { faults: many(1000, fault) }, true],
    ['more faults', { faults: many(1001, fault) }, false],
    ['a worker that is none', { workers: [{ ...workerOf('llm/0'), pid: 'x' }] }, false],
    ['a GPU that is none', { gpus: [{ ...gpuOf('GPU-0'), index: 'x' }] }, false],
    ['an event that is none', { events: [{}] }, false],
    ['a fault that is none', { faults: [{}] }, false],
    ['two of one name', { workers: [workerOf('llm/0'), workerOf('llm/0')] }, false],
    ['an event that only a queen may report', { events: [eventOf(1, { kind: 'hiveRemoved' as never })] }, false],
    ['a number that no device has', { gpus: [gpuOf('GPU-0', { powerWatts: 1e9 })] }, false],
    [
      'a number of an engine that none has',
      { workers: [workerOf('llm/0', { serving: servingOf({ running: 1e12 }) })] },
      false,
    ],
    ['what nobody names', { gpus: [{ ...gpuOf('GPU-0'), future: 1 }] }, false],
    [
      'too many labels',
      { workers: [workerOf('llm/0', { labels: Object.fromEntries(many(9000, {}).map((_, i) => [`k${i}`, ''])) })] },
      false,
    ],
  ])('are right or not: %s', (_, over, isRight) => {
    expect(areRightItems({ ...right(), ...over })).toBe(isRight);
  });

  it('have null where their sender left something out, who knows of GPUs', () => {
    const { gpusReason: _, ...worker } = workerOf('llm/0', { gpus: [] });
    const { migMode: _mode, ...gpu } = gpuOf('GPU-0');
    const items = { ...right(), workers: [worker], gpus: [gpu] };
    expect(areRightItems(items)).toBe(true);
    expect(items).toMatchObject({ workers: [{ gpusReason: null }], gpus: [{ migMode: null }] });
  });
});
