import { describe, expect, it } from 'vitest';
import { assemble } from '../../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { isRecoveryAction, isUnsupported, reasonOf, recoveryProblem } from '../../../lib/gpu/nvidia/codes.js';
import { parseNvmlLine } from '../../../lib/gpu/nvidia/nvml-lines.js';
import { type NvidiaField, type NvidiaGpu, type NvidiaReport, toReport } from '../../../lib/gpu/nvidia/report.js';

type Numbers = Partial<Record<NvidiaField, number>>;
const deviceOf = (values: Numbers, codes: Numbers = {}) => {
  const names = { uuid: 'GPU-0', parentUuid: '', name: 'card', busId: '', computeCapability: '' };
  const gpu = { index: 0, handleCode: 0, ...names, values, codes };
  const { devices, faults } = assemble(
    toReport({ driverVersion: '', devices: [gpu], processes: [] }),
    new GpuIdentities(),
  );
  return { gpu: devices[0], faults: faults.map(({ code, field }) => [code, field]) };
};

it.each([
  [{ remapPending: 2 ** 32 - 1, remapFailed: 0 }, 'remappedRows', null],
  [{ remapPending: 0, remapFailed: 2 ** 32 - 1 }, 'remappedRows', null],
  [{ migEnabled: 2 ** 32 - 1 }, 'migMode', null],
  [{ throttleBits: 2 ** 64 }, 'throttleReasons', null],
] as const)(
  'a flag of %o is no flag: unknown with its reason, and no damage to the health',
  (values, field, unknown) => {
    const { gpu, faults } = deviceOf(values);
    expect(gpu?.[field]).toEqual(unknown);
    expect(gpu?.health).toBe('ok');
    expect(faults).toEqual([['IMPLAUSIBLE', field]]);
  },
);

it('flags are taken as they are', () => {
  const { gpu, faults } = deviceOf({ remapPending: 0, remapFailed: 0, migEnabled: 1, throttleBits: 4 });
  expect(gpu).toMatchObject({ remappedRows: { pending: false, failed: false }, migMode: true });
  expect(gpu?.throttleReasons).toHaveLength(1);
  expect(faults).toEqual([]);
});

it.each([
  [{ remapPending: 1 }, { remapFailed: 999 }, 'degraded', ['GPU_REMAP_PENDING', 'UNKNOWN_ERROR']],
  [{ remapPending: 0 }, { remapFailed: 999 }, 'ok', ['UNKNOWN_ERROR']],
  [{ remapFailed: 1 }, { remapPending: 13 }, 'degraded', ['GPU_REMAP_FAILED']],
] as const)('of remapped rows %o alone is not all of them, and no less wrong', (values, codes, health, expected) => {
  const { gpu, faults } = deviceOf(values, codes);
  expect(gpu).toMatchObject({ remappedRows: null, health });
  expect(faults.map(([code]) => code)).toEqual(expected);
  expect(gpu?.unsupported.includes('remappedRows')).toBe(expected.length === 1 && health === 'degraded');
});

it.each([255, 2 ** 32 - 1, 2 ** 64])(
  'a recovery action of %d is none, and no damage to the health',
  (recoveryAction) => {
    const { gpu, faults } = deviceOf({ recoveryAction });
    expect(gpu?.health).toBe('ok');
    expect(faults).toEqual([['IMPLAUSIBLE', 'recoveryAction']]);
    expect(deviceOf({ recoveryAction: 1 }).gpu?.health).toBe('resetRequired');
    expect(deviceOf({ recoveryAction: 7 }).gpu?.health).toBe('degraded');
  },
);

const reportOf = (over: Partial<NvidiaGpu> = {}, whole: Partial<NvidiaReport> = {}) => {
  const names = { uuid: 'GPU-0', parentUuid: '', name: 'card', busId: '0000:01:00.0', computeCapability: '9.0' };
  const gpu: NvidiaGpu = { index: 3, handleCode: 0, ...names, values: {}, codes: {}, ...over };
  return toReport({ driverVersion: '', devices: [gpu], processes: [], ...whole });
};
const gpuOf = (over: Partial<NvidiaGpu> = {}) => reportOf(over).devices[0]!;

