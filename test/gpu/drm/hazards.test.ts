import { describe, expect, it } from 'vitest';
import { apu, arcI915, arcXe, FakeDrmHost, GiB, instinct, integrated, MiB, radeon } from './fake-host.js';
import { drmSource } from './sources.js';

const vulkan = (pdev: string, id: number, vramKiB: number, computeNs: number) =>
  ({
    driver: 'amdgpu',
    pdev,
    id,
    lines: {
      'drm-memory-vram': `${vramKiB} KiB`,
      'drm-memory-gtt': '2048 KiB',
      'drm-engine-gfx': '0 ns',
      'drm-engine-compute': `${computeNs} ns`,
    },
  }) as const;

describe('cards of AMD and Intel by plain files', () => {
  it('a Radeon shows what its driver and its processes say', async () => {
    using host = new FakeDrmHost([radeon('0000:03:00.0'), radeon('0000:44:00.0', { 'device/gpu_busy_percent': 0 })]);
    host.process(4100, [vulkan('0000:03:00.0', 7, 4 * 1024 * 1024, 5e9)]);
    using drm = drmSource(host);
    await drm.next();
    host.process(4100, [vulkan('0000:03:00.0', 7, 4 * 1024 * 1024, 5.25e9)]);
    const { devices, processes, status, reader, faults } = await drm.next();
    expect({ status, reader, faults }).toEqual({ status: 'working', reader: 'drm', faults: [] });
    expect(devices.map(({ index, uuid }) => [index, uuid])).toEqual([
      [0, 'AMD-0000:03:00.0'],
      [1, 'AMD-0000:44:00.0'],
    ]);
    expect(devices[0]).toMatchObject({
      vendor: 'AMD',
      memoryKind: 'device',
      memoryTotalBytes: 24 * GiB,
      memoryUsedBytes: 9 * GiB,
      utilizationPercent: 37,
      memoryBusPercent: 12,
      temperatureCelsius: 54,
      powerWatts: 201,
      powerLimitWatts: 339,
      smClockMhz: 2304,
      fanPercent: 50,
      health: 'ok',
      processesKnown: true,
    });
    expect(processes).toEqual([
      { gpuUuid: 'AMD-0000:03:00.0', pid: 4100, memoryUsedBytes: 4 * GiB, utilizationPercent: 25 },
    ]);
  });

  it('cards of both vendors stand on one host', async () => {
    using host = new FakeDrmHost([instinct(), arcXe(), arcI915(), radeon(), integrated(), apu()]);
    using drm = drmSource(host);
    const { devices } = await drm.next();
    expect(devices.map(({ index, vendor, pciBusId }) => [index, vendor, pciBusId])).toEqual([
      [0, 'AMD', '0000:03:00.0'],
      [1, 'AMD', '0000:c1:00.0'],
      [2, 'Intel', '0000:07:00.0'],
      [3, 'Intel', '0000:08:00.0'],
    ]);
    expect(MiB).toBe(2 ** 20);
  });
});
