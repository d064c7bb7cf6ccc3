import fc from 'fast-check';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { shapeProblem } from '../../lib/contract/fields/check-shape.js';
import {
  boolean,
  integer,
  labels,
  list,
  nullable,
  oneOf,
  record,
  type Shape,
  text,
  time,
} from '../../lib/contract/fields/shape.js';
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

const port = record({ port: integer(1, undefined, 9), tls: boolean() });
const two = list(record({ name: text({ maxLength: 3 }) }), 2);
const few: Shape<unknown> = { patternProperties: { '^[ab]$': integer(0) }, maxProperties: 1 };

describe('a value checked against a shape', () => {
  it.each<[unknown, Shape<unknown>, string | null]>([
    [1, integer(1, undefined, 9), null],
    [9, integer(1, undefined, 9), null],
    [0, integer(1, undefined, 9), '/ must be at least 1'],
    [10, integer(1, undefined, 9), '/ must be at most 9'],
    [1.5, integer(1, undefined, 9), '/ must be an integer'],
    ['1', integer(1, undefined, 9), '/ must be an integer'],
    [-1e9, { type: 'integer' }, null],
    [0.5, { type: 'number' }, null],
    [Number.POSITIVE_INFINITY, { type: 'number' }, '/ must be a number'],
    [null, { type: 'number' }, '/ must be a number'],
    [false, boolean(), null],
    [0, boolean(), '/ must be true or false'],
    ['ab', text({ minLength: 2, maxLength: 3 }), null],
    ['abc', text({ minLength: 2, maxLength: 3 }), null],
    ['a', text({ minLength: 2, maxLength: 3 }), '/ must have at least 2 characters'],
    ['abcd', text({ minLength: 2, maxLength: 3 }), '/ must have at most 3 characters'],
    // Characters, of which some take two units in a text.
    ['\u{1f600}'.repeat(3), text({ maxLength: 3 }), null],
    ['\u{1f600}', text({ pattern: '^.$' }), null],
    ['', text({ pattern: '^.$' }), '/ must match ^.$'],
    ['', text({}), null],
    [7, text({}), '/ must be a string'],
    ['2026-03-01T00:00:00.5+02:00', time, null],
    ['2026-13-41T00:00:00Z', time, '/ must be a time (RFC 3339)'],
    ['March 1, 2026', time, '/ must be a time (RFC 3339)'],
    ['b', oneOf(['a', 'b']), null],
    ['c', oneOf(['a', 'b']), '/ must be one of a, b'],
    [null, nullable(text({})), null],
    [7, nullable(text({})), '/ must be a string'],
    [[], two, null],
    [[{ name: 'a' }, { name: 'b' }], two, null],
    [[{ name: 'a' }, { name: 'b' }, { name: 'c' }], two, '/ must have at most 2 items'],
    [[{ name: 'a' }, { name: 'long' }], two, '/1/name must have at most 3 characters'],
    [{ 0: { name: 'a' } }, two, '/ must be a list'],
    [Array(99).fill(1), { type: 'array', items: integer(0) }, null],
    [{ port: 1, tls: true, other: 1 }, port, null],
    [{ port: 1 }, port, '/tls is missing'],
    [{ port: 1, tls: 1 }, port, '/tls must be true or false'],
    [null, port, '/ must be an object'],
    ['port', port, '/ must be an object'],
    [[1, true], port, '/ must be an object'],
    [{ at: { port: 0, tls: true } }, record({ at: port }), '/at/port must be at least 1'],
    [{ at: [] }, record({ at: port }), '/at must be an object'],
    [{ at: {} }, record({ at: port }), '/at/port is missing'],
    [{ at: ['x', 1] }, record({ at: list(text({}), 2) }), '/at/1 must be a string'],
    [{ at: [1, 2] }, record({ at: list(integer(0), 1) }), '/at must have at most 1 items'],
    [{}, { properties: { at: port } }, null],
    [{ a: 0 }, few, null],
    [{ c: 0 }, few, '/ has a key that does not match ^[ab]$'],
    [{ a: 0, b: 0 }, few, '/ must have at most 1 entries'],
    [{ at: { a: 0, b: 0 } }, record({ at: few }), '/at must have at most 1 entries'],
    [{ at: { c: 0 } }, record({ at: few }), '/at has a key that does not match ^[ab]$'],
    [{ rack: 'r1', zone: 7 }, labels, '/zone must be a string'],
    [{ labels: { rack: 'r1', zone: 7 } }, record({ labels }), '/labels/zone must be a string'],
    [{ rack: 'r1', zone: 'eu' }, labels, null],
  ])('%j of %j: %s', (value, shape, problem) => {
    expect(shapeProblem(shape, value)).toBe(problem);
  });

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
