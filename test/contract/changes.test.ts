import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changesOf, withChange } from '../../lib/contract/changes.js';
import { sampleViews } from '../harness/sample-views.js';

const through = (value: unknown) => JSON.parse(JSON.stringify(value));

describe('changes of rows', () => {
  it('make the second of the first, whatever the two are', () => {
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, 0, 1, 'a', true),
        fc.array(tie('value'), { maxLength: 3 }),
        tie('object'),
      ),
      object: fc.dictionary(fc.constantFrom('a', 'b', '0', '__proto__', 'toString'), tie('value'), { maxKeys: 4 }),
    })).object as fc.Arbitrary<Record<string, unknown>>;
    let [said, drawn] = [0, 0];
    fc.assert(
      fc.property(json, json, (before, after) => {
        drawn++;
        const change = changesOf(before, after);
        if (change === null) return;
        if (change === undefined) expect(through(after)).toEqual(through(before));
        else {
          said++;
          const sent = through(change);
          const kept = JSON.stringify(before);
          expect(withChange(through(before), sent)).toEqual(through(after));
          // To one that has it already they do nothing.
          expect(withChange(through(after), sent)).toEqual(through(after));
          expect(JSON.stringify(before)).toBe(kept);
        }
      }),
      { numRuns: 2000 },
    );
    // More than 100 of 2000.
    expect(said).toBeGreaterThan(drawn / 20);
  });

  it('hold the fields that differ and no others, of lists of GPUs too', () => {
    const { view } = sampleViews('a');
    const [first, second] = view.gpus as [(typeof view.gpus)[0], (typeof view.gpus)[0]];
    const after = {
      ...view,
      ageMs: 900,
      host: { ...view.host, load1: 7 },
      gpus: [first, { ...second, powerWatts: 99, temperatureCelsius: null }],
    };
    expect(changesOf(view, after, { ageMs: true, gpus: { uuid: true } })).toEqual({
      host: { load1: 7 },
      gpus: { 1: { powerWatts: 99, temperatureCelsius: null } },
    });
    expect(changesOf(view, { ...view })).toBeUndefined();
    expect(changesOf(view, { ...view, gpus: [first] })).toEqual({ gpus: [[first]] });
  });

  it('a field that is gone is said by the whole that held it', () => {
    expect(changesOf({ cordon: {}, a: 1 }, { a: 1 })).toBeNull();
    const change = changesOf({ labels: { zone: 'a', rack: '1' } }, { labels: { zone: 'a' } });
    expect(change).toEqual({ labels: [{ zone: 'a' }] });
    expect(withChange({ labels: { zone: 'a', rack: '1' } }, change!)).toEqual({ labels: { zone: 'a' } });
  });
});
