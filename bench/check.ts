// `npm run bench:check -- [--quick] [--base REV] [--plant FAULT]`: whether something got worse. Compares counts, and CPU as
// ratios: to the bare C loop, and, with `--base`, to another commit, in processes that take turns. Fails beyond 15 % with
// the metric's name. What looks slower is measured again in fresh processes: only what stays slower fails. `--plant`
// makes the readers of this tree worse (`extra-read`, `slow-loop`): the check must then fail.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BenchCgroups, filesOf } from './cgroups.js';
import { Child } from './children.js';
import {
  type Bound,
  type Comparison,
  compare,
  countsOver,
  isOver,
  isSlower,
  nativeToLimit,
  type Pair,
  ratioOf,
  tolerance,
} from './compare.js';
import type { HotAnswer } from './hot.js';
import { type HotName, hotNames, plants } from './hot-names.js';
import { buildLimit, type Cost, limitReader, tickers } from './limit.js';
import type { BenchContext } from './metric.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, base: { type: 'string' }, plant: { type: 'string' } },
});
if (options.plant !== undefined && !plants.some((name) => name === options.plant)) {
  console.error(`--plant: one of ${plants.join(', ')}`);
  process.exit(2);
}
const root = fileURLToPath(new URL('..', import.meta.url));
const rounds = options.quick ? 6 : 12;
const batchMs = 8;
const batches = 5;
/** Times that something must be found slower before it is. */
const findings = 3;

const cleanups: (() => void | Promise<void>)[] = [];
const context: BenchContext = {
  log: (line) => console.log(`  ${line}`),
  defer: (work) => void cleanups.push(work),
  wants: () => true,
  against: null,
};
async function cleanup(): Promise<void> {
  for (let work = cleanups.pop(); work; work = cleanups.pop()) await work();
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void cleanup().then(() => process.exit(130)));

const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

/** The tree of `revision` with what it takes to run it, or why there is none. */
function checkOut(revision: string): { readonly path: string } | { readonly none: string } {
  let commit: string;
  try {
    commit = git('rev-parse', '--verify', '--quiet', `${revision}^{commit}`);
  } catch {
    let shallow = false;
    try {
      shallow = git('rev-parse', '--is-shallow-repository') === 'true';
    } catch {
      return { none: 'this is no git repository' };
    }
    return { none: `${revision} is not in this ${shallow ? 'shallow clone' : 'repository'}` };
  }
  const path = mkdtempSync(join(tmpdir(), 'hivepulse-base-'));
  context.defer(() => {
    rmSync(path, { recursive: true, force: true });
    git('worktree', 'prune');
  });
  git('worktree', 'add', '--detach', '--force', path, commit);
  if (!existsSync(join(path, 'bench/hot.ts'))) return { none: `${revision} has no bench/hot.ts yet` };
  const same = (...paths: string[]): boolean => {
    try {
      git('diff', '--quiet', commit, '--', ...paths);
      return true;
    } catch {
      return false;
    }
  };
  if (!same('package-lock.json')) console.log(`  ${revision} has other dependencies; it runs with those of this tree`);
  symlinkSync(join(root, 'node_modules'), join(path, 'node_modules'));
  if (same('native', 'binding.gyp')) cpSync(join(root, 'build'), join(path, 'build'), { recursive: true });
  else {
    console.log(`  building the addon of ${revision}`);
    execFileSync('npm', ['run', '--silent', 'build:native', '--', '--loglevel=error'], { cwd: path, stdio: 'inherit' });
  }
  return { path };
}

const start = (tree: string, cgroups: readonly string[], plant = '') =>
  Child.start(context, join(tree, 'bench/hot.ts'), [cgroups.join(','), plant]);
const ask = (child: Child<unknown>, name: HotName) => child.ask<HotAnswer>({ name, batchMs, batches });

async function takeTurns(
  trees: { current: string; base: string },
  cgroups: readonly string[],
  names: readonly HotName[],
) {
  const current = await start(trees.current, cgroups, options.plant);
  const base = await start(trees.base, cgroups);
  const found = new Map<HotName, Comparison>();
  for (const name of names) {
    const pairs = await turns(
      async () => (await ask(current, name)).micros,
      // What the base does not have yet is NaN there, which comes over as null.
      async () => (await ask(base, name)).micros ?? Number.NaN,
    );
    found.set(name, compare(pairs));
  }
  const counted = [current, base].map((child) => child.ask<Readonly<Record<string, number>>>({ counts: true }));
  const [now, before] = (await Promise.all(counted)) as [Record<string, number>, Record<string, number>];
  await current.stop();
  await base.stop();
  return { found, counts: countsOver(now, before) };
}

/** Each measures a round of its own: the least of so many batches, as `hot.ts` does it. */
interface Sides {
  readonly name: string;
  readonly unit: string;
  readonly atMost: number;
  readonly current: () => Promise<number>;
  readonly base: () => Promise<number>;
}

