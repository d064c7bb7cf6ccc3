import { describe, expect, it } from 'vitest';
import type { Fault, WorkerSample } from '../../lib/contract/heartbeat.js';
import { type RawPass, type WorkerFile, workerFiles } from '../../lib/native/layout.js';
import { implausible } from '../../lib/sampling/implausible.js';
import { addFaults } from '../../lib/sampling/live-row.js';
import {
  addFileFaults,
  fileError,
  hiddenFault,
  isMissing,
  isReportedMissing,
  missingFaults,
  stalledFault,
} from '../../lib/sampling/worker-faults.js';
import { row, sample } from './worker-support.js';

const [ENOENT, EACCES, EOPNOTSUPP, torn] = [2, 13, 95, -1];

/** A pass of three rows, of which the second could not read these files. */
function passOf(errnos: Partial<Record<WorkerFile, number>>): RawPass {
  const errors = new Int32Array(3 * workerFiles.length);
  for (const [file, errno] of Object.entries(errnos))
    errors[workerFiles.length + workerFiles.indexOf(file as WorkerFile)] = errno;
  return { errors } as never;
}

const files = (pass: RawPass, slot: number) => {
  const found = { faults: [] as Fault[], missing: new Set<WorkerFile>() };
  addFileFaults(pass, slot, 'llm/0', found);
  return { faults: found.faults, missing: [...found.missing] };
};

