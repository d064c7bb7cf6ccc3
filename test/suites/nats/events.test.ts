import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import type { FleetEvent, HiveView } from '../../../lib/contract/api.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import { heartbeats, natsServer, queenOn, sharing, spreadFleet, whole } from './cluster-of-queens.js';

const harness = useHarness();

describe('one stream for all queens', () => {
  test('a client carries on at another queen, with nothing lost and nothing twice', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2].map(() => queenOn(harness(), server)));
    const urls = queens.map(({ url }) => url) as [string, string];
    const fleet = spreadFleet(harness(), urls, { hives: 4, workers: 6 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 4)));
    const first = harness().stream(`${urls[0]}/v1/events`);
    await first.next(({ event }) => event === 'snapshot');
    fleet.hives[0]?.killWorker();
    const stood = await first.next(({ data }) => (data as FleetEvent).kind === 'workerExited');
    first.close();
    for (let i = 0; i < 4; i++) {
      fleet.hives[i]?.killWorker();
      await heartbeats(fleet);
    }
    const second = harness().stream(`${urls[1]}/v1/events`, { 'last-event-id': stood.id as string });
    await waitFor(
      () => second.messages.filter(({ data }) => (data as FleetEvent).kind === 'workerExited').length >= 4,
      { what: 'what was missed' },
    );
    expect(second.messages.some(({ event }) => event === 'reset')).toBe(false);
    const ids = second.messages.flatMap(({ id }) => (id === undefined || id === '' ? [] : [Number(id.split('-')[1])]));
    const from = Number((stood.id as string).split('-')[1]);
    expect(ids).toEqual(ids.map((_, i) => from + 1 + i));
  });

  test('a filtered client that no event has passed yet carries on at another queen from its position', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2].map(() => queenOn(harness(), server)));
    const urls = queens.map(({ url }) => url) as [string, string];
    const fleet = spreadFleet(harness(), urls, { hives: 2, workers: 4 });
    fleet.start();
    await Promise.all(urls.map((url) => whole(url, 2)));
    const first = harness().stream(`${urls[0]}/v1/events?kind=workerExited`);
    const { data } = await first.next(({ event }) => event === 'position');
    expect(first.messages).toHaveLength(1);
    first.close();
    for (const hive of fleet.hives) hive.killWorker();
    await heartbeats(fleet);
    const { lastEventId } = data as { lastEventId: string };
    const second = harness().stream(`${urls[1]}/v1/events?kind=workerExited`, { 'last-event-id': lastEventId });
    await waitFor(() => second.messages.filter(({ event }) => event === 'event').length === 2, {
      what: 'what was missed',
    });
    expect(second.messages.some(({ event }) => event === 'reset')).toBe(false);
  });

  test('an event that a hive sends to two queens is read once at each', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2].map(() => queenOn(harness(), server)));
    const urls = queens.map(({ url }) => url) as [string, string];
    const fleet = spreadFleet(harness(), urls, { hives: 1, workers: 3 });
    const hive = fleet.hives[0];
    await hive?.sendHeartbeat();
    hive?.killWorker();
    const heartbeat = hive?.nextHeartbeat();
    if (!heartbeat) throw new Error('no heartbeat');
    expect(heartbeat.events.length).toBeGreaterThan(0);
    const post = (url: string, seq: number) =>
      fetch(`${url}/v1/heartbeats`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...heartbeat, seq }),
      });
    const readers = urls.map((url) => harness().stream(`${url}/v1/events`));
    for (const reader of readers) await reader.next(({ event }) => event === 'snapshot');
    const answers = await Promise.all([post(urls[0], heartbeat.seq), post(urls[1], heartbeat.seq + 1)]);
    for (const answer of answers) {
      // One of them may already have heard the other's by NATS, and call it stale.
      if (answer.ok) expect(await answer.json()).toMatchObject({ ackEventSeq: heartbeat.events.at(-1)?.seq });
      else expect(answer.status).toBe(409);
    }
    // What comes after it in the stream: by then both copies, if there are two, have been read.
    hive?.killWorker();
    const later = hive?.nextHeartbeat();
    const seq = later?.events.at(-1)?.seq;
    await fetch(`${urls[0]}/v1/heartbeats`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...later, seq: heartbeat.seq + 2 }),
    });
    for (const reader of readers) {
      const read = () => reader.messages.filter(({ event }) => event === 'event');
      await waitFor(() => read().length >= (seq ?? 0), { what: 'all events of the hive' });
      expect(read()).toHaveLength(seq ?? 0);
    }
  });

  test('a stream that vanishes, and a consumer that is deleted, are noticed, made anew and said', async () => {
    const server = await natsServer(harness());
    const queen = await queenOn(harness(), server);
    const fleet = spreadFleet(harness(), [queen.url], { hives: 2, workers: 6 });
    fleet.start();
    await whole(queen.url, 2);
    const connection = await connect({ servers: server.url.replace('nats://', '') });
    harness().defer(() => connection.close());
    const jsm = await jetstreamManager(connection);
    const acknowledged = async () => {
      fleet.hives[0]?.killWorker();
      await heartbeats(fleet);
      await waitFor(() => fleet.hives[0]?.pendingEvents === 0, { what: 'the event to be safe', timeoutMs: 20_000 });
    };
    const seen = harness().stream(`${queen.url}/v1/events`);
    await seen.next(({ event }) => event === 'snapshot');
    const exits = () => seen.messages.filter(({ data }) => (data as FleetEvent).kind === 'workerExited').length;

    for await (const { name } of jsm.consumers.list('HIVEPULSE_EVENTS'))
      await jsm.consumers.delete('HIVEPULSE_EVENTS', name);
    await acknowledged();
    await waitFor(() => exits() === 1, { what: 'the event, by a new consumer', timeoutMs: 20_000 });

    await jsm.streams.delete('HIVEPULSE_EVENTS');
    await queen.process.line(
      /another stream than before|made the stream HIVEPULSE_EVENTS: there was none[\s\S]*/,
      20_000,
    );
    await sharing(queen.url);
    await acknowledged();
    await waitFor(() => exits() === 2, { what: 'the event, in a new stream', timeoutMs: 20_000 });

    await jsm.streams.delete('KV_HIVEPULSE_RESERVATIONS');
    await jsm.streams.delete('KV_HIVEPULSE_LEASE');
    await waitFor(() => queen.process.lines.filter((line) => line.includes('made the bucket')).length >= 4, {
      what: 'both buckets to be made anew',
      timeoutMs: 20_000,
    });
    await sharing(queen.url);
  });
});

