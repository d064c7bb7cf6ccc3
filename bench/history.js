// `npm run bench:history [-- FILE]`: adds bench/results/latest.json (of `npm run bench -- --json`) to the history in FILE
// (bench/results/history.jsonl), and shows each metric beside the median of the runs before it: here, and on the job's
// summary under GitHub. Tells, and judges nothing: `npm run bench:check` does.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMain, root } from '../scripts/run.js';

/** Runs that are kept, and those that the median is of. */
const kept = 500;
const compared = 20;

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Adds a run to the lines of a history; a run of the same commit is replaced, a line that is broken is left out. */
export function addRun(lines, run) {
  const runs = lines.flatMap((line) => {
    try {
      return line.trim() === '' ? [] : [JSON.parse(line)];
    } catch {
      return [];
    }
  });
  return [...runs.filter(({ commit }) => commit !== run.commit), run].slice(-kept);
}

/** Each metric of the newest run with the median of those before it on the same kind of CPU, and the change in percent. */
export function compareRuns(runs) {
  const newest = runs.at(-1);
  const before = runs.slice(0, -1).filter(({ cpu, cpuCount }) => cpu === newest.cpu && cpuCount === newest.cpuCount);
  return Object.entries(newest.metrics).map(([name, { value, unit, better }]) => {
    const values = before.flatMap(({ metrics }) => metrics[name]?.value ?? []).slice(-compared);
    const usual = values.length === 0 ? null : median(values);
    const change = usual === null || usual === 0 ? null : Math.round((value / usual - 1) * 1000) / 10;
    return { name, value, unit, better, usual, runs: values.length, change };
  });
}

export function historyTable(rows) {
  const figure = (value) => (value === null ? '' : String(Number(value.toPrecision(4))));
  return [
    '## Benchmarks',
    '',
    '| metric | now | unit | median before | runs | change |',
    '| --- | ---: | --- | ---: | ---: | ---: |',
    ...rows.map(
      ({ name, value, unit, usual, runs, change }) =>
        `| ${name} | ${figure(value)} | ${unit} | ${figure(usual)} | ${runs} | ${change === null ? '' : `${change > 0 ? '+' : ''}${change} %`} |`,
    ),
    '',
  ].join('\n');
}

function main(file) {
  const latest = join(root, 'bench/results/latest.json');
  if (!existsSync(latest)) {
    console.error('bench:history: nothing was measured: npm run bench -- --json');
    return 1;
  }
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const runs = addRun(lines, JSON.parse(readFileSync(latest, 'utf8')));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, runs.map((run) => `${JSON.stringify(run)}\n`).join(''));
  const table = historyTable(compareRuns(runs));
  if (process.env.GITHUB_STEP_SUMMARY) appendFileSync(process.env.GITHUB_STEP_SUMMARY, table);
  console.log(table);
  console.log(`bench:history: ${runs.length} runs in ${file}`);
  return 0;
}

if (isMain(import.meta)) process.exit(main(process.argv[2] ?? join(root, 'bench/results/history.jsonl')));
