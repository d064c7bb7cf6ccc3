import fc from 'fast-check';
import { expect, it } from 'vitest';
import { assemble } from '../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../lib/gpu/identities.js';
import type { GpuReport, ReportedGpu, ReportedValues } from '../../lib/gpu/report.js';

const GiB = 2 ** 30;

const gpu = (values: Partial<ReportedValues>): ReportedGpu => ({
  index: 0,
  uuid: 'GPU-0',
  parentUuid: '',
  name: 'card',
  busId: '',
  computeCapability: '',
  unifiedMemory: false,
  unreachable: null,
  values,
  reasons: {},
  problems: [],
  processesKnown: true,
});

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
