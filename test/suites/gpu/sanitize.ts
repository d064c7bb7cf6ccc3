// `npm run test:sanitize:gpu`: hivepulse-gpu built with AddressSanitizer and UBSan, then with ThreadSanitizer, over every
// scenario of the fake driver and through start, sample, hang and stop. The same C++ as on the addon's thread, with no
// Node in the way. Ends 0, or says what was found.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeGpuHost, fourH100, generations, type Scenario } from '../../fakes/scenario.js';
import { hazards } from '../../gpu/nvidia/hazards.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
// As binding.gyp has them.
const sources = ['confine', 'gpu_helper_main', 'unit_gpu'];
const kinds = ['address,undefined', 'thread'];
const findings = /AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:/;

async function build(kind: string): Promise<string> {
  const directory = join(root, 'build', 'sanitize');
  mkdirSync(directory, { recursive: true });
  const target = join(directory, `hivepulse-gpu-${kind.replace(',', '-')}`);
  const compiler = spawn(
    process.env.CXX ?? 'clang++',
    [
      // As binding.gyp has it: what ASan and UBSan look for shows without optimization, which is most of the time to build.
      ...['-std=c++17', kind === 'thread' ? '-O1' : '-O0', '-g1', '-fno-omit-frame-pointer'],
      ...['-Wall', '-Wextra', '-Wconversion', '-Werror'],
      ...[`-fsanitize=${kind}`, '-fno-sanitize-recover=all', '-pthread', '-o', target],
      ...sources.map((name) => join(root, 'native', `${name}.cc`)),
      '-ldl',
    ],
    { stdio: 'inherit' },
  );
  const [status] = await once(compiler, 'close');
  if (status !== 0) throw new Error(`hivepulse-gpu could not be built with -fsanitize=${kind}`);
  return target;
}

interface Run {
  readonly lines: readonly string[];
  readonly stderr: string;
  readonly exit: number | string | null;
}

/** Runs the reader until `done` says so of the lines seen, then tells it to close. `done` may change the machine. */
function run(binary: string, machine: FakeGpuHost, done: (lines: readonly string[]) => boolean): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(binary, ['--interval-ms', '20', '--slow-interval-ms', '40', '--retry-ms', '20'], {
      env: { ...process.env, ...machine.env, UBSAN_OPTIONS: 'print_stacktrace=1' },
    });
    let stdout = '';
    let stderr = '';
    let told = false;
    const lines = () => stdout.split('\n').slice(0, -1);
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (told || !done(lines())) return;
      told = true;
      child.stdin.end('close\n');
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ lines: lines(), stderr, exit: code ?? signal });
    });
  });
}

const count = (lines: readonly string[], type: string) =>
  lines.filter((line) => line.includes(`"type":"${type}"`)).length;
const samples = (lines: readonly string[]) => count(lines, 'report') >= 8 || count(lines, 'failed') >= 4;

const scenarios: Record<string, Scenario> = {
  ...hazards,
  'four H100s': fourH100(),
  'no driver': { gpus: [], calls: { nvmlInit_v2: { codes: [9] } } },
  'the driver goes away in every third call': {
    ...fourH100(),
    calls: { nvmlDeviceGetCount_v2: { codes: [0, 0, 9, 0, 0, 18, 0, 0, 1, 0] } },
  },
  ...Object.fromEntries(
    generations.map((generation) => [`generation ${generation}`, { ...fourH100(), generation, ringGarbage: true }]),
  ),
  ...Object.fromEntries(([16, 24, 32] as const).map((stride) => [`stride ${stride}`, { ...fourH100(), stride }])),
};

let failed = 0;
function judge(kind: string, name: string, { stderr, exit }: Run): void {
  if (exit === 0 && !findings.test(stderr)) return;
  failed++;
  console.error(`${kind}: ${name}: ended ${exit}\n${stderr}`);
}

type Work = (binary: string, kind: string) => Promise<void>;

const reads = Object.entries(scenarios).map(
  ([name, scenario]): Work =>
    async (binary, kind) => {
      using machine = new FakeGpuHost(scenario);
      judge(kind, name, await run(binary, machine, samples));
    },
);

const stuck = ['nvmlInit_v2', 'nvmlDeviceGetUtilizationRates', 'nvmlShutdown'].map(
  (call): Work =>
    async (binary, kind) => {
      using machine = new FakeGpuHost(fourH100());
      // A call is stuck when it is told to close; it ends nevertheless.
      let hung = false;
      const result = await run(binary, machine, (lines) => {
        if (!hung && count(lines, 'report') >= 3) {
          hung = true;
          machine.become({ ...fourH100(), calls: { [call]: { hang: true } } });
          if (call === 'nvmlInit_v2')
            machine.become({ ...fourH100(), calls: { [call]: { hang: true }, nvmlDeviceGetCount_v2: { codes: [9] } } });
        }
        return hung && (call === 'nvmlInit_v2' ? count(lines, 'failed') > 0 : true);
      });
      judge(kind, `stuck in ${call}`, result);
    },
);

/** The machine changes under the reader's hands: Xids, MIG, GPUs that come and go. */
const changing: Work = async (binary, kind) => {
  using machine = new FakeGpuHost(fourH100());
  let step = 0;
  const changes: Scenario[] = [
    { ...fourH100(), xids: [{ gpu: 0, xid: 79 }] },
    hazards['24 MIG'],
    { gpus: fourH100().gpus.slice(0, 1) },
    hazards['14 one lost handle between healthy ones'],
    fourH100(),
  ];
  const result = await run(binary, machine, (lines) => {
    const due = Math.floor(count(lines, 'report') / 4);
    if (due > step && step < changes.length) machine.become(changes[step++]!);
    return count(lines, 'report') > 4 * changes.length + 8;
  });
  judge(kind, 'a machine that changes', result);
};

if (spawnSync('make', ['-s', '-C', join(root, 'test/fakes')], { stdio: 'inherit' }).status !== 0) process.exit(1);
const binaries = await Promise.all(kinds.map(build));
const works = kinds.flatMap((kind, i) => [...reads, ...stuck, changing].map((work) => () => work(binaries[i]!, kind)));
/** They mostly wait for the next sample: several at once. */
const lane = async (): Promise<void> => {
  for (let work = works.shift(); work !== undefined; work = works.shift()) await work();
};
const runs = works.length;
await Promise.all(Array.from({ length: 6 }, lane));
console.log(`${kinds.map((kind) => `-fsanitize=${kind}`).join(' and ')}: ${runs} runs`);
if (failed > 0) console.error(`${failed} runs failed`);
process.exit(failed === 0 ? 0 : 1);
