import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';

/** Daemons, commands and terminals as processes, drivers that hang, a real Prometheus: whatever waits on real time. */
export default defineConfig({
  test: {
    include: ['test/**/*.slow.test.ts'],
    exclude: ['test/suites/**', 'node_modules/**'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    // Two thirds of the time they wait, on two cores: twice as many files as those at once.
    maxWorkers: 4,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/slow.json' }]],
  },
});
