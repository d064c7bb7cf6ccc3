// `npm run test:sanitize -- [address|thread...]`: builds the addon with ASan and UBSan, then with TSan, each in a directory of
// its own, and runs the suites that drive it. Anything that a sanitizer reports fails the run. Needs gcc (libasan, libtsan).
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const at = (path) => join(root, path);

const builds = {
  address: {
    san: 'address,undefined',
    library: 'libasan.so',
    environment: {
      ASAN_OPTIONS: 'detect_leaks=1',
      LSAN_OPTIONS: `suppressions=${at('test/sanitize/lsan.supp')}:print_suppressions=0`,
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    },
  },
  thread: {
    san: 'thread',
    library: 'libtsan.so',
    environment: {
      TSAN_OPTIONS: `suppressions=${at('test/sanitize/tsan.supp')} ignore_noninstrumented_modules=1`,
    },
  },
};

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

/** node-gyp builds in `build/` beside binding.gyp: each variant gets a copy of the sources. */
function build(name, san) {
  const directory = at(`build/sanitize/${name}`);
  mkdirSync(directory, { recursive: true });
  for (const path of ['native', 'binding.gyp', 'package.json']) {
    rmSync(join(directory, path), { recursive: true, force: true });
    cpSync(at(path), join(directory, path), { recursive: true, preserveTimestamps: true });
  }
  rmSync(join(directory, 'node_modules'), { force: true });
  symlinkSync(at('node_modules'), join(directory, 'node_modules'));
  const gyp = (...args) => {
    const status = run('npm', ['--silent', 'exec', '--', 'node-gyp', '--loglevel=warn', ...args], { cwd: directory });
    if (status !== 0) process.exit(status);
  };
  gyp('configure', '--', `-Dsan=${san}`);
  gyp('build', '-j', 'max');
  return directory;
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(name in builds));
if (unknown) {
  console.error(`sanitize: ${unknown} is none of ${Object.keys(builds).join(', ')}`);
  process.exit(1);
}

run(process.execPath, [at('scripts/build.js'), '--if-needed']);
let failed = 0;
for (const name of asked.length > 0 ? asked : Object.keys(builds)) {
  const { san, library, environment } = builds[name];
  console.log(`sanitize: ${san}`);
  const directory = build(name, san);
  const preload = execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
  // Fewer random trees: the code under the sanitizer is several times slower, and what it looks for shows in each.
  const env = { ...process.env, ...environment, LD_PRELOAD: preload, HIVEPULSE_PREBUILD: directory };
  const status = run(
    process.execPath,
    [at('node_modules/vitest/vitest.mjs'), 'run', '--config', 'vitest.sanitize.config.ts'],
    {
      env: { ...env, HIVEPULSE_PROPERTY_RUNS: '40' },
    },
  );
  if (status !== 0) {
    console.error(`sanitize: ${san} failed (status ${status})`);
    failed = status;
  }
}
process.exit(failed);
