import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import { nullImplausible, plausibleCheck, plausibleRules, type Rule } from '../../lib/contract/fields/plausible.js';
import { servingFields } from '../../lib/contract/fields/serving.js';
import { isNullable, known } from '../../lib/contract/fields/shape.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { workerGpuFields } from '../../lib/contract/fields/worker-gpu.js';
import { portion } from '../harness/draws.js';

const tables: readonly (readonly [string, FieldTable])[] = [
  ['GPU', gpuFields],
  ['worker', workerFields],
  ['GPU of a worker', workerGpuFields],
  ['load of a worker', servingFields],
  ['host', hostFields],
];
/** What drivers and kernels give for "not available", and what no device has. */
const impossible = fc.constantFrom(
  ...[2 ** 32 - 1, 2 ** 64 - 1, 2 ** 64, 2 ** 63, -1, -(2 ** 31), 1e300, Number.MAX_VALUE],
);

const at = (item: Readonly<Record<string, unknown>>, { name, part }: Rule): number | null =>
  part === undefined
    ? (item[name] as number | null)
    : ((item[name] as Readonly<Record<string, number | null>> | null)?.[part] ?? null);

type Item = Readonly<Record<string, unknown>>;

function holdRule(rule: Rule, item: Item, checked: Item, reported: ReadonlyMap<string, number>): void {
  const { least, most, of, slack = 0, width } = rule;
  const field = rule.part === undefined || rule.wholeIsNull ? rule.name : `${rule.name}.${rule.part}`;
  const [value, given] = [at(checked, rule), at(item, rule)];
  if (value === null) {
    expect(reported.has(field)).toBe(given !== null || reported.has(rule.name));
    return;
  }
  // One assertion, since each takes longer than what it asks.
  const limit = of === undefined ? null : checked[of];
  const allOnes = width === undefined ? null : 2 ** width - 1;
  const asExpected = { given: Object.is(value, given), reported: reported.has(field), isOnes: value === allOnes };
  const isWithin = value >= least && value <= most && value <= (limit == null ? most : (limit as number) + slack);
  expect({ ...asExpected, isWithin, value }).toEqual({
    ...{ given: true, reported: false, isOnes: false, isWithin: true },
    value,
  });
}

describe('what a value can be', () => {
  it.each(tables)('every number of a %s that may be null has bounds', (_what, table) => {
    const bounded = plausibleRules(table).map(({ name }) => name);
    const numbers = Object.entries(table).filter(
      ([, { shape }]) => isNullable(shape) && ['number', 'integer'].includes(known(shape).type ?? ''),
    );
    expect(numbers.length).toBeGreaterThan(0);
    for (const [name] of numbers) expect(bounded).toContain(name);
  });

  it.each(tables)('of a %s: what is impossible is null and reported, all else stays', (_what, table) => {
    const rules = plausibleRules(table);
    const valueFor = ({ least, most }: Rule) =>
      fc.oneof(fc.constant(null), impossible, fc.double({ min: least, max: Math.min(most, 2 ** 52), noNaN: true }));
    const drawn = fc.record(
      Object.fromEntries(
        [...new Set(rules.map(({ name }) => name))].map((name) => {
          const own = rules.filter((rule) => rule.name === name);
          if (own.every(({ part }) => part === undefined)) return [name, valueFor(own[0] as Rule)];
          const parts = fc.record(Object.fromEntries(own.map((rule) => [rule.part, valueFor(rule)])));
          return [name, own[0]?.wholeIsNull ? fc.option(parts) : parts] as const;
        }) as [string, fc.Arbitrary<unknown>][],
      ),
    );
    const isPlausible = plausibleCheck(rules);
    fc.assert(
      fc.property(drawn, (item) => {
        const checked: Record<string, unknown> = structuredClone({ ...item, other: 1e300 });
        const reported = new Map<string, number>();
        const sound = isPlausible(item);
        nullImplausible(rules, checked, (field, value) => reported.set(field, value));
        expect(sound).toBe(reported.size === 0);
        for (const rule of rules) holdRule(rule, item, checked, reported);
        expect(checked.other).toBe(1e300);
      }),
      { numRuns: portion(500) },
    );
  });
});
