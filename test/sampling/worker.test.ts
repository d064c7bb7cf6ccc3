import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { processColumns, type RawPass, rowFlags, type WorkerFile, workerColumns } from '../../lib/native/layout.js';
import type { RawRow } from '../../lib/sampling/rates.js';
import { unknown } from '../../lib/sampling/unknown.js';
import {
  describe as describeProcesses,
  isLive,
  isPause,
  mainProcess,
  processesOf,
  recordOf,
  sum,
  unmeasuredWorker,
  unreadProcess,
  type WorkerInput,
  type WorkerProcess,
  workerSample,
} from '../../lib/sampling/worker.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import type { Watched } from '../../lib/workers/watched.js';
import { workerOf } from '../harness/heartbeats.js';

const { NaN: none } = Number;
const ENOENT = 2;
const EACCES = 13;

const row = (values: Partial<RawRow> = {}): RawRow => ({
  ...(Object.fromEntries(workerColumns.map((name) => [name, none])) as unknown as RawRow),
  flags: 0,
  ...values,
});
const watched = (over: Partial<Watched> = {}): Watched => ({
  ...{ id: 'llm/0', group: 'llm', instance: '0', scope: 'cgroup', path: '/llm/0', directory: '/cg/llm/0' },
  ...{ origin: 'adopted', name: null, record: null, ancestorMemoryBytes: null, ancestorCpuPercent: null },
  ...over,
});
const record = (over: object = {}): WorkerRecord =>
  ({ pid: 7, startTicks: 70, cgroupInode: 5, model: null, labels: {}, notApplied: [], ...over }) as never;
const process = (pid: number, startTicks: number, over: Partial<WorkerProcess> = {}): WorkerProcess => ({
  ...unreadProcess({ pid, startTicks }),
  ...over,
});
const noRates = {
  ...{ cpuPercent: null, cpuThrottledPercent: null, ioReadBytesPerSecond: null },
  ...{ ioWriteBytesPerSecond: null, oomKillsSince: null },
};
const server = { port: null, endpoint: null, reason: null, fault: null, models: [] };

const sample = (over: Partial<WorkerInput> = {}): WorkerSample =>
  workerSample({
    ...{ watched: watched(), row: row(), rates: noRates, processes: [], nestedProcesses: 0, hiddenProcesses: 0 },
    ...{ record: null, described: null, main: null, startedAt: null, uptimeSeconds: null, gpus: [], gpuDoubt: false },
    ...{ inferred: null, gpusReason: null, gpuTotals: new Map(), ready: true, state: 'idle' },
    ...{ memoryFromProc: false, ioFromProc: false, server, load: { serving: null, reason: null } },
    ...{ errorOf: () => 0, clocksDiffer: false, gpuExplains: () => false },
    ...over,
  });
/** Value and reason of some fields; a reason that is null stands elsewhere. */
function shown(over: Partial<WorkerInput>, ...names: readonly string[]) {
  const worker = sample(over) as unknown as Record<string, unknown> & WorkerSample;
  return names.map((name) => [worker[name], worker.nullReasons?.[name as never] ?? null]);
}
const errors = (of: Partial<Record<WorkerFile, number>>) => (file: WorkerFile) => of[file] ?? 0;

describe('the processes of a worker in a pass', () => {
  const pass = (...cells: readonly number[]): RawPass => ({ processes: Float64Array.from(cells) }) as never;
  const isPid = (pid: number) => pid > 0;

  it('are those of its rows that are pids, with what is known of each', () => {
    expect(processColumns).toHaveLength(5);
    const found = processesOf(
      pass(9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 6, 7, 8, 9, 10),
      row({ processOffset: 1, processCount: 3 }),
      isPid,
    );
    expect(found).toEqual([
      { pid: 1, startTicks: 2, residentBytes: 3, ioReadBytes: 4, ioWriteBytes: 5 },
      { pid: 6, startTicks: 7, residentBytes: 8, ioReadBytes: 9, ioWriteBytes: 10 },
    ]);
  });

  it('are not known where cgroup.procs was not read, and what a pass lacks is not known', () => {
    expect(processesOf(pass(), row({ processOffset: 0 }), isPid)).toBeNull();
    expect(processesOf(pass(), row({ processCount: 0 }), isPid)).toBeNull();
    const cutOff = processesOf(pass(1), row({ processOffset: 0, processCount: 2 }), isPid);
    expect(cutOff).toEqual([{ pid: 1, startTicks: none, residentBytes: none, ioReadBytes: none, ioWriteBytes: none }]);
  });
});

