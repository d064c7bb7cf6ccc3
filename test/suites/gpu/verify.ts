// `npm run verify:gpu`: proves the GPU readers against the real driver of this host. Prints the driver and its GPUs, both
// readers side by side with their times, then runs a small GPU load inside `hivepulse run` and looks whether its VRAM is
// attributed to that worker. Ends 0; 1 with what differs; 3 where there is no GPU to verify against.
//
//   npm run verify:gpu [-- --load '<shell command that holds at least 256 MiB of VRAM for 90 s>']
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Snapshot } from '../../../lib/contract/heartbeat.js';
import { openHelper } from '../../../lib/gpu/nvidia/helper.js';
import { type NvmlMessage, parseNvmlLine } from '../../../lib/gpu/nvidia/nvml-lines.js';
import type { GpuDevice, GpuReading } from '../../../lib/gpu/reading.js';
import { createGpuSource } from '../../../lib/gpu/source.js';

const MiB = 1024 * 1024;
const { values: args } = parseArgs({ options: { load: { type: 'string' } } });
const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const differences: string[] = [];
const differ = (what: string) => {
  differences.push(what);
  console.log(`  DIFFERS: ${what}`);
};
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Answer {
  readonly reading: GpuReading;
  readonly firstAfterMs: number;
}

/** Waits for a reader's first answer: cold GPUs may take some seconds each. */
async function ask(gpu: 'nvml' | 'nvidia-smi', isolation: 'process' | 'thread'): Promise<Answer> {
  const source = createGpuSource({ gpu, isolation });
  const start = performance.now();
  try {
    for (;;) {
      const reading = source.latest();
      const waited = performance.now() - start;
      if (reading.status !== 'initializing' || waited > 90_000) return { reading, firstAfterMs: waited };
      await sleep(10);
    }
  } finally {
    source.close();
  }
}

/** A pass as the native reader tells it, with what readings leave out; null where there is none. */
async function nativeReport(): Promise<Extract<NvmlMessage, { type: 'report' }> | null> {
  const channel = openHelper({});
  try {
    for (let waited = 0; waited < 90_000 && channel.end() === null; waited += 10) {
      for (const message of channel.take().map(parseNvmlLine)) if (message?.type === 'report') return message;
      await sleep(10);
    }
    return null;
  } finally {
    channel.close();
  }
}

const mebibytes = (bytes: number | null) => (bytes === null ? '-' : `${Math.round(bytes / MiB)} MiB`);

function line(device: GpuDevice): string {
  const { memoryUsedBytes, memoryReservedBytes, memoryTotalBytes, utilizationPercent, temperatureCelsius } = device;
  return [
    device.health.padEnd(8),
    `${mebibytes(memoryUsedBytes)} used, ${mebibytes(memoryReservedBytes)} reserved of ${mebibytes(memoryTotalBytes)}`,
    `${utilizationPercent ?? '-'} %`,
    `${temperatureCelsius ?? '-'} C`,
    `${device.powerWatts ?? '-'} of ${device.powerLimitWatts ?? '-'} W`,
    `${device.smClockMhz ?? '-'} MHz`,
    device.throttleReasons === null ? 'throttling unknown' : device.throttleReasons.join('+') || 'not throttled',
  ].join(' | ');
}

