import { describe, expect, it } from 'vitest';
import { amdCards } from '../../../lib/gpu/amd/cards.js';
import { checkDrm } from '../../../lib/gpu/drm/doctor.js';
import { intelCards } from '../../../lib/gpu/intel/cards.js';
import type { GpuReading } from '../../../lib/gpu/reading.js';
import type { GpuCheckHost } from '../../../lib/gpu/vendor.js';
import { arcXe, FakeDrmHost, integrated, radeon } from './fake-host.js';
import { drmSource } from './sources.js';

/** Content by path; of a link where it leads. */
type Tree = Readonly<Record<string, string>>;

/** A host made of these files, whose cards are read as `readGpus` says. */
const hostOf = (tree: Tree, readGpus: () => Promise<GpuReading | null>): GpuCheckHost => ({
  uid: 1000,
  text: (path) => tree[path] ?? null,
  exists: (path) => path in tree,
  list: (path) => [
    ...new Set(
      Object.keys(tree).flatMap((each) =>
        each.startsWith(`${path}/`) ? each.slice(path.length + 1).split('/')[0]! : [],
      ),
    ),
  ],
  writable: () => false,
  realPath: (path) => tree[path] ?? null,
  run: async () => ({ exitCode: null, output: '', missing: true, timedOut: false }),
  readGpus,
});

const onBus = (slot: string, vendor: 'AMD' | 'Intel', driver?: string, kind = '0x030000'): Tree => ({
  [`/sys/bus/pci/devices/${slot}/vendor`]: `${{ AMD: '0x1002', Intel: '0x8086' }[vendor]}\n`,
  [`/sys/bus/pci/devices/${slot}/class`]: `${kind}\n`,
  ...(driver === undefined ? {} : { [`/sys/bus/pci/devices/${slot}/driver`]: `/sys/bus/pci/drivers/${driver}` }),
});
let cards = 0;
const driven = (slot: string, vendor: 'AMD' | 'Intel', driver: string): Tree => ({
  ...onBus(slot, vendor, driver),
  [`/sys/class/drm/card${cards++}/device/uevent`]: `DRIVER=${driver}\nPCI_SLOT_NAME=${slot}\n`,
});
const [first, second] = ['0000:03:00.0', '0000:44:00.0'];

/** What the readers say of a host with these cards. */
async function readingOf(...all: ConstructorParameters<typeof FakeDrmHost>): Promise<GpuReading> {
  using host = new FakeDrmHost(...all);
  using drm = drmSource(host);
  return await drm.next();
}
const asleep = () => readingOf([radeon(first), { ...radeon(second), runtimeStatus: 'suspended' }]);
const hidden = () => readingOf([integrated()]);
const arc = () => readingOf([arcXe('0000:07:00.0')]);
const one = () => readingOf([radeon(first)]);
const broken = async (): Promise<GpuReading> => ({
  ...(await one()),
  status: 'failed',
  devices: [],
  faults: [{ source: 'gpu', code: 'UNKNOWN_ERROR', message: 'EIO' }],
});
const blind = async (): Promise<GpuReading> => {
  const reading = await one();
  return { ...reading, devices: reading.devices.map((gpu) => ({ ...gpu, processesKnown: false })) };
};