describe('hives on NATS', () => {
  test('publish without a queen in between; their events are acknowledged by JetStream', async () => {
    const server = await natsServer(harness());
    const queens = await Promise.all([1, 2].map(() => queenOn(harness(), server)));
    const args = ['--nats', server.url, '--id', 'direct.host', '--gpu', 'none', '--no-auto', '--interval', '200ms'];
    const hive = await harness().hive([], { args });
    for (const { url } of queens) {
      const view = await waitFor(() => getJson<HiveView>(`${url}/v1/hives/direct.host`).catch(() => null), {
        what: `the hive at ${url}`,
      });
      expect(view.liveness).toBe('online');
    }
    await hive.process.stop();
    for (const { url } of queens)
      await waitFor(async () => (await getJson<HiveView>(`${url}/v1/hives/direct.host`)).state === 'stopping', {
        what: 'the last word of the hive',
      });
  });

  test('where NATS goes away a hive turns to a queen that it knows as well', async () => {
    const server = await natsServer(harness());
    const queen = await queenOn(harness(), server);
    const args = ['--nats', server.url, '--id', 'both', '--gpu', 'none', '--no-auto', '--interval', '200ms'];
    await harness().hive([queen.url], { args });
    await whole(queen.url, 1);
    await server.kill();
    await sharing(queen.url, 'degraded');
    const ages: number[] = [];
    await waitFor(
      async () => {
        const { ageMs, liveness } = await getJson<HiveView>(`${queen.url}/v1/hives/both`);
        ages.push(ageMs);
        return ages.length > 20 && liveness === 'online' && ageMs < 1000;
      },
      { what: 'heartbeats by HTTP', everyMs: 100 },
    );
  });
});
