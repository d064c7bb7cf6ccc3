import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { amdCards } from '../../../lib/gpu/amd/cards.js';
import { CardReading } from '../../../lib/gpu/drm/card.js';
import { busiest, type CardContext, type CardMeter, noComputeHolders, sum } from '../../../lib/gpu/drm/driver.js';
import { parseFdinfo } from '../../../lib/gpu/drm/fdinfo.js';
import type { DrmHolder } from '../../../lib/gpu/drm/processes.js';
import { intelCards } from '../../../lib/gpu/intel/cards.js';
import { gpuReason } from '../../../lib/gpu/reasons.js';
import type { KeptResult } from '../../../lib/io/file-reader.js';
import type { DrmClient } from '../../../lib/native/drm-clients.js';
import { fdinfo } from './fake-host.js';

const { EACCES, EBUSY, ENOENT } = constants.errno;

/** What the kernel has of KFD: text by path. */
type Tree = Readonly<Record<string, string>>;
const filesOf = (tree: Tree) =>
  ({
    list: async (paths: readonly string[]) =>
      paths.map((path) => {
        const names = Object.keys(tree).flatMap((each) =>
          each.startsWith(`${path}/`) ? [each.slice(path.length + 1).split('/')[0]!] : [],
        );
        return names.length === 0 ? ENOENT : [...new Set(names)].map((name) => ({ name, isDirectory: true }));
      }),
    read: async (paths: readonly string[]) => paths.map((path) => (path in tree ? Buffer.from(tree[path]!) : ENOENT)),
    readKept: async (paths: readonly string[]) => paths.map((path) => tree[path] ?? ENOENT),
    pids: async (paths: readonly string[]) => paths.map(() => new Map()),
  }) as never;

const amdCard = (tree: Tree = {}, pdev = '0000:63:00.0') => {
  const cards = amdCards.openCards(filesOf(tree), '/sys');
  return { cards, meter: cards.open({ driver: 'amdgpu', pdev, pciId: '1002:7550' }) };
};
const intelCard = (pdev = '0000:6b:00.0') =>
  intelCards.openCards(filesOf({}), '/sys').open({ driver: 'xe', pdev, pciId: '8086:e211' });

const quiet: CardContext = { atMs: 5000, holders: [], computeHolders: [], incomplete: null };
const measured = (meter: CardMeter, files: Readonly<Record<string, KeptResult>>, context: Partial<CardContext> = {}) =>
  meter.measure(new CardReading(new Map(Object.entries(files)), []), { ...quiet, ...context });

/** Engines of one client: how busy each was. */
const client = (use: Readonly<Record<string, number>> | null): DrmHolder['clients'][number] => ({
  client: {} as DrmClient,
  use: use === null ? null : ({ engines: Object.keys(use), percents: Float64Array.from(Object.values(use)) } as never),
});
const holder = (...uses: readonly Parameters<typeof client>[0][]): DrmHolder => ({
  pid: 71,
  clients: uses.map(client),
});
const clientOf = (driver: 'amdgpu' | 'xe' | 'i915', lines: Readonly<Record<string, string>>) =>
  parseFdinfo(fdinfo({ driver, pdev: '0000:63:00.0', id: 3, lines })) as DrmClient;

