import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';

/** The real page on a real queen in Debian's Chromium. What scrolling costs is measured alone: vitest.scroll.config.ts. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/suites/browser/**/*.test.ts'],
    exclude: ['test/suites/browser/scale.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // More at a time than there are cores, since they mostly wait. A worker loads queen and harness once for all of its files,
    // none of which changes what another sees.
    maxWorkers: 3,
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Beside what else computes a page draws late; where nothing is wrong nothing waits that long.
    expect: { poll: { timeout: 10_000 } },
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/browser.json' }]],
  },
});
