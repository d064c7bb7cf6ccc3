import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { report } from '../../lib/cli/doctor-report.js';
import { RequestError } from '../../lib/client/client.js';
import { examine } from '../../lib/doctor/examine.js';
import type { Finding, Status } from '../../lib/doctor/finding.js';
import { type Host, runTool, type ToolResult } from '../../lib/doctor/host.js';
import { checkQueen } from '../../lib/doctor/queen.js';
import { moduleVersion } from '../../lib/gpu/nvidia/doctor.js';
import type { GpuReading } from '../../lib/gpu/reading.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { settledHeartbeat } from './fleet.js';

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

const hostPidNamespace = 'pid:[4026531836]';
const tool = (changes: Partial<ToolResult>): ToolResult => ({
  exitCode: 0,
  output: '',
  missing: false,
  timedOut: false,
  ...changes,
});
const missingTool = tool({ exitCode: null, missing: true });

/** Links and files by path; a text that begins with `->` is a link. `MOUNT` in a text stands for the directory of the host. */
type Tree = Readonly<Record<string, string | null>>;

const mountinfo =
  '24 30 0:22 / /proc rw,nosuid - proc proc rw\n30 24 0:26 / MOUNT/sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
const soundTree: Tree = {
  '/proc/sys/kernel/osrelease': '6.1.0-28-amd64\n',
  '/proc/self/mountinfo': mountinfo,
  '/proc/self/cgroup': '0::/system.slice/hivepulse-hive.service\n',
  '/proc/self/limits':
    'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n',
  '/proc/self/ns/pid': `->${hostPidNamespace}`,
  '/proc/pressure/cpu': 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory hugetlb pids rdma misc\n',
  '/run/systemd/system/.keep': '',
};

const openModule =
  'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder@U16-I1-N07-12-3)\nGCC version:\n';
const closedModule = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n';

const gpuTree: Tree = {
  ...soundTree,
  '/sys/bus/pci/devices/0000:17:00.0/vendor': '0x10de\n',
  '/sys/bus/pci/devices/0000:17:00.0/class': '0x030200\n',
  '/sys/bus/pci/devices/0000:00:1f.3/vendor': '0x8086\n',
  '/sys/bus/pci/devices/0000:00:1f.3/class': '0x040300\n',
  '/proc/driver/nvidia/version': closedModule,
  '/dev/nvidiactl': '',
  '/dev/nvidia0': '',
  '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.104.05': '',
  '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1': '->libnvidia-ml.so.535.104.05',
};

const amdCard: Tree = {
  '/sys/bus/pci/devices/0000:03:00.0/vendor': '0x1002\n',
  '/sys/bus/pci/devices/0000:03:00.0/class': '0x030000\n',
};
const amdDriven: Tree = {
  ...amdCard,
  '/sys/class/drm/card0/device/uevent': 'DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0\n',
};

const { gpus } = settledHeartbeat({ id: 'doctor', seed: 4, workers: 0, gpus: 2 });
const working: GpuReading = {
  reader: 'nvml',
  reason: null,
  ageMs: 10,
  status: 'working',
  devices: gpus.map((gpu) => ({ ...gpu, processesKnown: true })),
  processes: [],
  faults: [],
};

/** As in a container that somebody else started. */
const containerTree: Tree = {
  ...soundTree,
  '/proc/self/mountinfo': mountinfo.replaceAll('rw,nosuid shared:9', 'ro,nosuid shared:9'),
  '/proc/self/cgroup': '0::/\n',
  '/proc/1/cgroup': '0::/\n',
  '/proc/self/ns/pid': '->pid:[4026532451]',
  '/proc/self/status': 'Name:\tnode\nCapEff:\t00000000a80425fb\n',
};

interface Broken {
  readonly tree?: Tree;
  readonly tools?: Readonly<Record<string, ToolResult>>;
  readonly host?: Partial<Host>;
}

/** A host made of files, sound but for what is given. */
function hostOf({ tree = soundTree, tools = {}, host = {} }: Broken): Host {
  const root = mkdtempSync(join(tmpdir(), 'hivepulse-doctor-'));
  directories.push(root);
  for (const [path, text] of Object.entries(tree)) {
    if (text === null) continue;
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    if (text.startsWith('->')) symlinkSync(text.slice(2), file);
    else writeFileSync(file, text.replaceAll('MOUNT', root));
  }
  const known: Readonly<Record<string, ToolResult>> = { timedatectl: tool({ output: 'yes\n' }), ...tools };
  return {
    platform: 'linux',
    arch: 'x64',
    uid: 0,
    root,
    run: async (file) => known[file] ?? missingTool,
    addonReason: async () => null,
    readGpus: async () => working,
    ...host,
  };
}

