// `npm run test:cgroup [-- FILTER...]`: the suites that need cgroup v2 with all controllers. On this host where it has
// them and they may be written, else in virtual machines (test/vm): one without systemd, one with it as PID 1, and one that is
// emulated where the other two have a user-mode kernel, for what such a kernel lacks.
// Writes vitest's JSON to test-results/cgroup.json. A run that executed no test fails; what was skipped is said.
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from '../../../scripts/run.js';
import { runInVm, vmFailed } from '../../vm/vm.js';

const vitest = 'node_modules/vitest/vitest.mjs';
const filters = process.argv.slice(2);
const resultFile = join(root, 'test-results/cgroup.json');
const needed = ['cpu', 'memory', 'io', 'pids', 'cpuset'];

const below = (folder) => (path) => path.startsWith(`test/suites/kernel/${folder}/`);
/**
 * Test files below systemd/ need it as PID 1; others must not meet it. Those below whole/ need it too, and what a user-mode kernel
 * lacks (cpuset, pressure, the choice of a pid): as few as there can be, for an emulated CPU is some thirty times slower.
 */
const suites = [
  {
    name: 'without systemd',
    systemd: false,
    userMode: true,
    files: (path) => !below('systemd')(path) && !below('whole')(path),
  },
  { name: 'with systemd', systemd: true, userMode: true, files: below('systemd') },
  { name: 'with every controller', systemd: true, userMode: false, files: below('whole') },
];

function testFiles() {
  const list = readdirSync(join(root, 'test/suites/kernel'), { recursive: true });
  const files = list
    .map((name) => `test/suites/kernel/${name}`)
    .filter((name) => name.endsWith('.test.ts'))
    .sort();
  const words = filters.filter((word) => !word.startsWith('-'));
  return words.length === 0 ? files : files.filter((file) => words.some((word) => file.includes(word)));
}

/** Why the suites cannot run on this host itself, or null where they can. */
function whyNotHere() {
  if (process.env.HIVEPULSE_TEST_VM === '1') return 'HIVEPULSE_TEST_VM=1 asks for the virtual machine';
  if (process.platform !== 'linux') return 'this is not Linux';
  const file = '/sys/fs/cgroup/cgroup.controllers';
  if (!existsSync(file)) return 'cgroup v2 is not at /sys/fs/cgroup';
  const controllers = readFileSync(file, 'utf8').trim().split(/\s+/);
  const missing = needed.filter((name) => !controllers.includes(name));
  if (missing.length > 0) return `v2 lacks the controllers ${missing.join(', ')}`;
  if (process.getuid() !== 0) return 'making cgroups takes root';
  try {
    accessSync('/sys/fs/cgroup/cgroup.procs', constants.W_OK);
    mkdirSync('/sys/fs/cgroup/hivepulse-probe');
    rmdirSync('/sys/fs/cgroup/hivepulse-probe');
  } catch (error) {
    return `cgroups cannot be made here (${error.code})`;
  }
  return null;
}

const vitestArguments = (files, json) => [
  ...[vitest, 'run', '--config', 'vitest.cgroup.config.ts', `--outputFile.json=${json}`],
  ...filters.filter((word) => word.startsWith('-')),
  ...files,
];

const run = (command, args) =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', (error) => {
      console.error(error.message);
      resolve(1);
    });
    child.once('exit', (code) => resolve(code ?? 1));
  });

/** On this host, where it has what the suite needs. */
async function runHere(suite, files, json) {
  if (suite.systemd && !existsSync('/run/systemd/system')) return null;
  return run(process.execPath, vitestArguments(files, json));
}

/** Compiles the test files and what they import on this host, for vitest in the guest; without it they are only slower. */
const compileForGuest = (files) =>
  spawnSync(process.execPath, [vitest, 'list', '--config', 'vitest.cgroup.config.ts', ...files], {
    cwd: root,
    stdio: 'ignore',
    timeout: 600_000,
  });

async function runInGuest(suite, files, out) {
  compileForGuest(files);
  const names = ['PATH', 'HOME', 'LANG', 'TERM', 'CI', 'HIVEPULSE_FAULT_SECONDS', 'HIVEPULSE_TEST_RETRY'];
  const env = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  const command = [process.execPath, ...vitestArguments(files, '/run/vm/out/result.json')];
  return runInVm({ command, dir: root, env, systemd: suite.systemd, userMode: suite.userMode, out });
}

const built = spawnSync(process.execPath, ['scripts/build.js', '--if-needed'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (built.status !== 0) process.exit(built.status ?? 1);

const reason = whyNotHere();
const files = testFiles();
const work = mkdtempSync(join(tmpdir(), 'hivepulse-cgroup-'));
const results = [];
let status = 0;
try {
  for (const suite of suites) {
    const chosen = files.filter(suite.files);
    if (chosen.length === 0) continue;
    const out = join(work, suite.name.replaceAll(' ', '-'));
    const json = join(out, 'result.json');
    mkdirSync(out);
    let where = 'on this host';
    let ended = reason === null ? await runHere(suite, chosen, json) : null;
    if (ended === null) {
      where = 'in the virtual machine';
      console.log(`test:cgroup: ${suite.name}: in a virtual machine, since ${reason ?? 'systemd is not PID 1 here'}`);
      ended = await runInGuest(suite, chosen, out);
      if (ended === vmFailed) console.error('test:cgroup: the virtual machine failed; see above');
    }
    status ||= ended;
    results.push({
      suite: suite.name,
      where,
      result: existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : null,
    });
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

const total = (key) => results.reduce((sum, { result }) => sum + (result?.[key] ?? 0), 0);
const keys = [
  'numTotalTestSuites',
  'numPassedTestSuites',
  'numFailedTestSuites',
  'numTotalTests',
  'numPassedTests',
  'numFailedTests',
  'numPendingTests',
  'numTodoTests',
];
const merged = {
  ...Object.fromEntries(keys.map((key) => [key, total(key)])),
  success: status === 0 && results.every(({ result }) => result?.success === true),
  startTime: Math.min(...results.map(({ result }) => result?.startTime ?? Date.now())),
  testResults: results.flatMap(({ suite, where, result }) =>
    (result?.testResults ?? []).map((file) => ({ ...file, suite, where })),
  ),
};
mkdirSync(dirname(resultFile), { recursive: true });
writeFileSync(resultFile, JSON.stringify(merged, null, 2));

let executed = 0;
for (const { suite, where, result } of results) {
  const [passed, failed, pending] = ['numPassedTests', 'numFailedTests', 'numPendingTests'].map(
    (key) => result?.[key] ?? 0,
  );
  executed += passed + failed;
  console.log(`test:cgroup: ${suite}: ${passed + failed} tests ran ${where}, ${failed} failed, ${pending} skipped`);
  if (result === null) console.error(`test:cgroup: ${suite}: no result was written`);
  if (result === null || passed + failed === 0) status ||= 1;
}
if (executed === 0) {
  console.error('test:cgroup: no test was executed');
  status ||= 1;
}
process.exit(status);