describe('what is added of several', () => {
  it('of engines the busiest, over all clients', () => {
    expect(busiest([])).toBe(0);
    expect(busiest([holder({ gfx: 12, compute: 31, dma: 4 })])).toBe(31);
    expect(busiest([holder({ gfx: 12 }, { gfx: 13, dma: 24 })])).toBe(25);
    expect(busiest([holder({ gfx: 12 }, null)])).toBeNull();
    expect(busiest([holder({ gfx: 140 })])).toBe(100);
    expect(busiest([holder({ gfx: Number.NaN, dma: 4 })])).toBe(4);
    expect(busiest([holder(null)])).toBeNull();
    expect(busiest([holder({ gfx: 12 }, { gfx: 13, dma: 24 }), holder({ gfx: Number.NaN })])).toBe(25);
    expect(busiest([holder({ gfx: 70 }), holder({ gfx: 70 })])).toBe(100);
    expect(busiest([holder({ gfx: 70 }), holder({ gfx: 1 }, null)])).toBeNull();
    expect(busiest([holder({ gfx: 9 }, {})])).toBe(9);
  });

  it('of figures the sum, or the first reason', () => {
    const [one, other] = [gpuReason('timeout'), gpuReason('lost')];
    expect(sum({ value: 3 }, { value: 4 })).toEqual({ value: 7 });
    expect(sum({ reason: one }, { reason: other })).toEqual({ reason: one });
    expect(sum({ value: 3 }, { reason: other })).toEqual({ reason: other });
    expect(sum({ reason: one }, { value: 4 })).toEqual({ reason: one });
  });
});