const sound = (tree: Tree = {}, host: Partial<Host> = {}): Broken => ({ tree: { ...soundTree, ...tree }, host });
const withGpu = (tree: Tree = {}, host: Partial<Host> = {}): Broken => ({ tree: { ...gpuTree, ...tree }, host });
const withSmi = (changes: Partial<ToolResult>): Broken => ({ tree: gpuTree, tools: { 'nvidia-smi': tool(changes) } });
const failed = (reason: string): Partial<Host> => ({
  readGpus: async () => ({ ...working, status: 'failed', devices: [], reason }),
});
const mismatched = withGpu({ '/proc/driver/nvidia/version': openModule }, failed('mismatch'));

const look = (broken: Broken): Promise<Finding[]> => examine(hostOf(broken));
const the = (findings: readonly Finding[], check: string): Finding => {
  const found = findings.filter((finding) => finding.check === check);
  expect(found, `one finding of ${check}`).toHaveLength(1);
  return found[0] as Finding;
};
const statuses = (findings: readonly Finding[], status: Status): string[] =>
  findings.filter((finding) => finding.status === status).map(({ check }) => check);

describe('doctor: sound hosts', () => {
  test('a host without GPUs is all ok', async () => {
    const findings = await look({});
    expect(statuses(findings, 'warn')).toEqual([]);
    expect(statuses(findings, 'fail')).toEqual([]);
    expect(the(findings, 'gpu').message).toMatch(/no NVIDIA, AMD or Intel GPU/);
  });

  test('a host with GPUs is all ok', async () => {
    const findings = await look(withSmi({ output: '0\n1\n' }));
    expect(statuses(findings, 'warn')).toEqual([]);
    expect(statuses(findings, 'fail')).toEqual([]);
    expect(the(findings, 'nvml').message).toMatch(/tells of 2 GPUs/);
    expect(the(findings, 'nvidiaSmi').message).toMatch(/2 GPUs/);
  });

  test('a container that somebody else started is named, with what each missing right costs', async () => {
    const { status, message } = the(await look({ tree: containerTree }), 'place');
    expect(status).toBe('warn');
    expect(message).toMatch(/^A container without cgroup rights, on a rented machine or a pod: /);
    for (const cost of ['limits, throttling', 'how much of a GPU', 'CAP_SYS_PTRACE (I/O', 'CAP_SYS_ADMIN (whether'])
      expect(message).toContain(cost);
    const all = {
      ...containerTree,
      '/proc/self/status': 'CapEff:\t000001ffffffffff\n',
      '/proc/1/cgroup': '0::/../x\n',
    };
    const withRights = the(await look({ tree: all }), 'place').message;
    expect(withRights).not.toContain('CAP_SYS');
    expect(withRights).toContain('the cgroup of the first process');
    expect((await look({})).filter(({ check }) => check === 'place')).toEqual([]);
  });

  test('cards of two vendors are both spoken of', async () => {
    const findings = await look({ ...withSmi({ output: '0\n1\n' }), tree: { ...gpuTree, ...amdDriven } });
    expect(statuses(findings, 'fail')).toEqual([]);
    expect(the(findings, 'nvml').status).toBe('ok');
    expect(the(findings, 'gpuAMD').message).toBe('amdgpu drives 1 AMD GPU.');
  });

  test('whatever is not ok comes with a fix', async () => {
    for (const broken of [{ tree: {} }, withGpu({ '/dev/nvidiactl': null }), { host: { uid: 1000 } }]) {
      for (const { status, fix, check } of await look(broken)) {
        if (status === 'ok') expect(fix, check).toBeNull();
        else expect(fix, check).toBeTruthy();
      }
    }
  });
});

const v1 = '31 30 0:27 / MOUNT/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n';
const mounts = (from: string, to: string) => ({ '/proc/self/mountinfo': mountinfo.replace(from, to) });
const hybrid = {
  '/proc/self/mountinfo': `${mountinfo}${v1}`,
  '/sys/fs/cgroup/cgroup.controllers': 'cpu io pids\n',
};
const files = (limit: string) => `Max open files            ${limit}                 ${limit}                 files\n`;
const lostOne = working.devices.map((gpu, i) => (i === 1 ? { ...gpu, health: 'lost' as const } : gpu));
const noDriver =
  "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n";
