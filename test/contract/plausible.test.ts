import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import {
  forbiddenBy,
  nullImplausible,
  plausibleCheck,
  plausibleRules,
  type Rule,
  rawText,
} from '../../lib/contract/fields/plausible.js';
import { servingFields } from '../../lib/contract/fields/serving.js';
import { amount, integer, isNullable, known, nullable, record, share, text } from '../../lib/contract/fields/shape.js';
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

/** A rule of each kind, with borders that are easy to see. */
const kinds: readonly Rule[] = [
  { name: 'used', least: 0, most: 2 ** 40, of: 'total', slack: 64 },
  { name: 'percent', least: 0, most: 100 },
  { name: 'celsius', least: -50, most: 300, width: 8 },
  { name: 'counted', least: 1, most: 2 ** 65 },
  { name: 'change', least: -10, most: 10 },
  { name: 'pressure', part: 'cpu', least: 1, most: 100 },
  { name: 'pressure', part: 'io', least: 1, most: 100 },
  { name: 'whole', part: 'free', least: 0, most: 100, of: 'size', wholeIsNull: true },
];

/** The check as a process makes it that may not generate code. */
function checkWithoutCode(rules: readonly Rule[]): (item: object) => boolean {
  vi.stubGlobal('Function', function refused() {
    throw new EvalError('Code generation from strings disallowed for this context');
  });
  onTestFinished(() => void vi.unstubAllGlobals());
  const check = plausibleCheck(rules);
  vi.unstubAllGlobals();
  return check;
}

describe('what a value can be', () => {
  it.each<[string, Item, Item, readonly string[]]>([
    ['as much as the whole, and what rounding adds', { used: 164, total: 100 }, { used: 164, total: 100 }, []],
    ['more than that', { used: 165, total: 100 }, { used: null, total: 100 }, ['used']],
    ['nothing of the whole', { used: 0, total: 0 }, { used: 0, total: 0 }, []],
    ['a part of what is not known', { used: 165, total: null }, { used: 165, total: null }, []],
    ['a part of what is left out', { used: 165 }, { used: 165 }, []],
    ['the least and the most', { percent: 0, change: 10 }, { percent: 0, change: 10 }, []],
    ['the most and the least', { percent: 100, change: -10 }, { percent: 100, change: -10 }, []],
    ['less than the least', { percent: -0.01 }, { percent: null }, ['percent']],
    ['more than the most', { percent: 100.01 }, { percent: null }, ['percent']],
    ['no number', { percent: Number.NaN }, { percent: null }, ['percent']],
    ['all ones of 8 bits, of what has 8', { celsius: 255 }, { celsius: null }, ['celsius']],
    ['beside them', { celsius: 254 }, { celsius: 254 }, []],
    ['on their other side', { celsius: 256 }, { celsius: 256 }, []],
    ['all ones of 8 bits, of what has more', { used: 255 }, { used: 255 }, []],
    ['all ones of 32 bits', { counted: 2 ** 32 - 1 }, { counted: null }, ['counted']],
    ['beside those', { counted: 2 ** 32 }, { counted: 2 ** 32 }, []],
    ['all ones of 64 bits', { counted: 2 ** 64 }, { counted: null }, ['counted']],
    ['minus one', { change: -1 }, { change: null }, ['change']],
    [
      'null, where 0 would be too little',
      { counted: null, pressure: { cpu: null, io: null } },
      { counted: null, pressure: { cpu: null, io: null } },
      [],
    ],
    ['nothing', {}, {}, []],
    ['a part that can not be', { pressure: { cpu: 0, io: 1 } }, { pressure: { cpu: null, io: 1 } }, ['pressure.cpu']],
    ['a part of a whole that is nothing without it', { whole: { free: 9, size: 8 } }, { whole: null }, ['whole']],
    ['that whole', { whole: { free: 8, size: 8 } }, { whole: { free: 8, size: 8 } }, []],
    ['that whole where it is not known', { whole: null }, { whole: null }, []],
  ])('%s', (_what, given, expected, reported) => {
    const item = structuredClone({ pressure: { cpu: 1, io: 1 }, ...given });
    const answers = [plausibleCheck(kinds)(item), checkWithoutCode(kinds)(item)];
    const found: string[] = [];
    nullImplausible(kinds, item, (field, value) => {
      found.push(field);
      expect(value).toEqual(expect.any(Number));
    });
    expect(found).toEqual(reported);
    expect(item).toEqual({ pressure: { cpu: 1, io: 1 }, ...expected });
    expect(answers).toEqual([reported.length === 0, reported.length === 0]);
    expect(globalThis).not.toHaveProperty('value');
  });

  it('of a table each number has its own bounds, else those of its shape, also within a record; a table within it is asked itself', () => {
    const table = {
      own: { shape: amount('of a device'), plausible: { least: 3, most: 4, width: 16 } },
      share: { shape: share('of a core') },
      index: { shape: integer(2, undefined, 9) },
      unbounded: { shape: amount('without a most') },
      name: { shape: text({ maxLength: 5 }) },
      pressure: { shape: record({ cpu: share('cpu'), word: text({}) }) },
      whole: { shape: nullable(record({ cpu: integer(1, undefined, 7) })) },
      rows: { shape: nullable(record({ cpu: share('cpu') })), rows: {} },
    } as unknown as FieldTable;
    expect(plausibleRules(table)).toEqual([
      { name: 'own', least: 3, most: 4, width: 16 },
      { name: 'share', least: 0, most: 100 },
      { name: 'index', least: 2, most: 9 },
      { name: 'pressure', part: 'cpu', wholeIsNull: false, least: 0, most: 100 },
      { name: 'whole', part: 'cpu', wholeIsNull: true, least: 1, most: 7 },
    ]);
  });

  it.each([
    ['-a', { name: '-a' }],
    ['a-', { name: 'a-' }],
    ['b;', { name: 'a', part: 'b;' }],
    ['1c', { name: 'a', of: '1c' }],
  ])('no code is made of %s, which is no name of a field', (wrong, rule) => {
    expect(() => plausibleCheck([{ least: 0, most: 1, ...rule }])).toThrow(`${wrong} is no name of a field`);
  });

  it('values within bounds that no device measures are known, and are shown as the driver gave them', () => {
    expect(forbiddenBy({ least: 0, most: 100 })).toEqual([]);
    expect(forbiddenBy({ least: 0, most: 255, width: 8 })).toEqual([255]);
    expect(forbiddenBy({ least: 65_535, most: 2 ** 32 - 1, width: 16 })).toEqual([2 ** 32 - 1, 65_535]);
    expect(forbiddenBy({ least: -1, most: 2 ** 64 })).toEqual([2 ** 32 - 1, 2 ** 64, -1]);
    expect([2 ** 64, 2 ** 32 - 1, -1, 0.5].map(rawText)).toEqual(['18446744073709551615', '4294967295', '-1', '0.5']);
  });

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
