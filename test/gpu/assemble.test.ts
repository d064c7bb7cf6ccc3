import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuBytes, roundingBytes } from '../../lib/contract/fields/plausible.js';
import { assemble } from '../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../lib/gpu/identities.js';
import { gpuReason } from '../../lib/gpu/reasons.js';
import type { GpuReport, ReportedGpu, ReportedValues } from '../../lib/gpu/report.js';
import { reportedGpu } from './reported-gpu.js';

const GiB = 2 ** 30;

const gpu = (values: Partial<ReportedValues>, changes: Partial<ReportedGpu> = {}): ReportedGpu =>
  reportedGpu(0, { busId: '', values, ...changes });

const read = (values: Partial<ReportedValues>, held: readonly (number | null)[]) => {
  const processes = held.map((bytes, i) => ({ device: 0, pid: 100 + i, bytes, utilization: null }));
  const report: GpuReport = { unlisted: null, devices: [gpu(values)], processes };
  return assemble(report, new GpuIdentities());
};

it('implausible_value: processes hold no more than their GPU has in use, but for what may have moved meanwhile', () => {
  const machine = fc
    .record({ total: fc.integer({ min: 1, max: 2 ** 20 }), used: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ total, used }) => ({ total: total * 2 ** 20, used: Math.floor(used * total) * 2 ** 20 }));
  const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(machine, shares, fc.double({ min: 0, max: 3, noNaN: true }), ({ total, used }, parts, factor) => {
      const sum = parts.reduce((all, part) => all + part, 0) || 1;
      const held = parts.map((part) => Math.floor((part / sum) * factor * used));
      const holds = held.reduce((all, bytes) => all + bytes, 0);
      const { processes, faults, devices } = read({ memoryTotalBytes: total, memoryUsedBytes: used }, held);
      const kept = processes.map(({ memoryUsedBytes }) => memoryUsedBytes);
      const isKept = kept.every((bytes) => bytes !== null);
      const said = faults.filter(({ code }) => code === 'IMPLAUSIBLE');
      if (holds <= used) expect(kept).toEqual(held);
      if (holds > used + total / 8 + parts.length * 2 ** 26) expect(isKept).toBe(false);
      if (isKept) expect(said).toEqual([]);
      else {
        expect(kept).toEqual(held.map(() => null));
        expect(said).toMatchObject([{ field: 'workers.gpus.memoryUsedBytes', gpuUuid: 'GPU-0' }]);
      }
      // Which of the two is wrong is not known; the GPU's own figure stands.
      expect(devices[0]).toMatchObject({ memoryUsedBytes: used, health: 'ok' });
    }),
    { numRuns: 500 },
  );
});

it('implausible_value: a process that is counted twice, with the figure that shows it', () => {
  const { processes, faults } = read({ memoryTotalBytes: 80 * GiB, memoryUsedBytes: 41 * GiB }, [40 * GiB, 40 * GiB]);
  expect(processes.map(({ memoryUsedBytes }) => memoryUsedBytes)).toEqual([null, null]);
  expect(faults[0]?.message).toContain(`its processes hold ${80 * GiB} bytes, and ${41 * GiB} are in use`);
});

it.each([100.5, 255, 2 ** 32 - 1])('a process that does %s percent of a GPU does what is not known', (utilization) => {
  const report: GpuReport = {
    unlisted: null,
    devices: [gpu({ memoryTotalBytes: 80 * GiB })],
    processes: [{ device: 0, pid: 100, bytes: GiB, utilization }],
  };
  const { processes, faults } = assemble(report, new GpuIdentities());
  expect(processes).toMatchObject([{ memoryUsedBytes: GiB, utilizationPercent: null }]);
  expect(faults).toMatchObject([{ code: 'IMPLAUSIBLE', field: 'workers.gpus.utilizationPercent' }]);
});

it('where it is not known what is in use, processes are held against the whole GPU', () => {
  const { processes } = read({ memoryTotalBytes: 80 * GiB }, [40 * GiB, null, 39 * GiB]);
  expect(processes.map(({ memoryUsedBytes }) => memoryUsedBytes)).toEqual([40 * GiB, null, 39 * GiB]);
  expect(read({ memoryTotalBytes: 24 * GiB }, [40 * GiB]).processes[0]?.memoryUsedBytes).toBeNull();
});

