import { plural } from '../present/sentences.js';
import { gpuHealthStyles, styleOf } from '../present/status.js';
import { type Finding, fail, ok, warn } from './finding.js';
import { allowed, exists, type Host, list, realPath, textOf } from './host.js';

const libraryDirectories = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/lib64',
  '/usr/lib',
  '/usr/lib/wsl/lib',
  '/usr/local/nvidia/lib64',
  '/run/opengl-driver/lib',
] as const;

const nvidiaVendor = '0x10de';

/** PCI devices of NVIDIA that are displays or accelerators (class 0x03....). */
function pciGpus(host: Host): string[] {
  return list(host, '/sys/bus/pci/devices').filter((slot) => {
    const directory = `/sys/bus/pci/devices/${slot}`;
    return (
      textOf(host, `${directory}/vendor`)?.trim() === nvidiaVendor &&
      textOf(host, `${directory}/class`)?.startsWith('0x03') === true
    );
  });
}

/** Version in `libnvidia-ml.so.535.104.05`, to which `libnvidia-ml.so.1` leads. */
function library(host: Host): { path: string; version: string | null } | null {
  for (const directory of libraryDirectories) {
    const path = `${directory}/libnvidia-ml.so.1`;
    const real = realPath(host, path);
    if (real !== null) return { path, version: /\.so\.(\d+\.\d+(?:\.\d+)?)$/.exec(real)?.[1] ?? null };
  }
  return null;
}

/** Version of the kernel module: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  ...`, also of the open one. */
export function moduleVersion(text: string): string | null {
  return /^NVRM version:.*Kernel Module(?: for \S+)?\s+(\d+\.\d+(?:\.\d+)?)/m.exec(text)?.[1] ?? null;
}

/** All about the driver, in the order in which its parts need each other; the first that is missing explains the rest. */
export async function checkGpus(host: Host): Promise<Finding[]> {
  const cards = pciGpus(host);
  const driver = textOf(host, '/proc/driver/nvidia/version');
  const wsl = exists(host, '/dev/dxg');
  if (driver === null && !wsl) {
    if (cards.length === 0)
      return [ok('gpu', 'There is no NVIDIA GPU here; CPU, memory and I/O are watched all the same.')];
    return [
      fail(
        'gpu',
        `${plural(cards.length, 'NVIDIA GPU')} on the PCI bus, but the kernel module is not loaded.`,
        'modprobe nvidia, or install the driver (Debian: apt-get install nvidia-driver) and reboot',
      ),
    ];
  }

  const findings: Finding[] = [
    ok('gpu', wsl ? 'GPUs come through WSL.' : `The driver is ${moduleVersion(driver ?? '') ?? 'loaded'}.`),
  ];
  if (!wsl) findings.push(checkDevices(host));
  const nvml = library(host);
  if (nvml === null) {
    findings.push(
      fail(
        'nvml',
        'libnvidia-ml.so.1 is nowhere: GPUs cannot be read directly.',
        'install the part of the driver that has it (Debian: apt-get install libnvidia-ml1; a container: NVIDIA_DRIVER_CAPABILITIES=utility)',
      ),
    );
  } else {
    const mismatch = checkVersions(moduleVersion(driver ?? ''), nvml.version);
    if (mismatch) findings.push(mismatch);
    findings.push(...(await checkNvml(host, nvml.path, mismatch !== null)));
  }
  findings.push(await checkNvidiaSmi(host));
  return findings;
}

function checkDevices(host: Host): Finding {
  const devices = list(host, '/dev').filter((name) => /^nvidia(\d+|ctl)$/.test(name));
  if (!devices.includes('nvidiactl')) {
    return fail(
      'gpuDevices',
      'The driver is loaded, but /dev/nvidiactl is missing.',
      'nvidia-modprobe -c 0 -u; in a container: start it with --gpus all (or the NVIDIA runtime)',
    );
  }
  const closed = devices.filter((name) => !allowed(host, `/dev/${name}`, 'write'));
  if (closed.length === 0) return ok('gpuDevices', `${devices.map((name) => `/dev/${name}`).join(', ')} may be used.`);
  return fail(
    'gpuDevices',
    `User ${host.uid} may not open ${closed.map((name) => `/dev/${name}`).join(', ')}.`,
    'usermod -aG video $USER, then log in anew; or run the hive as root',
  );
}

