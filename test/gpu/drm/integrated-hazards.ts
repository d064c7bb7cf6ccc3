import { expect } from 'vitest';
import type { GpuReading } from '../../../lib/gpu/reading.js';
import { apu, arcXe, FakeDrmHost, GiB, integrated, MiB, radeon } from './fake-host.js';
import { at, type Hazard, held, i915, vulkan, xeAt } from './hazard.js';

/** GPUs whose memory is the host's, and one that is taken for such. */
export const integratedHazards: Readonly<Record<string, Hazard>> = {
  '07 Vulkan on an APU lives in GTT': {
    host: () => new FakeDrmHost([{ ...apu(at) }]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 100, 0, { 'drm-memory-gtt': `${8 * 1024 * 1024} KiB` })]);
      const reading = await drm.next();
      expect(held(reading)).toEqual([[4100, 8 * GiB + 100 * MiB, 0]]);
      expect(reading.devices[0]).toMatchObject({
        memoryKind: 'unified',
        memoryTotalBytes: 60.5 * GiB,
        memoryUsedBytes: 20 * GiB + 400 * MiB,
      });
      // APUs do not count how busy memory is: ENOENT.
      expect(reading.devices[0]!.unsupported).toContain('memoryBusPercent');
    },
  },
  '17 an integrated GPU is shown from the first process on that holds it': {
    host: () => new FakeDrmHost([arcXe(xeAt), integrated()]),
    async check(drm, host) {
      const names = ({ devices }: GpuReading) => devices.map(({ uuid, index }) => [uuid, index]);
      expect(names(await drm.next())).toEqual([[`Intel-${xeAt}`, 0]]);
      host.process(4100, [
        {
          driver: 'i915',
          pdev: '0000:00:02.0',
          id: 5,
          lines: { 'drm-resident-system0': '40 MiB', 'drm-resident-stolen-system0': '0', 'drm-engine-render': '0 ns' },
        },
      ]);
      const heldNow = await drm.next();
      expect(names(heldNow)).toContainEqual(['Intel-0000:00:02.0', 0]);
      expect(heldNow.devices.find(({ pciBusId }) => pciBusId === '0000:00:02.0')).toMatchObject({
        memoryKind: 'unified',
        memoryTotalBytes: null,
        memoryUsedBytes: 40 * MiB,
      });
      // Held no more, it is neither gone nor lost.
      host.end(4100);
      const after = await drm.next();
      expect(after.devices.map(({ health }) => health)).toEqual(['ok', 'ok']);
      expect(after.faults.filter(({ code }) => code === 'GPU_VANISHED')).toEqual([]);
    },
  },
  '18 an integrated GPU that nothing holds, asked for': {
    host: () => new FakeDrmHost([integrated(), apu()]),
    options: { allGpus: true },
    async check(drm) {
      const { devices } = await drm.next();
      expect(devices.map(({ vendor, memoryKind }) => [vendor, memoryKind])).toEqual([
        ['AMD', 'unified'],
        ['Intel', 'unified'],
      ]);
    },
  },
  '28 an integrated GPU that sleeps is hidden as well, and is of the host when it is shown': {
    host: () => new FakeDrmHost([arcXe(xeAt), { ...integrated(), runtimeStatus: 'suspended' }]),
    async check(drm, host) {
      const shown = ({ devices }: GpuReading) =>
        devices.map(({ pciBusId, health, memoryKind }) => [pciBusId, health, memoryKind]);
      const discrete = [xeAt, 'ok', 'device'];
      expect(shown(await drm.next())).toEqual([discrete]);
      host.set('card1', { 'device/power/runtime_status': 'active' });
      host.process(4100, [{ ...i915(5, { 'drm-resident-system0': '40 MiB' }), pdev: '0000:00:02.0' }]);
      expect(shown(await drm.next())).toContainEqual(['0000:00:02.0', 'ok', 'unified']);
      host.end(4100);
      host.set('card1', { 'device/power/runtime_status': 'suspended' });
      expect(shown(await drm.next())).toContainEqual(['0000:00:02.0', 'suspended', 'unified']);
    },
  },
  '29 Vega 10 has neither gpu_metrics nor a count of busy memory, and yet memory of its own': {
    host: () => new FakeDrmHost([radeon(at, { 'device/gpu_metrics': null, 'device/mem_busy_percent': null })]),
    async check(drm) {
      for (let pass = 0; pass < 2; pass++)
        expect((await drm.next()).devices[0]).toMatchObject({ memoryKind: 'device', memoryTotalBytes: 24 * GiB });
    },
  },
  '30 an APU of a kernel without gpu_metrics': {
    host: () => new FakeDrmHost([apu(at, { 'device/gpu_metrics': null })]),
    options: { allGpus: true },
    async check(drm) {
      expect((await drm.next()).devices[0]).toMatchObject({ memoryKind: 'unified', memoryTotalBytes: 60.5 * GiB });
    },
  },
  '31 ROCm on an APU: the larger of KFD and fdinfo, GTT counted': {
    host: () => new FakeDrmHost([apu(at)]),
    async check(drm, host) {
      host.kfdNode(50_001, { location_id: 0x0300, cpu_cores_count: 16, gfx_target_version: 110_501 });
      host.process(4100, [vulkan(7, 100, 0, { 'drm-memory-gtt': '1024 MiB' })]);
      host.process(4200, [vulkan(8, 100, 0, { 'drm-memory-gtt': '2048 MiB' })]);
      host.kfdProcess(4100, { 50001: 8 * GiB });
      host.kfdProcess(4200, { 50001: GiB });
      const reading = await drm.next();
      expect(reading.devices[0]).toMatchObject({ memoryKind: 'unified', computeCapability: 'gfx1151' });
      expect(held(reading).map(([pid, bytes]) => [pid, bytes])).toEqual([
        [4100, 8 * GiB],
        [4200, 2 * GiB + 100 * MiB],
      ]);
    },
  },
};
