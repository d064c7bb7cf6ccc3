// `npm run coverage [-- --suites unit,slow,nats,browser] [-- --report]`: which lines of lib/ and native/ run under the suites, in one
// report: coverage/lcov.info, summary.json and summary.md (appended to the summary of a GitHub job). Fails below the floor.
// TypeScript: V8's counts, of vitest's workers and of every process they start (dist/ is built with source maps meanwhile).
// C++: the addon and both executables, instrumented by clang; counters are mapped files, so that killed processes count too.
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  addLines,
  belowFloor,
  formatLcov,
  linesRun,
  markdown,
  mergeLcov,
  parseLcov,
  summarize,
} from './coverage-lines.js';
import { at, buildNative, must, root, run } from './run.js';

const floor = 90;
const out = at('coverage');
/** Not below build/, which node-gyp clears. */
const work = join(out, 'work');
const binaries = join(work, 'binaries');

/** The page runs in a browser, which test/browser drives: it is not counted here. */
const measured = ['provider=v8', 'reportOnFailure', 'include=lib/**/*.ts', 'exclude=lib/dashboard/**'];

const configurations = {
  unit: 'vitest.config.ts',
  slow: 'vitest.slow.config.ts',
  nats: 'vitest.nats.config.ts',
  faults: 'vitest.faults.config.ts',
};
const { values } = parseArgs({
  options: { suites: { type: 'string', default: 'unit,slow,nats' }, report: { type: 'boolean', default: false } },
});
const suites = values.suites.split(',');
const unknown = suites.find((name) => !(name in configurations));
if (unknown !== undefined) {
  console.error(`coverage: ${unknown} is none of ${Object.keys(configurations).join(', ')}`);
  process.exit(1);
}

function buildBinaries() {
  must('clang', ['--version'], { stdio: 'ignore' });
  const env = { ...process.env, CC: 'clang', CXX: 'clang++', LINK: 'clang++' };
  buildNative(binaries, { definition: 'cov=clang', env });
}

/** dist/ as usual, but with source maps. Without its stamp the next build makes it anew, without them. */
function buildTypeScript() {
  must(at('node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--sourceMap']);
}
const forgetTypeScript = () => rmSync(at('dist/.built'), { force: true });

function runSuites() {
  let status = 0;
  const env = {
    ...process.env,
    HIVEPULSE_PREBUILD: binaries,
    HIVEPULSE_V8_COVERAGE: join(work, 'v8'),
    LLVM_PROFILE_FILE: join(work, 'llvm', '%p-%c%m.profraw'),
  };
  for (const suite of suites) {
    console.log(`coverage: ${suite}`);
    const flags = ['enabled', 'reporter=lcovonly', `reportsDirectory=${join(work, suite)}`, ...measured].map(
      (flag) => `--coverage.${flag}`,
    );
    // Counting makes all of it slower, most of all the addon and random input.
    const patience = ['--testTimeout=180000', '--hookTimeout=120000'];
    const vitest = [
      at('node_modules/vitest/vitest.mjs'),
      'run',
      '--config',
      configurations[suite],
      ...patience,
      ...flags,
    ];
    const ended = run(process.execPath, vitest, { env }).status ?? 1;
    if (ended !== 0) {
      console.error(`coverage: ${suite} failed (status ${ended})`);
      status ||= ended;
    }
  }
  return status;
}

/** Lines that ran in processes which the suites started: those of dist/ and of scripts run from lib/ itself. */
function addProcesses(files) {
  const directory = join(work, 'v8');
  let processes = 0;
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    let parsed;
    try {
      parsed = JSON.parse(readFileSync(join(directory, name), 'utf8'));
    } catch {
      continue; // of a process that was killed while it wrote
    }
    const cache = parsed['source-map-cache'] ?? {};
    let counted = false;
    for (const script of parsed.result) {
      const cached = cache[script.url];
      if (!script.url.startsWith('file:') || !cached?.data || !cached.lineLengths) continue;
      for (const [url, run] of linesRun(script, { url: script.url, ...cached })) {
        if (!url.startsWith('file:')) continue;
        addLines(files, relative(root, fileURLToPath(url)), run);
        counted = true;
      }
    }
    if (counted) processes++;
  }
  return processes;
}

function nativeLines() {
  const raw = join(work, 'llvm');
  const profiles = readdirSync(raw).filter((name) => name.endsWith('.profraw'));
  if (profiles.length === 0) throw new Error('no instrumented binary has run');
  const list = join(work, 'profiles.txt');
  writeFileSync(list, profiles.map((name) => `${join(raw, name)}\n`).join(''));
  const merged = join(work, 'native.profdata');
  must('llvm-profdata', ['merge', '-sparse', '--failure-mode=all', `--input-files=${list}`, '-o', merged]);
  const built = ['hivepulse.node', 'hivepulse-gpu', 'hivepulse-launch'].map((name) =>
    join(binaries, 'build/Release', name),
  );
  const objects = built.slice(1).flatMap((path) => ['-object', path]);
  const text = must(
    'llvm-cov',
    [
      'export',
      '-format=lcov',
      built[0],
      ...objects,
      `-instr-profile=${merged}`,
      '-ignore-filename-regex=node_modules|/usr/',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  );
  const here = /^SF:.*\/(native\/[^/\n]+)$/gm;
  return { files: parseLcov(text.replace(here, 'SF:$1')), processes: profiles.length };
}

function report() {
  const files = new Map();
  for (const suite of suites) {
    const path = join(work, suite, 'lcov.info');
    if (!existsSync(path)) throw new Error(`${suite} left no report: run without --report first`);
    mergeLcov(files, parseLcov(readFileSync(path, 'utf8')));
  }
  const processes = addProcesses(files);
  const native = nativeLines();
  mergeLcov(files, native.files);
  const summary = summarize(files);
  writeFileSync(join(out, 'lcov.info'), formatLcov(files));
  writeFileSync(join(out, 'summary.json'), `${JSON.stringify({ floor, suites, ...summary }, null, 2)}\n`);
  const text = markdown(summary, floor);
  writeFileSync(join(out, 'summary.md'), text);
  if (process.env.GITHUB_STEP_SUMMARY) appendFileSync(process.env.GITHUB_STEP_SUMMARY, text);
  for (const { path, percent, hit, found } of summary.directories)
    console.log(`${percent.toFixed(2).padStart(7)} %  ${`${hit}/${found}`.padStart(11)}  ${path}/`);
  console.log(`coverage: ${processes} processes with TypeScript, ${native.processes} with C++ besides the suites' own`);
  for (const [name, { percent }] of [
    ['TypeScript', summary.typescript],
    ['C++', summary.cpp],
    ['both', summary.total],
  ])
    console.log(`coverage: ${name} ${percent.toFixed(2)} % of lines`);
  return belowFloor(summary, floor);
}

let status = 0;
if (!values.report) {
  must(process.execPath, ['scripts/build.js', '--if-needed']);
  for (const name of ['v8', 'llvm', ...suites]) rmSync(join(work, name), { recursive: true, force: true });
  for (const name of ['v8', 'llvm']) mkdirSync(join(work, name), { recursive: true });
  buildBinaries();
  buildTypeScript();
  try {
    status = runSuites();
  } finally {
    forgetTypeScript();
  }
}
const wrong = report();
for (const text of wrong) console.error(`coverage: ${text}`);
process.exit(status || (wrong.length > 0 ? 1 : 0));
