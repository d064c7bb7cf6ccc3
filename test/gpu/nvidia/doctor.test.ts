import { describe, expect, it } from 'vitest';
import { checkNvidia, moduleVersion } from '../../../lib/gpu/nvidia/doctor.js';
import type { GpuReading } from '../../../lib/gpu/reading.js';
import type { GpuCheckHost } from '../../../lib/gpu/vendor.js';

/** Text by path; of a link where it leads. */
type Tree = Readonly<Record<string, string>>;

const working = (devices: number): GpuReading =>
  ({
    reader: 'nvml',
    reason: null,
    ageMs: 3,
    status: 'working',
    devices: Array(devices).fill({}),
    processes: [],
    faults: [],
  }) as never;

type Run = Awaited<ReturnType<GpuCheckHost['run']>>;
const ran = (changes: Partial<Run> = {}): Run => ({
  ...{ exitCode: 0, output: '0\n1\n2\n', missing: false, timedOut: false },
  ...changes,
});

interface Seen {
  readonly tree: Tree;
  readonly reading?: GpuReading | null;
  readonly run?: Run;
  readonly closed?: readonly string[];
}

const asked: unknown[][] = [];

const hostOf = ({ tree, reading = working(3), run = ran(), closed = [] }: Seen): GpuCheckHost => ({
  uid: 1717,
  text: (path) => tree[path] ?? null,
  exists: (path) => Object.keys(tree).some((each) => each === path || each.startsWith(`${path}/`)),
  list: (path) => [
    ...new Set(
      Object.keys(tree).flatMap((each) =>
        each.startsWith(`${path}/`) ? each.slice(path.length + 1).split('/')[0]! : [],
      ),
    ),
  ],
  writable: (path) => !closed.includes(path),
  realPath: (path) => tree[path] ?? null,
  run: async (...what) => {
    asked.push(what);
    return run;
  },
  readGpus: async (...what) => {
    asked.push(what);
    return reading;
  },
});

const pci = (slot: string, vendor: string, kind: string): Tree => ({
  [`/sys/bus/pci/devices/${slot}/vendor`]: `${vendor}\n`,
  [`/sys/bus/pci/devices/${slot}/class`]: `${kind}\n`,
});
const [one, two] = ['0000:2a:00.0', '0000:2b:00.0'];
const version = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri May 31 09:35:42 UTC 2024\n';
const library = { '/usr/lib64/libnvidia-ml.so.1': '/usr/lib64/libnvidia-ml.so.550.90.07' };
const sound: Tree = {
  ...pci(one, '0x10de', '0x030200'),
  '/proc/driver/nvidia/version': version,
  '/dev/nvidiactl': '',
  '/dev/nvidia0': '',
  '/dev/nvidia12': '',
  '/dev/nvidia-uvm': '',
  '/dev/mynvidia3': '',
  ...library,
};
const without = (tree: Tree, ...paths: readonly string[]): Tree =>
  Object.fromEntries(Object.entries(tree).filter(([path]) => !paths.includes(path)));

const check = async (seen: Seen) => {
  asked.length = 0;
  return await checkNvidia(hostOf(seen));
};
const brief = async (seen: Seen) =>
  (await check(seen))?.map(({ check: name, status, message }) => [name, status, message]) ?? null;
const about = async (name: string, seen: Seen) => (await check(seen))?.find((each) => each.check === name);

