import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';
import { MatrixReporter } from './test/suites/faults/matrix-reporter.js';

/** Suites that need cgroup v2 with all controllers; started by test/suites/kernel/main.js, which has built everything. */
export default defineConfig({
  // The schema library as the package ships it: one file, where an emulated CPU would load 700.
  resolve: {
    alias: [
      { find: /^typebox(\/compile)?$/, replacement: fileURLToPath(new URL('dist/vendor/typebox.js', import.meta.url)) },
    ],
  },
  test: {
    server: { deps: { external: [/\/dist\/vendor\//] } },
    // test/suites/kernel/main.js fills it on this host: an emulated CPU compiles thirty times slower.
    experimental: { fsModuleCache: true },
    include: ['test/suites/kernel/**/*.test.ts'],
    globalSetup: ['test/suites/kernel/setup.ts'],
    // An emulated CPU is some thirty times slower.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Their figures are about CPU time and memory: one file at a time.
    fileParallelism: false,
    // And all of them in one process: another that starts, with all it imports, is dear in a guest.
    isolate: false,
    maxWorkers: 1,
    // test/suites/kernel/main.js says where the JSON goes.
    retry: secondTry.retry,
    reporters: [
      'default',
      secondTry.reporter,
      'json',
      new MatrixReporter({ isFault: (path) => /test\/suites\/kernel\/(faults|wedged-proc)\.test\.ts$/.test(path) }),
    ],
  },
});
