import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';

/** What scrolling a large fleet costs the page: frames and CPU time are held to limits, so nothing runs beside it. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/suites/browser/scale.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/scroll.json' }]],
  },
});