describe('figures of a card of AMD', () => {
  const discrete = { 'device/gpu_metrics': 'xx\u0001\u0003' };
  const of = (files: Readonly<Record<string, KeptResult>>, context: Partial<CardContext> = {}) =>
    measured(amdCard().meter, { ...discrete, ...files }, context);

  it('are what its files say', () => {
    const found = of({
      ...{ 'device/mem_info_vram_total': '1000', 'device/mem_info_vram_used': '400', 'device/mem_info_gtt_used': '7' },
      ...{ 'device/gpu_busy_percent': '61', 'device/mem_busy_percent': '22', 'hwmon/temp1_input': '-4500' },
      ...{ 'hwmon/power1_average': '150500000', 'hwmon/power1_cap': '220000000', 'hwmon/freq1_input': '1750000000' },
      ...{ 'hwmon/fan1_input': '1201', 'hwmon/fan1_max': '3000', 'device/product_name': ' Radeon\u00a0Pro W7900 \n' },
    });
    expect(found).toMatchObject({
      name: 'RadeonPro W7900',
      computeCapability: '',
      values: {
        ...{ memoryTotalBytes: 1000, memoryUsedBytes: 400, utilizationPercent: 61, memoryBusPercent: 22 },
        ...{ temperatureCelsius: -4.5, powerWatts: 150.5, powerLimitWatts: 220, smClockMhz: 1750, fanPercent: 40 },
        migMode: false,
      },
      reasons: { throttleReasons: { name: 'notSupported' }, lastXid: { name: 'notSupported' } },
    });
    expect(Object.keys(found.reasons).sort()).toEqual(['eccUncorrected', 'lastXid', 'throttleReasons']);
  });

  it('come from the second sensor where it lacks the first', () => {
    const { values } = of({ 'hwmon/temp2_input': '71000', 'hwmon/power1_input': '9000000' });
    expect(values).toMatchObject({ temperatureCelsius: 71, powerWatts: 9 });
  });

  it.each([
    ['0', '3000', 0, undefined],
    ['1200', '0', undefined, undefined],
    [EACCES, '3000', undefined, 'noPermission'],
    ['1200', EBUSY, undefined, 'notReady'],
    [EACCES, EBUSY, undefined, 'noPermission'],
  ] as const)('the fan: %j of %j is %j %% (%s)', (fan, most, percent, reason) => {
    const { values, reasons } = of({ 'hwmon/fan1_input': fan, 'hwmon/fan1_max': most });
    expect([values.fanPercent, reasons.fanPercent?.name]).toEqual([percent, reason]);
  });

  it.each([
    ['\u0001', {}, false],
    ['\u0002', {}, true],
    ['\u0003', {}, true],
    [null, {}, true],
    [null, { 'device/mem_busy_percent': '1' }, false],
    [null, { 'hwmon/fan1_input': '1' }, false],
    [null, { 'hwmon/power1_cap': '1' }, false],
    [null, { 'hwmon/power1_cap': EBUSY }, false],
  ] as const)('an APU by format %j and %j: %s', (format, files, isApu) => {
    const { meter } = amdCard();
    expect(meter.unifiedMemory).toBe(false);
    const memory = { 'device/mem_info_vram_total': '100', 'device/mem_info_gtt_total': '20' };
    const metrics = format === null ? {} : { 'device/gpu_metrics': `ab${format}` };
    expect(measured(meter, { ...memory, ...metrics, ...files }).values.memoryTotalBytes).toBe(isApu ? 120 : 100);
    expect(meter.unifiedMemory).toBe(isApu);
  });

  it('an APU by the cores that KFD says it has, also before it was read', async () => {
    const at = '/sys/class/kfd/kfd/topology/nodes/1';
    const properties = (cores: number) =>
      `cpu_cores_count ${cores}\nsimd_count 8\nlocation_id ${0x6300}\ndomain 0\ngfx_target_version 110501\n`;
    for (const [cores, isApu] of [
      [16, true],
      [0, false],
    ] as const) {
      const { cards, meter } = amdCard({ [`${at}/gpu_id`]: '41\n', [`${at}/properties`]: properties(cores) });
      await cards.computeHolders();
      expect(meter.unifiedMemory).toBe(isApu);
      const { computeCapability } = measured(meter, discrete);
      expect([computeCapability, meter.unifiedMemory]).toEqual(['gfx1151', isApu]);
    }
  });

  it('memory of a client is VRAM, of an APU with what it reaches beside it', () => {
    const { meter } = amdCard();
    const both = clientOf('amdgpu', { 'drm-memory-vram': '100 KiB', 'drm-memory-gtt': '20 KiB' });
    const vram = clientOf('amdgpu', { 'drm-memory-vram': '100 KiB' });
    const gtt = clientOf('amdgpu', { 'drm-memory-gtt': '20 KiB' });
    const neither = clientOf('amdgpu', {});
    measured(meter, discrete);
    expect([both, vram, gtt, neither].map((each) => meter.bytesOf(each))).toEqual([102_400, 102_400, null, null]);
    measured(meter, { 'device/gpu_metrics': 'xx\u0003' });
    expect([both, vram, gtt, neither].map((each) => meter.bytesOf(each))).toEqual([122_880, 102_400, 20_480, null]);
  });

  it.each<[string, Readonly<Record<string, KeptResult>>, number | undefined, string | undefined]>([
    ['no part', {}, undefined, 'notSupported'],
    ['one part', { umc: 'ue: 3\nce: 1' }, 3, undefined],
    ['two parts', { umc: 'ue: 3\nce: 1', gfx: 'ue: 4' }, 7, undefined],
    ['a part that has none', { umc: 'ue: 3', gfx: 524 }, 3, undefined],
    ['only parts that have none', { gfx: 524 }, undefined, 'notSupported'],
    ['a part that is not known', { umc: 'ue: 3', gfx: EACCES }, undefined, 'noPermission'],
  ])('uncorrected errors of %s', (_what, parts, count, reason) => {
    const files = Object.fromEntries(
      Object.entries(parts).map(([part, text]) => [`device/ras/${part}_err_count`, text] as const),
    );
    const { values, reasons } = of(files);
    expect([values.eccUncorrected, reasons.eccUncorrected?.name]).toEqual([count, reason]);
  });

  it.each([
    ['Instinct', 'Instinct'],
    [' \u0007\n', 'AMD GPU 1002:7550'],
    ['n'.repeat(81), 'n'.repeat(80)],
    [EACCES, 'AMD GPU 1002:7550'],
  ] as const)('the name %j is %j', (product, name) => {
    expect(of({ 'device/product_name': product }).name).toBe(name);
  });

  it('without a number of its own it is called AMD GPU', () => {
    const meter = amdCards.openCards(filesOf({}), '/sys').open({ driver: 'amdgpu', pdev: '0000:63:00.0', pciId: '' });
    expect(measured(meter, discrete).name).toBe('AMD GPU');
  });

  it.each([
    ['SPX', 'NPS1', '', false],
    ['CPX', 'NPS4', ', CPX/NPS4', true],
    ['DPX', 'NPS', ', DPX', true],
    ['TPX', 'xNPS4', ', TPX', true],
    ['QPX', EACCES, ', QPX', true],
    ['CPX', 'NPS44', ', CPX', true],
    ['UNKNOWN', 'NPS1', '', undefined],
    ['cpx', 'NPS1', '', undefined],
    ['A CPX', 'NPS1', '', undefined],
    ['CPX 1', 'NPS1', '', undefined],
  ] as const)('cut into %j/%j it is called%j', (compute, memory, suffix, isCut) => {
    const files = { 'device/current_compute_partition': compute, 'device/current_memory_partition': memory };
    const { name, values } = of({ 'device/product_name': 'MI300', ...files });
    expect([name, values.migMode]).toEqual([`MI300${suffix}`, isCut]);
  });

  it.each([
    [524, false, undefined],
    [EACCES, undefined, 'noPermission'],
  ])('where its partition fails with %i', (errno, migMode, reason) => {
    const { name, values, reasons } = of({
      ...{ 'device/product_name': 'MI300', 'device/current_compute_partition': errno },
    });
    expect([name, values.migMode, reasons.migMode?.name]).toEqual(['MI300', migMode, reason]);
  });

  describe('that it is fully used', () => {
    const busy = { ...discrete, 'device/gpu_busy_percent': '100' };
    const still = { holders: [holder({ gfx: 0 })] };
    /** The utilization of each reading in turn. */
    const all = (...readings: readonly (readonly [object, Partial<CardContext>])[]) => {
      const { meter } = amdCard();
      return readings.map(([files, context]) => {
        const { values, reasons } = measured(meter, files as typeof busy, context);
        return values.utilizationPercent ?? reasons.utilizationPercent?.code;
      });
    };
    const suspect = 'UTILIZATION_SUSPECT';

    it('beside engines that stand still is believed once', () => {
      expect(all([busy, still], [busy, still], [busy, still])).toEqual([100, suspect, suspect]);
      expect(all([busy, still], [busy, { holders: [holder({ gfx: 2 })] }], [busy, still])).toEqual([100, 100, 100]);
      const less = { ...busy, 'device/gpu_busy_percent': '99' };
      expect(all([busy, still], [less, still], [busy, still], [busy, still])).toEqual([100, 99, 100, suspect]);
      expect(all([busy, {}], [busy, {}])).toEqual([100, suspect]);
    });

    it.each<[string, Partial<CardContext>, unknown]>([
      ['all processes are not seen', { ...still, incomplete: gpuReason('noPermission') }, 100],
      ['ROCm holds memory', { ...still, computeHolders: [{ pid: 5, bytes: 4096 }] }, 100],
      ['ROCm may hold memory', { ...still, computeHolders: [{ pid: 5, bytes: null }] }, 100],
      ['ROCm has opened it', { ...still, computeHolders: [{ pid: 5, bytes: 0 }] }, suspect],
      ['engines are not known yet', { holders: [holder(null)] }, 100],
    ])('is believed or not where %s', (_why, context, expected) => {
      expect(all([busy, context], [busy, context])[1]).toBe(expected);
    });
  });
});

