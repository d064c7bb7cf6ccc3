import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AckedSeqs } from '../../lib/queen/acked-seqs.js';

it('of each hive the highest event of its newest run is known, and of too many hives those that were set last', () => {
  const hive = fc.constantFrom('a', 'b', 'c', 'd');
  const run = fc.constantFrom('one', 'two');
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ set: fc.tuple(hive, run, fc.nat(9)) }) },
    fc.record({ forget: hive }),
    fc.record({ clear: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const seqs = new AckedSeqs(2);
      let known: { readonly hive: string; readonly run: string; readonly seq: number }[] = [];
      for (const each of steps) {
        if ('set' in each) {
          const [hive, run, seq] = each.set;
          seqs.set(hive, run, seq);
          const before = known.find((entry) => entry.hive === hive);
          const newest = before?.run === run ? Math.max(before.seq, seq) : seq;
          known = [...known.filter((entry) => entry !== before), { hive, run, seq: newest }].slice(-2);
        } else if ('forget' in each) {
          seqs.delete(each.forget);
          known = known.filter(({ hive }) => hive !== each.forget);
        } else {
          seqs.clear();
          known = [];
        }
        for (const hive of ['a', 'b', 'c', 'd'])
          for (const run of ['one', 'two'])
            expect(seqs.get(hive, run)).toBe(known.find((entry) => entry.hive === hive && entry.run === run)?.seq ?? 0);
      }
    }),
  );
});