describe('what the doctor says of hosts with cards of AMD and Intel', () => {
  const amd = driven(first, 'AMD', 'amdgpu');
  it.each<
    [
      string,
      typeof amdCards,
      Tree,
      () => Promise<GpuReading | null>,
      readonly (readonly [string, string, RegExp])[] | null,
    ]
  >([
    ['none at all', amdCards, {}, one, null],
    ['a card that works', amdCards, amd, one, [['gpuAMD', 'ok', /^amdgpu drives 1 AMD GPU\.$/]]],
    [
      'one of two that sleeps',
      amdCards,
      { ...amd, ...driven(second, 'AMD', 'amdgpu') },
      asleep,
      [['gpuAMD', 'ok', /^amdgpu drives 2 AMD GPUs\. 1 sleeps, and is not woken to be read\.$/]],
    ],
    [
      'an integrated GPU that nothing holds',
      intelCards,
      driven('0000:00:02.0', 'Intel', 'i915'),
      hidden,
      [['gpuIntel', 'ok', /^i915 drives 1 Intel GPU\. It is integrated.*--all-gpus/]],
    ],
    ['an integrated GPU without a driver', intelCards, onBus('0000:00:02.0', 'Intel'), one, null],
    [
      'an Arc beside it',
      intelCards,
      { ...onBus('0000:00:02.0', 'Intel'), ...driven('0000:07:00.0', 'Intel', 'xe') },
      arc,
      [['gpuIntel', 'ok', /^xe drives 1 Intel GPU\.$/]],
    ],
    ['a card of a virtual machine', amdCards, onBus(first, 'AMD', 'vfio-pci'), one, null],
    [
      'a card without a driver',
      intelCards,
      onBus('0000:07:00.0', 'Intel'),
      arc,
      [['gpuIntel', 'fail', /^1 Intel GPU on the PCI bus, but no driver \(i915 or xe\) is bound to it/]],
    ],
    [
      'a second card without one',
      amdCards,
      { ...amd, ...onBus(second, 'AMD', undefined, '0x120000') },
      one,
      [
        ['gpuAMD', 'ok', /drives 1 AMD GPU\.$/],
        ['gpuAMDDriver', 'warn', /^1 AMD GPU on the PCI bus, but no driver/],
      ],
    ],
    [
      'a driver that gives no answer',
      amdCards,
      amd,
      async () => null,
      [
        ['gpuAMD', 'ok', /drives 1/],
        ['gpuAMDFiles', 'fail', /give no answer/],
      ],
    ],
    [
      'a driver whose files cannot be read',
      amdCards,
      amd,
      broken,
      [
        ['gpuAMD', 'ok', /drives 1/],
        ['gpuAMDFiles', 'fail', /cannot be read: EIO\.$/],
      ],
    ],
    [
      'a card of another vendor, and devices that are no cards',
      amdCards,
      {
        ...onBus('0000:0a:00.0', 'Intel', undefined),
        ...onBus('0000:0b:00.0', 'AMD', undefined, '0x0c0330'),
        ...onBus('0000:0c:00.0', 'AMD', undefined, '0x120100'),
        '/sys/bus/pci/devices/0000:0d:00.0/vendor': '0x1002\n',
      },
      one,
      null,
    ],
    [
      'connectors beside cards, and what is no card on PCI',
      amdCards,
      {
        ...amd,
        '/sys/class/drm/card9-DP-1/device/uevent': `DRIVER=amdgpu\nPCI_SLOT_NAME=${second}\n`,
        '/sys/class/drm/mycard9/device/uevent': `DRIVER=amdgpu\nPCI_SLOT_NAME=${second}\n`,
        '/sys/class/drm/card8/device/uevent': 'DRIVER=vkms\n',
        '/sys/class/drm/card7/dev': '226:7\n',
      },
      one,
      [['gpuAMD', 'ok', /^amdgpu drives 1 AMD GPU\.$/]],
    ],
    [
      'card 12 of another driver of the vendor',
      intelCards,
      { '/sys/class/drm/card12/device/uevent': `DRIVER=xe\nPCI_SLOT_NAME=${second}\n` },
      arc,
      [['gpuIntel', 'ok', /^xe drives 1 Intel GPU\.$/]],
    ],
    [
      'two cards without a driver, of which one was given to a driver of another name',
      amdCards,
      {
        ...onBus(first, 'AMD', 'vfio-pci-other'),
        ...onBus(second, 'AMD', 'vfio_pci'),
        ...onBus('0000:45:00.0', 'AMD'),
      },
      one,
      [['gpuAMD', 'fail', /^2 AMD GPUs on the PCI bus, but no driver \(amdgpu\) is bound to them/]],
    ],
    [
      'files that give no answer',
      amdCards,
      amd,
      async () => ({ ...(await one()), status: 'stalled' as const, devices: [] }),
      [
        ['gpuAMD', 'ok', /drives 1/],
        ['gpuAMDFiles', 'fail', /give no answer/],
      ],
    ],
    [
      'a card that sleeps, whose processes are not known',
      amdCards,
      amd,
      async () => {
        const reading = await blind();
        return { ...reading, devices: reading.devices.map((gpu) => ({ ...gpu, health: 'suspended' as const })) };
      },
      [['gpuAMD', 'ok', /1 sleeps, and is not woken/]],
    ],
    [
      'processes of others that may not be seen',
      amdCards,
      amd,
      blind,
      [
        ['gpuAMD', 'ok', /drives 1/],
        ['gpuAMDProcesses', 'warn', /^User 1000 may not see/],
      ],
    ],
  ])('%s', async (_, driver, tree, read, expected) => {
    const findings = await checkDrm(driver, hostOf(tree, read));
    expect(findings?.map(({ check, status }) => [check, status]) ?? null).toEqual(
      expected?.map(([check, status]) => [check, status]) ?? null,
    );
    for (const [i, { status, message, fix }] of (findings ?? []).entries()) {
      expect(message).toMatch(expected![i]![2]);
      expect(fix === '').toBe(status === 'ok');
    }
  });

  it('has what was read with it, and the driver to load where there is none', async () => {
    const reading = await one();
    const [found] =
      (await checkDrm(
        amdCards,
        hostOf(amd, async () => reading),
      )) ?? [];
    expect(found?.reading).toBe(reading);
    const [silent] =
      (await checkDrm(
        amdCards,
        hostOf(amd, async () => null),
      )) ?? [];
    expect(silent).not.toHaveProperty('reading');
    const [lacking] = (await checkDrm(intelCards, hostOf(onBus('0000:07:00.0', 'Intel'), arc))) ?? [];
    expect(lacking?.fix).toContain('modprobe xe;');
  });
});
