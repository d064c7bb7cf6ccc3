// `npm run bench:check -- [--quick] [--base REV]`: whether something got worse. Compares counts, and CPU as ratios: to the
// bare C loop of this run, and, with `--base`, to another commit, in processes that take turns. Fails beyond 15 % with
// the metric's name. What looks slower is measured again in fresh processes: only what stays slower fails.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BenchCgroups, filesOf } from './cgroups.js';
import { Child } from './children.js';
import { type Bound, type Comparison, compare, countsOver, isOver, isSlower, type Pair, tolerance } from './compare.js';
import type { HotAnswer } from './hot.js';
import { type HotName, hotNames } from './hot-names.js';
import { buildLimit, limitReader, tickers } from './limit.js';
import type { BenchContext } from './metric.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, base: { type: 'string' } },
});
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

const start = (tree: string, cgroups: readonly string[]) =>
  Child.start(context, join(tree, 'bench/hot.ts'), [cgroups.join(',')]);
const ask = (child: Child<unknown>, name: HotName) => child.ask<HotAnswer>({ name, batchMs, batches });

async function takeTurns(
  trees: { current: string; base: string },
  cgroups: readonly string[],
  names: readonly HotName[],
) {
  const current = await start(trees.current, cgroups);
  const base = await start(trees.base, cgroups);
  const found = new Map<HotName, Comparison>();
  for (const name of names) {
    const pairs: Pair[] = [];
    for (let round = -1; round < rounds; round++) {
      const first = round % 2 === 0 ? current : base;
      const one = await ask(first, name);
      const other = await ask(first === current ? base : current, name);
      const [ofCurrent, ofBase] = first === current ? [one, other] : [other, one];
      if (round >= 0) pairs.push({ current: ofCurrent.micros, base: ofBase.micros });
    }
    found.set(name, compare(pairs));
  }
  const counted = [current, base].map((child) => child.ask<Readonly<Record<string, number>>>({ counts: true }));
  const [now, before] = (await Promise.all(counted)) as [Record<string, number>, Record<string, number>];
  await current.stop();
  await base.stop();
  return { found, counts: countsOver(now, before) };
}

/** Against the C loop and readFileSync of this run, and counts that have limits of their own. */
async function withinRun(program: string, cgroups: readonly string[]): Promise<readonly Bound[]> {
  const limit = limitReader(context, program, filesOf(cgroups));
  const child = await start(root, cgroups);
  const least = { limit: Infinity, native: Infinity, typescript: Infinity, readFile: Infinity };
  for (let round = 0; round < rounds; round++) {
    const passes = await limit.passes(20);
    least.limit = Math.min(least.limit, ...passes.map(({ cpu }) => cpu * 1000));
    least.native = Math.min(least.native, (await ask(child, 'collection_100_workers native')).micros);
    least.typescript = Math.min(least.typescript, (await ask(child, 'collection_100_workers TypeScript')).micros);
    least.readFile = Math.min(least.readFile, (await ask(child, 'native_vs_readfilesync readFileSync')).micros);
  }
  await limit.end();
  const counts = await child.ask<Readonly<Record<string, number>>>({ counts: true });
  await child.stop();
  const most: Readonly<Record<string, number>> = {
    // One read for each file, and no more.
    'collection_100_workers native, reads per file': 1 + tolerance,
    'collection_100_workers TypeScript, reads per file': 1 + tolerance,
    'heartbeat_payload_size raw, bytes': 100_000,
    'heartbeat_payload_size on the wire, bytes': 15_000,
  };
  const bounds: Bound[] = Object.entries(most).map(([name, atMost]) => ({
    name,
    value: counts[name] ?? Number.NaN,
    unit: '',
    atMost,
  }));
  return [
    { name: 'collection_100_workers native', value: least.native / least.limit, unit: 'x C loop', atMost: 1.5 },
    {
      name: 'collection_100_workers TypeScript',
      value: least.typescript / least.readFile,
      unit: 'x readFileSync',
      atMost: 1 / 3,
    },
    ...bounds,
  ];
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
  let bounds = await withinRun(program, cgroups);
  for (let again = 1; again < findings && bounds.some(isOver); again++) {
    console.log('  once more');
    const others = await withinRun(program, cgroups);
    bounds = bounds.map((bound, i) => {
      const other = others[i] as Bound;
      return other.value < bound.value ? other : bound;
    });
  }
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
    show(name, Math.min(comparison.least, comparison.paired), 'x base', bad, 1 + tolerance);
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
