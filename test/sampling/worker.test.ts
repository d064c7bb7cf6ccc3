import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import type { WorkerFile } from '../../lib/native/layout.js';
import type { RawRow } from '../../lib/sampling/rates.js';
import { unknown } from '../../lib/sampling/unknown.js';
import { sum, unmeasuredWorker, type WorkerInput } from '../../lib/sampling/worker.js';
import type { Watched } from '../../lib/workers/watched.js';
import { workerOf } from '../harness/heartbeats.js';
import { errors, none, noRates, process, record, row, sample, server, shown, watched } from './worker-support.js';

const ENOENT = 2;
const EACCES = 13;

describe('a value that a file does not give', () => {
  const peak = (over: Partial<WorkerInput>) => shown(over, 'memoryPeakBytes')[0];

  it('is as the file says where it says it, and null with the reason where it does not', () => {
    expect(peak({ row: row({ memoryPeakBytes: 5 }) })).toEqual([5, null]);
    expect(peak({})).toEqual([null, 'notInFile']);
    expect(peak({ watched: watched({ scope: 'processes' }) })).toEqual([null, 'noCgroup']);
    // A fault says that it could not be read, or that the kernel has no such file.
    expect(peak({ errorOf: errors({ 'memory.peak': EACCES }) })).toEqual([null, null]);
    expect(peak({ errorOf: errors({ 'memory.peak': ENOENT }) })).toEqual([null, null]);
  });

  it('of which no fault says that the kernel has no such file has a reason of its own', () => {
    const kills = (memoryCurrentBytes: number) =>
      shown({ row: row({ memoryCurrentBytes }), errorOf: errors({ 'memory.events': ENOENT }) }, 'oomKills')[0];
    expect(kills(1)).toEqual([null, 'notInFile']);
    expect(kills(none)).toEqual([null, null]);
  });

  it.each<[WorkerFile, string, Partial<WorkerInput>?]>([
    ['cpu.stat', 'cpuPercent'],
    ['cpu.stat', 'cpuThrottledPercent'],
    ['cpu.max', 'cpuLimitPercent'],
    ['memory.current', 'memoryBytes'],
    ['memory.stat', 'workingSetBytes', { row: row({ memoryCurrentBytes: 1 }) }],
    ['memory.peak', 'memoryPeakBytes'],
    ['memory.max', 'memoryLimitBytes'],
    ['memory.events', 'oomKills'],
    ['io.stat', 'ioReadBytesPerSecond'],
    ['cgroup.procs', 'processCount', { processes: null }],
    ['cpu.pressure', 'pressure.cpu'],
    ['memory.pressure', 'pressure.memory'],
    ['io.pressure', 'pressure.io'],
  ])('%s could not be read: a fault says it, and nothing else of %s', (file, name, more) => {
    const reason = (errorOf: WorkerInput['errorOf']) => sample({ ...more, errorOf }).nullReasons?.[name as never];
    expect(reason(errors({ [file]: EACCES }))).toBeUndefined();
    expect(reason((each) => (each === file ? 0 : EACCES))).toBe('notInFile');
  });

  it('a rate has two decimals; without one it says whether there was no reading before', () => {
    const cpu = (over: Partial<WorkerInput>) => shown(over, 'cpuPercent')[0];
    expect(cpu({ rates: { ...noRates, cpuPercent: 12.3456 } })).toEqual([12.35, null]);
    expect(cpu({ row: row({ usageUsec: 5 }) })).toEqual([null, 'noEarlierReading']);
    expect(cpu({})).toEqual([null, 'notInFile']);
  });

  it('throttling: without the cpu controller its fault says it', () => {
    const throttled = (over: Partial<WorkerInput>) => shown(over, 'cpuThrottledPercent')[0];
    const periods = row({ nrPeriods: 4, nrThrottled: 2 });
    expect(throttled({ rates: { ...noRates, cpuThrottledPercent: 0.125 } })).toEqual([0.13, null]);
    expect(throttled({ row: periods })).toEqual([null, 'noEarlierReading']);
    expect(throttled({ row: periods, errorOf: errors({ 'cpu.max': ENOENT }) })).toEqual([null, 'noEarlierReading']);
    expect(throttled({ row: row({ nrPeriods: 4 }) })).toEqual([null, 'notInFile']);
    expect(throttled({ errorOf: errors({ 'cpu.max': ENOENT }) })).toEqual([null, null]);
    expect(throttled({ errorOf: errors({ 'cpu.max': EACCES }) })).toEqual([null, 'notInFile']);
  });

  it('pressure is rounded, each with a reason of its own', () => {
    const worker = sample({ row: row({ cpuSomeAvg10: 1.234 }), errorOf: errors({ 'io.pressure': EACCES }) });
    expect(worker.pressure).toEqual({ cpu: 1.23, memory: null, io: null });
    expect(worker.nullReasons).toMatchObject({ 'pressure.memory': 'notInFile' });
    expect(worker.nullReasons).not.toHaveProperty('pressure.io');
  });
});