/** What does not move between two looks must be the same; what moves must be near. */
function compare(nvml: GpuReading, smi: GpuReading): void {
  const whole = nvml.devices.filter(({ parentUuid }) => parentUuid === null);
  for (const { uuid } of smi.devices) {
    if (!whole.some((device) => device.uuid === uuid)) differ(`${uuid} is only seen by nvidia-smi`);
  }
  for (const device of whole) {
    const other = smi.devices.find(({ uuid }) => uuid === device.uuid);
    if (!other) {
      differ(`${device.uuid} is only seen by NVML`);
      continue;
    }
    console.log(
      `GPU ${device.index} ${device.name} ${device.pciBusId} ${device.uuid} (compute ${device.computeCapability})`,
    );
    console.log(`  NVML        ${line(device)}`);
    console.log(`  nvidia-smi  ${line(other)}`);
    const same = (field: keyof GpuDevice) => {
      if (String(device[field]) !== String(other[field])) {
        differ(`GPU ${device.index} ${field}: NVML ${device[field]}, nvidia-smi ${other[field]}`);
      }
    };
    const near = (field: keyof GpuDevice, by: number) => {
      const [one, two] = [device[field], other[field]];
      if (typeof one === 'number' && typeof two === 'number' ? Math.abs(one - two) > by : one !== two) {
        differ(`GPU ${device.index} ${field}: NVML ${one}, nvidia-smi ${two}`);
      }
    };
    for (const field of ['name', 'pciBusId', 'index', 'memoryKind', 'health'] as const) same(field);
    if (other.computeCapability !== null) same('computeCapability');
    near('memoryTotalBytes', MiB);
    near('memoryReservedBytes', 2 * MiB);
    near('memoryUsedBytes', 256 * MiB);
    near('powerLimitWatts', 0.01);
    near('temperatureCelsius', 10);
    near('eccUncorrected', 0);
    for (const field of ['utilizationPercent', 'powerWatts', 'smClockMhz', 'fanPercent'] as const) {
      if ((device[field] === null) !== (other[field] === null)) {
        differ(`GPU ${device.index} ${field}: NVML ${device[field]}, nvidia-smi ${other[field]}`);
      }
    }
    if (device.unsupported.length > 0) console.log(`  not told by this GPU: ${device.unsupported.join(', ')}`);
  }
  const parent = new Map(nvml.devices.map(({ uuid, parentUuid }) => [uuid, parentUuid ?? uuid]));
  const key = (uuid: string, pid: number) => `${parent.get(uuid) ?? uuid} ${pid}`;
  const ours = new Set(nvml.processes.map(({ gpuUuid, pid }) => key(gpuUuid, pid)));
  const theirs = new Set(smi.processes.map(({ gpuUuid, pid }) => key(gpuUuid, pid)));
  console.log(`processes: NVML ${ours.size}, nvidia-smi ${theirs.size}`);
  for (const each of ours) if (!theirs.has(each)) differ(`process ${each} is only seen by NVML`);
  for (const each of theirs) if (!ours.has(each)) differ(`process ${each} is only seen by nvidia-smi`);
}

const python = (library: string, code: string) => ({
  name: library,
  at: () => spawnSync('python3', ['-c', code.split('\n')[0]!], { stdio: 'ignore' }).status === 0,
  command: (directory: string) => {
    writeFileSync(join(directory, 'load.py'), code);
    return ['python3', join(directory, 'load.py')];
  },
});

/** Loads to try, each holding about 1 GiB and keeping the GPU busy for a while. */
const loads = [
  python(
    'PyTorch',
    `import torch; torch.zeros(1, device='cuda')
import time
held = torch.zeros(256 * 1024 * 1024, device='cuda')
end = time.time() + 90
while time.time() < end:
    held.add_(1)
    torch.cuda.synchronize()
`,
  ),
  python(
    'CuPy',
    `import cupy; cupy.zeros(1)
import time
held = cupy.zeros(256 * 1024 * 1024, dtype='float32')
end = time.time() + 90
while time.time() < end:
    held += 1
    cupy.cuda.Device().synchronize()
`,
  ),
  {
    name: 'nvcc',
    at: () => spawnSync('nvcc', ['--version'], { stdio: 'ignore' }).status === 0,
    command: (directory: string) => {
      const source = join(directory, 'load.cu');
      writeFileSync(
        source,
        `#include <cstdio>
#include <ctime>
__global__ void Add(float* held, size_t count) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) held[i] += 1;
}
int main() {
  const size_t count = 256u << 20;
  float* held = nullptr;
  if (cudaMalloc(&held, count * sizeof(float)) != cudaSuccess) return 1;
  for (const time_t end = time(nullptr) + 90; time(nullptr) < end;) {
    Add<<<256, 256>>>(held, count);
    if (cudaDeviceSynchronize() != cudaSuccess) return 1;
  }
}
`,
      );
      const built = spawnSync('nvcc', ['-o', join(directory, 'load'), source], { stdio: 'inherit' });
      if (built.status !== 0) throw new Error('nvcc could not build the load');
      return [join(directory, 'load')];
    },
  },
];

