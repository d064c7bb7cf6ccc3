// `npm run test:mutation [-- ROOM|FILE...] [--since REF] [--seconds N] [--concurrency N] [--record] [--dry] [--own] [--tests FILE] [--sample PERCENT [--seed N]]`: changes the code of a room in
// every small way that Stryker knows, and runs the room's unit tests on each change. Without a name: all rooms, then the
// planted faults (C++ among them). `--since`: only lines that differ from a commit. `--seconds`: as many mutants as fit.
// `--record`: the result of whole files goes into measured.json and docs/mutation.md. `--dry`: only whether the tests pass on the copy.
// `--own`: of the room's tests those that import what is changed; `--tests FILE` (may be repeated): these tests. Both are faster,
// and find no more. `--sample`: so many percent of the mutants, drawn from a seed.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { at, isMain, must, read, run } from '../../scripts/run.js';
import { currentDocument } from './document.js';
import { changedLines, changeVerdict, sampleOf, verdictOf } from './judge.js';
import { filesOf, otherTests, roomOf, rooms } from './rooms.js';

const directory = 'test-results/mutation';
/** Where Stryker puts its copy of the tree; another run has another. */
const copy = `${directory}/tree-${process.pid}`;

/** What of the tree no unit test needs: Stryker works on a copy. What is built is needed: worker threads run it. */
const notCopied = ['/coverage', '/test-results', '/bench', '/release', '/docs/images'];

const configOf = (mutate, { concurrency, dry }) => ({
  testRunner: 'mutation',
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  plugins: ['@stryker-mutator/vitest-runner', './test/mutation/plugins.js'],
  reporters: ['lines'],
  ignorers: ['messages'],
  // TypeScript 7 has no API of the kind that Stryker rewrites a tsconfig with, and none has to be rewritten.
  tsconfigFile: 'no-tsconfig.json',
  mutate,
  coverageAnalysis: 'perTest',
  // What runs but once, as a module is loaded, can't be switched while the tests run.
  ignoreStatic: true,
  concurrency,
  timeoutMS: 3000,
  timeoutFactor: 2,
  tempDirName: copy,
  ignorePatterns: notCopied,
  allowConsoleColors: false,
  dryRunOnly: dry,
});

/** Runs Stryker on the files (or `FILE:FROM-TO`) of a room; the lines that it wrote, and why it ended. */
async function mutateRoom(room, mutate, limits) {
  const { name } = room;
  const tests = limits.tests ?? room.tests;
  // Another run of this room may be under way in this tree.
  const [config, lines, log] = ['config.json', 'lines', 'log'].map(
    (kind) => `${directory}/${name}-${process.pid}.${kind}`,
  );
  mkdirSync(at(directory), { recursive: true });
  writeFileSync(at(config), JSON.stringify(configOf(mutate, limits), null, 2));
  rmSync(at(lines), { force: true });
  // Whoever runs it, a mutant costs no more than in `npm test`: `.ci/run` draws ten times as much.
  const { HIVEPULSE_DRAWS: _, ...inherited } = process.env;
  const env = {
    ...inherited,
    HIVEPULSE_MUTATION_DRAWS: '25',
    HIVEPULSE_MUTATION_LINES: at(lines),
    HIVEPULSE_MUTATION_TESTS: tests.join(' '),
    HIVEPULSE_MUTATION_OTHER_TESTS: (limits.own ? otherTests(room, mutate) : []).join(' '),
    HIVEPULSE_MUTATION_SAMPLE: JSON.stringify(limits.sample),
  };
  const command = `exec node node_modules/@stryker-mutator/core/bin/stryker.js run ${config} >${log} 2>&1`;
  const child = spawn('sh', ['-c', command], { cwd: at('.'), env, detached: true, stdio: 'ignore' });
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  const timer = Number.isFinite(limits.endsAt) ? setTimeout(kill, Math.max(0, limits.endsAt - Date.now())) : null;
  process.once('exit', kill);
  const { code, signal } = await new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  process.off('exit', kill);
  clearTimeout(timer);
  rmSync(at(copy), { recursive: true, force: true });
  // A line that was being written has no end.
  const whole = existsSync(at(lines)) ? readFileSync(at(lines), 'utf8').split('\n').slice(0, -1) : [];
  for (const file of [config, lines]) rmSync(at(file), { force: true });
  const entries = whole.map((line) => JSON.parse(line));
  return { entries, failed: signal === null && code !== 0, log };
}

/** What is to be changed, by room: files, or their lines that differ. */
function targetsOf(names, since) {
  const changed =
    since === undefined
      ? []
      : changedLines(read('git', ['diff', '--unified=0', '--no-color', '--no-ext-diff', since, '--', 'lib']));
  const mutateOf = (room) => {
    if (since !== undefined) return changed.filter(({ file }) => roomOf(file) === room).map(({ text }) => text);
    if (names.length === 0 || names.includes(room.name)) return filesOf(room);
    return filesOf(room).filter((file) => names.includes(file));
  };
  return rooms.map((room) => ({ room, mutate: mutateOf(room) })).filter(({ mutate }) => mutate.length > 0);
}

