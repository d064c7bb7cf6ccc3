import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { memoryLimits } from '../../lib/queen/memory-limits.js';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const GiB = 1024 ** 3;

/** The memory that each shipped file gives a queen. */
const shipped: readonly (readonly [path: string, limits: RegExp])[] = [
  ['deploy/hivepulse-queen.service', /^MemoryMax=(\d+)G$/gm],
  ['deploy/kubernetes/queen.yaml', /limits: \{ memory: (\d+)Gi \}/g],
  ['deploy/kubernetes/nats/queens.yaml', /limits: \{ memory: (\d+)Gi \}/g],
  ['deploy/docker/compose.yaml', /mem_limit: (\d+)g$/gm],
  ['deploy/docker/compose.nats.yaml', /x-queen[\s\S]*?mem_limit: (\d+)g$/gm],
];

describe('the memory of a queen', () => {
  it.each(shipped)('%s gives it what docs/security.md says', (path, limits) => {
    const given = [...read(path).matchAll(limits)].map(([, size]) => `${size} GiB`);
    const [, documented] = /manifests give a queen (\d+ GiB)/.exec(read('docs/security.md').replace(/\s+/g, ' ')) ?? [];
    expect(given.length).toBeGreaterThan(0);
    expect(new Set(given)).toEqual(new Set([documented]));
  });

  it('of the shipped size takes the fleet that docs/performance.md describes: 100,000 workers', () => {
    // Measured: a worker weighs some 4 KiB (test/queen/fleet-budget.test.ts), its text included.
    expect(memoryLimits(2 * GiB).fleetBytes).toBeGreaterThan(100_000 * 5 * 1024);
  });
});
