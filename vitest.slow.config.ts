import { defineConfig } from 'vitest/config';

/** Daemons, commands and terminals as processes, drivers that hang, a real Prometheus: whatever waits on real time. */
export default defineConfig({
  test: {
    include: ['test/**/*.slow.test.ts'],
    exclude: ['test/suites/**', 'node_modules/**'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    reporters: ['default', ['json', { outputFile: 'test-results/slow.json' }]],
  },
});