describe('limits of a worker', () => {
  const limits = (values: Partial<RawRow>, over: Partial<Watched> = {}, more: Partial<WorkerInput> = {}) =>
    shown({ row: row(values), watched: watched(over), ...more }, 'memoryLimitBytes', 'cpuLimitPercent');
  const unlimited = { memoryMaxBytes: Number.POSITIVE_INFINITY, cpuQuotaUsec: Number.POSITIVE_INFINITY };

  it('are the lower of its own and those above it', () => {
    const own = { memoryMaxBytes: 100, cpuQuotaUsec: 33_333, cpuPeriodUsec: 100_000 };
    expect(limits(own)).toEqual([
      [100, null],
      [33.33, null],
    ]);
    expect(limits(own, { ancestorMemoryBytes: 60, ancestorCpuPercent: 20 })).toEqual([
      [60, null],
      [20, null],
    ]);
    expect(limits({ ...unlimited, cpuPeriodUsec: 1 }, { ancestorMemoryBytes: 60 })).toEqual([
      [60, null],
      [null, null],
    ]);
  });

  it('are not known where its own could not be read and none is known above it', () => {
    expect(limits({})).toEqual([
      [null, 'notInFile'],
      [null, 'notInFile'],
    ]);
    expect(limits({}, { ancestorMemoryBytes: 60, ancestorCpuPercent: 20 })).toEqual([
      [60, null],
      [20, null],
    ]);
    expect(limits({}, {}, { errorOf: errors({ 'memory.max': EACCES, 'cpu.max': EACCES }) })).toEqual([
      [null, null],
      [null, null],
    ]);
  });

  it('that it was launched with and do not hold are noted, sixteen at most, each cut', () => {
    const notes = (...messages: readonly string[]) =>
      sample({ record: record({ notApplied: messages.map((message) => ({ message })) }) }).limitNotes;
    expect(sample().limitNotes).toBeUndefined();
    expect(notes()).toBeUndefined();
    expect(notes('')).toBeUndefined();
    expect(notes('a', '', 'b'.repeat(600))).toEqual(['a', 'b'.repeat(512)]);
    expect(notes(...Array.from({ length: 20 }, (_, i) => `${i}`))).toHaveLength(16);
  });
});

describe('I/O of a worker', () => {
  const read = (over: Partial<WorkerInput>) => shown(over, 'ioReadBytesPerSecond')[0];

  it('from its file: the rate, or why there is none', () => {
    expect(read({ rates: { ...noRates, ioReadBytesPerSecond: 1.006 } })).toEqual([1.01, null]);
    expect(read({ row: row({ ioReadBytes: 1, ioUnknownDevice: none }) })).toEqual([null, 'noEarlierReading']);
    expect(read({})).toEqual([null, 'notInFile']);
    expect(read({ row: row({ ioUnknownDevice: 8 }) })).toEqual([null, null]);
    expect(shown({ rates: { ...noRates, ioWriteBytesPerSecond: 2 } }, 'ioWriteBytesPerSecond')).toEqual([[2, null]]);
  });

  it('from its processes: none is hidden where there is only no reading before', () => {
    const fromProc = (over: Partial<WorkerInput>) => read({ ioFromProc: true, ...over });
    const known = process(1, 10, { ioReadBytes: 5 });
    expect(fromProc({ processes: [known] })).toEqual([null, 'noEarlierReading']);
    expect(fromProc({ processes: [known, process(2, none)] })).toEqual([null, 'noEarlierReading']);
    expect(fromProc({ processes: [known, process(2, 20)] })).toEqual([null, 'processesHidden']);
    expect(fromProc({ processes: null })).toEqual([null, 'processesHidden']);
    expect(fromProc({ processes: [known], nestedProcesses: 1 })).toEqual([null, 'processesHidden']);
    expect(fromProc({ processes: [known], hiddenProcesses: 1 })).toEqual([null, 'processesHidden']);
    expect(fromProc({ row: row({ ioReadBytes: 5 }), processes: null })).toEqual([null, 'noEarlierReading']);
  });
});

