import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FleetBudget, type HiveCharge, weightOf } from '../../lib/queen/fleet-budget.js';
import { heapLimit, memoryLimits } from '../../lib/queen/memory-limits.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';

const limits = { fleetBytes: 1000, hiveBytes: 400 };
const operation = fc.record({ hive: fc.nat(9), owner: fc.nat(2), bytes: fc.nat(500), leaves: fc.boolean() });

describe('the memory of a fleet', () => {
  it('is never exceeded, keeps what was there, and leaves room for whoever has none', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const budget = new FleetBudget(limits);
        const hives = new Map<number, HiveCharge>();
        for (const { hive, owner, bytes, leaves } of operations) {
          const known = hives.get(hive) ?? null;
          if (known !== null && leaves) {
            budget.release(known);
            hives.delete(hive);
            continue;
          }
          const before = known?.bytes ?? 0;
          const charge = budget.charge(known, bytes, String(owner));
          if (typeof charge === 'string') {
            expect(bytes).toBeGreaterThan(before);
            if (known !== null) expect(known.bytes).toBe(before);
          } else hives.set(hive, charge);
          expect(budget.held).toBe([...hives.values()].reduce((sum, each) => sum + each.bytes, 0));
          expect(budget.held).toBeLessThanOrEqual(limits.fleetBytes);
          const free = limits.fleetBytes - budget.held;
          if (free > 0) {
            const charge = budget.charge(null, Math.min(limits.hiveBytes, Math.floor(free * 0.8)), 'somebody new');
            expect(typeof charge).toBe('object');
            budget.release(charge as HiveCharge);
          }
        }
      }),
    );
  });

  it('of one token is four fifths of it, of one hive its own limit', () => {
    const budget = new FleetBudget(limits);
    expect(budget.charge(null, 401, 'a')).toMatch(/one hive may take/);
    expect(budget.charge(null, 400, 'a')).toMatchObject({ bytes: 400 });
    expect(budget.charge(null, 400, 'a')).toMatchObject({ bytes: 400 });
    expect(budget.charge(null, 10, 'a')).toMatch(/their share/);
    expect(budget.charge(null, 160, 'b')).toMatchObject({ bytes: 160 });
  });

  it('has places for hives too, of which one token takes four fifths', () => {
    const budget = new FleetBudget({ fleetBytes: Infinity, hiveBytes: Infinity, maxHives: 100 });
    const held: HiveCharge[] = [];
    while (budget.noPlace('a') === null) held.push(budget.charge(null, 1, 'a') as HiveCharge);
    expect(held).toHaveLength(80);
    expect(budget.noPlace('a')).toMatch(/their share/);
    expect(budget.noPlace('b')).toBeNull();
    // A hive that goes over to another token takes its place along.
    budget.charge(held[0]!, 1, 'b');
    expect(budget.noPlace('a')).toBeNull();
    for (const each of held) budget.release(each);
    while (budget.noPlace('') === null) budget.charge(null, 1, '');
    expect(budget.noPlace('a')).toMatch(/takes 100 hives/);
    // Of so few that a fifth is none, all may be of one.
    const small = new FleetBudget({ fleetBytes: Infinity, hiveBytes: Infinity, maxHives: 1 });
    expect(small.noPlace('a')).toBeNull();
  });

  it('refuses what is over it with its name, and the hive stays as it was', () => {
    const registry = new Registry({ warmingMs: 0, memory: { hiveBytes: 100_000 } });
    const cost = { owner: 'a', textBytes: 5000 };
    expect(registry.heartbeat(heartbeatOf('a', 1), cost)).toMatchObject({ accepted: true });
    const workers = Array.from({ length: 200 }, (_, i) => workerOf(`llm/${i}`));
    expect(registry.heartbeat(heartbeatOf('a', 2, { workers }), { ...cost, textBytes: 300_000 })).toMatchObject({
      code: 'TOO_MUCH_MEMORY',
    });
    expect(registry.workersOf('a')).toHaveLength(1);
    expect(registry.heartbeat(heartbeatOf('a', 3), cost)).toMatchObject({ accepted: true });
  });

  it('grows by what a hive brings: text, labels, names of models', () => {
    const plain = weightOf(heartbeatOf('a'), 1000);
    expect(weightOf(heartbeatOf('a'), 2000)).toBe(plain + 1250);
    const labelled = heartbeatOf('a', 1, { workers: [workerOf('llm/0', { labels: { a: '1', b: '2' } })] });
    expect(weightOf(labelled, 1000)).toBe(plain + 512);
  });

  it('follows the memory limit of the cgroup, and a heap beyond it is warned of', () => {
    const GiB = 1024 ** 3;
    expect(heapLimit(2 * GiB, null)).toEqual({ bytes: 2 * GiB, warning: null });
    expect(heapLimit(2 * GiB, 4 * GiB)).toEqual({ bytes: 2 * GiB, warning: null });
    expect(heapLimit(4 * GiB, GiB)).toMatchObject({
      bytes: GiB / 2,
      warning: expect.stringContaining('--max-old-space-size=512'),
    });
    // A fifth more is what Node.js adds by itself.
    expect(heapLimit(1200, 2000)).toEqual({ bytes: 1000, warning: null });
    expect(heapLimit(1201, 2000)).toMatchObject({ bytes: 1000, warning: expect.any(String) });
  });

  it('is a share of the heap, and the parts leave a third of it for what is under way', () => {
    for (const heap of [256, 1024, 2048, 4096].map((mebibytes) => mebibytes * 1024 ** 2)) {
      const { hiveBytes, ...parts } = memoryLimits(heap);
      expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan((heap * 2) / 3);
      expect(hiveBytes * 4).toBeLessThanOrEqual(parts.fleetBytes);
    }
  });

  it.each([
    [256, 16, 5],
    [1024, 30, 20],
    [4096, 64, 32],
  ])(
    'of %d MiB is at least 16 and at most 64 MiB for one hive, and at most 32 for what is missing',
    (heap, hive, missing) => {
      const { hiveBytes, missingBytes } = memoryLimits(heap * 1024 ** 2);
      expect([hiveBytes, missingBytes].map((bytes) => Math.floor(bytes / 1024 ** 2))).toEqual([hive, missing]);
    },
  );
});

