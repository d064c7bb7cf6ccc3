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
  });

  it('is a share of the heap, and the parts leave a third of it for what is under way', () => {
    for (const heap of [256, 1024, 2048, 4096].map((mebibytes) => mebibytes * 1024 ** 2)) {
      const { fleetBytes, hiveBytes, eventBytes, reservationBytes, streamBytes } = memoryLimits(heap);
      expect(fleetBytes + eventBytes + reservationBytes + streamBytes).toBeLessThan((heap * 2) / 3);
      expect(hiveBytes * 4).toBeLessThanOrEqual(fleetBytes);
    }
  });
});
