import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type ReservationStore, SharedReservations } from '../../lib/cluster/shared-reservations.js';
import type { PlacementReply } from '../../lib/contract/api.js';
import { hiveOfKey } from '../../lib/nats/subjects.js';
import { Registry } from '../../lib/queen/registry.js';
import { Random } from '../harness/random.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';

const gib = 2 ** 30;

/** A bucket that answers late, and tells its watchers later still, in order. */
class Bucket {
  readonly entries = new Map<string, { revision: number; value: string }>();
  readonly watchers: ((hive: string, revision: number, value: Uint8Array) => void)[] = [];
  readonly #random = new Random(7);
  #last = 0;
  away = false;
  /** Takes what is written, and its answer is lost. */
  mute = false;

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#random.between(0, 3)));
  }

  store(): ReservationStore {
    return {
      read: async (key) => {
        await this.#pause();
        if (this.away) throw new Error('away');
        const found = this.entries.get(key);
        return found ? { revision: found.revision, value: Buffer.from(found.value) } : null;
      },
      write: async (key, value, revision) => {
        await this.#pause();
        if (this.away) throw new Error('away');
        if ((this.entries.get(key)?.revision ?? 0) !== revision) return null;
        const written = ++this.#last;
        this.entries.set(key, { revision: written, value });
        const hive = hiveOfKey(key);
        if (hive !== null)
          for (const watch of this.watchers) void this.#pause().then(() => watch(hive, written, Buffer.from(value)));
        await this.#pause();
        if (this.mute) throw new Error('timeout');
        return written;
      },
    };
  }
}

function queens(count: number, bucket: Bucket, hives: readonly SimulatedHive[]) {
  const heartbeats = hives.map((hive) => JSON.stringify(hive.nextHeartbeat()));
  return Array.from({ length: count }, () => {
    const registry = new Registry({ warmingMs: 0 });
    for (const heartbeat of heartbeats) registry.heartbeat(JSON.parse(heartbeat));
    const shared = new SharedReservations(registry);
    bucket.watchers.push((hive, revision, value) => shared.apply(hive, revision, value));
    shared.attach(bucket.store());
    return { registry, shared };
  });
}

const fleet = (count: number) =>
  Array.from({ length: count }, (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers: 1, gpus: 2 }));

/** Two queens that know one hive. */
function pair(bucket: Bucket) {
  const [a, b] = queens(2, bucket, fleet(1));
  if (!a || !b) throw new Error('there are not two');
  return [a, b] as const;
}

