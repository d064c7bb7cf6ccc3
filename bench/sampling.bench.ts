import { readFileSync } from 'node:fs';
import b from 'benny';
import pidusage from 'pidusage';
import si from 'systeminformation';
import { openReader } from '../lib/cgroup/reader.js';
import type { RawReader } from '../lib/native/layout.js';
import { BenchCgroups, filesOf } from './cgroups.js';
import { buildLimit, type Cost, limitReader, tickers } from './limit.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';

/** Rounds in which C loop and readers take turns, so that what else the machine does meets all of them. */
const rounds = 9;
const roundMs = 60;

/** Of each round the best pass, of these the median. */
interface Measured {
  readonly limit: Cost;
  readonly native: Cost;
  readonly files: Cost;
  readonly readFile: Cost;
  /** Median over the rounds of native / limit, on the clock. */
  readonly nativeToLimit: number;
}

const best = (costs: readonly Cost[]): Cost => ({
  wall: costs.reduce((least, { wall }) => Math.min(least, wall), Infinity),
  cpu: costs.reduce((least, { cpu }) => Math.min(least, cpu), Infinity),
});
const middle = (costs: readonly Cost[]): Cost => ({
  wall: median(costs.map(({ wall }) => wall)),
  cpu: median(costs.map(({ cpu }) => cpu)),
});

function timed(passes: number, pass: () => unknown): Cost {
  return best(
    Array.from({ length: passes }, () => {
      const cpu = process.cpuUsage();
      const start = performance.now();
      pass();
      const wall = performance.now() - start;
      const { user, system } = process.cpuUsage(cpu);
      return { wall, cpu: (user + system) / 1e3 };
    }),
  );
}

const readAll = (paths: readonly string[]) => () => {
  for (const path of paths) readFileSync(path);
};

async function takeTurns(
  context: BenchContext,
  program: string,
  cgroups: readonly string[],
  readers: Readers,
): Promise<Measured> {
  const limit = limitReader(context, program, filesOf(cgroups));
  const passes = Math.max(5, Math.ceil(roundMs / best(await limit.passes(5)).wall));
  const readFile = readAll(filesOf(cgroups));
  const taken: { limit: Cost; native: Cost; files: Cost; readFile: Cost }[] = [];
  for (let round = 0; round < rounds; round++) {
    taken.push({
      limit: best(await limit.passes(passes)),
      native: timed(passes, () => readers.native.passSync()),
      files: timed(passes, () => readers.files.passSync()),
      readFile: timed(Math.ceil(passes / 8), readFile),
    });
  }
  await limit.end();
  return {
    limit: middle(taken.map((round) => round.limit)),
    native: middle(taken.map((round) => round.native)),
    files: middle(taken.map((round) => round.files)),
    readFile: middle(taken.map((round) => round.readFile)),
    nativeToLimit: median(taken.map((round) => round.native.wall / round.limit.wall)),
  };
}

interface Readers {
  readonly native: RawReader;
  readonly files: RawReader;
}

/** Both readers over `cgroups`. memory.stat is read in each pass, as the C loop does. */
function open({ defer }: BenchContext, cgroups: readonly string[]): Readers {
  const readers = {
    native: openReader('native', { memoryStatEvery: 1 }).reader,
    files: openReader('files', { memoryStatEvery: 1 }).reader,
  };
  for (const reader of Object.values(readers)) {
    defer(() => reader.close());
    for (const cgroup of cgroups) reader.add(cgroup);
    reader.passSync();
  }
  return readers;
}

/** Readers and readFileSync of the same files side by side, as benny prints it; the figures are those of `takeTurns`. */
async function show(context: BenchContext, title: string, cgroups: readonly string[], readers: Readers): Promise<void> {
  const options = { minSamples: 5, maxTime: 0.3 };
  await b.suite(
    title,
    b.add('native', () => void readers.native.passSync(), options),
    b.add('files', () => void readers.files.passSync(), options),
    b.add('readFileSync', readAll(filesOf(cgroups)), options),
    b.complete((result) => {
      for (const { name, ops, margin } of result.results) {
        context.log(`${title}: ${name} ${ops.toFixed(0)} passes/s, ±${margin} %`);
      }
    }),
  );
}

export const rows = [
  'bench_collection_10_workers',
  'collection_10_workers',
  'collection_100_workers',
  'collection_1000_workers',
  'growth_10_1000',
  'native_vs_readfilesync',
  'typescript_vs_readfilesync',
] as const;

