import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Suites that need a virtual machine, a browser, NATS or minutes have a configuration and a script of their own.
    exclude: ['test/suites/**', 'node_modules/**'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/coverage-setup.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