/** Bounds of what took turns with what it is measured against, in processes of their own. */
async function withinRun(program: string, cgroups: readonly string[], asked: readonly string[] | null) {
  const limit = limitReader(context, program, filesOf(cgroups));
  const child = await start(root, cgroups, options.plant);
  const mean = (costs: readonly Cost[]) => (costs.reduce((sum, { cpu }) => sum + cpu, 0) / costs.length) * 1000;
  const passes = Math.max(2, Math.round((batchMs * 1000) / mean(await limit.passes(20))));
  const sides: readonly Sides[] = [
    {
      name: 'collection_100_workers native',
      unit: 'x C loop',
      atMost: nativeToLimit,
      current: async () => (await ask(child, 'collection_100_workers native')).micros,
      base: async () => {
        let least = Number.POSITIVE_INFINITY;
        for (let i = 0; i < batches; i++) least = Math.min(least, mean(await limit.passes(passes)));
        return least;
      },
    },
    {
      name: 'collection_100_workers TypeScript',
      unit: 'x readFileSync',
      atMost: 1 / 3,
      current: async () => (await ask(child, 'collection_100_workers TypeScript')).micros,
      base: async () => (await ask(child, 'native_vs_readfilesync readFileSync')).micros,
    },
  ];
  const bounds: Bound[] = [];
  for (const { name, unit, atMost, current, base } of sides) {
    if (asked !== null && !asked.includes(name)) continue;
    const pairs = await turns(current, base);
    bounds.push({ name, value: ratioOf(compare(pairs)), unit, atMost });
  }
  await limit.end();
  if (asked === null) bounds.push(...limitedCounts(await child.ask({ counts: true })));
  await child.stop();
  return bounds;
}

/** Rounds in which either side is first by turns; one before them is not counted. */
async function turns(current: () => Promise<number>, base: () => Promise<number>): Promise<readonly Pair[]> {
  const pairs: Pair[] = [];
  for (let round = -1; round < rounds; round++) {
    const currentFirst = round % 2 === 0;
    const one = await (currentFirst ? current : base)();
    const other = await (currentFirst ? base : current)();
    if (round >= 0) pairs.push(currentFirst ? { current: one, base: other } : { current: other, base: one });
  }
  return pairs;
}

/** Counts that have limits of their own. */
function limitedCounts(counts: Readonly<Record<string, number>>): readonly Bound[] {
  const most: Readonly<Record<string, number>> = {
    // One read for each file, and no more.
    'collection_100_workers native, reads per file': 1 + tolerance,
    'collection_100_workers TypeScript, reads per file': 1 + tolerance,
    'heartbeat_payload_size raw, bytes': 100_000,
    'heartbeat_payload_size on the wire, bytes': 15_000,
  };
  return Object.entries(most).map(([name, atMost]) => ({ name, value: counts[name] ?? Number.NaN, unit: '', atMost }));
}

/** What is over its limit is measured again, in fresh processes: only what is found so each time is. */
async function boundsOf(program: string, cgroups: readonly string[]): Promise<readonly Bound[]> {
  const found = new Map((await withinRun(program, cgroups, null)).map((bound) => [bound.name, bound]));
  for (let finding = 1; finding < findings; finding++) {
    const over = [...found.values()].filter(isOver);
    if (over.every(({ unit }) => unit === '')) break;
    console.log(`  once more: ${over.map(({ name, value }) => `${name} (${value.toFixed(3)})`).join(', ')}`);
    for (const bound of await withinRun(
      program,
      cgroups,
      over.map(({ name }) => name),
    ))
      if (bound.value < (found.get(bound.name)?.value ?? Number.NaN)) found.set(bound.name, bound);
  }
  return [...found.values()];
}

const show = (name: string, value: number, unit: string, bad: boolean, limit: number) =>
  console.log(
    `  ${bad ? '✗' : '✓'}  ${name}  ${value.toFixed(3)} ${unit}  <= ${limit.toFixed(2)}`.replace(/ {3,}<=/, '  <='),
  );

async function run(): Promise<readonly string[]> {
  const cgroups = new BenchCgroups(context).make(100);
  const program = buildLimit(context);
  // Empty cgroups flatter, and the sampler takes them for none.
  const procs = cgroups.map((path) => `${path}/cgroup.procs`);
  await tickers(context, program, procs);
  const failed = new Set<string>();
  console.log(`load ${loadavg()[0]?.toFixed(1)}\nwithin this run`);
  const bounds = await boundsOf(program, cgroups);
  for (const bound of bounds) {
    show(bound.name, bound.value, bound.unit, isOver(bound), bound.atMost);
    if (isOver(bound)) failed.add(bound.name);
  }
  if (options.base === undefined) {
    console.log('no base was named (--base REV): not compared with another commit');
    return [...failed];
  }
  const base = checkOut(options.base);
  if ('none' in base) {
    console.log(`no base: ${base.none}`);
    return [...failed];
  }
  console.log(`against ${options.base}, by turns`);
  const trees = { current: root, base: base.path };
  let names: readonly HotName[] = hotNames.filter((name) => name !== 'native_vs_readfilesync readFileSync');
  const worst = new Map<HotName, Comparison>();
  let counts: readonly Bound[] = [];
  for (let finding = 0; finding < findings && names.length > 0; finding++) {
    if (finding > 0) console.log(`  once more: ${names.join(', ')}`);
    const taken = await takeTurns(trees, cgroups, names);
    counts = taken.counts;
    for (const [name, comparison] of taken.found) worst.set(name, comparison);
    names = [...taken.found].filter(([, comparison]) => isSlower(comparison)).map(([name]) => name);
  }
  for (const [name, comparison] of worst) {
    const bad = isSlower(comparison);
    if (Number.isNaN(comparison.paired)) {
      console.log(`     ${name}  is not in the base`);
      continue;
    }
    show(name, ratioOf(comparison), 'x base', bad, 1 + tolerance);
    if (bad) failed.add(name);
  }
  for (const bound of counts) {
    show(bound.name, bound.value, bound.unit, isOver(bound), bound.atMost);
    if (isOver(bound)) failed.add(bound.name);
  }
  return [...failed];
}

try {
  const failed = await run();
  console.log(failed.length === 0 ? 'nothing got worse' : `worse: ${failed.join('; ')}`);
  if (failed.length > 0) process.exitCode = 1;
} finally {
  await cleanup();
}
