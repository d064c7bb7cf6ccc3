import { defineConfig } from 'vitest/config';

/** Suites that need cgroup v2 with all controllers; started by scripts/test-cgroup.js, which has built everything. */
export default defineConfig({
  test: {
    include: ['test/cgroup/**/*.test.ts'],
    // An emulated CPU is some thirty times slower.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Their figures are about CPU time and memory: one file at a time.
    fileParallelism: false,
    maxWorkers: 1,
  },
});