describe('a GPU of a report', () => {
  it('keeps its names and figures; what was not asked has neither value nor reason', () => {
    expect(gpuOf({ values: { memoryTotalBytes: 5, powerWatts: 7, xidEvents: 0 }, codes: { fanPercent: 3 } })).toEqual({
      ...{ index: 3, uuid: 'GPU-0', parentUuid: '', name: 'card', busId: '0000:01:00.0', computeCapability: '9.0' },
      unifiedMemory: false,
      unreachable: null,
      values: { memoryTotalBytes: 5, powerWatts: 7, throttleReasons: null, migMode: null },
      reasons: { fanPercent: reasonOf(3) },
      problems: [],
      processesKnown: false,
    });
    expect(gpuOf({ values: { processes: 0 } }).processesKnown).toBe(true);
  });

  it('has reasons by the names of the contract; what is for our own use has none', () => {
    const codes = { throttleBits: 3, nvlinksUp: 4, nvlinksTotal: 4, recoveryAction: 4, processes: 4, xidEvents: 13 };
    const { reasons } = gpuOf({ codes: { ...codes, processUtilization: 4 } });
    expect(Object.keys(reasons).sort()).toEqual([
      'lastXid',
      'nvlinks',
      'processCount',
      'throttleReasons',
      'workers.gpus.utilizationPercent',
    ]);
  });

  it.each<[string, Partial<NvidiaGpu>, boolean | null, boolean]>([
    ['that was not asked', {}, null, false],
    ['that has it switched on', { values: { migEnabled: 1 } }, true, false],
    ['that has it switched off', { values: { migEnabled: 0 } }, false, false],
    ['that knows of none', { codes: { migEnabled: 3 } }, false, false],
    ['whose driver knows of none', { codes: { migEnabled: 13 } }, false, false],
    ['that is such a device', { parentUuid: 'GPU-9' }, false, false],
    ['that gave no answer', { codes: { migEnabled: 10 } }, null, true],
  ])('MIG of one %s', (_title, over, mode, isExplained) => {
    const { values, reasons } = gpuOf(over);
    expect(values.migMode).toBe(mode);
    expect('migMode' in reasons).toBe(isExplained);
  });

  it.each<[string, Partial<NvidiaGpu>, boolean]>([
    ['of an ordinary one', { values: { memoryTotalBytes: 5 } }, false],
    ['of one that says none', { codes: { memoryTotalBytes: 3 } }, true],
    ['of one that gave no answer', { codes: { memoryTotalBytes: 10 } }, false],
    ['of a chip that shares it', { name: 'NVIDIA GB10' }, true],
    ['of another such chip', { name: 'NVIDIA GH200 480GB' }, true],
    ['of one that is called alike', { name: 'NVIDIA GB102' }, false],
    ['of a part', { name: 'NVIDIA GH200 MIG 1g', parentUuid: 'GPU-9' }, false],
    ['of a part that says none', { codes: { memoryTotalBytes: 3 }, parentUuid: 'GPU-9' }, false],
  ])('memory %s is the host’s as well: %s', (_title, over, unified) => {
    expect(gpuOf(over).unifiedMemory).toBe(unified);
  });

  it('links that are up are not more than there are', () => {
    expect(gpuOf({ values: { nvlinksUp: 4, nvlinksTotal: 4 } }).values.nvlinks).toEqual({ up: 4, total: 4 });
    expect(gpuOf({ values: { nvlinksTotal: 4 } }).values.nvlinks).toEqual({ up: 0, total: 4 });
    expect(gpuOf({ values: { nvlinksUp: 4 } }).values).not.toHaveProperty('nvlinks');
    const { values, reasons } = gpuOf({ values: { nvlinksUp: 5, nvlinksTotal: 4 } });
    expect(values).not.toHaveProperty('nvlinks');
    expect(reasons.nvlinks).toEqual({ name: 'other', code: 'IMPLAUSIBLE', text: 'the driver says 5' });
  });

  it('bits that slow it are taken up to those that are all ones, and not asked for is no fault', () => {
    expect(gpuOf({ values: { throttleBits: 2 ** 32 - 2 } }).values.throttleReasons?.length).toBeGreaterThan(0);
    expect(gpuOf({ values: { throttleBits: 2 ** 32 - 1 } })).toMatchObject({ values: { throttleReasons: null } });
    expect(gpuOf().reasons).toEqual({});
  });

  it('is out of reach by its handle, by one answer that says so, or where it answers nothing at all', () => {
    const all = { memoryTotalBytes: 999, utilizationPercent: 999, temperatureCelsius: 999, powerWatts: 999 };
    const unreachable = (over: Partial<NvidiaGpu>) => gpuOf(over).unreachable?.name ?? null;
    expect(unreachable({})).toBeNull();
    expect(unreachable({ handleCode: 4, values: { powerWatts: 5 } })).toBe('noPermission');
    expect(unreachable({ values: { powerWatts: 5 }, codes: { fanPercent: 15 } })).toBe('lost');
    expect(unreachable({ values: { powerWatts: 5 }, codes: { fanPercent: 16 } })).toBe('resetRequired');
    expect(unreachable({ codes: { fanPercent: 16, smClockMhz: 15 } })).toBe('lost');
    expect(unreachable({ codes: all })).toBe('unknown');
    expect(unreachable({ codes: { ...all, memoryTotalBytes: 10 } })).toBeNull();
    expect(unreachable({ codes: { ...all, utilizationPercent: 3 } })).toBe('unknown');
    for (const field of ['utilizationPercent', 'temperatureCelsius', 'powerWatts'] as const) {
      const { [field]: _, ...others } = all;
      expect([field, unreachable({ codes: others })]).toEqual([field, null]);
      expect([field, unreachable({ codes: all, values: { [field]: 1 } })]).toEqual([field, null]);
    }
  });

  it('has a defect that the tool warns of', () => {
    expect(gpuOf({ inforomCorrupted: true }).problems).toEqual([{ ...reasonOf(14), health: 'degraded' }]);
    expect(gpuOf({ inforomCorrupted: false }).problems).toEqual([]);
  });
});

