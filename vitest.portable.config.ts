import { defineConfig } from 'vitest/config';
import { sharedTransforms } from './test/harness/shared-transforms.js';

/** What holds on every platform, without the addon: the queen, its API and client, the contract, and the pure parts. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: [
      'test/{api,client,config,contract,engines,http,present,queen,util}/**/*.test.ts',
      'test/procfs/parse.test.ts',
      'test/sampling/{attribution,rates,state}.test.ts',
      'test/workers/redact.test.ts',
      'test/project/{coverage,package}.test.ts',
    ],
    globalSetup: ['test/global-setup.ts'],
    env: { HIVEPULSE_NO_NATIVE: '1' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
