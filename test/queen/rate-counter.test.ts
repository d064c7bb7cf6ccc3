import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RateCounter } from '../../lib/queen/rate-counter.js';

it.each([
  ['nothing was counted', [], 5000, 0],
  ['less than a second has passed', [0, 1, 2], 500, 3],
  ['it runs for shorter than the time it looks back', [0, 1000, 2000], 2500, 1.2],
  ['it runs for longer', [1000, 20_000, 20_500], 29_000, 0.2],
  ['all of it is over', [1000, 2000], 60_000, 0],
])('a rate over the last ten seconds, where %s', (_, times, nowMs, rate) => {
  const counter = new RateCounter(10, 0);
  for (const time of times) counter.add(time);
  expect(counter.perSecond(nowMs)).toBe(rate);
});

it('a rate is that of a list of all times, whenever it is asked', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.nat(20_000),
      fc.array(fc.record({ afterMs: fc.constantFrom(0, 1, 300, 999, 1000, 1700, 9000), asks: fc.boolean() })),
      (seconds, startMs, steps) => {
        const counter = new RateCounter(seconds, startMs);
        const counted: number[] = [];
        let nowMs = startMs;
        for (const { afterMs, asks } of steps) {
          nowMs += afterMs;
          if (!asks) {
            counter.add(nowMs);
            counted.push(Math.floor(nowMs / 1000));
            continue;
          }
          const first = Math.floor(nowMs / 1000) - seconds;
          const inTime = counted.filter((second) => second > first).length;
          const over = Math.min(seconds, Math.max(1, (nowMs - startMs) / 1000));
          expect(counter.perSecond(nowMs)).toBe(Math.round((inTime / over) * 100) / 100);
        }
      },
    ),
  );
});
