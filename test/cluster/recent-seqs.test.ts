import { expect, it } from 'vitest';
import { RecentSeqs } from '../../lib/cluster/recent-seqs.js';

it('an event of two queens is taken once, one that comes late is not lost, and nothing grows without bound', () => {
  const seqs = new RecentSeqs(2);
  const recent = { add: (hive: string, run: string, seq: number) => seqs.add(hive, run, seq, 0) === 'first' };
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

it('a seq that a run cannot have reached is not believed, by the clock of the store, and does not make the next ones old', () => {
  const recent = new RecentSeqs(2);
  const last = Number.MAX_SAFE_INTEGER;
  expect(recent.add('a', 'run', 5_000_000, 0)).toBe('first');
  expect(recent.add('a', 'run', last, 9000)).toBe('jump');
  expect(recent.add('a', 'run', 5_000_001, 9001)).toBe('first');
  // Ten seconds without an event: it may have counted on where nobody read it.
  expect(recent.add('a', 'run', 90_000_000, 19_001)).toBe('first');
  expect(recent.add('a', 'next run', last, 19_002)).toBe('first');
});