const otherVersion = 'Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.161\n';
const corrupted = 'WARNING: infoROM is corrupted at gpu 0000:67:00.0\n0\n1\n';

const hosts = {
  'no cgroup v2': sound({ '/proc/self/mountinfo': v1 }),
  'only a part of the tree (a container)': sound(mounts('0:26 / ', '0:26 /docker/abc ')),
  'controllers held by v1 (hybrid)': sound(hybrid),
  'controllers not delegated': sound({ '/sys/fs/cgroup/cgroup.controllers': 'memory pids\n' }),
  'a read-only tree': sound(mounts('cgroup rw,nosuid', 'cgroup ro,nosuid')),
  'no right to make cgroups': sound({}, { uid: 65534 }),
  'no user manager': sound({}, { uid: 65534 }),
  'no pressure': sound({ '/proc/pressure/cpu': null }),
  'pressure switched off': sound({ '/proc/pressure/cpu': '' }),
  'an old kernel': sound({ '/proc/sys/kernel/osrelease': '5.4.0-150-generic\n' }),
  'a kernel without memory.peak': sound({ '/proc/sys/kernel/osrelease': '5.15.0\n' }),
  'a pid namespace': sound({ '/proc/self/ns/pid': '->pid:[4026532281]' }),
  'hidden processes': sound(mounts('proc proc rw', 'proc proc rw,hidepid=invisible'), { uid: 1000 }),
  'few descriptors': sound({ '/proc/self/limits': files('1024') }),
  'a clock that runs free': { tools: { timedatectl: tool({ output: 'no\n' }) } },
  'no addon': sound({}, { addonReason: async () => 'the addon could not be loaded (invalid ELF header)' }),
  'no kernel module': withGpu({ '/proc/driver/nvidia/version': null }),
  'a container without devices': withGpu({ '/dev/nvidiactl': null }),
  'no NVML': withGpu({ '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1': null }),
  'driver and library of different versions': mismatched,
  'a driver that hangs': withGpu({}, { readGpus: async () => null }),
  'a driver that fails': withGpu({}, failed('Driver Not Loaded')),
  'a GPU that is lost': withGpu({}, { readGpus: async () => ({ ...working, devices: lostOne }) }),
  'an AMD card without its driver': sound(amdCard),
  'an AMD driver that hangs': sound(amdDriven, { readGpus: async () => null }),
  'an AMD driver, and processes of others that may not be seen': sound(amdDriven, {
    readGpus: async () => ({ ...working, devices: working.devices.map((gpu) => ({ ...gpu, processesKnown: false })) }),
  }),
  'no nvidia-smi': withSmi(missingTool),
  'nvidia-smi that hangs': withSmi({ exitCode: null, timedOut: true }),
  'nvidia-smi without driver': withSmi({ exitCode: 9, output: noDriver }),
  'nvidia-smi of another version': withSmi({ exitCode: 18, output: otherVersion }),
  'nvidia-smi without devices': withSmi({ exitCode: 6, output: 'No devices were found\n' }),
  'nvidia-smi that warns and still answers': withSmi({ exitCode: 14, output: corrupted }),
} satisfies Record<string, Broken>;

