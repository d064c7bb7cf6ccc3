import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field, FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import type { GpuSample, WorkerSample } from '../../lib/contract/heartbeat.js';
import { storedGpu, storedWorker } from '../../lib/contract/stored.js';
import { type HeartbeatVerdict, readHeartbeat } from '../../lib/contract/validate.js';
import { portion } from '../harness/draws.js';
import { eventOf, gpuOf, heartbeatOf, wire, workerOf } from '../harness/heartbeats.js';

const limits = { maxWorkers: 200 };
const read = (heartbeat: unknown) => readHeartbeat(heartbeat, limits);

function accepted(verdict: HeartbeatVerdict) {
  if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.field} ${verdict.refusal.message}`);
  return verdict.heartbeat;
}

function refused(heartbeat: unknown) {
  const verdict = read(heartbeat);
  if (verdict.ok) throw new Error('accepted');
  return verdict.refusal;
}

describe('readHeartbeat', () => {
  it('an older hive does not say whether its GPUs are known: an empty list of it is not none', () => {
    const older = (gpus: unknown[]) => {
      const { gpusKnown: _known, gpusReason: _reason, ...body } = heartbeatOf('a', 1, { gpus: gpus as never });
      return accepted(read(wire(body)));
    };
    expect(older([])).toMatchObject({ gpusKnown: 'unknown', gpusReason: expect.stringContaining('older version') });
    expect(older([gpuOf('GPU-0')])).toMatchObject({ gpusKnown: 'known', gpusReason: null });
    const newer = wire({ ...heartbeatOf('a', 1), gpusKnown: 'partly' });
    expect(accepted(read(newer)).gpusKnown).toBe('unknown');
  });

  it('takes a whole heartbeat as it is, without copying it', () => {
    const heartbeat = wire(heartbeatOf('a', 1, { events: [eventOf(1)] }));
    expect(accepted(read(heartbeat))).toBe(heartbeat);
  });

  it.each([
    ['hive.id', { hive: { id: '../etc' } }],
    ['hive.incarnation', { hive: { incarnation: 'not-a-uuid' } }],
    ['hive.labels', { hive: { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v'])) } }],
    ['hive.labels.k', { hive: { labels: { k: 'v'.repeat(257) } } }],
    ['hive.hostname', { hive: { hostname: 'h'.repeat(254) } }],
    ['seq', { seq: 0 }],
    ['seq', { seq: 1e300 }],
    ['intervalMs', { intervalMs: '1000' }],
    ['host.cpuCount', { host: { ...heartbeatOf('a').host, cpuCount: null } }],
    ['host.pressure.io', { host: { ...heartbeatOf('a').host, pressure: { cpu: 1, memory: 1, io: 'x' } } }],
    ['workersComplete', { workersComplete: 'yes' }],
    ['workers', { workers: {} }],
    ['gpus', { gpus: null }],
    ['events', { events: 'x' }],
    ['faults', { faults: 1 }],
    ['collection.durationMs', { collection: { ...heartbeatOf('a').collection, durationMs: -1 } }],
  ])('names %s where it is wrong', (field, over) => {
    const refusal = refused(wire({ ...heartbeatOf('a'), ...heartbeatOf('a', 1, over as never) }));
    expect(refusal.field).toBe(field);
    expect(refusal.code).toBe('INVALID_HEARTBEAT');
    expect(refusal.message).toContain(field.split('.')[0]);
  });

  it('names a field that is missing', () => {
    const { hive, ...rest } = heartbeatOf('a');
    expect(refused(rest)).toMatchObject({ field: 'hive', message: 'hive is missing.' });
    const { version: _, ...partial } = hive;
    expect(refused({ ...rest, hive: partial }).field).toBe('hive.version');
  });

  it('refuses what is not an object, and another schema by name', () => {
    for (const heartbeat of [null, 1, 'x', [], true]) expect(refused(heartbeat).code).toBe('INVALID_HEARTBEAT');
    expect(refused({ ...heartbeatOf('a'), schema: 2 }).code).toBe('UNSUPPORTED_SCHEMA');
  });

  it('refuses more workers than the cap before it looks at them', () => {
    const workers = Array.from({ length: 201 }, (_, i) => workerOf(`llm/${i}`));
    expect(refused(heartbeatOf('a', 1, { workers }))).toMatchObject({ code: 'TOO_MANY_WORKERS', field: 'workers' });
  });

  it('leaves out one malformed worker among good ones and says which', () => {
    const workers = [workerOf('llm/0'), { ...workerOf('llm/1'), pid: 'x' as never }, workerOf('llm/2')];
    const heartbeat = accepted(read(wire(heartbeatOf('a', 1, { workers }))));
    expect(heartbeat.workers.map((worker) => worker.id)).toEqual(['llm/0', 'llm/2']);
    expect(heartbeat.faults).toEqual([
      expect.objectContaining({ source: 'queen', code: 'MALFORMED_WORKER', field: 'workers.1.pid', workerId: 'llm/1' }),
    ]);
  });

  it('calls a snapshot incomplete without a worker that could not be read, and whole without the second of two alike', () => {
    const complete = (...workers: unknown[]) =>
      accepted(read(wire(heartbeatOf('a', 1, { workers: workers as never })))).workersComplete;
    expect(complete(workerOf('llm/0'), { ...workerOf('llm/1'), cpuPercent: 'x' })).toBe(false);
    expect(complete(workerOf('llm/0'), 'not a worker')).toBe(false);
    expect(complete(workerOf('llm/0'), workerOf('llm/0'))).toBe(true);
    expect(accepted(read(wire(heartbeatOf('a', 1, { events: [{}] as never })))).workersComplete).toBe(true);
  });

  it('keeps the faults of GPUs where there are more than are kept', () => {
    const over = { events: Array.from({ length: 1500 }, () => ({})), gpus: [{ ...gpuOf('GPU-0'), index: 'x' }] };
    const { faults } = accepted(read(wire(heartbeatOf('a', 1, over as never))));
    expect(faults.length).toBe(1000);
    expect(faults.at(-1)).toMatchObject({ code: 'MALFORMED_GPU', gpuUuid: 'GPU-0' });
  });

  it.each([
    ['gpus', 'MALFORMED_GPU', { gpus: [gpuOf('GPU-0'), { ...gpuOf('GPU-1'), utilizationPercent: 'x' }] }],
    ['events', 'MALFORMED_EVENT', { events: [eventOf(1), { ...eventOf(2), at: 'yesterday' }] }],
    ['faults', 'MALFORMED_FAULT', { faults: [{ source: 'x', code: 'y' }] }],
    ['workers', 'MALFORMED_WORKER', { workers: [workerOf('llm/0'), 'not a worker'] }],
    ['workers', 'MALFORMED_WORKER', { workers: [workerOf('llm/0', { id: 'llm/1' })] }],
    ['workers', 'MALFORMED_WORKER', { workers: [workerOf('llm/0'), workerOf('llm/0')] }],
    // Both alike, also by name: the second is what is left out.
    ['gpus', 'MALFORMED_GPU', { gpus: [gpuOf('GPU-0'), gpuOf('GPU-0')] }],
    ['events', 'MALFORMED_EVENT', { events: [eventOf(1, { detail: { big: 'x'.repeat(5000) } })] }],
  ])('leaves out a malformed entry of %s as %s', (list, code, over) => {
    const heartbeat = accepted(read(wire(heartbeatOf('a', 1, over as never))));
    const given = (over as unknown as Record<string, unknown[]>)[list] ?? [];
    const kept = heartbeat[list as 'workers'] as readonly unknown[];
    expect(heartbeat.faults.map((fault) => fault.code)).toEqual([code]);
    expect(kept.length).toBe(list === 'faults' ? 1 : given.length - 1);
  });

  it('a number that no device can have is null with a fault that names field and value; the item stays', () => {
    const gpus = [
      { ...gpuOf('GPU-0'), memoryTotalBytes: 2 ** 64, eccUncorrected: 2 ** 64 - 1, utilizationPercent: 101 },
      gpuOf('GPU-1'),
    ];
    const held = [{ uuid: 'GPU-1', memoryUsedBytes: 2 ** 63, utilizationPercent: 1 }];
    const workers = [{ ...workerOf('llm/0'), pid: -1, memoryBytes: 2 ** 64, gpus: held }, workerOf('llm/1')];
    const host = { ...heartbeatOf('a').host, memoryTotalBytes: 2 ** 63 };
    const heartbeat = accepted(read(wire(heartbeatOf('a', 1, { host, gpus, workers }))));
    expect(heartbeat.gpus).toEqual([
      { ...gpus[0], memoryTotalBytes: null, eccUncorrected: null, utilizationPercent: null },
      gpus[1],
    ]);
    expect(heartbeat.workers).toMatchObject([
      { pid: null, memoryBytes: null, gpus: [{ memoryUsedBytes: null, utilizationPercent: 1 }] },
      { id: 'llm/1' },
    ]);
    expect(heartbeat.host.memoryTotalBytes).toBeNull();
    expect(heartbeat.workersComplete).toBe(true);
    expect(new Set(heartbeat.faults.map(({ source, code }) => `${source} ${code}`))).toEqual(
      new Set(['queen IMPLAUSIBLE']),
    );
    expect(heartbeat.faults.map(({ field, gpuUuid, workerId }) => [field, gpuUuid, workerId])).toEqual([
      ['memoryTotalBytes', undefined, undefined],
      ['pid', undefined, 'llm/0'],
      ['memoryBytes', undefined, 'llm/0'],
      ['memoryUsedBytes', 'GPU-1', 'llm/0'],
      ['memoryTotalBytes', 'GPU-0', undefined],
      ['utilizationPercent', 'GPU-0', undefined],
      ['eccUncorrected', 'GPU-0', undefined],
    ]);
    expect(heartbeat.faults[0]?.message).toContain(String(2 ** 63));
  });

  it('takes the heartbeat of an older hive, whose GPUs lack what came later, whole', () => {
    const { migMode, ...older } = gpuOf('GPU-0');
    const heartbeat = wire(heartbeatOf('a', 1, { gpus: [older, gpuOf('GPU-1')], events: [eventOf(1)] }));
    expect(accepted(read(heartbeat))).toEqual(heartbeat);
  });

  it('a worker of an older hive without GPUs is one whose GPUs are not known', () => {
    const { gpusReason: _, ...older } = workerOf('llm/0');
    const workers = [older, { ...older, id: 'llm/1', instance: '1', gpus: [] }];
    const { gpusKnown: _known, ...sent } = heartbeatOf('a', 1, { workers: workers as never });
    const heartbeat = accepted(read(wire(sent)));
    expect(heartbeat.workers.map((worker) => worker.gpusReason)).toEqual([
      null,
      expect.stringContaining('older version'),
    ]);
  });

  it('a heartbeat without its optional fields is one in which they are null', () => {
    const without = (table: FieldTable, item: object) =>
      Object.fromEntries(Object.entries(item).filter(([name]) => !table[name]?.optional));
    const gpu = gpuOf('GPU-0');
    const sent = heartbeatOf('a', 1, {
      workers: [without(workerFields, workerOf('llm/0'))] as never,
      gpus: [without(gpuFields, gpu)] as never,
    });
    const heartbeat = accepted(read(wire(sent)));
    expect(heartbeat.faults).toEqual([]);
    expect(heartbeat.workers).toEqual([storedWorker(sent.workers[0] as WorkerSample)]);
    expect(heartbeat.gpus).toEqual([storedGpu(sent.gpus[0] as GpuSample)]);
    for (const [name, { optional }] of Object.entries<Field>(workerFields))
      if (optional) expect(heartbeat.workers[0], name).toHaveProperty(name, null);
    for (const [name, { optional }] of Object.entries<Field>(gpuFields))
      if (optional) expect(heartbeat.gpus[0], name).toHaveProperty(name, null);
  });

  it('drops fields that a newer hive adds, at every level, and keeps the rest', () => {
    const sent = wire(heartbeatOf('a')) as Record<string, unknown>;
    const added = { ...sent, colour: 'red', hive: { ...(sent.hive as object), mood: 'good' } } as Record<
      string,
      unknown
    >;
    added.workers = [{ ...workerOf('llm/0'), tokensPerSecond: 12, pressure: { cpu: 1, memory: 0, io: 0, irq: 3 } }];
    const heartbeat = accepted(read(added));
    const text = JSON.stringify(heartbeat);
    for (const name of ['colour', 'mood', 'tokensPerSecond', 'irq']) expect(text).not.toContain(name);
    expect(heartbeat.workers[0]?.pressure.cpu).toBe(1);
    expect(heartbeat.faults).toEqual([]);
  });

  it('turns enum values it does not know into the one that promises least', () => {
    const sent = wire(heartbeatOf('a')) as Record<string, unknown>;
    const heartbeat = accepted(
      read({
        ...sent,
        hive: { ...(sent.hive as object), state: 'hibernating' },
        gpus: [{ ...gpuOf('GPU-0'), health: 'sleepy', memoryKind: 'holographic' }],
        workers: [{ ...workerOf('llm/0'), state: 'thinking', origin: 'cloned', memorySource: 'ebpf' }],
        events: [{ ...eventOf(1), kind: 'nvlinkDown' }],
        collection: {
          ...(sent.collection as object),
          cgroupReader: 'ebpf',
          gpuReader: 'dcgm',
          gpuReaders: ['dcgm', 'drm'],
        },
      }),
    );
    expect(heartbeat.hive.state).toBe('draining');
    expect(heartbeat.gpus[0]).toMatchObject({ health: 'degraded', memoryKind: 'device' });
    expect(heartbeat.workers[0]).toMatchObject({ state: 'unknown', origin: 'adopted', memorySource: 'cgroup' });
    expect(heartbeat.events[0]?.kind).toBe('nvlinkDown');
    expect(heartbeat.collection).toMatchObject({
      cgroupReader: 'none',
      gpuReader: 'none',
      gpuReaders: ['none', 'drm'],
    });
    expect(heartbeat.faults).toEqual([]);
  });

  it('is not poisoned by __proto__, wherever it stands', () => {
    const text = JSON.stringify(heartbeatOf('a'))
      .replace('"team":"search"', '"team":"search","__proto__":"x"')
      .replace('"schema":1', '"schema":1,"__proto__":{"polluted":true}');
    const heartbeat = accepted(read(JSON.parse(text)));
    expect(heartbeat.workers).toEqual([]);
    expect(heartbeat.faults[0]?.code).toBe('MALFORMED_WORKER');
    expect(Object.getPrototypeOf(heartbeat)).toBe(Object.prototype);
    expect((heartbeat as unknown as { polluted?: boolean }).polluted).toBeUndefined();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('takes every RFC 3339 time, and what only looks like one is named', () => {
    const verdict = (sentAt: string) => read(wire(heartbeatOf('a', 1, { sentAt }))).ok;
    const years = { min: new Date('0000-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true };
    fc.assert(fc.property(fc.date(years), (date) => verdict(date.toISOString())));
    for (const time of ['2024-02-29T00:00:00Z', '2026-12-31T23:59:60Z', '2026-01-02T03:04:05.123456789+05:30'])
      expect(verdict(time), time).toBe(true);
    const wrong = ['2026-02-30T00:00:00Z', '2026-04-31T00:00:00Z', '2026-13-01T00:00:00Z', '2026-00-10T00:00:00Z'];
    const torn = ['2026-01-02T24:00:00Z', '2026-01-02 03:04:05Z', '2026-01-02T03:04:05', '2026-1-2T03:04:05Z', ''];
    for (const time of [...wrong, ...torn]) expect(verdict(time), time).toBe(false);
  });

  it('takes no number that is not finite', () => {
    const text = JSON.stringify(heartbeatOf('a')).replace('"cpuPercent":87.25', '"cpuPercent":1e999');
    const { workers, faults } = accepted(read(JSON.parse(text)));
    expect(workers[0]?.cpuPercent).toBeNull();
    expect(faults).toMatchObject([{ code: 'IMPLAUSIBLE', field: 'cpuPercent', workerId: 'llm/0' }]);
  });

  it('bounds what it keeps: times, faults and their text', () => {
    const long = `2026-01-02T03:04:05Z[${Array.from({ length: 2000 }, () => 'Europe').join('/')}]`;
    expect(refused(wire(heartbeatOf('a', 1, { sentAt: long }))).field).toBe('sentAt');
    const fault = { source: 'x', code: 'y', message: 'z' };
    const heartbeat = accepted(read(wire(heartbeatOf('a', 1, { faults: Array.from({ length: 1500 }, () => fault) }))));
    expect(heartbeat.faults.length).toBe(1000);
  });

  it('never throws and never lets through what the contract does not name', () => {
    const good = heartbeatOf('a', 1, { events: [eventOf(1)], faults: [{ source: 'x', code: 'y', message: 'z' }] });
    const paths: string[][] = [];
    const walk = (value: unknown, path: string[]) => {
      if (path.length > 0) paths.push(path);
      if (typeof value === 'object' && value !== null)
        for (const [key, each] of Object.entries(value)) walk(each, [...path, key]);
    };
    walk(good, []);
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        const heartbeat = wire(good) as Record<string, unknown>;
        let at = heartbeat;
        for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
        at[path.at(-1) as string] = value;
        const verdict = read(heartbeat);
        if (!verdict.ok) return verdict.refusal.field === '' || verdict.refusal.field.split('.')[0] === path[0];
        // Whatever was accepted is accepted again unchanged: nothing odd is left in it.
        const again = read(verdict.heartbeat);
        return again.ok && again.heartbeat === verdict.heartbeat;
      }),
      { numRuns: portion(2000) },
    );
  });

  it('what is far too large is left out by its size alone, and said to be', () => {
    const many = Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`k${i}`, 'v']));
    const { hive } = heartbeatOf('a');
    expect(refused(wire({ ...heartbeatOf('a'), hive: { ...hive, labels: many } })).field).toBe('hive.labels');
    const workers = [workerOf('llm/0', { labels: many }), workerOf('llm/1')];
    const heartbeat = accepted(
      read(wire(heartbeatOf('a', 1, { workers, events: [{ ...eventOf(1), detail: many }, eventOf(2)] }))),
    );
    expect(heartbeat.workers.map(({ id }) => id)).toEqual(['llm/1']);
    expect(heartbeat.events.map(({ seq }) => seq)).toEqual([2]);
    expect(heartbeat.faults.map(({ field }) => field)).toEqual(['workers.0.labels', 'events.0.detail']);
  });

  it('of many wrong items the first are explained, and all are named', () => {
    const workers = Array.from({ length: 100 }, () => ({}));
    const { faults } = accepted(read(wire(heartbeatOf('a', 1, { workers: workers as never }))));
    expect(faults.length).toBe(100);
    expect(faults[31]?.message).toMatch(/missing/);
    expect(faults[99]).toMatchObject({ field: 'workers.99', message: 'Left out: workers.99 is malformed.' });
  });

  it('takes no event from a hive whose kind only a queen may report', () => {
    const events = [{ ...eventOf(1), kind: 'hiveRemoved' }, eventOf(2)] as never;
    const heartbeat = accepted(read(wire(heartbeatOf('a', 1, { events }))));
    expect(heartbeat.events.map(({ seq }) => seq)).toEqual([2]);
    expect(heartbeat.faults[0]).toMatchObject({ code: 'MALFORMED_EVENT', field: 'events.0.kind' });
  });
});
