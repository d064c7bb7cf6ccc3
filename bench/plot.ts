// `npm run bench:plot -- [--add RELEASE]`: draws docs/images/growth.svg (what each thing costs as there is more of it) and
// docs/images/history.svg (each release against its targets) from bench/history.jsonl, and writes the tables of
// docs/performance.md. `--add` first adds bench/results/latest.json as a line of that release, in place of one it has.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chart, type Panel, type Series } from './chart.js';
import type { Results } from './metric.js';
import { limitsTable, measuredTable } from './report.js';

export interface Release extends Results {
  readonly release: string;
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({ options: { add: { type: 'string' } } });

const historyFile = path('history.jsonl');
let history: Release[] = existsSync(historyFile)
  ? readFileSync(historyFile, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Release)
  : [];
if (options.add !== undefined) {
  const latest = JSON.parse(readFileSync(path('results/latest.json'), 'utf8')) as Results;
  history = [...history.filter(({ release }) => release !== options.add), { release: options.add, ...latest }];
  writeFileSync(historyFile, history.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
const newest = history.at(-1);
if (newest === undefined) {
  console.error(
    'bench/history.jsonl holds no release: npm run bench -- --json, then npm run bench:plot -- --add RELEASE',
  );
  process.exit(1);
}

const value = (name: string): number => newest.metrics[name]?.value ?? Number.NaN;
/** A line through what the metrics say at each of these sizes. */
const line = (name: string, sizes: readonly number[], metric: (size: number) => string, factor = 1): Series => ({
  name,
  points: sizes.map((size) => [size, value(metric(size)) * factor] as const),
});

const workers = [10, 100, 1000];
const fleet = [1000, 10_000, 100_000];
const queries = (what: string) => (size: number) =>
  size === 100_000 && what === 'model and idle, 100 of a page'
    ? 'registry/query_100k p50'
    : `registry/registry ${size} workers, ${what}, p50`;
const growth: readonly Panel[] = [
  {
    title: 'One pass over the cgroup files, ms',
    xLabel: 'workers of a hive',
    series: [
      line('C loop', workers, (n) => `sampling/collection_${n}_workers C loop`),
      line('native', workers, (n) => `sampling/collection_${n}_workers native`),
      line('TypeScript', workers, (n) => `sampling/collection_${n}_workers TypeScript`),
    ],
  },
  {
    title: 'One tick of a hive, ms of CPU',
    xLabel: 'workers of a hive',
    series: [
      line('all threads', [10, 100, 500], (n) => `tick/tick_${n}_workers all threads`),
      line('event loop', [10, 100, 500], (n) => `tick/tick_${n}_workers event loop`),
    ],
  },
  {
    title: 'A heartbeat at the queen, us of CPU',
    xLabel: 'workers of the hive',
    series: ['parse', 'validate', 'merge', 'inflate'].map((step) =>
      line(step, [10, 100, 500], (n) => `heartbeat/heartbeat ${n} workers, ${step}`),
    ),
  },
  {
    title: 'Questions to the registry, median ms',
    xLabel: 'workers of the fleet',
    series: [
      'model and idle, 100 of a page',
      'best for a model',
      'capacity, first 100',
      'by VRAM used',
      'placement',
    ].map((what) => line(what, fleet, queries(what))),
  },
  {
    title: 'Heartbeat to event, p99 ms',
    xLabel: 'subscribers',
    series: [line('p99', [1, 50, 200, 1000], (n) => `sse/sse_latency_${n} p99`)],
  },
  {
    title: 'Merge of a beat of 8 workers, us of CPU',
    xLabel: 'workers of the fleet',
    series: [line('merge', fleet, (n) => `registry/registry ${n} workers, merge of a beat of 8`)],
  },
];
writeFileSync(path('../docs/images/growth.svg'), chart('What each thing costs as there is more of it', growth));

/** How far from its target: 1 is on it, less is better. */
const share = ({ metrics }: Release, name: string): number => {
  const metric = metrics[name];
  if (metric?.target == null) return Number.NaN;
  return metric.better === 'lower' ? metric.value / metric.target : metric.target / metric.value;
};
const judged = Object.keys(newest.metrics).filter((name) => newest.metrics[name]?.target !== null);
const suites = [...new Set(judged.map((name) => name.split('/')[0] as string))];
const places = history.map(({ release }) => release);
const past: readonly Panel[] = suites.map((suite) => ({
  title: `${suite}: share of the target`,
  xLabel: 'release',
  places,
  line: { y: 1, name: 'target' },
  series: judged
    .filter((name) => name.startsWith(`${suite}/`))
    .slice(0, 8)
    .map((name) => ({
      name: name.slice(suite.length + 1),
      points: history.map((release, i) => [i, share(release, name)] as const),
    })),
}));
writeFileSync(path('../docs/images/history.svg'), chart('Each release against its targets', past));

const document = path('../docs/performance.md');
let text = readFileSync(document, 'utf8');
for (const [name, table] of [
  ['measured', measuredTable(newest)],
  ['limits', limitsTable(newest)],
] as const) {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [before, rest] = text.split(begin) as [string, string | undefined];
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`docs/performance.md has no place for ${name}`);
  text = `${before}${begin}\n\n${table}\n${end}${after}`;
}
writeFileSync(document, text);
