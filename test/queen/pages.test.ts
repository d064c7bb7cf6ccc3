import { expect, it } from 'vitest';
import { TestQueen } from './heartbeats.js';

it('a page of items that are larger than any of a fleet is shorter, and all of them come, once', () => {
  const queen = new TestQueen();
  const faults = Array.from({ length: 1000 }, (_, i) => ({ source: 'x', code: `C${i}`, message: 'x'.repeat(1000) }));
  for (let host = 0; host < 25; host++) queen.hear(`host-${host}`, 1, { faults: faults as never });
  const found: string[] = [];
  const lengths: number[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = queen.hives({ limit: 1000, ...(cursor !== undefined && { cursor }) });
    found.push(...page.items.map(({ id }) => id));
    lengths.push(JSON.stringify(page).length);
    cursor = page.nextCursor;
  }
  expect(new Set(found).size).toBe(25);
  expect(found).toHaveLength(25);
  expect(lengths).toHaveLength(3);
  expect(Math.max(...lengths)).toBeLessThan(12 * 1024 * 1024);
});
