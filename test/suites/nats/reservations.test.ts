import { describe, expect, test } from 'vitest';
import type { GpuView, PlacementReply, Reservation } from '../../../lib/contract/api.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import { heartbeats, natsServer, place, queenOn, sharing, spreadFleet, whole } from './cluster-of-queens.js';

const harness = useHarness();
const gib = 2 ** 30;

describe('reservations through three queens', () => {
  test('1,000 at once: no room is granted twice, and all queens list the same', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2, 3].map(() => queenOn(harness(), server)));
    const urls = queens.map(({ url }) => url);
    // One heartbeat of each, good for half a minute: what is free does not change under the test.
    const fleet = spreadFleet(harness(), urls, { hives: 24, workers: 1, gpus: 8, intervalMs: 30_000 });
    await fleet.sendHeartbeat();
    await Promise.all(urls.map((url) => whole(url, 24)));

    const before = await getJson<{ items: GpuView[] }>(`${urls[0]}/v1/gpus?limit=1000`);
    const free = new Map(before.items.map((gpu) => [gpu.uuid, gpu.freeBytes ?? 0]));
    const room = [...free.values()].reduce((sum, bytes) => sum + Math.floor(bytes / (24 * gib)), 0);
    // More is asked for than there is, so that the last rooms are fought over.
    expect(room).toBeLessThan(1000);
    const began = performance.now();
    const answers = await Promise.allSettled(
      Array.from({ length: 1000 }, (_, i) =>
        place(urls[i % 3] as string, { vramBytes: 24 * gib, reserveSeconds: 600, idempotencyKey: `r${i}` }),
      ),
    );
    const took = performance.now() - began;
    const replies = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const granted = replies.flatMap(({ reservation }) => (reservation === null ? [] : [reservation]));
    console.log(
      `${granted.length} of ${room} rooms granted in ${Math.round(took)} ms; ${1000 - replies.length} told to try again`,
    );

    const charged = new Map<string, number>();
    for (const { gpuUuids, vramBytes } of granted)
      for (const uuid of gpuUuids) charged.set(uuid, (charged.get(uuid) ?? 0) + vramBytes);
    for (const [uuid, bytes] of charged) expect(bytes, uuid).toBeLessThanOrEqual(free.get(uuid) ?? 0);
    expect(new Set(granted.map(({ id }) => id)).size).toBe(granted.length);

    // Whoever was told to try again does; in the end all the room is gone.
    for (let i = 0; i < 50; i++) {
      const reply: PlacementReply | null = await place(urls[i % 3] as string, {
        vramBytes: 24 * gib,
        reserveSeconds: 600,
      }).catch(() => null);
      if (reply === null) continue;
      if (reply.reservation === null) break;
      granted.push(reply.reservation);
    }
    expect(granted.length).toBeLessThanOrEqual(room);
    const listed = async (url: string) =>
      (await getJson<{ items: Reservation[] }>(`${url}/v1/reservations`)).items.map(({ id }) => id).sort();
    await waitFor(
      async () => {
        const lists = await Promise.all(urls.map(listed));
        return new Set(lists.map((list) => JSON.stringify(list))).size === 1 && lists[0];
      },
      { what: 'all queens to list the same reservations' },
    );
    const everywhere = await listed(urls[0] as string);
    for (const { id } of granted) expect(everywhere).toContain(id);

    // Given back through one queen, it can be had through another.
    const one = granted[0] as Reservation;
    const released = await fetch(`${urls[2]}/v1/reservations/${one.id}`, { method: 'DELETE' });
    expect(released.status).toBe(204);
    await waitFor(async () => (await Promise.all(urls.map(listed))).every((list) => !list.includes(one.id)), {
      what: 'the release at every queen',
    });
    const again = await place(urls[1] as string, { vramBytes: 24 * gib, reserveSeconds: 600 });
    expect(again.reservation).not.toBeNull();
  });

  test('a server that did not answer for a while: room is reserved again, though the connection stayed', async () => {
    const server = await natsServer(harness());
    const queen = await queenOn(harness(), server);
    const fleet = spreadFleet(harness(), [queen.url], { hives: 2, workers: 1, gpus: 4 });
    fleet.start();
    await whole(queen.url, 2);
    server.signal('SIGSTOP');
    await sharing(queen.url, 'degraded');
    server.signal('SIGCONT');
    await sharing(queen.url);
    const { reservation } = await place(queen.url, { vramBytes: gib, reserveSeconds: 60 });
    expect(reservation).not.toBeNull();
  });

  test('one idempotency key through three queens at once is one reservation', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2, 3].map(() => queenOn(harness(), server)));
    const urls = queens.map(({ url }) => url);
    const fleet = spreadFleet(harness(), urls, { hives: 6, workers: 1, gpus: 4 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 6)));
    await heartbeats(fleet);
    const request = { vramBytes: gib, reserveSeconds: 600, idempotencyKey: 'the same' };
    const replies = await Promise.all(Array.from({ length: 12 }, (_, i) => place(urls[i % 3] as string, request)));
    expect(new Set(replies.map(({ reservation }) => reservation?.id)).size).toBe(1);
    for (const url of urls)
      await waitFor(
        async () => (await getJson<{ items: Reservation[] }>(`${url}/v1/reservations`)).items.length === 1,
        {
          what: `one reservation at ${url}`,
        },
      );
  });
});