export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const { wants } = context;
  const program = buildLimit(context);
  const cgroups = new BenchCgroups(context);
  const metrics: Metric[] = [];
  const targets: Readonly<Record<number, number>> = { 10: 0.2, 100: 2 };
  const perWorker: Record<number, { native: number; limit: number }> = {};

  for (const count of [10, 100, 1000]) {
    const row = `collection_${count}_workers`;
    const asked =
      wants(row) ||
      wants('native_vs_readfilesync') ||
      (count !== 100 && wants('growth_10_1000')) ||
      (count === 10 && wants('bench_collection_10_workers'));
    if (!asked) continue;
    const paths = cgroups.make(count);
    const readers = open(context, paths);
    const names = filesOf(paths.slice(0, 1)).map((path) => path.split('/').at(-1));
    if (perWorker[10] === undefined) context.log(`files: ${names.join(' ')}`);
    const measured = await takeTurns(context, program, paths, readers);
    perWorker[count] = { native: measured.native.cpu / count, limit: measured.limit.cpu / count };
    const atMost = targets[count];
    metrics.push(
      metric(`${row} native`, measured.native.wall, 'ms', atMost === undefined ? {} : { atMost }),
      metric(`${row} native to limit`, measured.nativeToLimit, 'x', { atMost: 1.25, ratioTo: 'the C loop' }),
      metric(`${row} C loop`, measured.limit.wall, 'ms'),
      metric(`${row} TypeScript`, measured.files.wall, 'ms'),
    );
    if (count === 10) metrics.push(metric('bench_collection_10_workers', measured.native.wall, 'ms', { atMost: 10 }));
    await show(context, `${count} cgroups`, paths, readers);
    const faster = (of: 'native' | 'limit' | 'files') => measured.readFile.cpu / measured[of].cpu;
    const ratioTo = 'readFileSync of the same files';
    metrics.push(
      metric(`native_vs_readfilesync ${count} workers`, faster('native'), 'x', { ratioTo }),
      metric(`native_vs_readfilesync ${count} workers, C loop`, faster('limit'), 'x', { ratioTo }),
      metric(`native_vs_readfilesync ${count} workers, native to C loop`, faster('native') / faster('limit'), 'x', {
        atLeast: 0.85,
        ratioTo: 'what the C loop reaches',
      }),
      metric(`typescript_vs_readfilesync ${count} workers`, faster('files'), 'x', { atLeast: 3, ratioTo }),
    );
    if (count === 100) metrics.push(...(await occupied(context, program, paths, readers)));
    for (const reader of Object.values(readers)) reader.close();
    await cgroups.empty();
  }

  if (perWorker[10] && perWorker[1000]) {
    const growth = (of: 'native' | 'limit') => (perWorker[1000]?.[of] as number) / (perWorker[10]?.[of] as number);
    metrics.push(
      metric('growth_10_1000 native', growth('native'), 'x CPU per worker'),
      metric('growth_10_1000 C loop', growth('limit'), 'x CPU per worker'),
      metric('growth_10_1000 native over C loop', growth('native') / growth('limit'), 'x', {
        atMost: 1.2,
        ratioTo: 'growth of the C loop, which is the kernel alone',
      }),
    );
  }
  return metrics;
}

/** Empty cgroups flatter: the same with a process in each that wakes up ten times a second; and what peers take for these. */
async function occupied(
  context: BenchContext,
  program: string,
  paths: readonly string[],
  readers: Readers,
): Promise<readonly Metric[]> {
  const procs = paths.map((path) => `${path}/cgroup.procs`);
  const running = await tickers(context, program, procs);
  const measured = await takeTurns(context, program, paths, readers);
  const pids = procs.map((path) => Number(readFileSync(path, 'utf8')));
  const peers = {
    pidusage: await peer(async () => Object.keys(await pidusage(pids)).length, pids.length),
    'systeminformation processes': await peer(async () => {
      const { list } = await si.processes();
      return list.filter(({ pid }) => pids.includes(pid)).length;
    }, pids.length),
  };
  await running.end();
  return [
    metric('collection_100_workers busy, native', measured.native.wall, 'ms', { atMost: 2 }),
    metric('collection_100_workers busy, native to limit', measured.nativeToLimit, 'x', {
      atMost: 1.25,
      ratioTo: 'the C loop',
    }),
    metric('collection_100_workers busy, TypeScript', measured.files.wall, 'ms'),
    ...Object.entries(peers).map(([name, ms]) => metric(`collection_100_workers busy, ${name}`, ms, 'ms')),
  ];
}

/** systeminformation gives what it said before if asked again within half a second. */
const peerPauseMs = 600;

/** The best wall time of some calls of a peer (which may work in processes of its own), ms. */
async function peer(call: () => Promise<number>, expected: number): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, peerPauseMs));
    const start = performance.now();
    const seen = await call();
    least = Math.min(least, performance.now() - start);
    if (seen !== expected) throw new Error(`it sees ${seen} of ${expected} processes`);
  }
  return least;
}
