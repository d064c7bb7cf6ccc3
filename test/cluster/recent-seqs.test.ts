import { expect, it } from 'vitest';
import { RecentSeqs } from '../../lib/cluster/recent-seqs.js';

it('an event of two queens is taken once, one that comes late is not lost, and nothing grows without bound', () => {
  const recent = new RecentSeqs(2);
  expect([1, 2, 4, 3, 2, 4].map((seq) => recent.add('a', 'run', seq))).toEqual([true, true, true, true, false, false]);
  expect(recent.add('a', 'next run', 2)).toBe(true);
  expect(recent.add('b', 'run', 2)).toBe(true);
  expect(recent.add('c', 'run', 2)).toBe(true);
  // Of two hives the oldest was forgotten.
  expect(recent.add('b', 'run', 2)).toBe(false);
  expect(recent.add('a', 'next run', 2)).toBe(true);
  for (let seq = 1; seq <= 300; seq++) recent.add('a', 'next run', seq + 10);
  expect([recent.add('a', 'next run', 310), recent.add('a', 'next run', 2)]).toEqual([false, true]);
});
