import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../test/harness/free-ports.js';
import { HeartbeatSink } from '../test/harness/heartbeat-sink.js';
import { BenchCgroups } from './cgroups.js';
import { buildLimit, tickers } from './limit.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';

const warmUpHeartbeats = 15;
/** V8 compiles for a minute or two on threads of its own, and a hive runs for days: what is judged is what it costs then. */
const warmUpWhereJudged = 90;
const measuredHeartbeats = 25;

/** The least that a queen could be. */
export async function sink(context: BenchContext): Promise<HeartbeatSink> {
  const queen = await HeartbeatSink.start();
  context.defer(() => queen.close());
  return queen;
}

interface Use {
  /** CPU time of all threads and of the one that runs JavaScript, ms. */
  readonly allMs: number;
  readonly loopMs: number;
  readonly rssBytes: number;
}

/** What a process has used, to the nanosecond (/proc/<pid>/task/<tid>/schedstat: time on the CPU first). */
export function useOf(pid: number): Use {
  let all = 0;
  let loop = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const spent = Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    all += spent;
    if (tid === String(pid)) loop = spent;
  }
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { allMs: all, loopMs: loop, rssBytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024 };
}

/** A hive as it is installed: the built command, in a process of its own. */
export function startHive(context: BenchContext, queen: string, root: string, port = 0): ChildProcess {
  const runtime = mkdtempSync(join(tmpdir(), 'hivepulse-bench-'));
  context.defer(() => rmSync(runtime, { recursive: true, force: true }));
  const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
  const watch = root.split('/').slice(-1)[0];
  const hive = spawn(
    process.execPath,
    [
      ...(process.env.HIVEPULSE_BENCH_NODE ?? '').split(' ').filter((word) => word !== ''),
      main,
      'hive',
      '--queen',
      queen,
      '--port',
      String(port),
      '--id',
      'bench',
      '--log-level',
      'error',
      '--watch',
      `${watch}/*`,
      '--runtime-dir',
      runtime,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(hive, 'exit');
  context.defer(async () => {
    hive.kill('SIGTERM');
    await ended;
  });
  return hive;
}

/** GET /metrics of a hive that goes on ticking, as a scraper does it: wall time of one, and its CPU in the hive. */
async function scrapes(pid: number, port: number) {
  const times = 40;
  const spent: number[] = [];
  let bytes = 0;
  let from = useOf(pid);
  for (let i = -5; i < times; i++) {
    if (i === 0) from = useOf(pid);
    const start = performance.now();
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    bytes = (await response.arrayBuffer()).byteLength;
    if (!response.ok) throw new Error(`/metrics answers ${response.status}`);
    if (i >= 0) spent.push(performance.now() - start);
  }
  return { wallMs: median(spent), cpuMs: (useOf(pid).loopMs - from.loopMs) / times, kb: bytes / 1000 };
}

async function measure(
  context: BenchContext,
  program: string,
  cgroups: BenchCgroups,
  { count, warmUp }: { readonly count: number; readonly warmUp: number },
) {
  const paths = cgroups.make(count);
  const running = await tickers(
    context,
    program,
    paths.map((path) => `${path}/cgroup.procs`),
  );
  const queen = await sink(context);
  const [port] = (await freePorts(1)) as [number];
  const hive = startHive(context, queen.url, cgroups.root, port);
  const ended = once(hive, 'exit').then(() => Promise.reject(new Error('the hive ended')));
  ended.catch(() => undefined);
  await Promise.race([queen.reach(warmUp), ended]);
  const pid = hive.pid as number;
  const from = useOf(pid);
  const first = queen.heard.length;
  await Promise.race([queen.reach(first + measuredHeartbeats), ended]);
  const to = useOf(pid);
  const heartbeats = queen.heard.slice(first);
  const scrape = await scrapes(pid, port);
  hive.kill('SIGTERM');
  await once(hive, 'exit');
  await running.end();
  await cgroups.empty();
  const seen = heartbeats.at(-1)?.measuredWorkers ?? 0;
  if (seen < count) throw new Error(`the hive sees ${seen} of ${count} workers`);
  return {
    allMs: (to.allMs - from.allMs) / heartbeats.length,
    loopMs: (to.loopMs - from.loopMs) / heartbeats.length,
    rssMib: to.rssBytes / 1024 ** 2,
    passMs: median(heartbeats.map(({ passMs }) => passMs)),
    wireKb: heartbeats.reduce((sum, { wireBytes }) => sum + wireBytes, 0) / heartbeats.length / 1000,
    scrape,
  };
}

export const rows = [
  ...[10, 100, 500].map((count) => `tick_${count}_workers`),
  'stress_100_workers',
  'hive_rss',
  'hive_metrics',
] as const;

/**
 * A hive at one beat a second over busy cgroups: what a tick costs in all, and on the thread of the event loop. Files,
 * /proc, discovery, serializing, sending and the answer are in it.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const program = buildLimit(context);
  const cgroups = new BenchCgroups(context);
  const metrics: Metric[] = [];
  for (const count of [10, 100, 500]) {
    const judged = count === 100;
    const { wants } = context;
    const extra = judged && (wants('stress_100_workers') || wants('hive_rss') || wants('hive_metrics'));
    if (!wants(`tick_${count}_workers`) && !extra) continue;
    const { allMs, loopMs, rssMib, passMs, wireKb, scrape } = await measure(context, program, cgroups, {
      count,
      warmUp: judged ? warmUpWhereJudged : warmUpHeartbeats,
    });
    context.log(
      `${count} workers: ${allMs.toFixed(2)} ms of CPU a tick, ${loopMs.toFixed(2)} ms on the event loop, pass ${passMs.toFixed(2)} ms, ${rssMib.toFixed(0)} MiB, ${wireKb.toFixed(1)} kB sent`,
    );
    metrics.push(
      metric(`tick_${count}_workers all threads`, allMs, 'ms CPU', judged ? { atMost: 12 } : {}),
      metric(`tick_${count}_workers event loop`, loopMs, 'ms CPU', judged ? { atMost: 4 } : {}),
      metric(`tick_${count}_workers pass`, passMs, 'ms wall'),
      metric(`hive_rss ${count} workers`, rssMib, 'MiB', judged ? { atMost: 75 } : {}),
      metric(`hive_metrics ${count} workers`, scrape.wallMs, 'ms'),
      metric(`hive_metrics ${count} workers, CPU`, scrape.cpuMs, 'ms CPU', judged ? { atMost: 5 } : {}),
      metric(`hive_metrics ${count} workers, size`, scrape.kb, 'kB'),
    );
    if (judged) metrics.push(metric('stress_100_workers', passMs, 'ms', { atMost: 1000 }));
  }
  return metrics;
}
