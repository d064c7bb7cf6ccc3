import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { freePorts } from '../../harness/free-ports.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import {
  agree,
  fleetOf,
  heartbeats,
  hush,
  natsServer,
  place,
  sharing,
  spreadFleet,
  whole,
} from './cluster-of-queens.js';

const harness = useHarness();

test('three servers: each in turn is lost with no event, no reservation and no hive', async () => {
  const ports = await freePorts(3);
  const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
  const servers = await Promise.all(
    ports.map((port, i) =>
      natsServer(harness(), {
        config: [`server_name: n${i}`, `cluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`],
      }),
    ),
  );
  const nats = [...servers.flatMap(({ url }) => ['--nats', url]), '--nats-replicas', '3', '--warming', '0'];
  const queens = await Promise.all([1, 2].map(() => harness().queen({ args: nats })));
  const urls = queens.map(({ url }) => url);
  await Promise.all(urls.map((url) => sharing(url)));
  const fleet = spreadFleet(harness(), urls, { hives: 10, workers: 6 });
  fleet.start();
  await Promise.all(urls.map((url) => whole(url, 10)));

  const granted: string[] = [];
  const reserve = async (url: string) => {
    // While a leader is chosen it is refused, with the word that it may be tried again.
    const { reservation } = await waitFor(() => place(url, { vramBytes: 2 ** 30, reserveSeconds: 600 }), {
      what: 'a reservation',
      timeoutMs: 30_000,
      everyMs: 200,
    });
    granted.push(reservation?.id ?? 'none');
  };
  await reserve(urls[0] as string);
  const connection = await connect({ servers: servers.map(({ url }) => url.replace('nats://', '')) });
  harness().defer(() => connection.close());
  const jsm = await jetstreamManager(connection);
  const streams = ['HIVEPULSE_EVENTS', 'KV_HIVEPULSE_RESERVATIONS', 'KV_HIVEPULSE_LEASE'];
  for (const name of streams) expect((await jsm.streams.info(name)).config.num_replicas, name).toBe(3);
  /** Only then may a server be lost: what two of three hold is safe. */
  const copied = () =>
    waitFor(
      async () => {
        const clusters = await Promise.all(streams.map(async (name) => (await jsm.streams.info(name)).cluster));
        return clusters.every(
          (cluster) =>
            cluster?.leader !== undefined && cluster.replicas?.every((copy) => copy.current && !copy.offline),
        );
      },
      { what: 'all copies to be current', timeoutMs: 60_000, everyMs: 200 },
    );

  for (const [i, server] of servers.entries()) {
    await copied();
    await server.kill();
    const hive = fleet.hives[i];
    hive?.killWorker();
    await heartbeats(fleet);
    await waitFor(() => hive?.pendingEvents === 0, {
      what: 'its event to be safe with two servers',
      timeoutMs: 30_000,
    });
    await Promise.all(urls.map((url) => sharing(url)));
    await reserve(urls[i % 2] as string);
    for (const url of urls) expect((await fleetOf(url)).hives).toMatchObject({ online: 10, offline: 0 });
    await server.start();
  }
  const reserved = async (url: string) =>
    (await getJson<{ items: { id: string }[] }>(`${url}/v1/reservations`)).items.map(({ id }) => id).toSorted();
  for (const [i, url] of urls.entries())
    await expect
      .poll(() => reserved(url), { message: `reservations at queen ${i}`, timeout: 10_000, interval: 100 })
      .toEqual(granted.toSorted());
  await heartbeats(fleet);
  await hush(fleet);
  await agree(urls, 10);
});