describe('a file of a worker that cannot be read', () => {
  it('is a fault that names the field; what the kernel does not offer is none, and is said once for all', () => {
    const pass = passOf({ 'memory.peak': EACCES, 'cpu.pressure': torn, 'io.stat': ENOENT, 'cpu.max': EOPNOTSUPP });
    const { faults, missing } = files(pass, 1);
    expect(missing.sort()).toEqual(['cpu.max', 'io.stat']);
    const about = { source: 'cgroup', workerId: 'llm/0' };
    expect(faults).toHaveLength(2);
    expect(faults).toContainEqual({
      ...about,
      code: 'CGROUP_FILE_UNREADABLE',
      message: expect.stringMatching(/^memory\.peak cannot be read \(EACCES/),
      field: 'memoryPeakBytes',
    });
    const message = 'cpu.pressure holds no number where one must stand.';
    expect(faults).toContainEqual({ ...about, code: 'CGROUP_FILE_TORN', message, field: 'pressure.cpu' });
    expect([files(pass, 0), files(pass, 2)]).toEqual(Array(2).fill({ faults: [], missing: [] }));
    expect(workerFiles.map((file) => fileError(pass, 1, file)).filter((errno) => errno !== 0)).toHaveLength(4);
    expect([fileError(pass, 1, 'memory.peak'), fileError(pass, 0, 'memory.peak')]).toEqual([EACCES, 0]);
    expect([fileError(pass, 9, 'memory.peak'), files(pass, 9)]).toEqual([0, { faults: [], missing: [] }]);
    expect([ENOENT, EOPNOTSUPP, EACCES, torn, 0].map(isMissing)).toEqual([true, true, false, false, false]);
  });

  it('is none where no field comes from it', () => {
    const all = files(passOf(Object.fromEntries(workerFiles.map((file) => [file, EACCES]))), 1).faults;
    expect(all.every(({ field }) => typeof field === 'string')).toBe(true);
    expect(new Set(all.map(({ field }) => field)).size).toBe(all.length);
  });
});

describe('what the kernel does not offer', () => {
  const said = (missing: readonly WorkerFile[], memory = false, io = false) =>
    missingFaults(new Set(missing), { memory, io }).map(({ code, field }) => `${code} ${field}`);

  it.each<[readonly WorkerFile[], readonly string[], boolean?, boolean?]>([
    [[], []],
    [['memory.current'], ['MEMORY_CONTROLLER_MISSING memoryBytes']],
    [['memory.current'], ['MEMORY_CONTROLLER_MISSING memoryPeakBytes'], true],
    [['memory.peak'], ['MEMORY_PEAK_MISSING memoryPeakBytes']],
    [['memory.peak', 'memory.current'], ['MEMORY_CONTROLLER_MISSING memoryBytes']],
    [['io.stat'], ['IO_CONTROLLER_MISSING ioReadBytesPerSecond']],
    [['io.stat'], [], false, true],
    [['cpu.max'], ['CPU_CONTROLLER_MISSING cpuThrottledPercent']],
    [['cpu.pressure'], ['PRESSURE_UNAVAILABLE pressure']],
    [['memory.pressure', 'io.pressure'], ['PRESSURE_UNAVAILABLE pressure']],
    [['cgroup.procs'], ['THREADED_CGROUP processCount']],
  ])('%j is said as %j', (missing, expected, memory, io) => expect(said(missing, memory, io)).toEqual(expected));

  it('says what to do, as a fault of the cgroup', () => {
    for (const { source, message } of missingFaults(new Set(workerFiles), { memory: false, io: false })) {
      expect(source).toBe('cgroup');
      expect(message).toMatch(/\.$/);
    }
  });

  it('is said for each file that a fault names; that of the memory controller covers all of its files', () => {
    const known = row({ memoryCurrentBytes: 5 });
    expect(isReportedMissing('io.stat', known)).toBe(true);
    expect(isReportedMissing('memory.peak', known)).toBe(true);
    expect(isReportedMissing('memory.max', known)).toBe(false);
    expect(isReportedMissing('memory.max', row())).toBe(true);
    expect(isReportedMissing('cpu.stat', row())).toBe(false);
  });
});

describe('faults of one worker', () => {
  it.each([
    [1, 1, /^\/proc hides its process \(/],
    [3, 3, /^\/proc hides all of its 3 processes \(/],
    [1, 3, /^\/proc hides 1 of its 3 processes \(/],
  ])('of %i hidden of %i processes', (hidden, of, message) => {
    const fault = hiddenFault('llm/0', hidden, of);
    expect(fault).toMatchObject({ source: 'proc', code: 'PROC_UNREADABLE', field: 'command', workerId: 'llm/0' });
    expect(fault.message).toMatch(message);
  });

  it.each([
    [
      { engine: 'vllm', running: 3, waiting: 2, progressAgeMs: 61_400, ageMs: 9 },
      /engine \(vllm\) has 5 requests and has computed nothing for 61 s/,
    ],
    [
      { engine: 'vllm', running: 3, waiting: null, progressAgeMs: null, ageMs: 2600 },
      /has 3 requests and has computed nothing for 3 s/,
    ],
    [
      { engine: 'vllm', running: null, waiting: 2, progressAgeMs: null, ageMs: null },
      /has 2 requests and has computed nothing for 0 s/,
    ],
    [null, /engine \(unknown\) has 0 requests and has computed nothing for 0 s/],
  ])('of an engine that computes nothing: %j', (serving, message) => {
    const fault = stalledFault({ id: 'llm/0', serving: serving as never });
    expect(fault).toMatchObject({ source: 'engine', code: 'ENGINE_STALLED', field: 'state', workerId: 'llm/0' });
    expect(fault.message).toMatch(message);
  });

  const tracked = { stalled: false, hidden: 0, slot: 1, server: { fault: null } };
  const faultsOf = (over: object, pass: RawPass | null = null, processes: readonly object[] | null = [{}, {}]) => {
    const found = { faults: [] as Fault[], missing: new Set<WorkerFile>() };
    const live = { tracked: { ...tracked, ...over }, row: row(), processes } as never;
    addFaults(found, { live, pass, sample: sample() });
    return { codes: found.faults.map(({ code }) => code), missing: [...found.missing], faults: found.faults };
  };

  it('are of what holds for it now, and of no other', () => {
    const pass = passOf({ 'memory.peak': EACCES, 'io.stat': ENOENT });
    expect(faultsOf({})).toMatchObject({ codes: [], missing: [] });
    expect(faultsOf({ stalled: true }).codes).toEqual(['ENGINE_STALLED']);
    expect(faultsOf({ hidden: 1 }).faults[0]?.message).toMatch(/hides 1 of its 2 processes/);
    expect(faultsOf({ hidden: 1 }, null, null).faults[0]?.message).toMatch(/hides 1 of its 0 processes/);
    expect(faultsOf({}, pass)).toMatchObject({ codes: ['CGROUP_FILE_UNREADABLE'], missing: ['io.stat'] });
    expect(faultsOf({ slot: 0 }, pass)).toMatchObject({ codes: [], missing: [] });
    const first = { errors: new Int32Array(workerFiles.length).fill(EACCES) } as never;
    expect(faultsOf({ slot: null }, first)).toMatchObject({ codes: [], missing: [] });
    const fault = { source: 'hive', code: 'X', message: 'X' };
    expect(faultsOf({ server: { fault } }).faults).toEqual([{ ...fault, workerId: 'llm/0' }]);
  });
});

describe('implausible_value: what no worker can have', () => {
  const of = (over: Partial<WorkerSample>): WorkerSample => ({ ...sample(), ...over }) as WorkerSample;

  it('is null with a fault that says who said it, and all else of it stands', () => {
    const worker = of({ cpuPercent: -1, memoryBytes: 2 ** 60, uptimeSeconds: 5 });
    const faults = implausible(worker);
    expect(worker).toMatchObject({ cpuPercent: null, memoryBytes: null, uptimeSeconds: 5 });
    const about = { source: 'cgroup', code: 'IMPLAUSIBLE', workerId: 'llm/0' };
    expect(faults).toHaveLength(2);
    expect(faults).toContainEqual({ ...about, field: 'cpuPercent', message: 'The kernel says -1 for cpuPercent.' });
  });

  it('is said of its engine where that said it', () => {
    const serving = { ...servingOf(), running: -5, waiting: 3 };
    const worker = of({ serving: serving as never });
    expect(implausible(worker)).toEqual([
      {
        ...{ source: 'engine', code: 'IMPLAUSIBLE', field: 'running', workerId: 'llm/0' },
        message: 'Its engine says -5 for running.',
      },
    ]);
    expect(worker.serving).toMatchObject({ running: null, waiting: 3 });
  });

  it('is nothing where every number can be', () => {
    expect(implausible(of({ cpuPercent: 5 }))).toEqual([]);
    expect(implausible(of({ serving: servingOf() as never }))).toEqual([]);
    expect(implausible(of({ cpuPercent: -1, serving: undefined as never }))).toHaveLength(1);
  });
});

const servingOf = () => ({ engine: 'vllm', running: 1, waiting: 0 });
