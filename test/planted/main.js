// `npm run test:planted [-- NAME...]`: plants faults in a copy of the tree and runs the tests that must notice
// it: those of faults.js, those of native-faults.js built into a copy of the addon, and each figure of constants.js a tenth more
// and a tenth less. A fault that no test notices fails the run, as does one whose text is no longer in the file.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/run.js';
import { constantFaults } from './constants.js';
import { faults as named } from './faults.js';
import { nativeFaults } from './native-faults.js';

const faults = [...named, ...constantFaults, ...nativeFaults];
const only = process.argv.slice(2);
const chosen = only.length === 0 ? faults : faults.filter(({ name }) => only.some((word) => name.includes(word)));
const linked = ['node_modules', '.git'];
const left = [...linked, 'test-results', 'coverage'];
const tree = mkdtempSync(join(tmpdir(), 'hivepulse-planted-'));
const limitMs = 300_000;

const run = (tests) =>
  spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--bail=1', '--maxWorkers=1', ...tests], {
    cwd: tree,
    encoding: 'utf8',
    timeout: limitMs,
    killSignal: 'SIGKILL',
    env: { ...process.env, CI: 'true', NO_COLOR: '1', GITHUB_ACTIONS: '' },
  });

/** Warnings are not what a fault is noticed by, and the addon is built often. */
const flags = { CXXFLAGS: '-O1 -Wno-error' };

/** Runs what builds; that it fails is an error: a fault has to compile. */
function build(command, args, cwd, env = process.env) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} fails:\n${stdout}${stderr}`);
}
const buildAddon = (command, args) => build(command, args, tree, { ...process.env, ...flags });
const isNative = ({ file }) => file.startsWith('native/');

/** The test that failed, as vitest names it. */
const noticedBy = (output) => /^ FAIL {2}(.*)$/m.exec(output)?.[1] ?? null;

const survivors = [];
try {
  // What the tests' set-up would build: in the tree itself, so that the copies have it.
  build(process.execPath, ['scripts/build.js', '--if-needed'], root);
  build('make', ['-s', '-C', 'test/fakes'], root);
  for (const name of readdirSync(root))
    if (!left.includes(name)) cpSync(join(root, name), join(tree, name), { recursive: true, preserveTimestamps: true });
  for (const name of linked) symlinkSync(join(root, name), join(tree, name));
  // What is built of TypeScript is of the tree without faults: the tests of faults.js import the sources.
  writeFileSync(join(tree, 'test/global-setup.ts'), 'export default () => {};\n');
  // Anew, since the build of the tree it was copied from names the places there.
  if (chosen.some(isNative)) buildAddon('npm', ['run', '--silent', 'build:native', '--', '--loglevel=warn']);
  const suites = [...new Set(chosen.flatMap(({ tests }) => tests))];
  const before = run(suites);
  if (before.status !== 0) throw new Error(`the tests fail without any fault:\n${before.stdout}${before.stderr}`);
  for (const { name, file, from, to, tests } of chosen) {
    const path = join(tree, file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not hold the text once: ${from}`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    if (isNative({ file })) buildAddon('make', ['-C', 'build', 'BUILDTYPE=Release']);
    const { status, stdout, stderr, error } = run(tests);
    writeFileSync(path, text);
    const by = error?.code === 'ETIMEDOUT' ? 'a test that never ends' : noticedBy(`${stdout}${stderr}`);
    if (status === 0 || by === null) survivors.push(name);
    if (status === 0) console.log(`SURVIVED  ${name}`);
    else if (by === null) console.log(`no test failed, and the run did (${status}): ${name}\n${stdout}${stderr}`);
    else console.log(`noticed   ${name}  by ${by}`);
  }
} finally {
  rmSync(tree, { recursive: true, force: true });
}
console.log(`${chosen.length - survivors.length} passed, ${survivors.length} failed`);
process.exit(survivors.length === 0 && chosen.length > 0 ? 0 : 1);