describe('memory of a worker', () => {
  it('from its cgroup, and the working set: less what the kernel can drop, never less than nothing', () => {
    const memory = (values: Partial<RawRow>, more: Partial<WorkerInput> = {}) =>
      shown({ row: row(values), ...more }, 'memoryBytes', 'workingSetBytes');
    const known = { memoryCurrentBytes: 100, inactiveFileBytes: 30 };
    expect(memory(known)).toEqual([
      [100, null],
      [70, null],
    ]);
    expect(memory({ ...known, inactiveFileBytes: 130 })[1]).toEqual([0, null]);
    expect(memory({ memoryCurrentBytes: 100 })[1]).toEqual([null, 'notInFile']);
    expect(memory({ inactiveFileBytes: 30 })).toEqual([
      [null, 'notInFile'],
      [null, null],
    ]);
    expect(sample().memorySource).toBe('cgroup');
    expect(memory(known, { memoryFromProc: true, processes: [] })[1]).toEqual([null, null]);
  });

  it('from its processes: the sum, where each that lives is known and none is hidden', () => {
    const memory = (more: Partial<WorkerInput>) => shown({ memoryFromProc: true, ...more }, 'memoryBytes')[0];
    const all = [process(1, 1, { residentBytes: 5 }), process(2, 2, { residentBytes: 7 })];
    expect(memory({ processes: all })).toEqual([12, null]);
    expect(memory({ processes: [...all, process(3, none)] })).toEqual([12, null]);
    for (const more of [
      { processes: null },
      { processes: [...all, process(3, 3)] },
      { processes: all, nestedProcesses: 1 },
      { processes: all, hiddenProcesses: 1 },
    ])
      expect(memory(more)).toEqual([null, 'processesHidden']);
    expect(sample({ memoryFromProc: true }).memorySource).toBe('proc');
  });
});

describe('start and processes of a worker', () => {
  const names = ['pid', 'startedAt', 'uptimeSeconds', 'processCount'];

  it('are those of its main process, with those of cgroups below counted', () => {
    const startedAt = '2026-01-02T03:04:05.000Z';
    const main = process(7, 70);
    expect(shown({ main, processes: [main], nestedProcesses: 2, startedAt, uptimeSeconds: 1.239 }, ...names)).toEqual([
      [7, null],
      [startedAt, null],
      [1.24, null],
      [3, null],
    ]);
  });

  it.each([
    ['the uptime of the host is not known', process(7, 70), {}, 'uptimeUnknown'],
    ['clocks differ, as a fault says', process(7, 70), { clocksDiffer: true }, null],
    ['it ended while it was read', process(7, none), {}, 'processEnded'],
    ['/proc hides it, as a fault says', process(7, none), { hiddenProcesses: 1 }, null],
  ])('are null where %s', (_, main, more, reason) => {
    expect(shown({ main, processes: [main], ...more }, 'startedAt', 'uptimeSeconds')).toEqual([
      [null, reason],
      [null, reason],
    ]);
  });

  it('without a process there is none; where they could not be read that says it', () => {
    expect(shown({ processes: [] }, ...names)).toEqual([...Array(3).fill([null, 'noProcess']), [0, null]]);
    expect(shown({ processes: null, nestedProcesses: 2 }, ...names)).toEqual([
      ...Array(3).fill([null, null]),
      [null, 'notInFile'],
    ]);
  });
});

