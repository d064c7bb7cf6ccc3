import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { vllm } from '../test/harness/fake-engines.js';
import { type FakeProcess, ProcessTrees } from '../test/harness/process-tree.js';
import { BenchCgroups } from './cgroups.js';
import { Child } from './children.js';
import { type BenchContext, type Metric, metric } from './metric.js';
import { useOf } from './tick.bench.js';

const workers = 100;
const processesOfEach = 10;
/** New processes are looked at more often for ten seconds; V8 compiles what seldom runs for longer than a minute. */
const warmUpSeconds = 90;
/** Each server is asked twice in it. */
const measuredSeconds = 60;
const firstPort = 21_000;

/** A vLLM with the processes that it starts. */
function tree(index: number): FakeProcess {
  const port = firstPort + index;
  const ranks = Array.from({ length: processesOfEach - 1 }, (_, rank) => ({
    argv: [`VLLM::Worker_TP${rank}`],
    sockets: [],
    children: [],
  }));
  return {
    argv: ['python3', '/usr/local/bin/vllm', 'serve', `model-${index}`, '--port', String(port)],
    sockets: [{ at: `0.0.0.0:${port}`, site: vllm(`model-${index}`) }],
    children: ranks,
  };
}

async function startTrees(context: BenchContext, cgroups: BenchCgroups): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-bench-'));
  context.defer(() => rmSync(directory, { recursive: true, force: true }));
  execFileSync('make', ['-s', '-C', fileURLToPath(new URL('../test/fakes', import.meta.url)), 'build/process']);
  const trees = await ProcessTrees.open({ directory: () => directory, defer: context.defer });
  for (const [index, cgroup] of cgroups.make(workers).entries()) await trees.start(tree(index), { cgroup });
  await trees.started();
}

export const rows = ['endpoints_100_workers'] as const;

interface EndpointsState {
  readonly processes: number;
  readonly endpoints: number;
  readonly ready: number;
}

/** CPU time a second. */
interface Spent {
  readonly allMs: number;
  readonly loopMs: number;
}

/** Of a checkout that is built. */
async function measure(context: BenchContext, prefix: string, checkout: string): Promise<Spent> {
  const program = fileURLToPath(new URL('processes/endpoints.js', import.meta.url));
  const child = await Child.start<EndpointsState>(context, program, [prefix, workers, join(checkout, 'dist')]);
  const pid = child.process.pid as number;
  await child.ask({ seconds: warmUpSeconds });
  const from = useOf(pid);
  const { processes, endpoints, ready } = await child.ask<EndpointsState>({ seconds: measuredSeconds });
  const to = useOf(pid);
  if (processes !== workers * processesOfEach || endpoints !== workers || ready !== workers)
    throw new Error(`of ${processes} processes ${endpoints} endpoints are known, and ${ready} workers ready`);
  return {
    allMs: (to.allMs - from.allMs) / measuredSeconds,
    loopMs: (to.loopMs - from.loopMs) / measuredSeconds,
  };
}

/**
 * Where 100 workers of ten processes each serve, and whether they are ready, kept up to date each second: their sockets from
 * the kernel, their own answers over TCP. CPU of all threads of a process that does nothing else, once all are ready and
 * nothing about them changes. Not counted: finding processes, the load of engines, the CPU of the servers that are asked.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const cgroups = new BenchCgroups(context);
  await startTrees(context, cgroups);
  const prefix = cgroups.root.slice(cgroups.root.lastIndexOf('/'));
  // Beside each other: what else the machine does meets both.
  const [spent, base] = await Promise.all([
    measure(context, prefix, fileURLToPath(new URL('..', import.meta.url))),
    context.against === null ? null : measure(context, prefix, context.against),
  ]);
  const said = ({ allMs, loopMs }: Spent) =>
    `${allMs.toFixed(2)} ms of CPU a second, ${loopMs.toFixed(2)} ms on the event loop`;
  context.log(
    `${workers * processesOfEach} processes: ${said(spent)}${base ? `; ${context.against}: ${said(base)}` : ''}`,
  );
  const to = base && { ratioTo: context.against as string };
  return [
    metric('endpoints_100_workers all threads', spent.allMs, 'ms CPU', { atMost: 3 }),
    metric('endpoints_100_workers event loop', spent.loopMs, 'ms CPU'),
    ...(to ? [metric('endpoints_100_workers compared', spent.allMs / (base as Spent).allMs, 'times', to)] : []),
  ];
}
