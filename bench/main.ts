// `npm run bench -- [name...] [--json FILE] [--strict]`: runs each suite whose name contains one of the words (all without
// one) and prints what it measured against its targets. `--strict`: a missed target is exit status 1.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BenchRun, formatMetrics, type Metric } from './metric.js';

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, strict: { type: 'boolean', default: false } },
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

const directory = dirname(fileURLToPath(import.meta.url));
const suites = readdirSync(directory)
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
  .toSorted();

if (suites.length === 0) {
  console.error(`no suite is named ${words.join(' or ')}`);
  process.exit(1);
}

const results: Record<string, readonly Metric[]> = {};
for (const name of suites) {
  console.log(`\n${name}`);
  try {
    const { run } = (await import(`./${name}.bench.ts`)) as { readonly run: BenchRun };
    const metrics = await run({
      log: (line) => console.log(`  ${line}`),
      defer: (work) => void cleanups.push(work),
    });
    results[name] = metrics;
    console.log(`\n${formatMetrics(metrics)}`);
  } catch (error) {
    console.error(`${name} failed:`, error);
    process.exitCode = 1;
  } finally {
    await cleanup();
  }
}

const all = Object.values(results).flat();
const missed = all.filter(({ pass }) => !pass);
console.log(`\n${all.length} metrics, ${missed.length} targets missed`);
if (options.json) {
  const machine = { node: process.version, kernel: release(), cpu: cpus()[0]?.model ?? '', cpuCount: cpus().length };
  mkdirSync(dirname(join(process.cwd(), options.json)), { recursive: true });
  writeFileSync(
    options.json,
    `${JSON.stringify({ at: new Date().toISOString(), machine, suites: results }, null, 2)}\n`,
  );
}
if (options.strict && missed.length > 0) process.exitCode = 1;
