import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';

/** Several queens on a real nats-server, which the tests start on loopback with a store of its own. */
export default defineConfig({
  test: {
    include: ['test/suites/nats/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/nats.json' }]],
  },
});