const reportOf = (devices: readonly ReportedGpu[], over: Partial<GpuReport> = {}): GpuReport => ({
  unlisted: null,
  devices,
  processes: [],
  ...over,
});
const plain = (report: GpuReport) => assemble(report, new GpuIdentities());

describe('what is wrong on the host', () => {
  it('is a fault without a GPU: its list, by which no GPU is known, and what belongs to none', () => {
    const unlisted = gpuReason('timeout');
    const message = `the driver does not list its GPUs, only those known before are asked: ${unlisted.text}`;
    expect(plain(reportOf([], { unlisted, problems: [{ code: 'X', text: 'a switch is down' }] })).faults).toEqual([
      { source: 'gpu', code: 'TIMEOUT', message, field: 'gpus' },
      { source: 'gpu', code: 'X', message: 'a switch is down' },
    ]);
    expect(plain(reportOf([])).faults).toEqual([]);
    expect(plain(reportOf([gpu({})])).faults).toEqual([]);
  });
});

describe('a GPU that gives no access', () => {
  const [unknown, suspended] = [gpuReason('unknown'), gpuReason('suspended')];

  it('says why, and is lost only where another answers', () => {
    const alone = plain(reportOf([gpu({}, { unreachable: unknown })]));
    expect(alone.devices[0]).toMatchObject({ health: 'stalled', processesKnown: false, unsupported: [] });
    expect(alone.faults).toEqual([
      { source: 'gpu', code: unknown.code, message: `GPU 0: ${unknown.text}`, gpuUuid: 'GPU-0' },
    ]);
    const second = gpu({}, { index: 1, uuid: 'GPU-1', unreachable: unknown });
    const beside = plain(reportOf([gpu({}), second]));
    expect(beside.devices.map(({ health }) => health)).toEqual(['ok', 'lost']);
  });

  it('runs nothing where it sleeps, which is known; of another nothing is', () => {
    const processesOf = (unreachable: typeof unknown, processesKnown: boolean) =>
      plain(reportOf([gpu({}, { unreachable, processesKnown })])).devices[0]?.processesKnown;
    expect([processesOf(suspended, true), processesOf(suspended, false)]).toEqual([true, false]);
    expect(processesOf(unknown, true)).toBe(false);
  });
});

it('a GPU is named as its driver names it, and by its index on the host; what it leaves out is not known', () => {
  const names = { name: 'card', busId: '0000:01:00.0', parentUuid: 'GPU-9', computeCapability: '9.0' };
  const named = gpu({}, { ...names, index: 2, unifiedMemory: true });
  const { devices } = assemble(reportOf([named]), new GpuIdentities(), 3, () => true, 'NVIDIA');
  const { name, busId: pciBusId, parentUuid, computeCapability } = names;
  const known = { uuid: 'GPU-0', index: 5, vendor: 'NVIDIA', memoryKind: 'unified', lastXid: null, health: 'ok' };
  expect(devices[0]).toMatchObject({ ...known, name, pciBusId, parentUuid, computeCapability });
  const [bare] = plain(reportOf([gpu({}, { name: '' })])).devices;
  const none = { name: null, pciBusId: null, parentUuid: null, computeCapability: null };
  expect(bare).toMatchObject({ ...none, index: 0, memoryKind: 'device' });
  expect(bare).not.toHaveProperty('vendor');
});

it('a process is on the GPU that its driver says, and one with a pid that no kernel gives out is none', () => {
  const devices = [gpu({}), gpu({}, { index: 1, uuid: 'GPU-1' })];
  const held = (device: number, pid: number) => ({ device, pid, bytes: pid, utilization: pid - 5 });
  const processes = [held(1, 11), held(0, 12), held(0, 4), held(0, 5)];
  const isPid = (pid: number) => pid > 10;
  const found = assemble(reportOf(devices, { processes }), new GpuIdentities(), 0, isPid);
  expect(found.processes).toEqual([
    { gpuUuid: 'GPU-0', pid: 12, memoryUsedBytes: 12, utilizationPercent: 7 },
    { gpuUuid: 'GPU-1', pid: 11, memoryUsedBytes: 11, utilizationPercent: 6 },
  ]);
  const message = 'GPU 0: processes: the driver lists pid 4, 5';
  expect(found.faults).toEqual([
    { source: 'gpu', code: 'IMPLAUSIBLE', message, gpuUuid: 'GPU-0', field: 'processCount' },
  ]);
});

