import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { keepThread } from './kept-thread.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

const listed = (name: string) => (process.env[name] ?? '').split(' ');

/** For `npm run test:mutation` alone, which says by HIVEPULSE_MUTATION_TESTS which tests a room has, and which of them are left out. */
export default defineConfig({
  root: path('../..'),
  plugins: [keepThread],
  // Few draws, none made smaller: a mutant costs one run of the tests that reach it.
  resolve: {
    alias: [{ find: /^fast-check$/, replacement: path('few-draws.ts') }],
  },
  test: {
    include: listed('HIVEPULSE_MUTATION_TESTS'),
    // A room's tests that measure time fail where each line counts its mutants.
    exclude: [
      ...['test/**/*.slow.test.ts', 'test/**/*linear.test.ts', 'test/suites/**', 'node_modules/**'],
      ...listed('HIVEPULSE_MUTATION_OTHER_TESTS').filter((file) => file !== ''),
    ],
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 1_000,
  },
});
