import fc from 'fast-check';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { shapeProblem } from '../../lib/contract/fields/check-shape.js';
import type { Shape } from '../../lib/contract/fields/shape.js';
import { GpuSample, HostSample, WorkerSample } from '../../lib/contract/heartbeat.js';
import { recordShape } from '../../lib/workers/record-schema.js';
import { portion } from '../harness/draws.js';
import { sampleValue } from '../harness/schema-values.js';

/** Puts `value` at a random place of an item, or takes something out. */
function spoil(item: unknown, path: readonly number[], value: unknown): void {
  let at = item as Record<string, unknown>;
  for (const [depth, n] of path.entries()) {
    const keys = Object.keys(at);
    const key = keys[n % Math.max(1, keys.length)];
    if (key === undefined) return;
    const next = at[key];
    if (depth < path.length - 1 && typeof next === 'object' && next !== null) {
      at = next as Record<string, unknown>;
      continue;
    }
    // What JSON can't hold is no value to check.
    if (value === undefined && !Array.isArray(at)) delete at[key];
    else at[key] = value ?? null;
    return;
  }
}

describe('a value checked against a shape', () => {
  it.each([
    ['worker', WorkerSample],
    ['GPU', GpuSample],
    ['host', HostSample],
    ['record', recordShape],
  ] as const)('of a %s: fits where the schema library says so, whatever is wrong with it', (_what, shape) => {
    const schema = shape as never;
    const wrong = fc.oneof(
      fc.constantFrom<unknown>(undefined, null, true, '', 'x'.repeat(6000), -1, 0.5, 1e300, Number.NaN, [], {}, [null]),
      fc.dictionary(fc.string({ maxLength: 70 }), fc.string({ maxLength: 300 }), { maxKeys: 40 }),
      fc.string(),
      fc.integer(),
    );
    fc.assert(
      fc.property(fc.nat(50), fc.array(fc.nat(60), { minLength: 1, maxLength: 3 }), wrong, (seed, path, value) => {
        const item = sampleValue<object>(schema, 'item', seed);
        if ('schema' in item) Object.assign(item, { schema: 1, port: 8000, limits: {} });
        expect(shapeProblem(shape as unknown as Shape<unknown>, item)).toBeNull();
        spoil(item, path, value);
        const problem = shapeProblem(shape as unknown as Shape<unknown>, item);
        // Keys of other names than a pattern's are refused here, as the door of the queen does.
        if (problem?.includes('has a key that')) return;
        expect(problem === null, String(problem)).toBe(Value.Check(schema, item));
      }),
      { numRuns: portion(400) },
    );
  });
});
