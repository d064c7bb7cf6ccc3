import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';

/** The real page on a real queen in Debian's Chromium. One file at a time: a browser is heavy, and frames are measured. */
export default defineConfig({
  test: {
    include: ['test/suites/browser/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/browser.json' }]],
  },
});
