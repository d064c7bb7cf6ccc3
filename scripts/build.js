// Builds the addon, the TypeScript and the page into build/ and dist/. `--if-needed` skips what is newer than its sources.
// A machine without a compiler gets everything but the addon. One build at a time: parallel callers wait on a lock.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './run.js';

const ifNeeded = process.argv.includes('--if-needed');

/** Newest modification time under `path`, in ms; 0 where it does not exist. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(
    stat.mtimeMs,
    ...readdirSync(path)
      .filter((n) => n !== 'node_modules')
      .map((n) => newest(join(path, n))),
  );
}

const bin = join(root, 'node_modules/.bin');
const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}` };

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: environment });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

const inRoot = (...paths) => Math.max(...paths.map((path) => newest(join(root, path))));

const steps = [
  {
    name: 'addon',
    sources: () => inRoot('native', 'binding.gyp'),
    target: 'build/Release/hivepulse.node',
    optional: true,
    skip: () => process.platform !== 'linux' || !existsSync(join(root, 'binding.gyp')),
    // Through npm, whose configuration tells node-gyp where Node's headers are.
    run: () => run('npm', ['run', '--silent', 'build:native', '--', '--loglevel=warn']),
  },
  {
    name: 'typescript',
    sources: () => inRoot('lib', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'scripts/one-file.js'),
    target: 'dist/.built',
    run: () => {
      for (const name of existsSync(join(root, 'dist')) ? readdirSync(join(root, 'dist')) : []) {
        if (name !== 'dashboard') rmSync(join(root, 'dist', name), { recursive: true, force: true });
      }
      const status = run('tsc', ['-p', 'tsconfig.build.json']) || run(process.execPath, ['scripts/one-file.js']);
      if (status === 0) {
        // npm makes it executable when it links it, which a later build would undo.
        chmodSync(join(root, 'dist/cli/main.js'), 0o755);
        writeFileSync(join(root, 'dist/.built'), '');
      }
      return status;
    },
  },
  {
    name: 'page',
    sources: () => inRoot('lib/dashboard', 'lib/contract', 'lib/present'),
    target: 'dist/dashboard/index.html',
    skip: () => !existsSync(join(root, 'lib/dashboard/index.html')),
    run: () => run('vite', ['build', 'lib/dashboard', '--logLevel', 'warn']),
  },
];

/** Holds an exclusive lock file while `work` runs; a lock whose owner is gone is taken over. */
function withLock(work) {
  const lock = join(root, 'build', '.lock');
  mkdirSync(join(root, 'build'), { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      let owner = 0;
      try {
        owner = Number(readFileSync(lock, 'utf8'));
        process.kill(owner, 0);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      } catch {
        if (owner > 0) rmSync(lock, { force: true });
      }
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

if (!existsSync(join(bin, 'tsc'))) process.exit(0); // installed as a dependency: dist/ came with the package

const failed = withLock(() => {
  for (const step of steps) {
    if (step.skip?.()) continue;
    if (ifNeeded && newest(join(root, step.target)) >= step.sources()) continue;
    const status = step.run();
    if (status !== 0 && !step.optional) return step.name;
    if (status !== 0) console.error(`hivepulse: the ${step.name} could not be built; going on without it.`);
  }
  return null;
});
if (failed) {
  console.error(`hivepulse: building the ${failed} failed.`);
  process.exit(1);
}
