import { plural } from '../../util/plural.js';
import type { GpuCheckHost, GpuFinding } from '../vendor.js';
import { libraryDirectories } from './places.js';

const pciVendor = '0x10de';

const ok = (check: string, message: string): GpuFinding => ({ check, status: 'ok', message, fix: '' });
const warn = (check: string, message: string, fix: string): GpuFinding => ({ check, status: 'warn', message, fix });
const fail = (check: string, message: string, fix: string): GpuFinding => ({ check, status: 'fail', message, fix });
const gpus = (count: number) => plural(count, 'GPU');

/** PCI devices of NVIDIA that are displays or accelerators (class 0x03....). */
function pciGpus(host: GpuCheckHost): readonly string[] {
  return host.list('/sys/bus/pci/devices').filter((slot) => {
    const file = (name: string) => host.text(`/sys/bus/pci/devices/${slot}/${name}`);
    return file('vendor')?.trim() === pciVendor && file('class')?.startsWith('0x03') === true;
  });
}

/** Version in `libnvidia-ml.so.535.104.05`, to which `libnvidia-ml.so.1` leads. */
function library(host: GpuCheckHost): { path: string; version: string | null } | null {
  for (const directory of libraryDirectories) {
    const path = `${directory}/libnvidia-ml.so.1`;
    const real = host.realPath(path);
    if (real !== null) return { path, version: /\.so\.(\d+\.\d+(?:\.\d+)?)$/.exec(real)?.[1] ?? null };
  }
  return null;
}

/** Version of the kernel module: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  ...`, also of the open one. */
export function moduleVersion(text: string): string | null {
  const line = text.split('\n').find((each) => each.startsWith('NVRM version:')) ?? '';
  const words = line.split(/\s+/);
  const after = words.slice(words.indexOf('Module'));
  return after.flatMap((word) => /^\d+\.\d+(?:\.\d+)?/.exec(word)?.[0] ?? [])[0] ?? null;
}

const tegra = 'The GPU is part of a Tegra (driver nvgpu).';

/** All about the driver, in the order in which its parts need each other; the first that is missing explains the rest. */
export async function checkNvidia(host: GpuCheckHost): Promise<readonly GpuFinding[] | null> {
  const cards = pciGpus(host).length;
  const driver = host.text('/proc/driver/nvidia/version');
  const wsl = host.exists('/dev/dxg');
  if (driver === null && !wsl) {
    if (host.exists('/sys/module/nvgpu')) return [ok('gpu', tegra), ...(await checkLibrary(host, null))];
    if (cards === 0) return null;
    const found = plural(cards, 'NVIDIA GPU');
    const fix = 'modprobe nvidia, or install the driver (Debian: apt-get install nvidia-driver) and reboot';
    return [fail('gpu', `${found} on the PCI bus, but the kernel module is not loaded.`, fix)];
  }
  const version = moduleVersion(driver ?? '');
  return [
    ok('gpu', wsl ? 'GPUs come through WSL.' : `The driver is ${version ?? 'loaded'}.`),
    ...(wsl ? [] : [checkDevices(host)]),
    ...(await checkLibrary(host, version)),
    await checkNvidiaSmi(host),
  ];
}

function checkDevices(host: GpuCheckHost): GpuFinding {
  const check = 'gpuDevices';
  const devices = host.list('/dev').filter((name) => /^nvidia(\d+|ctl)$/.test(name));
  if (!devices.includes('nvidiactl')) {
    const fix = 'nvidia-modprobe -c 0 -u; in a container: start it with --gpus all (or the NVIDIA runtime)';
    return fail(check, 'The driver is loaded, but /dev/nvidiactl is missing.', fix);
  }
  const paths = devices.map((name) => `/dev/${name}`);
  const closed = paths.filter((path) => !host.writable(path));
  if (closed.length === 0) return ok(check, `${paths.join(', ')} may be used.`);
  const fix = 'usermod -aG video $USER, then log in again; or run the hive as root';
  return fail(check, `User ${host.uid} may not open ${closed.join(', ')}.`, fix);
}

