import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import { nullImplausible, plausibleCheck, plausibleRules } from '../../lib/contract/fields/plausible.js';
import { servingFields } from '../../lib/contract/fields/serving.js';
import { isNullable, known } from '../../lib/contract/fields/shape.js';
import { workerFields, workerGpuFields } from '../../lib/contract/fields/worker.js';

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
    const drawn = fc.record(
      Object.fromEntries(
        rules.map(({ name, least, most }) => [
          name,
          fc.oneof(
            fc.constant(null),
            impossible,
            fc.double({ min: least, max: Math.min(most, 2 ** 52), noNaN: true }),
          ) as fc.Arbitrary<number | null>,
        ]),
      ),
    );
    const isPlausible = plausibleCheck(rules);
    fc.assert(
      fc.property(drawn, (item) => {
        const checked: Record<string, number | null> = { ...item, other: 1e300 };
        const reported = new Map<string, number>();
        nullImplausible(rules, checked, (field, value) => reported.set(field, value));
        expect(isPlausible(item)).toBe(reported.size === 0);
        for (const { name, least, most, of } of rules) {
          const value = checked[name] as number | null;
          if (value === null) expect(reported.has(name)).toBe(item[name] !== null);
          else {
            expect(value).toBe(item[name]);
            expect(value).toBeGreaterThanOrEqual(least);
            expect(value).toBeLessThanOrEqual(most);
            const limit = of === undefined ? null : checked[of];
            if (limit != null) expect(value).toBeLessThanOrEqual(limit + 64 * 2 ** 20);
          }
          if (reported.has(name)) expect(reported.get(name)).toBe(item[name]);
        }
        expect(checked.other).toBe(1e300);
      }),
      { numRuns: 500 },
    );
  });
});