/** The check, its status, its message and its fix. */
const expected: Record<keyof typeof hosts, readonly [string, Status, RegExp, RegExp]> = {
  'no cgroup v2': ['cgroup', 'fail', /Only cgroup v1/, /unified_cgroup_hierarchy=1/],
  'only a part of the tree (a container)': ['cgroup', 'warn', /only this container's part/, /--cgroupns=host/],
  'controllers held by v1 (hybrid)': [
    'controllers',
    'warn',
    /lacks memory\..*OOM kills.*cgroup v1 holds them/,
    /unified_cgroup_hierarchy=1/,
  ],
  'controllers not delegated': ['controllers', 'warn', /lacks cpu, io\./, /Delegate=yes/],
  'a read-only tree': ['rights', 'warn', /read-only/, /remount,rw/],
  'no right to make cgroups': ['rights', 'warn', /User 65534 may not create cgroups/, /run the hive as root/],
  'no user manager': ['systemd', 'warn', /no manager of its own/, /enable-linger/],
  'no pressure': ['pressure', 'warn', /this kernel has none/, /psi=1/],
  'pressure switched off': ['pressure', 'warn', /switched off/, /psi=1/],
  'an old kernel': ['kernel', 'warn', /no cgroup\.kill/, /5\.19/],
  'a kernel without memory.peak': ['kernel', 'warn', /memory\.peak/, /5\.19/],
  'a pid namespace': ['pidNamespace', 'warn', /namespace of its own/, /--pid=host/],
  'hidden processes': ['proc', 'warn', /hides the processes/, /hidepid=0/],
  'few descriptors': ['descriptors', 'warn', /Only 1024 files.*51 workers/, /LimitNOFILE=65536/],
  'a clock that runs free': ['clock', 'warn', /not synchronized/, /set-ntp true/],
  'no addon': ['addon', 'warn', /invalid ELF header/, /npm rebuild hivepulse/],
  'no kernel module': [
    'gpu',
    'fail',
    /1 NVIDIA GPU on the PCI bus, but the kernel module is not loaded/,
    /modprobe nvidia/,
  ],
  'a container without devices': ['gpuDevices', 'fail', /nvidiactl is missing/, /--gpus all/],
  'no NVML': ['nvml', 'fail', /nowhere/, /libnvidia-ml1/],
  'driver and library of different versions': [
    'driverMismatch',
    'fail',
    /module is 560\.35\.03, the library 535\.104\.05/,
    /reboot/,
  ],
  'a driver that hangs': ['nvml', 'fail', /has not answered for 20 s/, /nvidia-smi -pm 1/],
  'a driver that fails': ['nvml', 'fail', /NVML does not work: Driver Not Loaded/, /dmesg/],
  'a GPU that is lost': ['gpuHealth', 'fail', /GPU 1: lost/, /reboot/],
  'an AMD card without its driver': ['gpuAMD', 'fail', /1 AMD GPU .* no driver \(amdgpu\)/, /modprobe amdgpu/],
  'an AMD driver that hangs': ['gpuAMDFiles', 'fail', /give no answer/, /dmesg/],
  'an AMD driver, and processes of others that may not be seen': [
    'gpuAMDProcesses',
    'warn',
    /which processes of others hold AMD GPUs/,
    /CAP_SYS_PTRACE/,
  ],
  'no nvidia-smi': ['nvidiaSmi', 'warn', /not installed/, /apt-get install/],
  'nvidia-smi that hangs': ['nvidiaSmi', 'fail', /did not answer within 15 s/, /dmesg/],
  'nvidia-smi without driver': ['nvidiaSmi', 'fail', /cannot reach the driver/, /modprobe nvidia/],
  'nvidia-smi of another version': ['nvidiaSmi', 'fail', /different versions/, /reboot/],
  'nvidia-smi without devices': ['nvidiaSmi', 'fail', /no devices were found/, /dmesg/],
  'nvidia-smi that warns and still answers': [
    'nvidiaSmi',
    'warn',
    /2 GPUs, and ends with 14: WARNING: infoROM/,
    /nvidia-smi -q/,
  ],
};

describe('doctor: broken hosts', () => {
  test.each(Object.keys(hosts) as (keyof typeof hosts)[])('%s', async (name) => {
    const [check, status, message, fix] = expected[name];
    const finding = the(await look(hosts[name]), check);
    expect(finding.message).toMatch(message);
    expect(finding.status).toBe(status);
    expect(finding.fix).toMatch(fix);
  });

  test('devices that this user may not open', async () => {
    const host = hostOf({ tree: gpuTree, host: { uid: 1000 } });
    chmodSync(join(host.root, 'dev/nvidia0'), 0o000);
    const finding = the(await examine(host), 'gpuDevices');
    // Root may open everything; as another user the file is closed.
    expect(finding.status).toBe(process.getuid?.() === 0 ? 'ok' : 'fail');
  });

  test('a mismatch explains why NVML fails, and is said once', async () => {
    const findings = await look(mismatched);
    expect(findings.filter(({ check }) => check === 'nvml')).toEqual([]);
  });

  test.each([
    ['no timedatectl', missingTool],
    ['a container, where it finds no bus', tool({ exitCode: 1, output: 'System has not been booted with systemd\n' })],
    ['one that hangs', tool({ exitCode: null, timedOut: true })],
    ['an answer of another version', tool({ output: 'perhaps\n' })],
  ])('a clock that nobody tells of is not known, never ok: %s', async (_, timedatectl) => {
    const clock = the(await look({ tools: { timedatectl } }), 'clock');
    expect(clock.status).toBe('unknown');
    expect(clock.fix).toContain('chronyc tracking');
    const lines = report([clock], 200, false);
    expect(lines[0]).toMatch(/^\? clock {2}Whether/);
    expect(lines.at(-1)).toBe('0 ok, 1 unknown, 0 warnings, 0 failed');
  });

  test('a check that fails itself is a finding, and the others go on', async () => {
    const findings = await look({ host: { addonReason: () => Promise.reject(new Error('no such thing')) } });
    expect(the(findings, 'addon')).toMatchObject({ status: 'warn' });
    expect(the(findings, 'addon').message).toContain('no such thing');
    expect(the(findings, 'cgroup').status).toBe('ok');
  });

  test('an empty machine gives findings, not a crash', async () => {
    const findings = await look({ tree: {} });
    expect(the(findings, 'cgroup').status).toBe('fail');
    expect(findings.length).toBeGreaterThan(6);
  });

  test('another system than Linux is told of at once', async () => {
    const findings = await look({ host: { platform: 'darwin' } });
    expect(findings.map(({ check }) => check)).toEqual(['platform', 'addon']);
    expect(statuses(findings, 'fail')).toEqual([]);
  });

  test.each([
    [closedModule, '535.104.05'],
    [openModule, '560.35.03'],
    ['NVRM version: NVIDIA UNIX aarch64 Kernel Module  580.65  Release', '580.65'],
    ['', null],
    ['garbage\n', null],
  ])('the version of the module in %j', (text, version) => {
    expect(moduleVersion(text)).toBe(version);
  });
});

describe('doctor: the queen', () => {
  const fleet = async () => ({ hives: { online: 3, late: 1, offline: 0 } }) as never;
  const session = async () => ({ required: true, role: 'read' as const });
  const refuse = (status: number) => async () => {
    throw new RequestError('http://q/v1/fleet', status, null, null);
  };
  const silent = async () => {
    throw new HivepulseError('REQUEST_FAILED', 'http://q', 'http://q/v1/fleet cannot be reached: ECONNREFUSED.');
  };

  test('one that answers', async () => {
    expect(await checkQueen('http://q', { fleet, session }, true)).toMatchObject({
      status: 'ok',
      message: 'http://q answers as read: 3 hives online, 1 late, 0 offline.',
    });
  });
  test('one that refuses the token', async () => {
    expect(await checkQueen('http://q', { fleet: refuse(401), session }, true)).toMatchObject({
      status: 'fail',
      fix: expect.stringContaining('HIVEPULSE_TOKEN'),
    });
  });
  test('silence is a fault only where somebody named the address', async () => {
    expect((await checkQueen('http://q', { fleet: silent, session }, true)).status).toBe('fail');
    expect(await checkQueen('http://q', { fleet: silent, session }, false)).toMatchObject({
      status: 'warn',
      fix: expect.stringContaining('hivepulse up'),
    });
  });
});

describe('doctor: tools and report', () => {
  test('a tool that hangs is ended at its deadline', async () => {
    const began = performance.now();
    const result = await runTool('sleep', ['60'], 100);
    expect(result).toMatchObject({ exitCode: null, timedOut: true, missing: false });
    expect(performance.now() - began).toBeLessThan(5000);
  });
  test('a tool that is not there, and one that fails', async () => {
    expect(await runTool('hivepulse-no-such-tool', [], 1000)).toMatchObject({ missing: true, exitCode: null });
    expect(await runTool('sh', ['-c', 'echo out; echo err >&2; exit 9'], 5000)).toMatchObject({
      exitCode: 9,
      output: expect.stringContaining('err'),
    });
  });
  test('the report names each check, its fix below it, and the sum; nothing in it steers the terminal', () => {
    const lines = report(
      [
        { check: 'cgroup', status: 'ok', message: 'fine.', fix: null },
        { check: 'nvml', status: 'fail', message: 'bad \u001b[2J thing.', fix: 'reboot' },
      ],
      80,
      false,
    );
    expect(lines).toEqual([
      '● cgroup  fine.',
      '✕ nvml    bad ·[2J thing.',
      '          fix: reboot',
      '',
      '1 ok, 0 warnings, 1 failed',
    ]);
  });
});
