import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';

export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/**/*.test.ts'],
    // What waits on real time or starts many processes is test:slow; what needs more than npm is below test/suites.
    exclude: ['test/**/*.slow.test.ts', 'test/suites/**', 'node_modules/**'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    // Files share a process and what it has imported: a third of the CPU time. None leaves anything behind in it.
    isolate: false,
    // A file at a time on each core, and one more: on two cores each file waits for a third of its time.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter],
  },
});
