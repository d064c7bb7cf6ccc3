// `npm run bench -- [name...] [--against DIR] [--json] [--out FILE] [--keep] [--strict]`: runs each suite whose name, or the name of one of whose
// rows, contains one of the words (all without one), and prints what it measured against its targets. `--json` writes the
// result to bench/results/latest.json or to FILE; with `--keep` figures there of suites that did not run stay. `--strict`: a missed target is exit status 1.
// `--against`: another checkout, built, beside which suites that can be compared (endpoints, drm) run at the same time.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatMetrics, type Metric, type Results, type Suite } from './metric.js';

const directory = dirname(fileURLToPath(import.meta.url));
const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    out: { type: 'string', default: join(directory, 'results/latest.json') },
    keep: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
    against: { type: 'string' },
  },
});

const cleanups: (() => void | Promise<void>)[] = [];

async function cleanup(): Promise<void> {
  for (let work = cleanups.pop(); work; work = cleanups.pop()) {
    try {
      await work();
    } catch (error) {
      console.error('cleaning up failed:', error);
      process.exitCode = 1;
    }
  }
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void cleanup().then(() => process.exit(status)));
}

function commit(): string {
  try {
    const of = (...args: string[]) => execFileSync('git', args, { cwd: directory, encoding: 'utf8' }).trim();
    return `${of('rev-parse', '--short', 'HEAD')}${of('status', '--porcelain', '--untracked-files=no') ? '+changes' : ''}`;
  } catch {
    return 'unknown';
  }
}

const named = (name: string) => words.some((word) => name.includes(word));
const suites: { readonly name: string; readonly suite: Suite }[] = [];
for (const file of readdirSync(directory).toSorted()) {
  if (!file.endsWith('.bench.ts')) continue;
  const name = file.slice(0, -'.bench.ts'.length);
  const suite = (await import(`./${file}`)) as Suite;
  if (words.length === 0 || named(name) || suite.rows.some(named)) suites.push({ name, suite });
}
if (suites.length === 0) {
  console.error(`no suite and no row is named ${words.join(' or ')}`);
  process.exit(1);
}

const before = loadavg()[0] as number;
const results: Record<string, readonly Metric[]> = {};
/** After each suite: a run that is ended early has said what it measured. */
function write(): void {
  if (!options.json) return;
  const kept =
    options.keep && existsSync(options.out) ? (JSON.parse(readFileSync(options.out, 'utf8')) as Results) : null;
  const old = Object.entries(kept?.metrics ?? {}).filter(
    ([name]) => results[name.split('/')[0] as string] === undefined,
  );
  const entries = Object.entries(results).flatMap(([suite, metrics]) =>
    metrics.map(({ name, ...metric }) => [`${suite}/${name}`, metric] as const),
  );
  const out: Results = {
    commit: commit(),
    node: process.version,
    kernel: release(),
    cpu: cpus()[0]?.model ?? '',
    cpuCount: cpus().length,
    load1: [before, loadavg()[0] as number],
    when: new Date().toISOString(),
    metrics: Object.fromEntries([...old, ...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
  mkdirSync(dirname(resolve(options.out)), { recursive: true });
  writeFileSync(options.out, `${JSON.stringify(out, null, 2)}\n`);
}

for (const { name, suite } of suites) {
  console.log(`\n${name}`);
  const all = words.length === 0 || named(name);
  try {
    const metrics = await suite.run({
      log: (line) => console.log(`  ${line}`),
      defer: (work) => void cleanups.push(work),
      wants: (row) => all || named(row),
      against: options.against === undefined ? null : resolve(options.against),
    });
    const stray = metrics.find((metric) => !suite.rows.some((row) => metric.name.startsWith(row)));
    if (stray) throw new Error(`${stray.name} begins with none of the suite's rows`);
    results[name] = metrics;
    write();
    console.log(`\n${formatMetrics(metrics)}`);
  } catch (error) {
    console.error(`${name} failed:`, error);
    process.exitCode = 1;
  } finally {
    await cleanup();
  }
}

const judged = Object.values(results)
  .flat()
  .filter(({ target }) => target !== null);
const missed = judged.filter(({ pass }) => !pass);
console.log(`\nTargets\n${formatMetrics(judged)}\n`);
console.log(`${judged.length - missed.length} of ${judged.length} targets met`);
if (options.strict && missed.length > 0) process.exitCode = 1;