describe('figures of a card of Intel', () => {
  it('are what its files say, and how busy its clients are', () => {
    const meter = intelCard();
    const files = {
      ...{ 'device/tile0/physical_vram_size_bytes': '600', 'device/tile1/physical_vram_size_bytes': '400' },
      ...{ 'device/tile0/gt0/freq0/act_freq': '2100', 'hwmon/temp2_input': '-2500', 'hwmon/power1_max': '190000000' },
    };
    const found = measured(meter, files, { holders: [holder({ ccs: 37 })] });
    expect(found).toMatchObject({
      name: 'Intel GPU 8086:e211',
      computeCapability: '',
      values: {
        ...{ memoryTotalBytes: 1000, utilizationPercent: 37, temperatureCelsius: -2.5, powerLimitWatts: 190 },
        ...{ smClockMhz: 2100, migMode: false },
      },
      reasons: {
        memoryUsedBytes: { name: 'driverTooOld', text: expect.stringContaining('clients hold') },
        throttleReasons: { name: 'notSupported' },
        lastXid: { name: 'notSupported' },
      },
    });
    expect(meter.unifiedMemory).toBe(false);
  });

  it('of an integrated one have no memory of its own', () => {
    const meter = intelCard('0000:00:02.0');
    const found = measured(meter, { 'device/tile0/physical_vram_size_bytes': '600' });
    expect([found.name, meter.unifiedMemory]).toEqual(['Intel integrated GPU 8086:e211', true]);
    expect(found.reasons).toMatchObject({
      memoryTotalBytes: { name: 'notSupported' },
      memoryUsedBytes: { name: 'notSupported' },
    });
  });

  it.each([
    [{ tile0: '600' }, 600, undefined],
    [{ tile1: '400' }, 400, undefined],
    [{ tile0: '600', tile1: EACCES }, undefined, 'noPermission'],
    [{}, undefined, 'driverTooOld'],
  ] as const)('memory of tiles %j', (tiles, total, reason) => {
    const files = Object.fromEntries(
      Object.entries(tiles).map(([tile, text]) => [`device/${tile}/physical_vram_size_bytes`, text] as const),
    );
    const { values, reasons } = measured(intelCard(), files);
    expect([values.memoryTotalBytes, reasons.memoryTotalBytes?.name]).toEqual([total, reason]);
  });

  it('its utilization is not known without an earlier reading, or without all processes', () => {
    const of = (context: Partial<CardContext>) => measured(intelCard(), {}, context).reasons.utilizationPercent;
    expect(of({ holders: [holder(null)] })).toMatchObject({ name: 'notReady' });
    const incomplete = gpuReason('noPermission');
    expect(of({ holders: [holder({ ccs: 5 })], incomplete })).toBe(incomplete);
    expect(measured(intelCard(), {}).values.utilizationPercent).toBe(0);
  });

  it('its power is what it used since the reading before', () => {
    const meter = intelCard();
    const at = (atMs: number, one: KeptResult, two: KeptResult = ENOENT) => {
      const files = { 'hwmon/energy1_input': one, 'hwmon/energy2_input': two };
      const { values, reasons } = measured(meter, files, { atMs });
      return values.powerWatts ?? reasons.powerWatts?.name;
    };
    expect(at(1000, '5000000')).toBe('notReady');
    expect(at(3000, '65000000')).toBe(30);
    expect(at(3000, '66000000')).toBe('notReady');
    expect(at(4000, '66000000')).toBe(0);
    expect(at(5000, '1000000')).toBe('notReady');
    expect(at(6000, '8000000')).toBe(7);
    expect(at(7000, EBUSY, '9000000')).toBe('notReady');
    expect(at(8000, EBUSY, '19000000')).toBe(10);
    expect(at(9000, EACCES, EBUSY)).toBe('noPermission');
    expect(at(9500, ENOENT)).toBe('notSupported');
  });

  it('memory of a client is that of the card, or of the host where the card has none', () => {
    const of = (pdev: string | undefined, lines: Readonly<Record<string, string>>) =>
      intelCard(pdev).bytesOf(clientOf('i915', lines));
    const lines = {
      ...{ 'drm-resident-local0': '100 KiB', 'drm-resident-vram1': '30 KiB', 'drm-resident-system0': '7 KiB' },
      ...{ 'drm-resident-gtt': '2 KiB', 'drm-resident-stolen-system0': '1 KiB', 'drm-resident-localx': '9 KiB' },
    };
    expect(of(undefined, lines)).toBe(130 * 1024);
    expect(of('0000:00:02.0', lines)).toBe(10 * 1024);
    expect(of(undefined, { 'drm-resident-system0': '7 KiB' })).toBeNull();
    expect(of('0000:00:02.0', { 'drm-resident-local0': '7 KiB' })).toBeNull();
  });

  it('no process is known by an interface of its own', async () => {
    expect(await intelCards.openCards(filesOf({}), '/sys').computeHolders()).toBe(noComputeHolders);
  });
});