describe('model and command of a worker', () => {
  const described = (over: object, anyRead = true, command: string | null = 'shown') =>
    ({ serving: { engine: 'vllm', models: ['read'], process: 0, ...over }, command, anyRead }) as never;
  const names = (over: Partial<WorkerInput>) => shown(over, 'model', 'command', 'models');

  it('what the operator said wins over command lines, and those over its server', () => {
    const asked = { ...server, models: ['asked', 'also'] };
    const all = { described: described({}), server: asked };
    expect(names({ ...all, record: record({ model: 'said' }) })[0]).toEqual(['said', null]);
    expect(names({ ...all, record: record() })[0]).toEqual(['read', null]);
    expect(names({ described: described({ models: [] }), server: asked })).toEqual([
      ['asked', null],
      ['shown', null],
      [['asked', 'also'], null],
    ]);
    expect(names(all)[2]).toEqual([undefined, null]);
  });

  it('where neither is known it is said why', () => {
    const withheld = [null, 'commandWithheld'];
    expect(names({ described: described({ models: [] }, true, null) }).slice(0, 2)).toEqual([
      [null, 'modelUnnamed'],
      withheld,
    ]);
    expect(names({ described: described({ engine: null, models: [] }, true, null) }).slice(0, 2)).toEqual([
      [null, 'engineUnknown'],
      withheld,
    ]);
    for (const unread of [null, described({ engine: null, models: [] }, false, null)]) {
      expect(names({ described: unread }).slice(0, 2)).toEqual(Array(2).fill([null, 'commandUnread']));
      expect(names({ described: unread, hiddenProcesses: 1 }).slice(0, 2)).toEqual(Array(2).fill([null, null]));
    }
  });
});

describe('GPUs of a worker', () => {
  const held = (uuid: string, memoryUsedBytes: number | null, utilizationPercent: number | null) => ({
    ...{ uuid, memoryUsedBytes, utilizationPercent },
  });
  const names = ['gpuUtilizationPercent', 'vramUsedBytes', 'vramTotalBytes', 'gpus', 'gpusReason', 'gpusInferred'];
  const gpus = (over: Partial<WorkerInput>) => shown(over, ...names);
  const totals = new Map<string, number | null>([
    ['a', 100],
    ['b', 50],
  ]);

  it('are summed where each is known; a worker without one has 0 of everything', () => {
    expect(sum([])).toBe(0);
    const both = [held('a', 1, 10.004), held('b', 2, 20.123)];
    expect(gpus({ gpus: both, gpuTotals: totals }).slice(0, 4)).toEqual([
      [30.13, null],
      [3, null],
      [150, null],
      [both, null],
    ]);
    expect(gpus({ gpus: both, gpuTotals: totals, gpusReason: 'said' })[4]).toEqual(['said', null]);
    expect(gpus({ gpusReason: 'said' })).toEqual([
      ...Array(3).fill([0, null]),
      [[], null],
      ['said', null],
      [undefined, null],
    ]);
  });

  it('of which one says nothing have no sum: the GPU says why, or the worker does', () => {
    const half = { gpus: [held('a', 1, null), held('b', null, 2)], gpuTotals: totals };
    expect(gpus(half).slice(0, 3)).toEqual([
      [null, 'notByGpu'],
      [null, 'notByGpu'],
      [150, null],
    ]);
    const busy: WorkerInput['gpuExplains'] = (uuid, field) => `${uuid} ${field}` === 'a utilizationPercent';
    expect(gpus({ ...half, gpuExplains: busy }).slice(0, 2)).toEqual([
      [null, null],
      [null, 'notByGpu'],
    ]);
    const gpuExplains: WorkerInput['gpuExplains'] = (uuid, field) => `${uuid} ${field}` === 'b memoryUsedBytes';
    expect(gpus({ ...half, gpuExplains }).slice(0, 2)).toEqual([
      [null, 'notByGpu'],
      [null, null],
    ]);
    expect(gpus({ ...half, gpuTotals: new Map([['a', 100]]) })[2]).toEqual([null, null]);
    expect(gpus({ ...half, gpuTotals: new Map([...totals, ['b', null]]) })[2]).toEqual([null, null]);
  });

  it('that are not known, or not all, have no sums; what is inferred is shown with its evidence', () => {
    const sums = Array(3).fill([null, null]);
    const one = [held('a', null, null)];
    expect(gpus({ gpus: null, gpusReason: 'why' })).toEqual([...sums, [[], null], ['why', null], [undefined, null]]);
    const inferred = { gpus: one, evidence: 'deviceOpen' as const, reason: 'r' };
    expect(gpus({ gpus: null, inferred }).slice(3)).toEqual([
      [one, null],
      [undefined, null],
      ['deviceOpen', null],
    ]);
    const doubted = [held('a', 1, 1)];
    expect(gpus({ gpus: doubted, gpuDoubt: true, inferred, gpuTotals: totals }).slice(0, 4)).toEqual([
      ...sums,
      [doubted, null],
    ]);
    expect(gpus({ gpus: [], gpuDoubt: true }).slice(0, 3)).toEqual(sums);
  });
});

