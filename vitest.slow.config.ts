import { defineConfig } from 'vitest/config';
import { firstFiles } from './test/harness/first-files.js';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';

/** Daemons, commands and terminals as processes, drivers that hang, a real Prometheus: whatever waits on real time. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/**/*.slow.test.ts'],
    exclude: ['test/suites/**', 'node_modules/**'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    // Files share a process and what it has imported. None leaves anything behind in it.
    isolate: false,
    // Two thirds of the time they wait, on two cores: twice as many files as those at once.
    maxWorkers: 4,
    sequence: {
      sequencer: firstFiles(
        'test/e2e/telemetry.slow.test.ts',
        'test/cli/commands.slow.test.ts',
        'test/api/proxied-stream.slow.test.ts',
        'test/project/new-field.slow.test.ts',
        'test/queen/heartbeat-stream.slow.test.ts',
        'test/e2e/serving.slow.test.ts',
        'test/workers/secrets.slow.test.ts',
      ),
    },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: ['default', secondTry.reporter, ['json', { outputFile: 'test-results/slow.json' }]],
  },
});