describe('reservations that queens share', () => {
  it('no room is granted twice, however many ask through however many queens', async () => {
    const bucket = new Bucket();
    const all = queens(3, bucket, fleet(4));
    const [first] = all;
    const free = new Map(first?.registry.gpus({ limit: 1000 }).items.map((gpu) => [gpu.uuid, gpu.freeBytes ?? 0]));
    const answers = await Promise.allSettled(
      Array.from({ length: 120 }, (_, i) => all[i % 3]?.shared.place({ vramBytes: 10 * gib, reserveSeconds: 600 })),
    );
    const granted = answers.flatMap((answer) =>
      answer.status === 'fulfilled' && answer.value?.reservation ? [answer.value.reservation] : [],
    );
    expect(granted.length).toBeGreaterThan(0);
    const charged = new Map<string, number>();
    for (const { gpuUuids, vramBytes } of granted)
      for (const uuid of gpuUuids) charged.set(uuid, (charged.get(uuid) ?? 0) + vramBytes);
    for (const [uuid, bytes] of charged) expect(bytes).toBeLessThanOrEqual(free.get(uuid) ?? 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const { registry } of all)
      expect(
        registry
          .reservations()
          .map(({ id }) => id)
          .sort(),
      ).toEqual(granted.map(({ id }) => id).sort());
  });

  it('the same key through all of them is one reservation', async () => {
    const all = queens(3, new Bucket(), fleet(5));
    const request = { vramBytes: gib, reserveSeconds: 600, idempotencyKey: 'k' };
    const replies = (await Promise.all(all.map(({ shared }) => shared.place(request)))) as PlacementReply[];
    expect(new Set(replies.map(({ reservation }) => reservation?.id)).size).toBe(1);
    await expect(all[1]?.shared.place({ ...request, vramBytes: 2 * gib })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
  });

  it('the same keys again and again through all of them, in any order of what they hear, are one reservation each', async () => {
    const bucket = new Bucket();
    const all = queens(3, bucket, fleet(6));
    const random = new Random(11);
    for (let round = 0; round < 12; round++) {
      const request = { vramBytes: gib, reserveSeconds: 600, idempotencyKey: `k${round}`, strategy: 'spread' as const };
      const replies = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          await new Promise((resolve) => setTimeout(resolve, random.between(0, 12)));
          return all[i % 3]?.shared.place(request);
        }),
      );
      expect(new Set(replies.map((reply) => reply?.reservation?.id)).size).toBe(1);
    }
    for (const { registry } of all) await expect.poll(() => registry.reservations().length).toBe(12);
  });

  it('a write whose answer is lost has failed, at every queen', async () => {
    const bucket = new Bucket();
    const all = queens(2, bucket, fleet(1));
    bucket.mute = true;
    await expect(all[0]?.shared.place({ vramBytes: gib, reserveSeconds: 600 })).rejects.toMatchObject({
      code: 'BUS_UNAVAILABLE',
    });
    bucket.mute = false;
    for (const { registry } of all) await expect.poll(() => registry.reservations(), { timeout: 5000 }).toEqual([]);
    await expect
      .poll(() => [...bucket.entries.values()].map(({ value }) => JSON.parse(value).reservations))
      .toEqual([[]]);
    expect((await all[1]?.shared.place({ vramBytes: gib, reserveSeconds: 600 }))?.reservation).not.toBeNull();
  });

  it('a write whose answer is lost as the store goes out of reach is taken back once it is there again', async () => {
    const bucket = new Bucket();
    const [a, b] = pair(bucket);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    bucket.mute = true;
    const answer = expect(a.shared.place({ vramBytes: gib, reserveSeconds: 600 })).rejects.toThrow('did not answer');
    await vi.advanceTimersByTimeAsync(10);
    await answer;
    a.shared.attach(null);
    // Past the time at which it would have looked by itself.
    await vi.advanceTimersByTimeAsync(2000);
    vi.useRealTimers();
    expect(b.registry.reservations().length).toBe(1);
    bucket.mute = false;
    a.shared.reset();
    for (const [key, { revision, value }] of bucket.entries)
      a.shared.apply(hiveOfKey(key) ?? '', revision, Buffer.from(value));
    a.shared.attach(bucket.store());
    for (const { registry } of [a, b]) await expect.poll(() => registry.reservations()).toEqual([]);
  });

  it('a grant that failed does not come back through what another queen writes', async () => {
    const bucket = new Bucket();
    const [a, b] = pair(bucket);
    bucket.mute = true;
    await expect(a.shared.place({ vramBytes: gib, reserveSeconds: 600 })).rejects.toThrow('did not answer');
    await expect.poll(() => b.registry.reservations().length).toBe(1);
    bucket.mute = false;
    const { reservation } = await b.shared.place({ vramBytes: gib, reserveSeconds: 600 });
    for (const { registry } of [a, b])
      await expect.poll(() => registry.reservations().map(({ id }) => id)).toEqual([reservation?.id]);
  });

  it('a release that the store did not take is made good once it answers', async () => {
    const bucket = new Bucket();
    const [a, b] = pair(bucket);
    const { reservation } = await a.shared.place({ vramBytes: gib, reserveSeconds: 600 });
    await expect.poll(() => b.registry.reservations().length).toBe(1);
    bucket.away = true;
    await expect(a.shared.release(reservation?.id ?? '')).rejects.toThrow('other queens hold it');
    expect(b.registry.reservations().length).toBe(1);
    bucket.away = false;
    for (const { registry } of [a, b]) await expect.poll(() => registry.reservations(), { timeout: 5000 }).toEqual([]);
  });

  it('what one queen releases is free at all of them, and does not come back', async () => {
    const bucket = new Bucket();
    const [a, b] = pair(bucket);
    const { reservation } = await a.shared.place({ vramBytes: gib, reserveSeconds: 600 });
    await expect.poll(() => b.registry.reservations().length).toBe(1);
    expect(await b.shared.release(reservation?.id ?? '')).toBe(true);
    await expect.poll(() => a.registry.reservations().length).toBe(0);
    expect(await b.shared.release(reservation?.id ?? '')).toBe(false);
    await a.shared.place({ vramBytes: gib, reserveSeconds: 600 });
    await expect.poll(() => b.registry.reservations().length).toBe(1);
  });

  it('out of reach: nothing is reserved, nothing stays held, and plain placements go on', async () => {
    const bucket = new Bucket();
    const [one] = queens(1, bucket, fleet(1));
    bucket.away = true;
    await expect(one?.shared.place({ vramBytes: gib, reserveSeconds: 60 })).rejects.toMatchObject({
      code: 'BUS_UNAVAILABLE',
    });
    expect(one?.registry.reservations()).toEqual([]);
    one?.shared.attach(null);
    await expect(one?.shared.place({ vramBytes: gib, reserveSeconds: 60 })).rejects.toMatchObject({
      code: 'BUS_UNAVAILABLE',
    });
    expect((await one?.shared.place({ vramBytes: gib }))?.candidateCount).toBe(1);
  });

  it('a store that was made anew gets what was granted before', async () => {
    const [one] = queens(1, new Bucket(), fleet(1));
    const reply = await one?.shared.place({ vramBytes: gib, reserveSeconds: 600 });
    const anew = new Bucket();
    one?.shared.attach(null);
    one?.shared.reset();
    one?.shared.attach(anew.store());
    await expect
      .poll(() => [...anew.entries.values()].some(({ value }) => value.includes(reply?.reservation?.id ?? '-')))
      .toBe(true);
  });

  it('an entry that is not one of ours holds nothing and stops nothing', async () => {
    const [one] = queens(1, new Bucket(), fleet(1));
    for (const [i, value] of ['', 'x', '{}', '[]', '{"writer":"w","reservations":[{"id":1}]}'].entries())
      one?.shared.apply('h0', i + 1, Buffer.from(value));
    expect(one?.registry.reservations()).toEqual([]);
  });
});
