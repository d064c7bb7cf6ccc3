import { readFileSync } from 'node:fs';
import b from 'benny';
import type { RawReader } from '../lib/cgroup/raw.js';
import { openReader } from '../lib/cgroup/reader.js';
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

async function takeTurns(
  context: BenchContext,
  program: string,
  cgroups: readonly string[],
  readers: Readers,
): Promise<Measured> {
  const limit = limitReader(context, program, filesOf(cgroups));
  const passes = Math.max(5, Math.ceil(roundMs / best(await limit.passes(5)).wall));
  const taken: { limit: Cost; native: Cost; files: Cost }[] = [];
  for (let round = 0; round < rounds; round++) {
    taken.push({
      limit: best(await limit.passes(passes)),
      native: timed(passes, () => readers.native.passSync()),
      files: timed(passes, () => readers.files.passSync()),
    });
  }
  await limit.end();
  return {
    limit: middle(taken.map((round) => round.limit)),
    native: middle(taken.map((round) => round.native)),
    files: middle(taken.map((round) => round.files)),
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

/** The readers against readFileSync of the same files: how many times as fast. */
async function againstReadFile(context: BenchContext, title: string, cgroups: readonly string[], readers: Readers) {
  const paths = filesOf(cgroups);
  const options = { minSamples: 10, maxTime: 1 };
  const summary = await b.suite(
    title,
    b.add('native', () => void readers.native.passSync(), options),
    b.add('files', () => void readers.files.passSync(), options),
    b.add(
      'readFileSync',
      () => {
        for (const path of paths) readFileSync(path);
      },
      options,
    ),
    b.complete((result) => {
      for (const { name, ops, margin } of result.results) {
        context.log(`${title}: ${name} ${ops.toFixed(0)} passes/s, ±${margin} %`);
      }
    }),
  );
  const seconds = (name: string) => summary.results.find((result) => result.name === name)?.details.min ?? Number.NaN;
  const read = seconds('readFileSync');
  return { native: read / seconds('native'), files: read / seconds('files') };
}

export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const program = buildLimit(context);
  const cgroups = new BenchCgroups(context);
  const metrics: Metric[] = [];
  const targets: Readonly<Record<number, number>> = { 10: 0.2, 100: 2 };
  const perWorker: Record<number, { native: number; limit: number }> = {};

  for (const count of [10, 100, 1000]) {
    const paths = cgroups.make(count);
    const readers = open(context, paths);
    if (count === 10)
      context.log(
        `files: ${filesOf(paths.slice(0, 1))
          .map((path) => path.split('/').at(-1))
          .join(' ')}`,
      );
    const measured = await takeTurns(context, program, paths, readers);
    perWorker[count] = { native: measured.native.cpu / count, limit: measured.limit.cpu / count };
    const atMost = targets[count];
    metrics.push(
      metric(`${count} cgroups, native`, measured.native.wall, 'ms', atMost === undefined ? {} : { atMost }),
      metric(`${count} cgroups, native`, measured.nativeToLimit, 'x', { atMost: 1.5, ratioTo: 'the C loop' }),
      metric(`${count} cgroups, C loop`, measured.limit.wall, 'ms'),
      metric(`${count} cgroups, TypeScript`, measured.files.wall, 'ms'),
    );
    const faster = await againstReadFile(context, `${count} cgroups`, paths, readers);
    metrics.push(
      metric(`${count} cgroups, native`, faster.native, 'x', { atLeast: 10, ratioTo: 'as fast as readFileSync' }),
      metric(`${count} cgroups, TypeScript`, faster.files, 'x', { atLeast: 3, ratioTo: 'as fast as readFileSync' }),
    );
    if (count === 100) metrics.push(...(await occupied(context, program, paths, readers)));
    for (const reader of Object.values(readers)) reader.close();
    await cgroups.empty();
  }

  const growth = (of: 'native' | 'limit') =>
    (perWorker[1000]?.[of] ?? Number.NaN) / (perWorker[10]?.[of] ?? Number.NaN);
  metrics.push(
    metric('CPU per worker, 10 -> 1000, native', growth('native'), 'x', { atMost: 1.3 }),
    metric('CPU per worker, 10 -> 1000, C loop', growth('limit'), 'x'),
  );
  return metrics;
}

/** Empty cgroups flatter: the same with a process in each that wakes up ten times a second. */
async function occupied(
  context: BenchContext,
  program: string,
  paths: readonly string[],
  readers: Readers,
): Promise<readonly Metric[]> {
  const running = await tickers(
    context,
    program,
    paths.map((path) => `${path}/cgroup.procs`),
  );
  const measured = await takeTurns(context, program, paths, readers);
  await running.end();
  return [
    metric('100 busy cgroups, native', measured.native.wall, 'ms', { atMost: 2 }),
    metric('100 busy cgroups, native', measured.nativeToLimit, 'x', { atMost: 1.5, ratioTo: 'the C loop' }),
    metric('100 busy cgroups, TypeScript', measured.files.wall, 'ms'),
  ];
}
