import fc from 'fast-check';
import { Registry, type RegistryContentType } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { contentTypes, Exposition, type Family, type Format } from '../../lib/metrics/exposition.js';

type Samples = ReturnType<Family<void>['collect']> extends Iterable<infer S> ? readonly S[] : never;

const family = (name: string, type: Family<void>['type'], help: string, samples: Samples): Family<void> => ({
  ...{ name, type, help, labels: [] },
  collect: () => samples,
});

/** What the library of Prometheus for Node writes. */
async function reference(format: Format, families: readonly Family<void>[]): Promise<string> {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(contentTypes[format]);
  for (const { name, type, help, collect } of families) {
    const values = [...collect()].map(({ value, labels, shared }) => ({ value, labels, sharedLabels: shared }));
    const metric = { name, type, help, aggregator: 'sum', get: () => ({ name, type, help, values }) };
    if (format === 'openMetrics' && type === 'counter')
      metric.get = () => ({ ...{ name: metric.name, type, help }, values });
    registry.registerMetric(metric as unknown as Parameters<typeof registry.registerMetric>[0]);
  }
  // OpenMetrics says NaN; Prometheus reads both.
  return (await registry.metrics()).replace(/ Nan$/gm, ' NaN');
}

const text = fc.oneof(fc.string(), fc.stringMatching(/^[a\\\n"{},= é]{0,8}$/));
const name = fc.stringMatching(/^[a-z][a-z_]{0,7}$/);
const labels = fc.dictionary(name, fc.oneof(text, fc.integer()), { maxKeys: 4, noNullPrototype: true });
const sample = fc.record(
  { value: fc.double(), labels, shared: labels },
  { requiredKeys: ['value'], noNullPrototype: true },
);
const families = fc.uniqueArray(
  fc
    .tuple(fc.tuple(name, fc.constantFrom('', '_total')), fc.constantFrom('counter', 'gauge'), text, fc.array(sample))
    .map(([[stem, suffix], type, help, samples]) => family(stem + suffix, type, help, samples as Samples)),
  { selector: ({ name: full }) => full.replace(/_total$/, ''), minLength: 1, maxLength: 4 },
);

describe('the text of metrics', () => {
  it.each(['prometheus', 'openMetrics'] as const)(
    'of %s is what prom-client writes, whatever labels hold',
    async (format) => {
      await fc.assert(
        fc.asyncProperty(families, async (some) => {
          expect(await new Exposition(some).text(format, undefined)).toBe(await reference(format, some));
        }),
      );
    },
  );
});
