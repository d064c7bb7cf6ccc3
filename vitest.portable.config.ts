import { defineConfig } from 'vitest/config';

/** What holds on every platform, without the addon: the queen, its API and client, the contract, and the pure parts. */
export default defineConfig({
  test: {
    include: [
      'test/client/**/*.test.ts',
      'test/contract/**/*.test.ts',
      'test/http/**/*.test.ts',
      'test/queen/**/*.test.ts',
      'test/sampling/{attribution,cmdline,proc-parse,rates,redact,state}.test.ts',
      'test/{config,coverage,package,faces}.test.ts',
    ],
    globalSetup: ['test/global-setup.ts'],
    env: { HIVEPULSE_NO_NATIVE: '1' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
