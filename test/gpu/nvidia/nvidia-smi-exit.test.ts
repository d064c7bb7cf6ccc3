import { describe, expect, it } from 'vitest';
import type { Assembled } from '../../../lib/gpu/assemble.js';
import { FakeGpuHost, h100, h100With } from '../../fakes/scenario.js';
import { consumer, gb10, migGpu } from './hazards.js';
import { nvidiaSmiOnce } from './read-once.js';

const MiB = 1024 * 1024;

const only = (seen: Assembled) => seen.devices[0]!;
const codes = (seen: Assembled) => seen.faults.map(({ code, field }) => [code, field]);

describe('what nvidia-smi ends with, and whom it asks', () => {
  it.each([
    [9, 'failed', 'DRIVER_NOT_LOADED'],
    [12, 'failed', 'LIBRARY_NOT_FOUND'],
    [18, 'failed', 'VERSION_MISMATCH'],
    [255, 'failed', 'UNKNOWN_ERROR'],
  ] as const)('known faults: nvidia-smi that ends %i', async (exit, kind, code) => {
    using host = new FakeGpuHost({ gpus: [gb10], smi: { exit } });
    expect(await nvidiaSmiOnce(host)).toMatchObject({ kind, code });
  });

  it.each([
    [9, 'DRIVER_NOT_LOADED'],
    [18, 'VERSION_MISMATCH'],
    [255, 'UNKNOWN_ERROR'],
  ] as const)('known faults: nvidia-smi whose list of processes alone ends %i', async (appsExit, code) => {
    using host = new FakeGpuHost({ gpus: [consumer(0)], smi: { appsExit } });
    const seen = (await nvidiaSmiOnce(host)) as Assembled;
    expect(only(seen)).toMatchObject({ health: 'ok', memoryTotalBytes: 24564 * MiB, processesKnown: false });
    expect(codes(seen)).toEqual([[code, 'processCount']]);
  });

  it('known faults: nvidia-smi ends 14 and warns, with all its data there', async () => {
    const warning = 'WARNING: infoROM is corrupted at gpu 0000:1B:00.0';
    using host = new FakeGpuHost({
      gpus: [migGpu, { ...migGpu, uuid: 'GPU-2', bus: '00000000:43:00.0' }],
      smi: { exit: 14, warning },
    });
    const seen = (await nvidiaSmiOnce(host)) as Assembled;
    expect(seen.devices.map(({ health }) => health)).toEqual(['degraded', 'ok']);
    expect(codes(seen)).toEqual([['CORRUPTED_INFOROM', undefined]]);
  });

  it.each([
    [14, 'CORRUPTED_INFOROM', undefined],
    [14, 'CORRUPTED_INFOROM', 'WARNING: infoROM is corrupted at gpu 0000:99:00.0'],
    [15, 'GPU_IS_LOST', undefined],
    [255, 'UNKNOWN_ERROR', undefined],
  ] as const)(
    'known faults: nvidia-smi ends %i (%s) and says of no GPU why: a fault of the host',
    async (exitCode, code, warning) => {
      using host = new FakeGpuHost({ gpus: [h100(0), h100(1)], smi: { exitCode, ...(warning ? { warning } : {}) } });
      const seen = (await nvidiaSmiOnce(host)) as Assembled;
      expect(seen.devices.map(({ health, memoryTotalBytes }) => [health, memoryTotalBytes])).toEqual(
        Array(2).fill(['ok', 81559 * MiB]),
      );
      expect(seen.faults).toEqual([{ source: 'gpu', code, message: expect.stringMatching(/^nvidia-smi/) }]);
      if (warning) expect(seen.faults[0]?.message).toContain('0000:99:00.0');
    },
  );

  it('pmon that shows four GPUs at a time is asked for the others, and why one is left out is said', async () => {
    const busy = (i: number, codes: Readonly<Record<string, number>> = {}) =>
      h100With(i, [{ pid: 100 + i, bytes: MiB, utilization: 10 + i }], { codes });
    const gpus = [0, 1, 2, 3, 4, 5].map((i) => busy(i));
    using host = new FakeGpuHost({ gpus, smi: { pmonLimit: 4 } });
    const all = (await nvidiaSmiOnce(host)) as Assembled;
    expect(all.processes.map(({ utilizationPercent }) => utilizationPercent)).toEqual([10, 11, 12, 13, 14, 15]);
    expect(all.faults).toEqual([]);

    host.become({ gpus: [...gpus.slice(0, 5), busy(5, { pmon: 3 })], smi: { pmonLimit: 2 } });
    const never = (await nvidiaSmiOnce(host)) as Assembled;
    expect(never.processes.map(({ utilizationPercent }) => utilizationPercent)).toEqual([10, 11, 12, 13, 14, null]);
    expect(never.devices[5]?.unsupported).toContain('workers.gpus.utilizationPercent');
    expect(never.faults).toEqual([]);

    host.become({ gpus: [busy(0), busy(1, { pmon: 999 })] });
    const failing = (await nvidiaSmiOnce(host)) as Assembled;
    expect(failing.processes.map(({ utilizationPercent }) => utilizationPercent)).toEqual([10, null]);
    expect(codes(failing)).toEqual([['UNKNOWN_ERROR', 'workers.gpus.utilizationPercent']]);
  });
});
