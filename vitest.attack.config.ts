import { defineConfig } from 'vitest/config';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';

/** Attacks on a real queen, with a hive, a reader and a query beside each. `HIVEPULSE_ATTACK_SECONDS` says how long one lasts. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/suites/attack/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    fileParallelism: false,
    testTimeout:
      60_000 +
      3000 * Number(process.env.HIVEPULSE_ATTACK_SECONDS ?? 0) +
      1500 * Number(process.env.HIVEPULSE_FUZZ_SECONDS ?? 0),
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/attack.json' }]],
  },
});