function checkVersions(module: string | null, nvml: string | null): Finding | null {
  if (module === null || nvml === null || module === nvml) return null;
  return fail(
    'driverMismatch',
    `The kernel module is ${module}, the library ${nvml}: the driver was upgraded without a restart, and answers nothing.`,
    'reboot; or stop all that uses GPUs and: rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && modprobe nvidia',
  );
}

async function checkNvml(host: Host, path: string, explained: boolean): Promise<Finding[]> {
  const reading = await host.readGpus(20_000);
  if (reading === null) {
    return [
      fail(
        'nvml',
        'NVML has not answered for 20 s: the driver is starting very slowly, or hangs.',
        'look for Xid or GSP time-outs: dmesg | grep -i nvrm; nvidia-smi -pm 1 keeps the driver awake',
      ),
    ];
  }
  if (reading.status !== 'working') {
    if (explained) return [];
    const why = reading.faults[0]?.message ?? reading.reason ?? `it is ${reading.status}`;
    return [
      fail(
        'nvml',
        `NVML does not work: ${why}`,
        'dmesg | grep -i nvrm says more; a reboot loads driver and library anew',
      ),
    ];
  }
  const sick = reading.devices.filter(({ health }) => health !== 'ok');
  const health = sick.map(({ index, health: state }) => {
    const status = styleOf(gpuHealthStyles, state);
    const make = state === 'degraded' || state === 'initializing' ? warn : fail;
    return make('gpuHealth', `GPU ${index} is ${status.word}.`, status.hint || 'nvidia-smi -q says more');
  });
  return [ok('nvml', `NVML (${path}) tells of ${plural(reading.devices.length, 'GPU')}.`), ...health];
}

/** By exit code (nvidia-smi(1)), and by the words where the code says little. */
async function checkNvidiaSmi(host: Host): Promise<Finding> {
  const { exitCode, output, missing, timedOut } = await host.run(
    'nvidia-smi',
    ['--query-gpu=index', '--format=csv,noheader'],
    15_000,
  );
  const check = 'nvidiaSmi';
  if (missing)
    return warn(
      check,
      'nvidia-smi is not installed: there is no fallback where NVML fails.',
      'apt-get install nvidia-smi (or the driver package of your system)',
    );
  if (timedOut) {
    return fail(
      check,
      'nvidia-smi did not answer within 15 s: the driver hangs, or is very slow to start.',
      'dmesg | grep -i nvrm; nvidia-smi -pm 1 keeps the driver awake; else reboot',
    );
  }
  const indexes = output.split('\n').filter((line) => /^\s*\d+\s*$/.test(line)).length;
  const first = output.trim().split('\n')[0] ?? '';
  if (exitCode === 0 && indexes > 0) return ok(check, `nvidia-smi tells of ${plural(indexes, 'GPU')}.`);
  if (exitCode === 18 || /version mismatch/i.test(output)) {
    return fail(
      check,
      'nvidia-smi: driver and library are of different versions.',
      'reboot, or reload the kernel modules',
    );
  }
  if (exitCode === 9 || /couldn't communicate/i.test(output)) {
    return fail(
      check,
      'nvidia-smi cannot reach the driver.',
      'modprobe nvidia; after a kernel upgrade: dkms autoinstall, then reboot',
    );
  }
  if (/No devices were found/i.test(output)) {
    return fail(
      check,
      'nvidia-smi: no devices were found, though the driver is loaded.',
      'dmesg | grep -i nvrm says why; reseat the card or reboot',
    );
  }
  if (indexes > 0)
    return warn(
      check,
      `nvidia-smi tells of ${plural(indexes, 'GPU')}, and ends with ${exitCode}: ${first}`,
      'nvidia-smi -q says more',
    );
  return fail(
    check,
    `nvidia-smi ends with ${exitCode ?? 'no code'}${first ? `: ${first}` : ''}.`,
    'nvidia-smi -q says more; dmesg | grep -i nvrm',
  );
}