/** What is kept of processes beside figures of their GPU, and why not. */
const keptBeside = (values: Partial<ReportedValues>, held: readonly number[]) => {
  const { processes, faults } = read(values, held);
  const about = faults.filter(({ field }) => field === 'workers.gpus.memoryUsedBytes');
  return { kept: processes.every(({ memoryUsedBytes }) => memoryUsedBytes !== null), why: about[0]?.message ?? null };
};

it.each([
  ['what is not in use but may have come', { memoryTotalBytes: 80 * GiB, memoryUsedBytes: 0 }, 10 * GiB],
  ['the whole of one that is in use', { memoryTotalBytes: 80 * GiB, memoryUsedBytes: 80 * GiB }, 80 * GiB],
  ['one of which nothing can be in use', { memoryTotalBytes: 0 }, 0],
  ['the largest that there can be', { memoryTotalBytes: gpuBytes.most, memoryUsedBytes: 0 }, gpuBytes.most / 8],
  ['the whole of one whose use is impossible', { memoryTotalBytes: 80 * GiB, memoryUsedBytes: -1 }, 80 * GiB],
  ['all there can be of one whose size is impossible', { memoryTotalBytes: -1, memoryUsedBytes: 0 }, gpuBytes.most],
  ['all there can be of one that is too large', { memoryTotalBytes: gpuBytes.most * 2 }, gpuBytes.most],
  ['all there can be of one whose size is not known', { memoryUsedBytes: 0 }, gpuBytes.most],
])('two processes hold %s, each rounded up by itself, and no byte more', (_title, values, most) => {
  const half = (most + 2 * roundingBytes) / 2;
  expect(keptBeside(values, [half, half])).toEqual({ kept: true, why: null });
  const { kept, why } = keptBeside(values, [half, half + 1]);
  expect(kept).toBe(false);
  expect(why).toContain(`its processes hold ${2 * half + 1} bytes, and `);
});

it('the figure that shows that processes hold too much is named', () => {
  const said = (values: Partial<ReportedValues>, ...held: number[]) => keptBeside(values, held).why;
  expect(said({ memoryTotalBytes: GiB, memoryUsedBytes: GiB }, 3 * GiB)).toMatch(`, and it has ${GiB}`);
  expect(said({ memoryTotalBytes: GiB }, 3 * GiB)).toMatch(`, and it has ${GiB}`);
  expect(said({ memoryTotalBytes: 8 * GiB, memoryUsedBytes: 0 }, 3 * GiB)).toMatch(', and 0 are in use');
  const { most } = gpuBytes;
  expect(said({}, most, most)).toMatch(`, and no GPU has more than ${most}`);
});

it('implausible_value: a figure that no GPU has is null with a fault, and not one that this GPU does not report', () => {
  const { devices, faults } = plain(reportOf([gpu({ temperatureCelsius: 2 ** 32 - 1, powerWatts: 300 })]));
  expect(devices[0]).toMatchObject({ temperatureCelsius: null, powerWatts: 300 });
  const message = `GPU 0: temperatureCelsius: the driver says ${2 ** 32 - 1}`;
  const about = { gpuUuid: 'GPU-0', field: 'temperatureCelsius' };
  expect(faults).toEqual([{ source: 'gpu', code: 'IMPLAUSIBLE', message, ...about }]);
  expect(devices[0]?.unsupported).not.toContain('temperatureCelsius');
});

