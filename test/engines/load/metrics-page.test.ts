import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { labelOf, MetricsPage, PageLayout, sumOf } from '../../../lib/engines/load/metrics-page.js';
import { portion } from '../../harness/draws.js';

const name = fc.stringMatching(/^[a-z_:][a-z0-9_:]{0,12}$/);
const labelName = fc.stringMatching(/^[a-z_][a-z0-9_]{0,6}$/);
const labelValue = fc.string({ maxLength: 12 }).map((text) => text.replaceAll('\r', ''));
const number = fc.oneof(
  fc.integer({ min: 0, max: 1e9 }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom('NaN', '+Inf', '-Inf', '1e400', 'no', ''),
);
const labels = fc.uniqueArray(fc.tuple(labelName, labelValue), { maxLength: 4, selector: ([key]) => key });
const samples = fc.array(fc.tuple(labels, number, fc.option(fc.integer({ min: 1, max: 2e12 }))), { maxLength: 5 });
/** Families whose names are often the beginnings of others, each in one group. */
const families = fc
  .uniqueArray(fc.tuple(name, fc.constantFrom('', '_total', '_by_reason', '_bucket', '_created')), {
    maxLength: 12,
    selector: ([base, suffix]) => base + suffix,
  })
  .chain((names) => fc.tuple(...names.map(([base, suffix]) => fc.tuple(fc.constant(base + suffix), samples))));

const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

type Families = typeof families extends fc.Arbitrary<infer T> ? T : never;

function pageOf(groups: Families, end: string): string {
  return groups
    .flatMap(([family, group]) => [
      `# HELP ${family} what it is`,
      `# TYPE ${family} gauge`,
      ...group.map(([of, value, at]) => {
        const inner = of.map(([key, text]) => `${key}="${escaped(text)}"`).join(',');
        return `${family}${inner === '' ? '' : `{${inner}}`} ${value}${at === null || value === '' ? '' : ` ${at}`}`;
      }),
    ])
    .join(end);
}

/** What the pages of one server have in common: most stays; some goes, comes, is cut off or has other samples. */
const change = fc.record({
  ...{ drop: fc.nat(20), swap: fc.nat(20), other: families },
  cut: fc.option(fc.nat(200), { freq: 4 }),
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function changed(groups: Families, { drop, swap, other }: Change, turn: number): Families {
  const all = [...groups.filter((_, i) => i !== drop), ...(turn % 3 === 0 ? other.slice(0, 2) : [])];
  const distinct = [...new Map(all.map((one) => [one[0], one])).values()];
  return distinct.map(([family, group], i) => [family, i === swap ? group.toReversed() : group]);
}

describe('a page of metrics', () => {
  it('gives every sample of a family and of no other one, whatever stands around it', () => {
    fc.assert(
      fc.property(families, fc.constantFrom('\n', '\r\n'), fc.boolean(), (groups, end, quoted) => {
        const text = pageOf(groups, end);
        const page = new MetricsPage(Buffer.from(quoted ? JSON.stringify(text) : text));
        for (const [family, group] of groups) {
          const expected = group
            .map(([of, value]) => ({ of, value: value === '' ? Number.NaN : Number(value) }))
            .filter(({ value }) => Number.isFinite(value));
          const found = page.samples(family);
          expect(found.map(({ value }) => value)).toEqual(expected.map(({ value }) => value));
          for (const [i, { of }] of expected.entries())
            for (const [key, value] of of) expect(labelOf(found[i]!, key)).toBe(value);
        }
        expect(page.samples('absent')).toEqual([]);
        expect(sumOf(page.samples('absent'))).toBeNull();
      }),
      { numRuns: portion(400) },
    );
  });

  it('behind others of its server gives the same; only a family that comes anew may come late', () => {
    fc.assert(
      fc.property(families, fc.array(change, { maxLength: 14 }), (first, changes) => {
        const layout = new PageLayout();
        const names = new Set([first, ...changes.map(({ other }) => other)].flat().map(([family]) => family));
        let before = new Set<string>();
        let groups = first;
        for (const [turn, one] of [...changes, ...changes].entries()) {
          const page = Buffer.from(pageOf(groups, '\n')).subarray(0, one.cut ?? undefined);
          const [remembered, fresh] = [new MetricsPage(page, layout), new MetricsPage(page)];
          const found = new Set<string>();
          for (const family of names) {
            const samples = remembered.samples(family);
            if (samples.length > 0) found.add(family);
            if (samples.length > 0 || before.has(family)) expect(samples).toEqual(fresh.samples(family));
          }
          before = found;
          groups = changed(groups, one, turn);
        }
      }),
      { numRuns: portion(300) },
    );
  });

  it('of any bytes throws nothing, and gives finite numbers', () => {
    const pieces = fc.constantFrom(
      ...'a a{ a{x=" a{x="\\ } " \n # 1 1e9 _total{ a_total 7 \0 \u00ff'.split(' '),
      '\n',
      ' ',
      'a',
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array)),
      fc.array(pieces, { maxLength: 120 }).map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(bytes, (page) => {
        for (const family of ['a', 'a_total', 'x', 'a_count'])
          for (const sample of new MetricsPage(page).samples(family)) {
            expect(Number.isFinite(sample.value)).toBe(true);
            labelOf(sample, 'x');
          }
      }),
      { numRuns: portion(1000) },
    );
  });
});
