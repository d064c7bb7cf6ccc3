import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lease, type LeaseStore } from '../../lib/cluster/lease.js';

/** One key, as JetStream keeps it. */
class Key {
  revision = 0;
  holder: string | null = null;
  reachable = true;
  /** The write is done and the answer lost. */
  loseAnswers = false;

  store(): LeaseStore {
    const answer = <T>(value: T): Promise<T> =>
      this.loseAnswers ? Promise.reject(new Error('timeout')) : Promise.resolve(value);
    return {
      read: () =>
        this.reachable
          ? Promise.resolve(this.revision === 0 ? null : { revision: this.revision, holder: this.holder })
          : Promise.reject(new Error('away')),
      write: (holder, revision) => {
        if (!this.reachable) return Promise.reject(new Error('away'));
        if (revision !== this.revision) return answer(null);
        this.revision++;
        this.holder = holder;
        return answer(this.revision);
      },
    };
  }
}

function leases(count: number, settled = () => true) {
  const clock = { ms: 0 };
  const key = new Key();
  const all = Array.from(
    { length: count },
    (_, i) => new Lease({ queenId: `q${i}`, clock: () => clock.ms, leaseMs: 4000, settled }),
  );
  return { clock, key, all };
}

describe('the lease to conclude', () => {
  it('is taken by the first, renewed by it, and by nobody else', async () => {
    const { clock, key, all } = leases(3);
    const became = [];
    for (const lease of all) became.push(await lease.reconcile(key.store()));
    expect(became).toEqual([true, false, false]);
    for (let second = 1; second < 60; second++) {
      clock.ms += 1000;
      for (const lease of all) expect(await lease.reconcile(key.store())).toBe(false);
      expect(all.map(({ held }) => held)).toEqual([true, false, false]);
    }
  });

  it('one that stops renewing loses it by its own clock before another takes it, once', async () => {
    const { clock, key, all } = leases(3);
    const [first, ...others] = all as [Lease, ...Lease[]];
    await first.reconcile(key.store());
    for (const lease of others) await lease.reconcile(key.store());
    let took = 0;
    for (; clock.ms < 10_000; clock.ms += 100) {
      for (const lease of others) if (await lease.reconcile(key.store())) took = clock.ms;
      expect(all.filter(({ held }) => held).length).toBeLessThanOrEqual(1);
      if (clock.ms >= 4000) expect(first.held).toBe(false);
    }
    expect(took).toBeGreaterThan(4000);
    expect(took).toBeLessThan(6000);
  });

  it('is given back at the end, and then taken without waiting', async () => {
    const { key, all } = leases(2);
    const [first, second] = all as [Lease, Lease];
    await first.reconcile(key.store());
    await second.reconcile(key.store());
    await first.release(key.store());
    expect(first.held).toBe(false);
    expect(await second.reconcile(key.store())).toBe(true);
  });

  it('a queen that has not heard the fleet yet does not take it from another', async () => {
    let settled = false;
    const { clock, key, all } = leases(2, () => settled);
    const [first, second] = all as [Lease, Lease];
    await first.reconcile(key.store());
    await second.reconcile(key.store());
    clock.ms = 20_000;
    expect(await second.reconcile(key.store())).toBe(false);
    settled = true;
    expect(await second.reconcile(key.store())).toBe(true);
  });

  it('a renewal whose answer was lost is found to be one’s own', async () => {
    const { clock, key, all } = leases(2);
    const [first, second] = all as [Lease, Lease];
    await first.reconcile(key.store());
    clock.ms = 1000;
    key.loseAnswers = true;
    await expect(first.reconcile(key.store())).rejects.toThrow('timeout');
    key.loseAnswers = false;
    clock.ms = 2000;
    await first.reconcile(key.store());
    await second.reconcile(key.store());
    expect([first.held, second.held]).toEqual([true, false]);
  });

  it('whatever order they come in and whatever answers are lost, never two hold it', async () => {
    const step = fc.record({
      who: fc.nat(2),
      wait: fc.nat(3000),
      reachable: fc.boolean(),
      loseAnswers: fc.boolean(),
      release: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, key, all } = leases(3);
        for (const { who, wait, reachable, loseAnswers, release } of steps) {
          clock.ms += wait;
          Object.assign(key, { reachable, loseAnswers });
          const lease = all[who] as Lease;
          await (release && wait % 7 === 0 ? lease.release(key.store()) : lease.reconcile(key.store())).catch(
            () => null,
          );
          expect(all.filter(({ held }) => held).length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