describe('what a GPU does not report', () => {
  const unsupportedOf = (changes: Partial<ReportedGpu>, bytes: readonly (number | null)[] = []) => {
    const processes = bytes.map((each, i) => ({ device: 0, pid: 100 + i, bytes: each, utilization: null }));
    return plain(reportOf([gpu({ powerWatts: 300 }, changes)], { processes })).devices[0]?.unsupported ?? [];
  };

  it('is what was neither given nor explained, and what its reason says; what is not known now is a fault', () => {
    const reasons = { temperatureCelsius: gpuReason('timeout'), fanPercent: gpuReason('notSupported') };
    const found = unsupportedOf({ reasons });
    expect(found).toContain('smClockMhz');
    expect(found.filter((field) => field === 'fanPercent')).toEqual(['fanPercent']);
    for (const known of ['temperatureCelsius', 'powerWatts', 'processCount', 'workers.gpus.memoryUsedBytes'])
      expect(found).not.toContain(known);
    const { faults } = plain(reportOf([gpu({}, { reasons })]));
    const message = `GPU 0: temperatureCelsius: ${reasons.temperatureCelsius.text}`;
    expect(faults).toEqual([
      { source: 'gpu', code: 'TIMEOUT', message, gpuUuid: 'GPU-0', field: 'temperatureCelsius' },
    ]);
  });

  it('is memory of processes where one of them is without, and nothing else says why', () => {
    const field = 'workers.gpus.memoryUsedBytes';
    expect(unsupportedOf({}, [1, null])).toContain(field);
    expect(unsupportedOf({}, [1, 2])).not.toContain(field);
    expect(unsupportedOf({ reasons: { [field]: gpuReason('timeout') } }, [null])).not.toContain(field);
    expect(unsupportedOf({}, [2 ** 60])).not.toContain(field);
  });

  it('is how many processes there are where it lists none, and nothing else says why', () => {
    expect(unsupportedOf({ processesKnown: false })).toContain('processCount');
    const reasons = { processCount: gpuReason('timeout') };
    expect(unsupportedOf({ processesKnown: false, reasons })).not.toContain('processCount');
  });
});

describe('memory of a GPU that has none of its own', () => {
  const { notSupported, timeout } = { notSupported: gpuReason('notSupported'), timeout: gpuReason('timeout') };
  const total = { memoryTotalBytes: notSupported };
  const shared = { unifiedMemory: true, reasons: total };
  const usedOf = (
    changes: Partial<ReportedGpu>,
    bytes: readonly (number | null)[],
    values: Partial<ReportedValues> = {},
  ) => {
    const processes = bytes.map((each, i) => ({ device: 0, pid: 100 + i, bytes: each, utilization: null }));
    const { devices } = plain(reportOf([gpu(values, changes)], { processes }));
    const { memoryUsedBytes, unsupported } = devices[0] as (typeof devices)[number];
    return [memoryUsedBytes, unsupported.includes('memoryUsedBytes')];
  };

  it('is what its processes hold together, where the driver says neither', () => {
    expect(usedOf(shared, [3, 4])).toEqual([7, false]);
    expect(usedOf(shared, [])).toEqual([0, false]);
    expect(usedOf({ ...shared, reasons: { ...total, memoryUsedBytes: notSupported } }, [3, 4])).toEqual([7, false]);
  });

  it('is not known where that of one process is not', () => {
    expect(usedOf(shared, [3, null, 4])).toEqual([null, true]);
    expect(usedOf({ ...shared, reasons: { ...total, memoryUsedBytes: notSupported } }, [null])).toEqual([null, true]);
  });

  it('is what the driver says where it says it, and is not made up where it may say it later', () => {
    expect(usedOf(shared, [3], { memoryUsedBytes: 9 })).toEqual([9, false]);
    expect(usedOf({ ...shared, reasons: { ...total, memoryUsedBytes: timeout } }, [3])).toEqual([null, false]);
    expect(usedOf({ unifiedMemory: true, reasons: { memoryTotalBytes: timeout } }, [3])).toEqual([null, true]);
    expect(usedOf({ unifiedMemory: true }, [3])).toEqual([null, true]);
    expect(usedOf({ reasons: total }, [3])).toEqual([null, true]);
    expect(usedOf({ ...shared, processesKnown: false }, [3])).toEqual([null, true]);
  });
});

it.each([
  [100, true, [], 0, true],
  [99, true, [], 0, false],
  [100, false, [], 0, false],
  [100, true, [5], 0, false],
  [100, true, [], 5, false],
  [100, true, [], undefined, false],
] as const)('%s percent, processes known %s, held %j, in use %s: latched is %s', (percent, known, held, used, is) => {
  const values = { utilizationPercent: percent, ...(used === undefined ? {} : { memoryUsedBytes: used }) };
  const processes = held.map((bytes) => ({ device: 0, pid: 100, bytes, utilization: null }));
  const { devices, faults } = plain(reportOf([gpu(values, { processesKnown: known })], { processes }));
  const expected = is ? [{ code: 'UTILIZATION_SUSPECT', field: 'utilizationPercent' }] : [];
  expect(faults.map(({ code, field }) => ({ code, field }))).toEqual(expected);
  expect(devices[0]?.utilizationPercent).toBe(percent);
});
