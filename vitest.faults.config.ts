import { defineConfig } from 'vitest/config';
import { firstFiles } from './test/harness/first-files.js';
import { secondTry } from './test/harness/second-try.js';
import { sharedTransforms } from './test/harness/shared-transforms.js';
import { MatrixReporter } from './test/suites/faults/matrix-reporter.js';

const pointer =
  'Printed by npm run test:cgroup, which has every cgroup controller: oom_kill_in_partition, oom_kill_of_the_hive, wedged_proc.';

/** Real queens and hives that are broken on purpose. `HIVEPULSE_FAULT_SECONDS` says how long each fault lasts. */
export default defineConfig({
  plugins: sharedTransforms.plugins,
  test: {
    experimental: sharedTransforms.experimental,
    include: ['test/suites/faults/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    // Four fifths of the time are spent waiting, and figures are held to controls beside them: twice as many files as cores.
    maxWorkers: 4,
    sequence: {
      sequencer: firstFiles(
        'test/suites/faults/cgroup.test.ts',
        'test/suites/faults/queen-unreachable.test.ts',
        'test/suites/faults/gpu.test.ts',
        'test/suites/faults/connections.test.ts',
        'test/suites/faults/queen-name.test.ts',
        'test/suites/faults/hive-process.test.ts',
      ),
    },
    testTimeout: 180_000 + 3000 * Number(process.env.HIVEPULSE_FAULT_SECONDS ?? 0),
    hookTimeout: 60_000,
    retry: secondTry.retry,
    reporters: [
      'default',
      secondTry.reporter,
      ['json', { outputFile: 'test-results/faults.json' }],
      new MatrixReporter({ pointer }),
    ],
  },
});
