import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { gpuKnowledge } from '../../../lib/gpu/knowledge.js';
import type { GpuReading } from '../../../lib/gpu/reading.js';
import { waitFor } from '../../harness/wait.js';
import { apu, arcXe, FakeDrmHost, fdinfo, GiB, instinct, MiB, radeon } from './fake-host.js';
import { drmSource, failingVendors } from './sources.js';

const { EACCES, EBUSY, EMFILE, ENODATA, ENODEV, ENOENT, EPERM, ESRCH } = constants.errno;
const kernelNotSupported = 524;
const client = (id: number) =>
  fdinfo({
    driver: 'amdgpu',
    pdev: '0000:03:00.0',
    id,
    lines: { 'drm-memory-vram': '1024 KiB', 'drm-engine-gfx': '0 ns' },
  });

describe('files of a driver that refuse', () => {
  it.each([
    ['EBUSY', EBUSY, 'NOT_READY'],
    ['EPERM', EPERM, 'NOT_READY'],
    ['ENODATA', ENODATA, 'NOT_READY'],
    ['EACCES', EACCES, 'NO_PERMISSION'],
  ])('%s is null with the reason, and the rest is read', async (_, errno, code) => {
    using host = new FakeDrmHost([radeon()]);
    const vendors = failingVendors((path) => (/gpu_busy_percent|power1_average/.test(path) ? errno : undefined));
    using drm = drmSource(host, { vendors });
    const { devices, faults } = await drm.next();
    expect(devices[0]).toMatchObject({
      utilizationPercent: null,
      powerWatts: null,
      temperatureCelsius: 54,
      health: 'ok',
    });
    expect(faults.map((fault) => [fault.code, fault.field])).toEqual([
      [code, 'utilizationPercent'],
      [code, 'powerWatts'],
    ]);
  });

  it('ENOTSUPP although the file is there is a card that cannot tell it, and no 0', async () => {
    using host = new FakeDrmHost([radeon()]);
    const vendors = failingVendors((path) => (path.includes('gpu_busy_percent') ? kernelNotSupported : undefined));
    using drm = drmSource(host, { vendors });
    const { devices, faults } = await drm.next();
    expect(devices[0]!.utilizationPercent).toBeNull();
    expect(devices[0]!.unsupported).toContain('utilizationPercent');
    expect(faults).toEqual([]);
  });

  it('EPERM of a card in reset: whether it is cut into partitions is not known', async () => {
    using host = new FakeDrmHost([instinct()]);
    const vendors = failingVendors((path) => (path.includes('compute_partition') ? EPERM : undefined));
    using drm = drmSource(host, { vendors });
    const { devices, faults } = await drm.next();
    expect(devices[0]).toMatchObject({ migMode: null, powerWatts: 611, health: 'ok' });
    expect(faults.map(({ code, field }) => [code, field])).toEqual([['NOT_READY', 'migMode']]);
  });

  it('of a card that sleeps its runtime status is read and nothing else; of none what holds up its reader', async () => {
    using host = new FakeDrmHost([
      radeon('0000:03:00.0', { 'device/pcie_bw': '1 2 256' }),
      { ...radeon('0000:44:00.0'), runtimeStatus: 'suspended' },
    ]);
    const asked = new Set<string>();
    const vendors = failingVendors((path) => {
      asked.add(path.slice(host.root.length));
      return undefined;
    });
    host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
    host.kfdProcess(4100, { 50001: 8 * GiB });
    using drm = drmSource(host, { vendors });
    // Slow files are due once among these.
    for (let pass = 0; pass < 12; pass++) await drm.next();
    expect(asked).toContain('/sys/class/drm/card0/device/gpu_busy_percent');
    expect([...asked].some((path) => path.endsWith('/4100/vram_50001'))).toBe(true);
    // One sleeps for a second; the others are of an instant, or of one part of the card.
    expect([...asked].filter((path) => /pcie_bw|cu_occupancy|sdma_\d/.test(path))).toEqual([]);
    expect([...asked].filter((path) => path.includes('card1/')).sort()).toEqual([
      '/sys/class/drm/card1/device/power/runtime_status',
      '/sys/class/drm/card1/device/uevent',
    ]);
  });

  it('a card whose files go while they are read is lost, and not one without files', async () => {
    using host = new FakeDrmHost([radeon(), radeon('0000:44:00.0')]);
    let gone = false;
    const vendors = failingVendors((path) => (gone && path.includes('card0/') ? ENOENT : undefined));
    using drm = drmSource(host, { vendors });
    await drm.next();
    gone = true;
    const { devices, faults } = await drm.next();
    expect(devices.map(({ health }) => health)).toEqual(['lost', 'ok']);
    expect(faults).toMatchObject([{ code: 'GPU_IS_LOST', gpuUuid: 'AMD-0000:03:00.0' }]);
  });

  it.each([ENOENT, ESRCH])('errno %s of descriptors: the process has ended, and none is missing', async (errno) => {
    using host = new FakeDrmHost([radeon()]);
    host.process(4100, [client(7)]);
    host.process(4200, [client(8)]);
    using drm = drmSource(host, { vendors: failingVendors((path) => (/\/4100\/fd/.test(path) ? errno : undefined)) });
    const { devices, processes } = await drm.next();
    expect(devices[0]!.processesKnown).toBe(true);
    expect(processes.map(({ pid }) => pid)).toEqual([4200]);
  });

  it.each([
    ['the list of cards', 1, /class\/drm$/, 'failed', 'unknown'],
    // It is asked anew once among these.
    ['what a card is', 11, /card0\/device\/uevent$/, 'working', 'known'],
  ])('%s that cannot be had for want of descriptors: no card is lost', async (_, passes, path, status, gpusKnown) => {
    using host = new FakeDrmHost([radeon(), radeon('0000:44:00.0')]);
    let fails = false;
    using drm = drmSource(host, { vendors: failingVendors((each) => (fails && path.test(each) ? EMFILE : undefined)) });
    await drm.next();
    fails = true;
    for (let pass = 0; pass < passes; pass++) {
      const reading = await drm.next();
      expect(reading.status).toBe(status);
      expect(gpuKnowledge(reading).gpusKnown).toBe(gpusKnown);
      expect(reading.devices.map(({ health }) => health)).toEqual(
        Array(2).fill(status === 'failed' ? 'stalled' : 'ok'),
      );
    }
    fails = false;
    const isWell = async () => (await drm.next()).devices.every(({ health }) => health === 'ok');
    await waitFor(isWell, { what: 'cards that are listed again' });
    expect(drm.source.takeEvents()).toEqual([]);
  });

  it('ENODEV of all that changes is a card off the bus', async () => {
    using host = new FakeDrmHost([radeon(), radeon('0000:44:00.0')]);
    let off = false;
    const vendors = failingVendors((path) =>
      off && path.includes('card0/') && !/uevent|runtime_status/.test(path) ? ENODEV : undefined,
    );
    using drm = drmSource(host, { vendors });
    await drm.next();
    off = true;
    const { devices, faults } = await drm.next();
    expect(devices.map(({ health, powerWatts }) => [health, powerWatts])).toEqual([
      ['lost', null],
      ['ok', 201],
    ]);
    expect(faults).toMatchObject([{ code: 'GPU_IS_LOST', gpuUuid: 'AMD-0000:03:00.0' }]);
  });

  it('descriptors that may not be read: processes are not known, of ROCm they are', async () => {
    using host = new FakeDrmHost([radeon(), arcXe()]);
    host.process(4100, [client(7)]);
    host.process(4200, [client(8)]);
    host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
    host.kfdProcess(4100, { 50001: 8 * GiB });
    using drm = drmSource(host, { vendors: failingVendors((path) => (/\/4100\/fd$/.test(path) ? EACCES : undefined)) });
    const { devices, processes, faults } = await drm.next();
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([false, false]);
    expect(processes.map(({ pid, memoryUsedBytes }) => [pid, memoryUsedBytes])).toEqual([
      [4200, MiB],
      [4100, 8 * GiB],
    ]);
    expect(faults).toContainEqual(expect.objectContaining({ code: 'NO_PERMISSION', field: 'processCount' }));
    // What Intel's engines did is the sum over all their clients, or not known.
    expect(devices[1]!.utilizationPercent).toBeNull();
    expect(faults).toContainEqual(expect.objectContaining({ code: 'NO_PERMISSION', field: 'utilizationPercent' }));
  });

  it('a /proc of one container alone: processes of the host are not known', async () => {
    using host = new FakeDrmHost([radeon()]);
    host.process(4100, [client(7)]);
    host.link('proc/self/ns/pid', 'pid:[4026532999]');
    using drm = drmSource(host);
    const { devices, processes, faults } = await drm.next();
    expect([devices[0]!.processesKnown, processes.length]).toEqual([false, 1]);
    expect(faults).toContainEqual(expect.objectContaining({ code: 'NO_PERMISSION', field: 'processCount' }));
  });

  it.each([
    ['/kfd/kfd/proc', EACCES, 'NO_PERMISSION'],
    ['/kfd/kfd/proc/4100', EACCES, 'NO_PERMISSION'],
    ['/kfd/kfd/topology/nodes', EBUSY, 'NOT_READY'],
  ])(
    '%s that may not be listed: processes of AMD cards are not known, of others they are',
    async (end, errno, code) => {
      using host = new FakeDrmHost([radeon(), arcXe()]);
      host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
      host.kfdProcess(4100, { 50001: 8 * GiB });
      using drm = drmSource(host, { vendors: failingVendors((path) => (path.endsWith(end) ? errno : undefined)) });
      const { devices, processes, faults } = await drm.next();
      expect([devices.map(({ processesKnown }) => processesKnown), processes]).toEqual([[false, true], []]);
      expect(faults.filter(({ field }) => field === 'processCount')).toMatchObject([
        { code, gpuUuid: 'AMD-0000:03:00.0' },
      ]);
    },
  );

  it('fdinfo alone that may not be read', async () => {
    using host = new FakeDrmHost([apu('0000:03:00.0')]);
    host.process(4100, [client(7)]);
    using drm = drmSource(host, {
      allGpus: true,
      vendors: failingVendors((path) => (path.includes('/fdinfo') ? EACCES : undefined)),
    });
    const { devices, processes } = await drm.next();
    expect([devices[0]!.processesKnown, processes]).toEqual([false, []]);
  });

  it('a read that hangs costs its card, and no other', async () => {
    using host = new FakeDrmHost([radeon(), radeon('0000:44:00.0'), arcXe()]);
    let hangs = false;
    const stuck = (path: string) => hangs && /card0\/device\/(gpu_busy|mem_|hwmon)/.test(path);
    using drm = drmSource(host, { vendors: failingVendors((path) => (stuck(path) ? 'hangs' : undefined)) });
    await drm.next();
    hangs = true;
    const { devices, faults } = await drm.next();
    expect(devices.map(({ vendor, health, temperatureCelsius }) => [vendor, health, temperatureCelsius])).toEqual([
      ['AMD', 'stalled', null],
      ['AMD', 'ok', 54],
      ['Intel', 'ok', 51],
    ]);
    expect(faults).toContainEqual(expect.objectContaining({ code: 'TIMEOUT', gpuUuid: 'AMD-0000:03:00.0' }));
    hangs = false;
  });

  it('a file that hangs while the driver answers costs what it says, until it returns', async () => {
    using host = new FakeDrmHost([radeon(), radeon('0000:44:00.0')]);
    let hangs = false;
    const stuck = (path: string) => hangs && path.endsWith('card0/device/hwmon/hwmon0/power1_average');
    using drm = drmSource(host, { vendors: failingVendors((path) => (stuck(path) ? 'hangs' : undefined)) });
    const shown = ({ devices }: GpuReading) =>
      devices.map(({ health, powerWatts, temperatureCelsius, utilizationPercent }) => [
        ...[health, powerWatts, temperatureCelsius, utilizationPercent],
      ]);
    const well = ['ok', 201, 54, 37];
    expect(shown(await drm.next())).toEqual([well, well]);
    hangs = true;
    // Slow files are due once among these.
    for (let pass = 0; pass < 12; pass++) {
      const reading = await drm.next();
      expect(shown(reading)).toEqual([['ok', null, 54, 37], well]);
      expect(reading.faults).toMatchObject([{ code: 'TIMEOUT', field: 'powerWatts', gpuUuid: 'AMD-0000:03:00.0' }]);
    }
    hangs = false;
    await waitFor(async () => shown(await drm.next())[0]?.[1] === 201, { what: 'a file that returns' });
  });
});
