import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteBudget } from '../../lib/util/byte-budget.js';
import { exceededBudget } from '../../lib/util/json-budget.js';

const roomy = { depth: 1000, nodes: 1e6, keys: 1e6, stringBytes: 1e6 };

/** The same measures, taken of the parsed value. */
function measuresOf(value: unknown): { depth: number; keys: number; nodes: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, keys: 0, nodes: 1 };
  const below = Object.values(value).map(measuresOf);
  const keys = Array.isArray(value) ? 0 : below.length;
  return {
    depth: 1 + Math.max(0, ...below.map((each) => each.depth)),
    keys: Math.max(keys, ...below.map((each) => each.keys)),
    nodes: 1 + below.reduce((sum, each) => sum + each.nodes, 0),
  };
}

describe('the budget of a JSON text', () => {
  it('allows what a value has, and not one level or member less, whatever stands in its strings', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(0, 1), (value, indent) => {
        const text = Buffer.from(JSON.stringify(value, null, indent));
        const { depth, keys, nodes } = measuresOf(value);
        expect(exceededBudget(text, { ...roomy, depth, keys, nodes: nodes + keys + depth + 1 })).toBeNull();
        if (depth > 0) expect(exceededBudget(text, { ...roomy, depth: depth - 1 })).toMatch(/levels/);
        if (keys > 0) expect(exceededBudget(text, { ...roomy, keys: keys - 1 })).toMatch(/members/);
      }),
    );
  });

  it('bounds values and strings', () => {
    expect(exceededBudget(Buffer.from(`[${'1,'.repeat(100)}1]`), { ...roomy, nodes: 50 })).toMatch(/50 values/);
    expect(exceededBudget(Buffer.from('["\\"abcdef"]'), { ...roomy, stringBytes: 7 })).toMatch(/string/);
    expect(exceededBudget(Buffer.from('["\\"abcdef"]'), { ...roomy, stringBytes: 8 })).toBeNull();
  });

  it('reads any bytes to their end', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void exceededBudget(bytes, roomy)));
  });
});

describe('a budget of bytes', () => {
  it('is kept in all and for each key, and what is given back is there again', () => {
    const budget = new ByteBudget({ total: 100, perKey: 60 });
    const first = budget.take(['token', 'address'], 50);
    expect(first).not.toBeNull();
    expect(budget.take(['other', 'address'], 20)).toBeNull();
    expect(budget.take(['other', 'elsewhere'], 50)).not.toBeNull();
    expect(budget.take(['third'], 1)).toBeNull();
    first?.();
    first?.();
    expect(budget.held).toBe(50);
    expect(budget.take(['token', 'address'], 50)).not.toBeNull();
  });
});