it('what is wrong with the host or its list is in the report, and nothing where nothing is', () => {
  const processes = [{ device: 0, pid: 7, bytes: 5, utilization: null }];
  const problems = [{ code: 'X', text: 'a switch is down' }];
  expect(reportOf({}, { countCode: 10, problems, processes })).toMatchObject({
    unlisted: reasonOf(10),
    problems,
    processes,
  });
  const plain = reportOf();
  expect(plain.unlisted).toBeNull();
  expect(plain).not.toHaveProperty('problems');
});

describe('codes of the driver', () => {
  it('that are not known are named by their number', () => {
    expect(reasonOf(77)).toEqual({ name: 'other', code: 'NVML_77', text: 'the driver answered 77' });
    expect([3, 13, 26, 4, 77, undefined].map(isUnsupported)).toEqual([true, true, true, false, false, false]);
  });

  it('ask for what is to be done; an action that is not known is a defect', () => {
    expect([-1, 0, 254, 255].map(isRecoveryAction)).toEqual([false, true, true, false]);
    expect([0, 1, 2, 3, 4].map((action) => recoveryProblem(action)?.health ?? null)).toEqual([
      null,
      'resetRequired',
      'resetRequired',
      'degraded',
      'resetRequired',
    ]);
    const text = 'the driver asks for recovery action 7; see nvmlDeviceGpuRecoveryAction_t in its manual';
    expect(recoveryProblem(7)).toEqual({ code: 'GPU_RECOVERY_REQUIRED', text, health: 'degraded' });
  });
});

it.each([
  ['{"type":"init"}', { type: 'init' }],
  ['{"type":"xid","uuid":"GPU-0","xid":31}', { type: 'xid', uuid: 'GPU-0', xid: 31 }],
  ['{"type":"other"}', null],
  ['{"type":7}', null],
  ['{"type":"init"', null],
  [' {"type":"init"}', null],
  ['{"a":1,"type":"init"}', null],
  ['x{"type":', null],
  ['', null],
])('the line %j is ours or none', (line, message) => expect(parseNvmlLine(line)).toEqual(message));
