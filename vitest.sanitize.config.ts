import { defineConfig } from 'vitest/config';

// The suites that drive the addon, for test/sanitize/main.js: it builds beforehand, and only threads report leaks and races.
export default defineConfig({
  test: {
    include: [
      'test/cgroup/**/*.test.ts',
      'test/io/namespace-connect.test.ts',
      'test/io/process-usage.test.ts',
      'test/gpu/drm/parity.test.ts',
      'test/http/socket-rounds.test.ts',
    ],
    pool: 'threads',
    maxWorkers: 1,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