/** Adds results to a file of them. */
function keep(name, found) {
  const path = at('test/mutation', name);
  const kept = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const commit = read('git', ['rev-parse', '--short=10', 'HEAD']).trim();
  const date = new Date().toISOString().slice(0, 10);
  for (const [key, result] of found) kept[key] = { ...result, commit, date };
  const sorted = Object.fromEntries(Object.entries(kept).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(path, `${JSON.stringify(sorted, null, 2)}\n`);
  writeFileSync(at('docs/mutation.md'), currentDocument());
}

/** The result of each file of which every mutant was tried into measured.json, that of a sample into sampled.json. */
function record({ room, mutate, verdict, sample, isWholeRoom }) {
  if (sample === null)
    keep(
      'measured.json',
      verdict.whole.map((file) => [file, verdict.files[file]]),
    );
  else {
    const of = isWholeRoom ? room.name : `${room.name}: ${mutate.join(', ')}`;
    keep('sampled.json', [[of, sampleOf(verdict, sample)]]);
  }
}

const json = (name) => JSON.parse(readFileSync(at('test/mutation', name), 'utf8'));

/** What became of the mutants of a room, with a line for each that was not noticed; null where its tests could not run. */
async function tryRoom({ room, mutate }, limits, equivalents) {
  let result = await mutateRoom(room, mutate, limits);
  // Its tests have to pass on the code as it is, which a busy machine may keep them from once.
  if (result.failed) result = await mutateRoom(room, mutate, limits);
  if (result.failed) {
    console.log(`FAIL ${room.name}: Stryker failed\n${readFileSync(at(result.log), 'utf8').slice(-3000)}`);
    return null;
  }
  if (limits.dry) {
    console.log(`ok   ${room.name}: its tests pass on the copy`);
    return { passed: true, files: {}, whole: [] };
  }
  const asked = limits.isChange ? [] : mutate;
  const verdict = verdictOf(result.entries, equivalents, (file) => readFileSync(at(file), 'utf8'), asked);
  for (const line of verdict.survivors) console.log(line);
  if (limits.isChange) {
    const { passed, held } = changeVerdict(verdict.files, json('measured.json'), equivalents);
    console.log(
      `held to what they had: ${held.join(', ') || 'no file, since none of these was measured at 90 % or more'}`,
    );
    verdict.passed = passed;
  }
  console.log(`${verdict.passed ? 'ok  ' : 'FAIL'} ${room.name}: ${verdict.summary}`);
  return verdict;
}

const isKnown = (ref) =>
  run('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], { stdio: 'ignore' }).status === 0;

/** Nothing is to be tried: says why, and ends. */
function endWithout(since) {
  const names = rooms.map(({ name }) => name).join(', ');
  if (since === undefined) console.log(`no room or file of that name; rooms are ${names}`);
  else if (isKnown(since)) console.log(`no line of ${names} differs from ${since}: nothing to try`);
  else console.log(`${since} is not in this checkout: there is nothing to compare with, and nothing was tried`);
  process.exit(since === undefined ? 1 : 0);
}

async function main() {
  // Stryker leads a process group of its own, so that all of it can be ended; with this process as well.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.once(signal, () => process.exit(143));
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      since: { type: 'string' },
      seconds: { type: 'string' },
      concurrency: { type: 'string' },
      record: { type: 'boolean', default: false },
      dry: { type: 'boolean', default: false },
      own: { type: 'boolean', default: false },
      tests: { type: 'string', multiple: true },
      sample: { type: 'string' },
      seed: { type: 'string', default: '1' },
    },
  });
  const { since, seconds, dry, own, tests } = values;
  const limits = {
    dry,
    own,
    tests,
    sample: values.sample === undefined ? null : { percent: Number(values.sample), seed: values.seed },
    isChange: since !== undefined,
    concurrency: Number(values.concurrency ?? Math.min(2, availableParallelism())),
    endsAt: seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(seconds) * 1000,
  };
  const targets = since === undefined || isKnown(since) ? targetsOf(positionals, since) : [];
  if (targets.length === 0) endWithout(since);
  const equivalents = json('equivalents.json');
  let failed = 0;
  for (const target of targets) {
    const verdict = await tryRoom(target, limits, equivalents);
    if (!verdict?.passed) failed++;
    const isWholeRoom = target.mutate.length === filesOf(target.room).length;
    if (values.record && since === undefined && verdict !== null)
      record({ ...target, verdict, sample: limits.sample, isWholeRoom });
  }
  if (positionals.length === 0 && since === undefined && !dry) must('node', ['test/planted/main.js']);
  console.log(`${targets.length - failed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

if (isMain(import.meta)) await main();