describe('what a hive is charged', () => {
  const worker = (labels: number, models?: string[] | null) => ({
    labels: Object.fromEntries(Array.from({ length: labels }, (_, i) => [`k${i}`, ''])),
    ...(models !== undefined && { models }),
  });

  it('is its text, its labels, those of its host once more for each worker, and each name of a model', () => {
    const hive = { labels: { zone: 'x', rack: 'y' } };
    const workers = [worker(2), worker(1, null), worker(0, ['a', 'b'])];
    expect(weightOf({ hive, workers } as never, 1001)).toBe(1252 + 3 * 512 + 6 * 32 + 4 * 1024);
    expect(weightOf({ hive, workers: [] } as never, 1000)).toBe(1250);
  });

  /** With so much of each owner charged; what could not be is a mistake of the test. */
  function budgetOf(held: Readonly<Record<string, number>>, limits: { maxHives?: number } = {}) {
    const budget = new FleetBudget({ fleetBytes: 1000, hiveBytes: 600, ...limits });
    const charges = Object.entries(held).map(([owner, bytes]) => {
      const charge = budget.charge(null, bytes, owner);
      if (typeof charge === 'string') throw new Error(charge);
      return charge;
    });
    return { budget, charges };
  }

  it('is refused where one hive, the fleet or its owner would have too much, and then nothing is charged', () => {
    const { budget } = budgetOf({ a: 600 });
    expect(budget.charge(null, 601, 'b')).toContain('one hive may take');
    expect(budget.charge(null, 401, 'b')).toContain('the fleet takes');
    expect(budget.charge(null, 400, 'b')).toContain('as is their share');
    expect(budget.charge(null, 321, 'b')).toContain('as is their share');
    expect(budget.held).toBe(600);
    expect(budget.charge(null, 320, 'b')).toEqual({ owner: 'b', bytes: 320 });
    expect(budget.held).toBe(920);
  });

  it('is never refused what it has already, nor what is less', () => {
    const { budget, charges } = budgetOf({ a: 600, b: 300 });
    const [charge] = charges;
    expect(budget.charge(charge!, 601, 'a')).toContain('one hive may take');
    expect(budget.charge(charge!, 600, 'a')).toBe(charge);
    expect(budget.charge(charge!, 590, 'a')).toBe(charge);
    expect([charge, budget.held]).toEqual([{ owner: 'a', bytes: 590 }, 890]);
    // Once it is less it may not be more again.
    expect(budget.charge(charge!, 591, 'a')).toContain('as is their share');
  });

  it('is what it grew by where it stays with its owner, and all of it where it comes to another', () => {
    const { budget, charges } = budgetOf({ a: 100, b: 400, c: 300, d: 100, e: 50 });
    const [ofA, , , , ofE] = charges;
    expect(budget.charge(ofE!, 61, 'a')).toContain('as is their share');
    expect(budget.charge(ofA!, 110, 'a')).toBe(ofA);
    expect(budget.charge(ofE!, 50, 'a')).toBe(ofE);
    expect([ofE, budget.held]).toEqual([{ owner: 'a', bytes: 50 }, 960]);
  });

  it('and its place are free again once it is released', () => {
    const { budget, charges } = budgetOf({ a: 100 }, { maxHives: 1 });
    expect(budget.noPlace('b')).toContain('takes 1 hives');
    budget.release(charges[0]!);
    expect([budget.noPlace('b'), budget.held, charges[0]!.bytes]).toEqual([null, 0, 0]);
    expect(budget.charge(null, 100, 'b')).toEqual({ owner: 'b', bytes: 100 });
    expect(budget.noPlace('b')).toContain('takes 1 hives');
  });
});
