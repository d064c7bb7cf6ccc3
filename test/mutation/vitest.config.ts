import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { keepThread } from './kept-thread.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** For `npm run test:mutation` alone, which says by HIVEPULSE_MUTATION_TESTS which tests a room has. */
export default defineConfig({
  root: path('../..'),
  plugins: [keepThread],
  // Few draws, none made smaller: a mutant costs one run of the tests that reach it.
  resolve: {
    alias: [{ find: /^fast-check$/, replacement: path('few-draws.ts') }],
  },
  test: {
    include: (process.env.HIVEPULSE_MUTATION_TESTS ?? '').split(' '),
    // A room's tests that measure time fail where each line counts its mutants.
    exclude: ['test/**/*.slow.test.ts', 'test/**/*linear.test.ts', 'test/suites/**', 'node_modules/**'],
    isolate: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 1_000,
  },
});