describe('a worker as it travels', () => {
  it('has what is said of it elsewhere as it is', () => {
    const given = sample({
      watched: watched({ name: 'pod', origin: 'launched' }),
      record: record({ labels: { team: 'x' }, reservationId: 'r-1' }),
      server: { ...server, port: 8000, endpoint: 'http://h:8000' },
      load: { serving: null, reason: 'notAsked' as never },
      state: 'busy',
      ready: unknown('notListening'),
    });
    expect(given).toMatchObject({
      ...{ id: 'llm/0', group: 'llm', instance: '0', name: 'pod', origin: 'launched', labels: { team: 'x' } },
      ...{ reservationId: 'r-1', port: 8000, endpoint: 'http://h:8000', servingReason: 'notAsked', state: 'busy' },
      ...{ ready: null, nullReasons: { ready: 'notListening' } },
    });
    expect(sample()).toMatchObject({ labels: {}, ready: true });
    for (const name of ['name', 'endpointReason', 'reservationId', 'scope', 'servingReason', 'serving'] as const)
      expect(sample()[name], name).toBeUndefined();
  });

  it('does not name its models a second time in what its engine says', () => {
    const load = (...models: readonly string[]) => ({ serving: { models } as never, reason: null });
    const named = (...models: readonly string[]) =>
      sample({ load: load(...models), server: { ...server, models } }).serving?.models;
    expect([named('a'), named('a', 'b')]).toEqual([undefined, undefined]);
    expect(sample({ load: load('b'), server: { ...server, models: ['a'] } }).serving?.models).toEqual(['b']);
  });

  it('without a cgroup all that one alone can tell is null for that reason', () => {
    const tree = sample({
      watched: watched({ scope: 'processes' }),
      row: row({ memoryPeakBytes: 5, oomKill: 1, usageUsec: 3 }),
    });
    expect(tree).toMatchObject({ scope: 'processes', memoryPeakBytes: null, oomKills: null });
    expect(tree.nullReasons).toMatchObject({ memoryPeakBytes: 'noCgroup', cpuPercent: 'noEarlierReading' });
    const unread = sample({ watched: watched({ scope: 'processes' }) });
    expect(unread.nullReasons).toMatchObject({ cpuPercent: 'noCgroup', memoryBytes: 'noCgroup' });
  });

  it('that can’t be read now keeps what is not measured, with its reasons, and loses what is', () => {
    const worker = workerOf('llm/0');
    const reasons = { model: 'modelUnnamed', memoryBytes: 'notInFile', 'pressure.cpu': 'notInFile' } as const;
    const stalled = unmeasuredWorker({ ...worker, nullReasons: reasons } as WorkerSample);
    expect(stalled).toMatchObject({ id: 'llm/0', memoryBytes: null, nullReasons: { model: 'modelUnnamed' } });
    expect(Object.keys(stalled.nullReasons ?? {})).toEqual(['model']);
    const { nullReasons: _, ...plain } = worker as WorkerSample;
    expect(unmeasuredWorker(plain as WorkerSample)).not.toHaveProperty('nullReasons');
    expect(
      unmeasuredWorker({ ...plain, nullReasons: { memoryBytes: 'notInFile' } } as WorkerSample),
    ).not.toHaveProperty('nullReasons');
  });
});
