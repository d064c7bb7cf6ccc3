// `npm run test:sanitize -- [address|thread...]`: builds the addon with ASan and UBSan, then with TSan, each in a directory of
// its own, and runs the suites that drive it. Anything that a sanitizer reports fails the run. Needs gcc (libasan, libtsan).
import { execFileSync } from 'node:child_process';
import { at, buildNative, must, run } from '../../scripts/run.js';

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

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(name in builds));
if (unknown) {
  console.error(`sanitize: ${unknown} is none of ${Object.keys(builds).join(', ')}`);
  process.exit(1);
}

must(process.execPath, [at('scripts/build.js'), '--if-needed']);
let failed = 0;
for (const name of asked.length > 0 ? asked : Object.keys(builds)) {
  const { san, library, environment } = builds[name];
  console.log(`sanitize: ${san}`);
  const directory = at(`build/sanitize/${name}`);
  // The suites use no executable of the package; that of GPUs has test:sanitize:gpu.
  buildNative(directory, { definition: `san=${san}`, target: 'hivepulse' });
  const preload = execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
  // Fewer random trees: the code under the sanitizer is several times slower, and what it looks for shows in each.
  const env = { ...process.env, ...environment, LD_PRELOAD: preload, HIVEPULSE_PREBUILD: directory };
  const vitest = [at('node_modules/vitest/vitest.mjs'), 'run', '--config', 'vitest.sanitize.config.ts'];
  const { status } = run(process.execPath, vitest, { env: { ...env, HIVEPULSE_PROPERTY_RUNS: '40' } });
  if (status !== 0) {
    console.error(`sanitize: ${san} failed (status ${status})`);
    failed = status;
  }
}
process.exit(failed);