describe('a worker', () => {
  it.each([
    ['whose cgroup was removed', { flags: rowFlags.removed, populated: 1 }, false],
    ['of which a file could not be read', { flags: rowFlags.partial, populated: 1 }, true],
    ['in which something runs', { populated: 1, processCount: 0 }, true],
    ['in which nothing runs', { populated: 0, processCount: 1 }, false],
    ['without cgroup.events and with processes', { processCount: 1 }, true],
    ['without cgroup.events and processes', { processCount: 0 }, false],
    ['of which neither is known', {}, true],
  ])('%s: lives or not', (_, values, lives) => {
    expect(isLive(row(values))).toBe(lives);
  });

  it('has the record of its own cgroup, and not that of an earlier one of its name', () => {
    const of = (cgroupInode: number | null, inode: number) =>
      recordOf(watched({ record: record({ cgroupInode }) }), row({ inode })) !== null;
    expect([of(5, 5), of(5, 6), of(null, 6), of(5, none)]).toEqual([true, false, true, true]);
    expect(recordOf(watched(), row({ inode: 5 }))).toBeNull();
  });

  it('has the process that run started as its main one where it lives, else the oldest', () => {
    const all = [process(3, 300), process(7, 70), process(8, 20), process(9, none)];
    const main = (processes: readonly WorkerProcess[], of: WorkerRecord | null) => mainProcess(processes, of)?.pid;
    expect(main(all, record())).toBe(7);
    expect(main(all, record({ startTicks: null }))).toBe(7);
    expect(main(all, record({ startTicks: 71 }))).toBe(8);
    expect(main(all, record({ pid: 70 }))).toBe(8);
    expect(main(all, null)).toBe(8);
    expect(main([process(4, 5), process(5, 5)], null)).toBe(4);
    expect(main([process(1, none), process(2, none)], null)).toBe(1);
    expect(main([], null)).toBeUndefined();
  });

  it('that is the idle sandbox of a pod is told from others', () => {
    expect([[['/pause']], [['pause']]].map(isPause)).toEqual([true, true]);
    expect([[], [[]], [['/pause'], ['x']], [['/pause2']], [['unpause']]].map(isPause)).toEqual(Array(5).fill(false));
  });
});

describe('what command lines say of a worker', () => {
  const vllm = ['vllm', 'serve', 'org/model'];
  const described = (...argvs: readonly string[][]) =>
    describeProcesses(
      argvs.map((argv, i) => ({ pid: i + 1, parentPid: i, argv })),
      (argv) => argv.join(' '),
    );

  it('the command shown is the engine’s, else that of the first that is known', () => {
    expect(described(['sh'], vllm)).toMatchObject({ command: 'vllm serve org/model', anyRead: true });
    expect(described([], ['sh'], ['sleep'])).toMatchObject({ command: 'sh', anyRead: true });
    expect(described([], vllm).command).toBe('vllm serve org/model');
    expect(described([], [])).toMatchObject({ command: null, anyRead: false, serving: { models: [] } });
  });

  it('a name of a model that may not be shown is left out', () => {
    const { models } = described([...vllm, '--served-model-name', 'user:secret@host', 'shown']).serving;
    expect(models).toEqual(['shown']);
  });
});

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

  it('without a cgroup all that one alone can tell is null for that reason', () => {
    const tree = sample({
      watched: watched({ scope: 'processes' }),
      row: row({ memoryPeakBytes: 5, oomKill: 1, usageUsec: 3 }),
    });
    expect(tree).toMatchObject({ scope: 'processes', memoryPeakBytes: null, oomKills: null });
    expect(tree.nullReasons).toMatchObject({ memoryPeakBytes: 'noCgroup', cpuPercent: 'noEarlierReading' });
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
