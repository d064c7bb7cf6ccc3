import { afterAll, describe, expect, it } from 'vitest';
import { arcI915, arcXe, FakeDrmHost, fdinfo, GiB, instinct, MiB, radeon } from './fake-host.js';
import { at, codes, type Hazard, held, i915, sycl, vulkan, xeAt } from './hazard.js';
import { integratedHazards } from './integrated-hazards.js';
import { drmSource, sharedThreads, vendorsOver } from './sources.js';

/** What trees of files can show. Files that fail with an errno, or hang, are in refusals.test.ts. */
const hazards: Readonly<Record<string, Hazard>> = {
  '01 descriptors that were duplicated and inherited are one client': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 1000, 0), vulkan(7, 1000, 0), vulkan(8, 24, 0)]);
      host.process(4101, [vulkan(7, 1000, 0)]);
      expect(held(await drm.next())).toEqual([[4100, 1024 * MiB, 0]]);
    },
  },
  '02 engine time that steps back is no negative share': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.process(5000, [vulkan(9, 1, 0)]);
      host.process(4100, [vulkan(7, 1000, 5e9)]);
      await drm.next();
      host.process(4100, [vulkan(7, 1000, 4e9)]);
      expect(held(await drm.next())).toContainEqual([4100, 1000 * MiB, 0]);
      // It counts from the larger reading on, not from the one that stepped back.
      host.process(4100, [vulkan(7, 1000, 5.1e9)]);
      expect(held(await drm.next())).toContainEqual([4100, 1000 * MiB, 10]);
    },
  },
  '03 several engines of a kind count together': {
    host: () => new FakeDrmHost([arcXe(xeAt)]),
    async check(drm, host) {
      host.process(4100, [sycl(7, 120_750_882, 7_655_183_225)]);
      await drm.next();
      host.process(4100, [sycl(7, 120_750_882 + 200_000_000, 7_655_183_225 + 100_000_000)]);
      expect(held(await drm.next())).toEqual([[4100, 5_064_648 * 1024, 50]]);
    },
  },
  '04 keys of amdgpu before 5.19': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      const old = `pos:\t0\nflags:\t02\nmnt_id:\t9\npdev:\t${at}\npasid:\t32771\ngtt mem:\t2048 kB\ncpu mem:\t0 kB\nvram mem:\t1048576 kB\ngfx0:\t 12.50%\ncompute0:\t 3.00%\n`;
      host.process(4100, [old, old]);
      host.process(4101, [old.replace('32771', '32772').replace('12.50', '0.00').replace('3.00', '0.00')]);
      expect(held(await drm.next())).toEqual([
        [4100, GiB, 12.5],
        [4101, GiB, 0],
      ]);
    },
  },
  '05 ROCm: engines of fdinfo stand still, KFD knows the memory': {
    host: () => new FakeDrmHost([radeon(at), radeon('0000:44:00.0')]),
    async check(drm, host) {
      host.kfdNode(50_001, { location_id: 0x0300, domain: 0, gfx_target_version: 110_000 });
      host.kfdNode(50_002, { location_id: 0x4400, domain: 0, gfx_target_version: 110_000 });
      host.process(4100, [vulkan(7, 3, 0), { ...vulkan(3, 0, 0), pdev: '0000:44:00.0' }]);
      host.kfdProcess(4100, { 50001: 8 * GiB, 50002: 0 });
      host.process(4200, [vulkan(9, 512, 0)]);
      const first = await drm.next();
      // The larger of both; on a card which it only opened it holds nothing.
      expect(held(first)).toEqual([
        [4100, 8 * GiB, null],
        [4200, 512 * MiB, 0],
      ]);
      expect(first.devices[0]!.unsupported).toContain('workers.gpus.utilizationPercent');
      expect(first.devices[0]!.computeCapability).toBe('gfx1100');
      // Alone on the card, what it does is what the card does.
      host.end(4200);
      expect(held(await drm.next())).toEqual([[4100, 8 * GiB, 37]]);
    },
  },
  '06 KFD without pasid, and with a process that no fdinfo shows': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_001 });
      host.kfdProcess(4100, { 50001: 8 * GiB }, null);
      host.kfdProcess(4200, { 50001: 4 * MiB }, 0);
      expect(held(await drm.next())).toEqual([
        [4100, 8 * GiB, null],
        [4200, 4 * MiB, null],
      ]);
    },
  },
  '08 a card that sleeps is not woken': {
    // Whoever read another file of it would find these.
    host: () => new FakeDrmHost([radeon(at), { ...radeon('0000:44:00.0'), runtimeStatus: 'suspended' }]),
    async check(drm, host) {
      const { devices, faults } = await drm.next();
      expect(devices[1]).toMatchObject({
        health: 'suspended',
        memoryUsedBytes: null,
        powerWatts: null,
        utilizationPercent: null,
      });
      expect(devices[1]!.processesKnown).toBe(true);
      expect(devices[0]!.health).toBe('ok');
      expect(faults).toMatchObject([{ code: 'GPU_SUSPENDED', gpuUuid: 'AMD-0000:44:00.0' }]);
      host.set('card1', { 'device/power/runtime_status': 'active' });
      expect((await drm.next()).devices[1]).toMatchObject({ health: 'ok', powerWatts: 201 });
      host.set('card1', { 'device/power/runtime_status': 'suspended' });
      expect((await drm.next()).devices[1]).toMatchObject({ health: 'suspended', powerWatts: null });
    },
  },
  '09 stuck at 100 while its engines stand still': {
    host: () => new FakeDrmHost([radeon(at, { 'device/gpu_busy_percent': 100 })]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 1000, 5e9)]);
      await drm.next();
      await drm.next();
      const stuck = await drm.next();
      expect(stuck.devices[0]!.utilizationPercent).toBeNull();
      expect(codes(stuck)).toEqual([['UTILIZATION_SUSPECT', 'utilizationPercent']]);
      host.process(4100, [vulkan(7, 1000, 5.9e9)]);
      const moves = await drm.next();
      expect(moves.devices[0]!.utilizationPercent).toBe(100);
      expect(moves.faults).toEqual([]);
    },
  },
  '10 at 100 with a ROCm process, whose engines are counted nowhere': {
    host: () => new FakeDrmHost([radeon(at, { 'device/gpu_busy_percent': 100 })]),
    async check(drm, host) {
      host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
      host.kfdProcess(4100, { 50001: 8 * GiB });
      for (let pass = 0; pass < 4; pass++) {
        const { devices, faults } = await drm.next();
        expect([devices[0]!.utilizationPercent, faults]).toEqual([100, []]);
      }
    },
  },
  '11 a card in partitions is one GPU without room as a whole': {
    host: () => new FakeDrmHost([instinct(at, 'CPX'), instinct('0000:c1:00.0', 'SPX')]),
    async check(drm, host) {
      // Partitions are nodes of their own, with the card's place in the lower bits.
      host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 90_402 });
      host.kfdNode(50_002, { location_id: 0x1000_0300, gfx_target_version: 90_402 });
      host.kfdProcess(4100, { 50001: 8 * GiB, 50002: 2 * GiB });
      // A partition is a card of the kernel that is on no bus.
      host.write('sys/class/drm/card9/device/uevent', 'DRIVER=amdgpu\nMODALIAS=platform:amdgpu_xcp\n');
      const reading = await drm.next();
      expect(reading.devices.map(({ name, migMode }) => [name, migMode])).toEqual([
        ['AMD Instinct MI300X OAM, CPX/NPS4', true],
        ['AMD Instinct MI300X OAM', false],
      ]);
      expect(held(reading)).toEqual([[4100, 10 * GiB, 91]]);
      expect(reading.devices[0]).toMatchObject({
        computeCapability: 'gfx942',
        temperatureCelsius: 71,
        powerWatts: 611,
      });
    },
  },
  '12 hwmon has another number after the driver was bound anew': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      expect((await drm.next()).devices[0]!.temperatureCelsius).toBe(54);
      host.renumberHwmon('card0', 0, 5);
      host.setHwmon('card0', 5, { temp1_input: 61_000 });
      expect((await drm.next()).devices[0]).toMatchObject({ temperatureCelsius: 61, powerWatts: 201 });
    },
  },
  '13 a card that is pulled while it is read is lost, by its name': {
    host: () => new FakeDrmHost([radeon(at), radeon('0000:44:00.0')]),
    async check(drm, host) {
      await drm.next();
      host.unplug('card0');
      const { devices, faults } = await drm.next();
      expect(devices.map(({ uuid, health }) => [uuid, health])).toEqual([
        ['AMD-0000:44:00.0', 'ok'],
        [`AMD-${at}`, 'lost'],
      ]);
      expect(faults).toMatchObject([{ code: 'GPU_VANISHED', gpuUuid: `AMD-${at}` }]);
      expect(drm.source.takeEvents()).toMatchObject([{ kind: 'gpuLost', gpuUuid: `AMD-${at}` }]);
    },
  },
  '14 Intel: what clients hold is no measure of what is in use': {
    host: () => new FakeDrmHost([arcXe(xeAt), arcI915()]),
    async check(drm, host) {
      host.process(4100, [sycl(7, 1000, 100_000)]);
      const reading = await drm.next();
      expect(reading.devices[0]).toMatchObject({ memoryTotalBytes: null, memoryUsedBytes: null, memoryKind: 'device' });
      expect(reading.devices[0]!.unsupported).toEqual(expect.arrayContaining(['memoryTotalBytes', 'memoryUsedBytes']));
      expect(reading.processes[0]!.memoryUsedBytes).toBe(5_064_648 * 1024);
    },
  },
  '15 xe that says how much memory each tile has': {
    host: () =>
      new FakeDrmHost([
        arcXe(xeAt, {
          'device/tile0/physical_vram_size_bytes': 8 * GiB,
          'device/tile1/physical_vram_size_bytes': 8 * GiB,
        }),
      ]),
    async check(drm) {
      expect((await drm.next()).devices[0]).toMatchObject({ memoryTotalBytes: 16 * GiB, memoryUsedBytes: null });
    },
  },
  '16 power of Intel is energy by time': {
    host: () => new FakeDrmHost([arcXe(xeAt), arcI915('0000:08:00.0', { 'gt/gt0/rps_act_freq_mhz': null })]),
    async check(drm, host) {
      const first = await drm.next();
      expect(first.devices.map(({ powerWatts }) => powerWatts)).toEqual([null, null]);
      expect(codes(first)).toContainEqual(['NOT_READY', 'powerWatts']);
      host.setHwmon('card0', 0, { energy1_input: 1_000_000 + 120_000_000 });
      host.setHwmon('card1', 1, { energy1_input: 1 });
      const second = await drm.next();
      // One counter went on; the other began anew.
      expect(second.devices.map(({ powerWatts, smClockMhz }) => [powerWatts, smClockMhz])).toEqual([
        [120, 2450],
        [null, 2100],
      ]);
    },
  },
  '19 values that are none: torn, all ones, empty, words': {
    host: () =>
      new FakeDrmHost([
        radeon(
          at,
          {
            'device/gpu_busy_percent': '',
            'device/mem_busy_percent': 255,
            'device/mem_info_vram_used': '18446744073709551615',
          },
          { temp1_input: 'N/A', temp2_input: null, power1_average: '4294967295000000' },
        ),
      ]),
    async check(drm) {
      const { devices, faults } = await drm.next();
      expect(devices[0]).toMatchObject({
        utilizationPercent: null,
        memoryBusPercent: null,
        memoryUsedBytes: null,
        temperatureCelsius: null,
        powerWatts: null,
        powerLimitWatts: 339,
      });
      for (const field of [
        'utilizationPercent',
        'memoryBusPercent',
        'memoryUsedBytes',
        'temperatureCelsius',
        'powerWatts',
      ])
        expect(faults, field).toContainEqual(expect.objectContaining({ code: 'IMPLAUSIBLE', field }));
    },
  },
  '20 a process takes another descriptor, lets one go, and its pid is given to another': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 1000, 1)]);
      host.process(4200, [vulkan(8, 10, 1)]);
      await drm.next();
      host.process(4100, [fdinfo(vulkan(11, 3, 0)).replace('amdgpu', 'other'), vulkan(12, 5, 0)]);
      let last: unknown;
      // A descriptor that is new beside others is found within some passes; one that became another at once.
      for (let pass = 0; pass < 11; pass++) last = held(await drm.next());
      expect(last).toEqual(
        [
          [4100, 5 * MiB, null],
          [4200, 10 * MiB, 0],
        ].map(([pid, bytes, use]) => (pid === 4100 ? expect.arrayContaining([pid, bytes]) : [pid, bytes, use])),
      );
    },
  },
  '21 processes that only have a card open hold nothing': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 0, 0)]);
      const { processes, devices } = await drm.next();
      expect([processes, devices[0]!.processesKnown]).toEqual([[], true]);
    },
  },
  '22 a pid that another process has by now is looked at at once, however old the first one was': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.process(4100, []);
      host.process(4200, [vulkan(8, 10, 1)]);
      // By now both are looked at every third pass or less often.
      for (let pass = 0; pass < 12; pass++) await drm.next();
      host.process(4100, [vulkan(7, 1000, 0)]);
      host.process(4200, []);
      expect(held(await drm.next())).toEqual([[4100, 1000 * MiB, 0]]);
      host.process(4200, [vulkan(7, 1000, 0)]);
      host.end(4100);
      expect(held(await drm.next())).toEqual([[4200, 1000 * MiB, 0]]);
    },
  },
  '23 a host without a card of theirs': {
    host: () => new FakeDrmHost(),
    async check(drm) {
      expect(await drm.next()).toMatchObject({ status: 'absent', devices: [], faults: [] });
    },
  },
  '24 client ids are those of a card: the same one on another card is another client': {
    host: () => new FakeDrmHost([radeon(at), radeon('0000:44:00.0')]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 1000, 0), { ...vulkan(7, 24, 0), pdev: '0000:44:00.0' }]);
      const { processes } = await drm.next();
      expect(processes.map(({ gpuUuid, memoryUsedBytes }) => [gpuUuid, memoryUsedBytes])).toEqual([
        [`AMD-${at}`, 1000 * MiB],
        ['AMD-0000:44:00.0', 24 * MiB],
      ]);
    },
  },
  '25 host memory that a card with memory of its own reaches is no VRAM': {
    host: () => new FakeDrmHost([radeon(at), arcI915()]),
    async check(drm, host) {
      host.process(4100, [vulkan(7, 1000, 0, { 'drm-memory-gtt': '9000 MiB', 'drm-memory-cpu': '10 MiB' })]);
      host.process(4200, [i915(3, { 'drm-resident-local0': '2048 MiB', 'drm-resident-system0': '512 MiB' })]);
      expect(held(await drm.next())).toEqual([
        [4100, 1000 * MiB, 0],
        [4200, 2 * GiB, 0],
      ]);
    },
  },
  '26 i915 before it counted memory: use is known, VRAM is not, and is not 0': {
    host: () => new FakeDrmHost([arcI915()]),
    async check(drm, host) {
      host.process(4100, [i915(3, { 'drm-engine-compute': '1000000 ns' })]);
      await drm.next();
      host.process(4100, [i915(3, { 'drm-engine-compute': '601000000 ns' })]);
      const { devices, processes } = await drm.next();
      expect(processes).toMatchObject([{ pid: 4100, memoryUsedBytes: null, utilizationPercent: 60 }]);
      expect(devices[0]).toMatchObject({ utilizationPercent: 60, memoryUsedBytes: null });
      expect(devices[0]!.unsupported).toContain('workers.gpus.memoryUsedBytes');
    },
  },
  '27 xe that counts the energy of the package alone': {
    host: () => new FakeDrmHost([arcXe(xeAt, {}, { energy1_input: null })]),
    async check(drm, host) {
      await drm.next();
      host.setHwmon('card0', 0, { energy2_input: 800_000 + 75_000_000 });
      expect((await drm.next()).devices[0]!.powerWatts).toBe(75);
    },
  },
  '33 KFD that says 0 of every process: what fdinfo says counts': {
    host: () => new FakeDrmHost([radeon(at)]),
    async check(drm, host) {
      host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
      host.process(4100, [vulkan(7, 1000, 0)]);
      host.kfdProcess(4100, { 50001: 0 });
      host.kfdProcess(4200, { 50001: 0 });
      // One that only opened the card holds nothing, by either.
      expect(held(await drm.next())).toEqual([[4100, 1000 * MiB, 0]]);
    },
  },
  '32 errors of cards that count them, and of one in reset, which is not 0': {
    host: () =>
      new FakeDrmHost([
        radeon(at),
        instinct('0000:c1:00.0', 'SPX', { 'device/ras/umc_err_count': 'ue: 0\nce: 14\nde: 0' }),
        instinct('0000:c2:00.0', 'SPX', { 'device/ras/umc_err_count': 'ue: 2\nce: 9' }),
        instinct('0000:c3:00.0', 'SPX', { 'device/ras/umc_err_count': 'Query currently inaccessible' }),
        // Errors of any part count; none of a part that says nothing of its own.
        instinct('0000:c4:00.0', 'SPX', {
          'device/ras/umc_err_count': 'ue: 1\nce: 9',
          'device/ras/gfx_err_count': 'ue: 3\nce: 0',
          'device/ras/xgmi_wafl_err_count': 'ue: 0\nce: 7',
        }),
        instinct('0000:c5:00.0', 'SPX', {
          'device/ras/umc_err_count': 'ue: 1\nce: 9',
          'device/ras/sdma_err_count': 'Query currently inaccessible',
        }),
      ]),
    async check(drm) {
      const { devices, faults } = await drm.next();
      expect(devices.map(({ eccUncorrected, health }) => [eccUncorrected, health])).toEqual([
        [null, 'ok'],
        [0, 'ok'],
        [2, 'degraded'],
        [null, 'ok'],
        [4, 'degraded'],
        [null, 'ok'],
      ]);
      const cannot = devices.filter(({ unsupported }) => unsupported.includes('eccUncorrected'));
      expect(cannot.map(({ uuid }) => uuid)).toEqual([`AMD-${at}`]);
      expect(faults.map(({ code, gpuUuid }) => [code, gpuUuid])).toEqual([
        ['GPU_ECC_UNCORRECTED', 'AMD-0000:c2:00.0'],
        ['NOT_READY', 'AMD-0000:c3:00.0'],
        ['GPU_ECC_UNCORRECTED', 'AMD-0000:c4:00.0'],
        ['NOT_READY', 'AMD-0000:c5:00.0'],
      ]);
    },
  },
};

const threads = sharedThreads();
afterAll(() => threads.close());

describe.each([
  { reader: 'the addon', vendors: undefined },
  { reader: 'TypeScript', vendors: vendorsOver(threads.open) },
])('hazards of AMD and Intel cards, by $reader', ({ vendors }) => {
  for (const [name, { host: build, check, options }] of Object.entries({ ...hazards, ...integratedHazards })) {
    it(name, async () => {
      using host = build();
      using drm = drmSource(host, { ...options, ...(vendors === undefined ? {} : { vendors }) });
      await check(drm, host);
    });
  }
});