async function checkLibrary(host: GpuCheckHost, module: string | null): Promise<GpuFinding[]> {
  const found = library(host);
  if (found === null) {
    const fix =
      'install the part of the driver that has it (Debian: apt-get install libnvidia-ml1; a container: NVIDIA_DRIVER_CAPABILITIES=utility; a Jetson: JetPack 6 or newer)';
    return [fail('nvml', 'libnvidia-ml.so.1 is nowhere: GPUs cannot be read directly.', fix)];
  }
  const { path, version } = found;
  const nvml = await checkNvml(host, path);
  if (module === null || version === null || module === version) return [nvml];
  const mismatch = fail(
    'driverMismatch',
    `The kernel module is ${module}, the library ${version}: the driver was upgraded without a restart, and answers nothing.`,
    'reboot; or stop all that uses GPUs and: rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && modprobe nvidia',
  );
  // That NVML says that it does not work is explained by it; a silence is not.
  return nvml.explainedByMismatch ? [mismatch] : [mismatch, nvml];
}

async function checkNvml(
  host: GpuCheckHost,
  path: string,
): Promise<GpuFinding & { readonly explainedByMismatch?: boolean }> {
  const check = 'nvml';
  const reading = await host.readGpus(20_000);
  if (reading === null) {
    const fix = 'look for Xid or GSP time-outs: dmesg | grep -i nvrm; nvidia-smi -pm 1 keeps the driver awake';
    return fail(check, 'NVML has not answered for 20 s: the driver is starting very slowly, or hangs.', fix);
  }
  if (reading.status !== 'working') {
    const why = reading.faults[0]?.message ?? reading.reason ?? `it is ${reading.status}`;
    const fix = 'dmesg | grep -i nvrm says more; a reboot loads driver and library anew';
    return { ...fail(check, `NVML does not work: ${why}`, fix), explainedByMismatch: true };
  }
  return { ...ok(check, `NVML (${path}) tells of ${gpus(reading.devices.length)}.`), reading };
}

/** What nvidia-smi says, by exit code (nvidia-smi(1)) and by its words where the code says little. */
const smiFailures: readonly (readonly [exitCode: number | null, words: RegExp, message: string, fix: string])[] = [
  [
    18,
    /version mismatch/i,
    'nvidia-smi: driver and library are of different versions.',
    'reboot, or reload the kernel modules',
  ],
  [
    9,
    /couldn't communicate/i,
    'nvidia-smi cannot reach the driver.',
    'modprobe nvidia; after a kernel upgrade: dkms autoinstall, then reboot',
  ],
  [
    null,
    /No devices were found/i,
    'nvidia-smi: no devices were found, though the driver is loaded.',
    'dmesg | grep -i nvrm says why; reseat the card or reboot',
  ],
];

async function checkNvidiaSmi(host: GpuCheckHost): Promise<GpuFinding> {
  const check = 'nvidiaSmi';
  const args = ['--query-gpu=index', '--format=csv,noheader'];
  const { exitCode, output, missing, timedOut } = await host.run('nvidia-smi', args, 15_000);
  if (missing) {
    const fix = 'apt-get install nvidia-smi (or the driver package of your system)';
    return warn(check, 'nvidia-smi is not installed: there is no fallback where NVML fails.', fix);
  }
  if (timedOut) {
    const fix = 'dmesg | grep -i nvrm; nvidia-smi -pm 1 keeps the driver awake; else reboot';
    return fail(check, 'nvidia-smi did not answer within 15 s: the driver hangs, or is very slow to start.', fix);
  }
  const indexes = output.split('\n').filter((line) => /^\s*\d+\s*$/.test(line)).length;
  const first = output.trim().split('\n')[0] ?? '';
  if (exitCode === 0 && indexes > 0) return ok(check, `nvidia-smi tells of ${gpus(indexes)}.`);
  const known = smiFailures.find(([code, words]) => (code !== null && exitCode === code) || words.test(output));
  if (known) return fail(check, known[2], known[3]);
  if (indexes > 0) {
    return warn(
      check,
      `nvidia-smi tells of ${gpus(indexes)}, and ends with ${exitCode}: ${first}`,
      'nvidia-smi -q says more',
    );
  }
  const ended = `nvidia-smi ends with ${exitCode ?? 'no code'}${first ? `: ${first}` : ''}.`;
  return fail(check, ended, 'nvidia-smi -q says more; dmesg | grep -i nvrm');
}
