import { defineConfig } from 'vitest/config';
import { aloneLast } from './test/harness/alone-last.js';
import { secondTry } from './test/harness/second-try.js';

/** The real page on a real queen in Debian's Chromium. Where frames are measured nothing runs beside. */
export default defineConfig({
  test: {
    globalSetup: ['test/global-setup.ts'],
    projects: aloneLast('test/suites/browser', ['scale'], { testTimeout: 60_000 }),
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/browser.json' }]],
  },
});