function sample(): Snapshot | null {
  const { stdout, status } = spawnSync(process.execPath, [main, 'sample', '--json'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return status === 0 ? (JSON.parse(stdout) as Snapshot) : null;
}

/** Runs a load as a worker and waits until its memory is told as that worker's. */
async function attribute(directory: string): Promise<void> {
  const load = loads.find((each) => each.at());
  const command = args.load ? ['sh', '-c', args.load] : load?.command(directory);
  if (!command) {
    console.log('attribution: not verified; PyTorch, CuPy and nvcc are all missing, and no --load was given');
    return;
  }
  console.log(`attribution: ${args.load ? 'the given load' : load!.name} inside \`hivepulse run\``);
  const runArgs = [main, 'run', '--group', 'verify', '--instance', 'gpu', '--', ...command];
  const child = spawn(process.execPath, runArgs, { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  try {
    const deadline = performance.now() + 80_000;
    while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
      const worker = sample()?.workers.find(({ id }) => id === 'verify/gpu');
      const held = worker?.vramUsedBytes ?? 0;
      if (held >= 256 * MiB) {
        console.log(
          `  worker verify/gpu holds ${mebibytes(held)} on ${worker!.gpus.map(({ uuid }) => uuid).join(', ')}`,
        );
        console.log(`  utilization ${worker!.gpuUtilizationPercent ?? '-'} %, state ${worker!.state}`);
        return;
      }
      await sleep(500);
    }
    const faults = sample()?.faults.map(({ code, message }) => `${code}: ${message}`) ?? [];
    differ(`the load's VRAM was not attributed to worker verify/gpu\n    ${faults.join('\n    ')}`);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await Promise.race([ended, sleep(15_000)]);
  }
}

const nvml = await ask('nvml', 'process');
const smi = await ask('nvidia-smi', 'process');
if (nvml.reading.devices.length === 0 && smi.reading.devices.length === 0) {
  console.log('no GPU here to verify against');
  for (const { reading } of [nvml, smi]) console.log(`  ${reading.status}: ${reading.reason ?? 'no devices'}`);
  process.exit(3);
}

const report = nvml.reading.status === 'working' ? await nativeReport() : null;
if (report) {
  console.log(`driver ${report.driverVersion}, ${report.library}`);
  console.log(
    `NVML: first answer after ${nvml.firstAfterMs.toFixed(0)} ms; a first pass takes ${report.durationMs.toFixed(1)} ms`,
  );
}
console.log(`nvidia-smi: first answer after ${smi.firstAfterMs.toFixed(0)} ms`);
for (const [name, { reading }] of [
  ['NVML', nvml],
  ['nvidia-smi', smi],
] as const) {
  if (reading.status !== 'working') differ(`${name} does not work: ${reading.reason ?? reading.status}`);
  for (const { code, message } of reading.faults) console.log(`  ${name} fault ${code}: ${message}`);
}
if (nvml.reading.status === 'working' && smi.reading.status === 'working') compare(nvml.reading, smi.reading);

const thread = await ask('nvml', 'thread');
console.log(`NVML on a thread: ${thread.reading.status}, first answer after ${thread.firstAfterMs.toFixed(0)} ms`);
if (thread.reading.status !== nvml.reading.status) differ(`on a thread NVML is ${thread.reading.status}`);

const directory = mkdtempSync(join(tmpdir(), 'hivepulse-verify-'));
try {
  await attribute(directory);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log(differences.length === 0 ? 'verified' : `${differences.length} differences`);
process.exit(differences.length === 0 ? 0 : 1);
