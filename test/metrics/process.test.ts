import { afterEach, expect, it, vi } from 'vitest';
import { type ProcessProbe, processProbe } from '../../lib/metrics/process.js';

let probe: ProcessProbe | null = null;
afterEach(() => {
  probe?.close();
  probe = null;
  vi.useRealTimers();
});

function sampleOf(name: string): number | undefined {
  const family = probe?.families.find((each) => each.name === name);
  return [...(family?.collect(null) ?? [])][0]?.value;
}

it('the event loop’s lag is its lateness alone, and asking for it wakes the process four times a second', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  probe = processProbe();
  expect(sampleOf('nodejs_eventloop_lag_max_seconds')).toBeUndefined();
  let woken = 0;
  for (; woken < 1000 && performance.now() < 10_000; woken++) vi.advanceTimersToNextTimer();
  expect(woken).toBe(40);
  expect(sampleOf('nodejs_eventloop_lag_p99_seconds')).toBeLessThan(0.001);
  expect(sampleOf('nodejs_eventloop_lag_max_seconds')).toBeLessThan(0.001);
});

it('a loop that was held up for longer than the interval is seen at the next scrape, once', async () => {
  probe = processProbe();
  const until = performance.now() + 600;
  while (performance.now() < until);
  await expect.poll(() => sampleOf('nodejs_eventloop_lag_p99_seconds') ?? 0, { timeout: 5000 }).toBeGreaterThan(0.3);
  expect(sampleOf('nodejs_eventloop_lag_max_seconds')).toBeGreaterThan(0.3);
  expect(sampleOf('nodejs_eventloop_lag_max_seconds')).toBeUndefined();
});
