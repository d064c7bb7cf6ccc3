import fc from 'fast-check';
import { expect, it } from 'vitest';
import { nextRequestedInterval } from '../../lib/queen/requested-interval.js';

it.each([
  // asked, share, next
  [0, 0.2, 0],
  [0, 0.89, 0],
  [0, 0.95, 2000],
  [2000, 0.95, 4000],
  [8000, 1.2, 10_000],
  [10_000, 0.99, 10_000],
  [10_000, 0.7, 10_000],
  [10_000, 0.5, 10_000],
  [10_000, 0.3, 5000],
  [5000, 0.1, 2500],
  [2500, 0.1, 1250],
  [2000, 0.1, 0],
  [1250, 0.1, 0],
])('asked %d ms at a share of %d: %d ms', (asked, share, next) => {
  expect(nextRequestedInterval(asked, { all: share, heartbeats: share / 2 })).toBe(next);
});

it.each([
  ['busy is more than nine tenths of a core', { all: 0.9, heartbeats: 0.5 }],
  ['heartbeats matter where they are more than a quarter', { all: 1, heartbeats: 0.25 }],
  ['idle is less than four tenths', { all: 0.4, heartbeats: 0.3 }],
  ['heartbeats are light where they are less than a tenth', { all: 0.8, heartbeats: 0.1 }],
])('%s: at the border it stays', (_, load) => {
  expect(nextRequestedInterval(4000, load)).toBe(4000);
});

it.each([0, 2000, 10_000])(
  'hives are not slowed down for what others ask, however busy the queen is: %d ms',
  (asked) => {
    expect(nextRequestedInterval(asked, { all: 1.2, heartbeats: 0.05 })).toBe(asked <= 2000 ? 0 : asked / 2);
    expect(nextRequestedInterval(asked, { all: 1.2, heartbeats: 0.2 })).toBe(asked);
  },
);

it('under any steady load it comes to rest, and does not swing', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 20, noNaN: true }),
      fc.double({ min: 0, max: 2, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom(0, 2000, 5000, 10_000),
      (cores, others, part, start) => {
        // `cores` is what hives that send heartbeats each second would take, and `part` of it is what is counted as theirs.
        const after = (asked: number) => {
          const share = (cores * 1000) / Math.max(1000, asked);
          return nextRequestedInterval(asked, { all: share + others, heartbeats: share * part });
        };
        let asked: number = start;
        for (let look = 0; look < 6; look++) asked = after(asked);
        expect(after(asked)).toBe(asked);
      },
    ),
  );
});

it('a queen that stays idle asks for nothing after a few looks, whatever it asked before', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 2, noNaN: true })), (shares) => {
      let asked = 0;
      for (const share of shares) {
        asked = nextRequestedInterval(asked, { all: share, heartbeats: share });
        expect(asked).toBeGreaterThanOrEqual(0);
        expect(asked).toBeLessThanOrEqual(10_000);
      }
      for (let look = 0; look < 4; look++) asked = nextRequestedInterval(asked, { all: 0, heartbeats: 0 });
      expect(asked).toBe(0);
    }),
  );
});
