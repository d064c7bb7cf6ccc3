import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { assemble } from '../lib/gpu/assemble.js';
import { GpuIdentities } from '../lib/gpu/identities.js';
import { findHelper } from '../lib/gpu/nvidia/helper.js';
import { GpuQuery, parseComputeApps, parseGpuRows } from '../lib/gpu/nvidia/nvidia-smi-csv.js';
import { type NvmlMessage, parseNvmlLine } from '../lib/gpu/nvidia/nvml-lines.js';
import { parsePmon } from '../lib/gpu/nvidia/pmon.js';
import { toReport } from '../lib/gpu/nvidia/report.js';
import { FakeGpuHost, fakeNvidiaSmi, h100With, type Scenario } from '../test/fakes/scenario.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';
import { useOf } from './tick.bench.js';

const MiB = 1024 * 1024;
const processes = 100;
const passes = 40;
const intervalMs = 50;

/** Eight H100s with 100 processes. */
const scenario: Scenario = {
  gpus: Array.from({ length: 8 }, (_, gpu) =>
    h100With(
      gpu,
      Array.from({ length: processes }, (_, i) => i)
        .filter((i) => i % 8 === gpu)
        .map((i) => ({
          pid: 40_000 + i,
          kind: 'C' as const,
          bytes: (900 + i) * MiB,
          utilization: i % 7,
          name: 'vllm',
        })),
    ),
  ),
};

/** Median calls of a driver as published for 610.57 (MangoHud PR 2104): these go to the card, the rest is cached. */
const slowCalls = { nvmlDeviceGetComputeRunningProcesses: { delayMs: 4 } };

/** The helper at `intervalMs`: CPU of a pass, its size in memory, and how long its report takes to come. */
async function helper(context: BenchContext, machine: FakeGpuHost) {
  const path = findHelper();
  if (path === null) throw new Error('hivepulse-gpu is not built');
  const child = spawn(path, ['--interval-ms', String(intervalMs)], {
    env: { ...process.env, ...machine.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  context.defer(async () => {
    child.stdin.end('close\n');
    await ended;
  });
  const reports: { readonly text: string; readonly message: NvmlMessage & { readonly type: 'report' } }[] = [];
  let from = useOf(child.pid as number);
  for await (const text of createInterface({ input: child.stdout })) {
    const message = parseNvmlLine(text);
    if (message?.type !== 'report') continue;
    reports.push({ text, message });
    if (reports.length === 5) from = useOf(child.pid as number);
    if (reports.length === 5 + passes) break;
  }
  const to = useOf(child.pid as number);
  child.stdin.end('close\n');
  await ended;
  return { cpuMs: (to.allMs - from.allMs) / passes, rssMib: to.rssBytes / MiB, last: reports.at(-1)! };
}

function cpuMicros(call: () => unknown, times = 200): number {
  const spent: number[] = [];
  for (let round = 0; round < 8; round++) {
    const from = process.cpuUsage();
    for (let i = 0; i < times; i++) call();
    const { user, system } = process.cpuUsage(from);
    if (round >= 3) spent.push((user + system) / times);
  }
  return median(spent);
}

export const rows = ['gpu'] as const;

/** One pass over 8 GPUs with 100 processes: through NVML (a fake driver) in its helper, and what JavaScript makes of it. */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  execFileSync('make', ['-s', '-C', fileURLToPath(new URL('../test/fakes', import.meta.url))], { stdio: 'inherit' });
  const metrics: Metric[] = [];
  const machine = new FakeGpuHost(scenario);
  context.defer(() => machine[Symbol.dispose]());
  const quick = await helper(context, machine);
  machine.become({ ...scenario, calls: slowCalls });
  const slow = await helper(context, machine);
  const seen = quick.last.message;
  if (seen.devices.length !== 8 || seen.processes.length !== processes)
    throw new Error(`the report has ${seen.devices.length} GPUs and ${seen.processes.length} processes`);
  metrics.push(
    metric('gpu pass through NVML, 8 GPUs, 100 processes', quick.cpuMs, 'ms CPU'),
    metric('gpu pass through NVML, slow driver', slow.cpuMs, 'ms CPU'),
    metric('gpu hivepulse-gpu memory', quick.rssMib, 'MiB', { atMost: 15 }),
    metric('gpu report, bytes', quick.last.text.length / 1000, 'kB'),
    metric(
      'gpu report, parse',
      cpuMicros(() => parseNvmlLine(quick.last.text)),
      'us CPU',
    ),
    metric(
      'gpu report, assemble',
      cpuMicros(() => assemble(toReport(seen), new GpuIdentities())),
      'us CPU',
    ),
  );

  const env = { ...process.env, ...machine.env };
  const ask = (...args: string[]) => {
    const { stdout } = spawnSync(fakeNvidiaSmi, args, { env, encoding: 'utf8' });
    return stdout;
  };
  // It refuses fields of other versions one by one.
  let query = new GpuQuery();
  let rows = '';
  for (;;) {
    rows = ask(`--query-gpu=${query.argument}`, '--format=csv,noheader,nounits');
    const refused = /^Field "([^"]+)" is not a valid field/.exec(rows)?.[1];
    if (refused === undefined) break;
    const less = query.without(refused);
    if (less === null) throw new Error(rows);
    query = less;
  }
  const apps = ask('--query-compute-apps=gpu_uuid,pid,process_name,used_memory', '--format=csv,noheader,nounits');
  const pmon = ask('pmon', '-c', '1', '-s', 'um');
  if (parseGpuRows(rows, query).rows.length !== 8 || parseComputeApps(apps).apps.length !== processes)
    throw new Error('nvidia-smi does not say what the scenario holds');
  metrics.push(
    metric(
      'gpu nvidia-smi, parse of a pass',
      cpuMicros(() => [parseGpuRows(rows, query), parseComputeApps(apps), parsePmon(pmon)]),
      'us CPU',
    ),
  );
  return metrics;
}
