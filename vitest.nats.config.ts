import { defineConfig } from 'vitest/config';
import { aloneLast } from './test/harness/alone-last.js';
import { secondTry } from './test/harness/second-try.js';

/** Several queens on a real nats-server, which each test starts on loopback with a store of its own. */
export default defineConfig({
  test: {
    globalSetup: ['test/global-setup.ts'],
    projects: aloneLast('test/suites/nats', ['scale'], {
      setupFiles: ['test/coverage-setup.ts'],
      testTimeout: 120_000,
    }),
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/nats.json' }]],
  },
});
