import { describe, expect, it } from 'vitest';
import { labelOf, MetricsPage } from '../../../lib/engines/load/metrics-page.js';
import { leastMs } from '../../harness/least-time.js';

describe('a page of metrics', () => {
  it.each([
    ['names that only begin alike', `a_b 1\n`.repeat(350_000)],
    ['one endless line', `a{x="${'\\"'.repeat(1_000_000)}`],
    ['open labels on each line', 'a{x="1\n'.repeat(280_000)],
    ['samples without end', 'a 1\n'.repeat(500_000)],
    ['labels without end', `a{${'x="1",'.repeat(2700)}} 1\n`.repeat(100)],
  ])('of 2 MB takes linear time: %s', (_what, text) => {
    const body = Buffer.from(text);
    const read = () => {
      const page = new MetricsPage(body);
      for (const sample of page.samples('a')) labelOf(sample, 'y');
      page.samples('a_count');
    };
    expect(leastMs(read, 1500)).toBeLessThan(1500);
  });
});