describe('what the doctor says of NVIDIA', () => {
  it('a host on which all is well', async () => {
    expect(await check({ tree: sound })).toEqual([
      { check: 'gpu', status: 'ok', message: 'The driver is 550.90.07.', fix: '' },
      {
        check: 'gpuDevices',
        status: 'ok',
        message: '/dev/nvidiactl, /dev/nvidia0, /dev/nvidia12 may be used.',
        fix: '',
      },
      {
        check: 'nvml',
        status: 'ok',
        message: expect.stringMatching(/^NVML \(\/usr\/lib64\/libnvidia-ml\.so\.1\) .* of 3 GPUs\.$/),
        fix: '',
        reading: working(3),
      },
      { check: 'nvidiaSmi', status: 'ok', message: expect.stringMatching(/^nvidia-smi .* of 3 GPUs\.$/), fix: '' },
    ]);
    expect(asked).toEqual([[20_000], ['nvidia-smi', ['--query-gpu=index', '--format=csv,noheader'], 15_000]]);
  });

  it.each([
    ['nothing', {}, null],
    ['an audio device of NVIDIA', pci(one, '0x10de', '0x040300'), null],
    ['a display of another vendor', pci(one, '0x1a03', '0x030000'), null],
    ['a device without a class', { [`/sys/bus/pci/devices/${one}/vendor`]: '0x10de\n' }, null],
    ['a card without a driver', pci(one, '0x10de', '0x030000'), /^1 NVIDIA GPU on the PCI bus, but/],
    [
      'two cards without one',
      { ...pci(one, '0x10de', '0x030000'), ...pci(two, '0x10de', '0x030200') },
      /^2 NVIDIA GPUs on the PCI bus, but/,
    ],
  ])('without the kernel module: %s', async (_what, tree, message) => {
    const findings = await brief({ tree });
    expect(findings).toEqual(message === null ? null : [['gpu', 'fail', expect.stringMatching(message)]]);
    expect(asked).toEqual([]);
  });

  it('a Tegra has no module of that name; its library is looked for', async () => {
    const tegra = { '/sys/module/nvgpu/refcnt': '3\n' };
    expect(await brief({ tree: tegra })).toEqual([
      ['gpu', 'ok', expect.stringContaining('Tegra')],
      ['nvml', 'fail', expect.stringContaining('nowhere')],
    ]);
    expect(await brief({ tree: { ...tegra, ...library } })).toEqual([
      ['gpu', 'ok', expect.stringContaining('Tegra')],
      ['nvml', 'ok', expect.stringContaining('3 GPUs')],
    ]);
  });

  it('under WSL there are no device files, and no version of the driver', async () => {
    expect(await brief({ tree: { '/dev/dxg': '', ...library } })).toEqual([
      ['gpu', 'ok', 'GPUs come through WSL.'],
      ['nvml', 'ok', expect.stringContaining('3 GPUs')],
      ['nvidiaSmi', 'ok', expect.stringContaining('3 GPUs')],
    ]);
  });

  it('a driver whose version is not known is loaded', async () => {
    const seen = { tree: { ...sound, '/proc/driver/nvidia/version': 'NVRM version: Module development build\n' } };
    expect(await about('gpu', seen)).toMatchObject({ status: 'ok', message: 'The driver is loaded.' });
    expect(await about('driverMismatch', seen)).toBeUndefined();
  });

  it('device files that are missing, or may not be opened', async () => {
    const missing = await about('gpuDevices', { tree: without(sound, '/dev/nvidiactl') });
    expect(missing).toMatchObject({ status: 'fail', message: expect.stringContaining('/dev/nvidiactl is missing') });
    expect(missing?.fix).toContain('--gpus all');
    const closed = await about('gpuDevices', { tree: sound, closed: ['/dev/nvidia0', '/dev/nvidia12'] });
    expect(closed).toMatchObject({
      status: 'fail',
      message: 'User 1717 may not open /dev/nvidia0, /dev/nvidia12.',
      fix: expect.stringContaining('video'),
    });
  });

  it.each([
    ['/usr/lib64/libnvidia-ml.so.550.90.07', false],
    ['/usr/lib64/libnvidia-ml.so.550.90.12', true],
    ['/usr/lib64/libnvidia-ml.so.550.90', true],
    ['/usr/lib64/libnvidia-ml.so.1', false],
    ['/usr/lib64/libnvidia-ml.so.550.90.12.bak', false],
  ])('the library %s beside module 550.90.07: of different versions %s', async (path, isMismatch) => {
    const tree = { ...sound, '/usr/lib64/libnvidia-ml.so.1': path };
    const mismatch = await about('driverMismatch', { tree });
    expect(mismatch?.status).toBe(isMismatch ? 'fail' : undefined);
    if (isMismatch) expect(mismatch?.message).toContain(`is 550.90.07, the library ${path.split('.so.')[1]}:`);
    expect((await about('nvml', { tree }))?.status).toBe('ok');
  });

  it('that NVML does not work is explained by different versions; that it gives no answer is not', async () => {
    const tree = { ...sound, '/usr/lib64/libnvidia-ml.so.1': '/usr/lib64/libnvidia-ml.so.560.28.03' };
    const failed = { ...working(0), status: 'failed' as const, reason: 'version mismatch' };
    const names = async (reading: GpuReading | null) => (await check({ tree, reading }))?.map((each) => each.check);
    expect(await names(failed)).toEqual(['gpu', 'gpuDevices', 'driverMismatch', 'nvidiaSmi']);
    expect(await names(null)).toEqual(['gpu', 'gpuDevices', 'driverMismatch', 'nvml', 'nvidiaSmi']);
    expect((await check({ tree: sound, reading: failed }))?.map((each) => each.check)).toContain('nvml');
  });

  it.each([
    ['no answer', null, /has not answered for 20 s/, /nvidia-smi -pm 1/],
    [
      'a fault',
      { faults: [{ source: 'gpu', code: 'X', message: 'not loaded' }], reason: 'other' },
      /^NVML does not work: not loaded$/,
      /reboot/,
    ],
    ['a reason', { reason: 'no library' }, /^NVML does not work: no library$/, /reboot/],
    ['neither', {}, /^NVML does not work: it is stalled$/, /reboot/],
  ])('NVML that gives %s', async (_what, changes, message, fix) => {
    const reading = changes === null ? null : ({ ...working(0), status: 'stalled', ...changes } as GpuReading);
    expect(await about('nvml', { tree: sound, reading })).toMatchObject({
      status: 'fail',
      message: expect.stringMatching(message),
      fix: expect.stringMatching(fix),
    });
  });

  it.each<[string, Partial<Run>, string, string | RegExp, RegExp]>([
    ['is not there', { missing: true, exitCode: null, output: '' }, 'warn', /not installed/, /apt-get/],
    ['hangs', { timedOut: true, exitCode: null, output: '' }, 'fail', /did not answer within 15 s/, /dmesg/],
    ['lists one GPU', { output: ' 4 \n\n' }, 'ok', /^nvidia-smi .* of 1 GPU\.$/, /^$/],
    ['ends with 18', { exitCode: 18, output: '' }, 'fail', /different versions/, /reboot/],
    ['says that', { exitCode: 1, output: 'Driver/library version mismatch' }, 'fail', /different versions/, /reboot/],
    ['ends with 9', { exitCode: 9, output: 'x' }, 'fail', /cannot reach the driver/, /modprobe/],
    ['says that', { exitCode: 4, output: "couldn't communicate" }, 'fail', /cannot reach the driver/, /modprobe/],
    ['finds none', { output: 'No devices were found\n' }, 'fail', /no devices were found/, /reseat/],
    [
      'lists GPUs and warns',
      { exitCode: 14, output: 'WARNING: infoROM\n0\n1\n' },
      'warn',
      /^nvidia-smi .* of 2 GPUs, and ends with 14: WARNING: infoROM$/,
      /nvidia-smi -q/,
    ],
    ['says nothing', { exitCode: 0, output: '\n' }, 'fail', 'nvidia-smi ends with 0.', /dmesg/],
    ['is ended', { exitCode: null, output: '' }, 'fail', 'nvidia-smi ends with no code.', /dmesg/],
    [
      'says something else',
      { exitCode: 3, output: '\n what now\nGPU 0\n7 of 8\n' },
      'fail',
      'nvidia-smi ends with 3: what now.',
      /dmesg/,
    ],
  ])('nvidia-smi that %s', async (_what, changes, status, message, fix) => {
    expect(await about('nvidiaSmi', { tree: sound, run: ran(changes) })).toEqual({
      check: 'nvidiaSmi',
      status,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
      fix: expect.stringMatching(fix),
    });
  });

  it.each([
    [version, '550.90.07'],
    [
      'GCC version:  12.2.0\nNVRM version: NVIDIA UNIX Open Kernel Module for aarch64  565.57.01  Release\n',
      '565.57.01',
    ],
    ['NVRM version: NVIDIA UNIX x86_64 Kernel Module  430.50-beta  x\n', '430.50'],
    ['NVRM version: NVIDIA 1.2.3 UNIX x86_64 Kernel Module  418.87\n', '418.87'],
    ['NVRM version: Module of 64 bits\nGCC version:  12.2.0\n', null],
    ['', null],
  ])('the version of the kernel module in %j is %j', (text, expected) => {
    expect(moduleVersion(text)).toBe(expected);
  });
});
