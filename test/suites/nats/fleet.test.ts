import { describe, expect, test } from 'vitest';
import type { FleetEvent } from '../../../lib/contract/api.js';
import { type Daemon, getJson, useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import {
  agree,
  fleetOf,
  heartbeats,
  hush,
  natsServer,
  queenOn,
  sharing,
  spreadFleet,
  whole,
} from './cluster-of-queens.js';
import type { NatsServer } from './nats-server.js';

const harness = useHarness();

interface Three {
  readonly server: NatsServer;
  readonly queens: Daemon[];
  readonly urls: string[];
}

async function three(count = 3): Promise<Three> {
  const server = await natsServer(harness());
  const queens = await Promise.all(Array.from({ length: count }, () => queenOn(harness(), server)));
  return { server, queens, urls: queens.map(({ url }) => url) };
}

const eventsOf = (url: string) => harness().stream(`${url}/v1/events`);

describe('three queens and 100 hives', () => {
  test('agree on fleet, workers and placements within 2 s of quiet, though each hive speaks to one', async () => {
    const { urls } = await three();
    const fleet = spreadFleet(harness(), urls, { hives: 100 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 100)));
    fleet.hives[3]?.killWorker();
    fleet.hives[4]?.addWorker();
    await heartbeats(fleet);
    await hush(fleet);
    await agree(urls, 100);
  });

  test('kill a queen: its hives go to the others, and every query is still answered', async () => {
    const { queens, urls } = await three();
    const fleet = spreadFleet(harness(), urls, { hives: 100 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 100)));
    const left = urls.slice(1);
    const streams = left.map((url) => eventsOf(url));
    await Promise.all(streams.map((stream) => stream.next(({ event }) => event === 'snapshot')));
    // The first to start speaks for the fleet, so this is the hardest one to lose.
    queens[0]?.process.signal('SIGKILL');
    await queens[0]?.process.ended();
    // Two intervals to fail over, and one to be heard.
    await waitFor(async () => (await Promise.all(left.map(fleetOf))).every(({ hives }) => hives.online === 100), {
      timeoutMs: 8000,
      what: 'every hive to be heard again',
    });
    const silent = fleet.hives[7];
    await silent?.stop();
    // Somebody else speaks now: each of the others hears it once.
    const said = await Promise.all(
      streams.map((stream) =>
        stream.next(
          ({ data }) => (data as FleetEvent).kind === 'hiveOffline' && (data as FleetEvent).hive === silent?.id,
          30_000,
        ),
      ),
    );
    expect(new Set(said.map(({ id }) => id)).size).toBe(1);
    for (const stream of streams) {
      const offline = stream.messages.filter(
        ({ data }) => (data as FleetEvent).kind === 'hiveOffline' && (data as FleetEvent).hive === silent?.id,
      );
      expect(offline).toHaveLength(1);
    }
    silent?.start();
    await heartbeats(fleet);
    await hush(fleet);
    await agree(left, 100);
  });

  test('rolling restart: no hive is lost at any queen, and all agree at the end', async () => {
    const { server, queens, urls } = await three();
    const ports = urls.map((url) => new URL(url).port);
    const fleet = spreadFleet(harness(), urls, { hives: 100 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 100)));
    for (const [i, queen] of queens.entries()) {
      await queen.process.stop();
      const process = harness().cli(['queen', '--port', ports[i] as string, '--nats', server.url, '--warming', '0']);
      await process.line(/"msg":"listening"/);
      await sharing(urls[i] as string);
      await whole(urls[i] as string, 100);
      const others = await Promise.all(urls.map(fleetOf));
      for (const { hives } of others) expect(hives.offline).toBe(0);
    }
    await heartbeats(fleet);
    await hush(fleet);
    await agree(urls, 100);
  });
});

describe('NATS away', () => {
  test('kill NATS: each queen goes on and says degraded, hive events wait, and it heals by itself', async () => {
    const { server, urls } = await three();
    const fleet = spreadFleet(harness(), urls, { hives: 100 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 100)));
    await server.kill();
    await Promise.all(urls.map((url) => sharing(url, 'degraded')));
    const hive = fleet.hives[5];
    hive?.killWorker();
    await waitFor(() => (hive?.pendingEvents ?? 0) > 0, { what: 'an event at the hive' });
    const accepted = hive?.counts.accepted ?? 0;
    await waitFor(() => (hive?.counts.accepted ?? 0) >= accepted + 3, { what: 'three more heartbeats to be taken' });
    expect(hive?.pendingEvents).toBeGreaterThan(0);
    for (const { hives } of await Promise.all(urls.map(fleetOf))) expect(hives.online).toBe(100);
    const refused = await fetch(`${urls[0]}/v1/placements`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ vramBytes: 1, reserveSeconds: 60 }),
    });
    expect(refused.status).toBe(503);
    expect(((await refused.json()) as { code: string }).code).toBe('BUS_UNAVAILABLE');

    await server.start();
    await Promise.all(urls.map((url) => sharing(url)));
    await waitFor(() => hive?.pendingEvents === 0, { what: 'the event to be acknowledged' });
    await heartbeats(fleet);
    await hush(fleet);
    await agree(urls, 100);
  });

  test('kill a queen and NATS together: the queens that are left serve, and share again', async () => {
    const { server, queens, urls } = await three();
    const fleet = spreadFleet(harness(), urls, { hives: 100 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 100)));
    await Promise.all([server.kill(), queens[1]?.process.stop(0)]);
    const left = [urls[0], urls[2]] as string[];
    await Promise.all(left.map((url) => sharing(url, 'degraded')));
    await waitFor(async () => (await Promise.all(left.map(fleetOf))).every(({ hives }) => hives.online === 100), {
      timeoutMs: 15_000,
      what: 'every hive at both',
    });
    await server.start();
    await Promise.all(left.map((url) => sharing(url)));
    await Promise.all(left.map((url) => whole(url, 100)));
    await heartbeats(fleet);
    await hush(fleet);
    await agree(left, 100);
  });

  test('a server that lost its store: streams and buckets are made anew, said, and reservations written again', async () => {
    const { server, queens, urls } = await three(2);
    const fleet = spreadFleet(harness(), urls, { hives: 4 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 4)));
    const { reservation } = (await (
      await fetch(`${urls[0]}/v1/placements`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ vramBytes: 2 ** 30, reserveSeconds: 600 }),
      })
    ).json()) as { reservation: { id: string } };
    await server.lose();
    await Promise.all(urls.map((url) => sharing(url, 'degraded')));
    await server.start();
    await Promise.all(urls.map((url) => sharing(url)));
    const lines = queens.flatMap(({ process }) => process.lines).join('\n');
    expect(lines).toContain('made the stream HIVEPULSE_EVENTS');
    // A queen that comes now knows what was granted before.
    const late = await queenOn(harness(), server);
    await waitFor(
      async () =>
        (await getJson<{ items: { id: string }[] }>(`${late.url}/v1/reservations`)).items.some(
          ({ id }) => id === reservation.id,
        ),
      { what: 'the reservation at a new queen' },
    );
  });

  test('a server without JetStream: said, and the queen goes on alone', async () => {
    const server = await natsServer(harness(), { plain: true });
    const queen = await harness().queen({ args: ['--nats', server.url, '--warming', '0'] });
    await queen.process.line(/JetStream does not answer.*-js/);
    expect((await fleetOf(queen.url)).bus).toBe('degraded');
    const fleet = spreadFleet(harness(), [queen.url], { hives: 2 });
    fleet.start();
    await whole(queen.url, 2);
  });
});
