import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { memoryBus } from '../../lib/cluster/memory.js';
import type { TokenGrant } from '../../lib/config/options.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { sentSchema } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { helloOf } from '../../lib/contract/stream/messages.js';
import { StreamEncoder } from '../../lib/hive/stream-encoder.js';
import { SocketRounds } from '../../lib/http/socket-rounds.js';
import { loadBinding } from '../../lib/native/binding.js';
import type { HeartbeatBody } from '../../lib/queen/heartbeat-body.js';
import type { Forwarder } from '../../lib/queen/intake.js';
import type { ServingFigures } from '../../lib/sampling/serving.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { grants, tokens } from './build-server.js';
import { type Given, hiveOf, rawClient, serve, transportTo } from './stream-server.js';

const hello = helloOf(sentSchema(ownSchema));

describe('heartbeats by a stream', () => {
  it('are taken in over one connection, and queries show the newest', async () => {
    const { registry, url, streams, intake } = await serve();
    const { send } = transportTo(url);
    const hive = hiveOf();
    let heartbeat = hive.nextHeartbeat();
    for (let i = 0; i < 40; i++) {
      if (i > 0) heartbeat = hive.nextHeartbeat();
      const outcome = await send(heartbeat);
      expect(outcome).toMatchObject({ kind: 'ack', reply: { accepted: true, queenId: registry.queenId } });
      if (outcome.kind === 'ack') hive.acknowledge(outcome.reply.ackEventSeq);
    }
    // Text changes, so it waits for the answer, which follows everything before.
    await send({ ...hive.nextHeartbeat(), faults: [{ source: 'hive', code: 'X', message: 'm' }] });
    expect(streams!.size).toBe(1);
    expect(intake.counts.accepted).toBe(41);
    expect(intake.counts.refused.size).toBe(0);
    expect(registry.hive('a')).toMatchObject({ workerCount: 4, faults: [{ code: 'X' }] });
  });

  it.skipIf(loadBinding().binding === undefined)(
    'of many are read together, and are as before when they are few again (needs the addon)',
    async () => {
      const create = vi.spyOn(SocketRounds, 'create');
      onTestFinished(() => create.mockRestore());
      const { url, streams, intake } = await serve({ manyStreams: 3 });
      const hives = ['a', 'b', 'c'].map((id) => ({ hive: hiveOf(id), ...transportTo(url) }));
      const sendAll = async (those: typeof hives) => {
        for (const { hive, send } of those)
          expect(await send(hive.nextHeartbeat())).toMatchObject({ kind: 'ack', reply: { accepted: true } });
      };
      await sendAll(hives.slice(0, 2));
      expect(create).not.toHaveBeenCalled();
      for (let i = 0; i < 20; i++) await sendAll(hives);
      const rounds = create.mock.results[0]?.value as SocketRounds;
      expect(rounds.size).toBe(3);
      await vi.waitFor(() => expect(intake.counts.accepted).toBe(2 + 3 * 20), { timeout: 10_000 });
      hives[0]?.transport.close();
      await vi.waitFor(() => expect([streams?.size, rounds.size]).toEqual([2, 2]), { timeout: 10_000 });
      await sendAll(hives.slice(1));
      expect(create).toHaveBeenCalledTimes(1);
      await streams?.close();
      await vi.waitFor(() => expect(rounds.size).toBe(0), { timeout: 10_000 });
    },
  );

  it.skipIf(loadBinding().binding === undefined)(
    'that are read together are passed on as they came, whatever is read into their place afterwards (needs the addon)',
    async () => {
      const { take } = SocketRounds.prototype;
      let overwritten = 0;
      const spied = vi.spyOn(SocketRounds.prototype, 'take').mockImplementation(function (
        this: SocketRounds,
        socket,
        onChunk,
      ) {
        return take.call(this, socket, (chunk) => {
          const done = onChunk(chunk);
          if (done < chunk.length) return done;
          chunk.fill(0xff);
          overwritten++;
          return done;
        });
      });
      onTestFinished(() => spied.mockRestore());
      const { url, intake, registry } = await serve({ manyStreams: 0 });
      const { send } = transportTo(url);
      const passedOn: HeartbeatBody[] = [];
      const publishHeartbeat: Forwarder['publishHeartbeat'] = (_heartbeat, body, acknowledged) => {
        passedOn.push(body);
        return acknowledged;
      };
      intake.forwarder = { ...memoryBus(registry), publishHeartbeat };
      const hive = new SimulatedHive({ id: 'a', workers: 100, gpus: 8 });
      for (let i = 0; i < 3; i++) {
        const heartbeat = hive.nextHeartbeat();
        const outcome = await send({ ...heartbeat, hive: { ...heartbeat.hive, labels: { turn: String(i) } } });
        expect(outcome).toMatchObject({ kind: 'ack', reply: { accepted: true } });
      }
      expect(overwritten).toBeGreaterThan(0);
      const turns = passedOn.map(({ bytes, encoding }) => {
        const text = encoding === 'gzip' ? gunzipSync(bytes) : bytes;
        return (JSON.parse(String(text)) as Heartbeat).hive.labels.turn;
      });
      expect(turns).toEqual(['0', '1', '2']);
    },
  );

  it('one that is given up while it is compressed is not sent after the last one of a hive that stops', async () => {
    const { url, intake, registry } = await serve();
    const { send, transport } = transportTo(url);
    const hive = hiveOf();
    await send(hive.nextHeartbeat());
    const longer = hive.nextHeartbeat();
    const given = new AbortController();
    const slow = transport.send({ ...longer, hive: { ...longer.hive, labels: { new: 'yes' } } }, given.signal);
    given.abort();
    const last = hive.nextHeartbeat();
    expect(await send({ ...last, hive: { ...last.hive, state: 'stopping' } })).toMatchObject({ kind: 'ack' });
    expect(await slow).toMatchObject({ kind: 'failed' });
    expect(await send(hive.nextHeartbeat())).toMatchObject({ kind: 'ack' });
    expect([intake.counts.accepted, ...intake.counts.refused.keys()]).toEqual([3]);
    expect(registry.hive('a')).toMatchObject({ state: 'ready' });
  });

  it('a hive whose queen starts anew goes on where a keyframe takes it', async () => {
    const first = await serve();
    const { send } = transportTo(first.url);
    const hive = hiveOf();
    expect(await send(hive.nextHeartbeat())).toMatchObject({ kind: 'ack' });
    first.registry.removeHive('a');
    // Deltas of a hive that was forgotten are not believed.
    for (let i = 0; i < 6; i++) expect(await send(hive.nextHeartbeat())).toMatchObject({ kind: 'ack' });
    expect(first.registry.hive('a')).not.toBeNull();
  });

  it('a queen that ends says when to come back', async () => {
    const { app, url } = await serve();
    const { send, said } = transportTo(url);
    const hive = hiveOf();
    await send(hive.nextHeartbeat());
    await app.close();
    await expect(
      send(hive.nextHeartbeat()).then(
        ({ kind }) => kind,
        () => 'rejected',
      ),
    ).resolves.not.toBe('ack');
    expect(said).toEqual([]);
  });
});

describe('what engines say between two heartbeats', () => {
  const heavy = { running: 31, waiting: 7, kvPercent: 98.5, ageMs: 3 };

  async function loaded(given: Given = {}) {
    const served = await serve(given);
    const { registry, url } = served;
    const { send, transport } = transportTo(url);
    const hive = hiveOf();
    let last = hive.nextHeartbeat();
    await send(last);
    const ids = last.workers.filter(({ serving }) => serving?.running != null).map(({ id }) => id);
    const [id] = ids;
    if (id === undefined) throw new Error('no engine is asked');
    const figures = () => last.workers.find((worker) => worker.id === id)!.serving as ServingFigures;
    const report = (changes: Partial<ServingFigures>) =>
      transport.sendLoads(new Map([[id, { ...figures(), ...changes }]]));
    const next = async () => {
      last = hive.nextHeartbeat();
      return await send({ ...last, faults: [{ source: 'hive', code: 'X', message: `${last.seq}` }] });
    };
    const servingOf = () => registry.workers({}).items.find((worker) => worker.id === id)?.serving;
    return { ...served, id, report, next, servingOf, figures };
  }

  it('reaches queries, subscribers, totals and best at once, and the next heartbeat says what is then', async () => {
    const { registry, intake, id, report, next, servingOf, figures } = await loaded();
    const rows: (readonly string[])[] = [];
    registry.subscribe((change) => {
      if (change.type === 'heartbeat') rows.push(change.heartbeat.workers.map((worker) => worker.id));
    });
    const { model } = registry.workers({}).items.find((worker) => worker.id === id)!;
    const others = registry.workers({ model: model! }).items.filter((each) => each.id !== id);
    const gateOf = () =>
      registry.pickWorkers({ model: model!, exclude: others.map(({ key }) => key) }).picks[0]?.why.gate;
    expect(gateOf()).toBe('open');
    report(heavy);
    await expect.poll(servingOf).toMatchObject(heavy);
    expect(rows).toEqual([[id]]);
    expect(intake.counts.accepted).toBe(1);
    expect(gateOf()).toBe('full');
    expect(await next()).toMatchObject({ kind: 'ack' });
    const { running, waiting, kvPercent } = figures();
    expect(servingOf()).toMatchObject({ running, waiting, kvPercent });
    expect(intake.counts.refused.size).toBe(0);
  });

  it('is no sign of life, and no sample of a history', async () => {
    let nowMs = 1_000_000;
    const { registry, id, report, servingOf } = await loaded({ clock: () => nowMs });
    const samples = () => registry.history('a', id)?.series.running?.filter((value) => value !== null);
    const before = samples();
    expect(before).toHaveLength(1);
    nowMs += 1500;
    report(heavy);
    await expect.poll(servingOf).toMatchObject(heavy);
    expect(registry.hive('a')).toMatchObject({ ageMs: 1500 });
    expect(samples()).toEqual(before);
  });

  it('is not sent where nothing that counts is different, nor of an engine of which the queen knows nothing', async () => {
    const { report, next, servingOf, figures, intake } = await loaded();
    report({ ageMs: 500, generationTokensPerSecond: 1 });
    report({ engine: 'another', running: 99 });
    expect(await next()).toMatchObject({ kind: 'ack' });
    expect(servingOf()).toMatchObject({ running: figures().running });
    expect(intake.counts.refused.size).toBe(0);
  });

  it('many in a row keep the checksum right', async () => {
    const { report, next, servingOf, intake } = await loaded();
    for (let i = 0; i < 40; i++) report({ running: i });
    await expect.poll(servingOf).toMatchObject({ running: 39 });
    expect(await next()).toMatchObject({ kind: 'ack' });
    expect(intake.counts.refused.size).toBe(0);
  });
});

describe('who may send', () => {
  it('tokens are those of a POST, and a bound token is for its own hive alone', async () => {
    const { url, registry } = await serve({ grants });
    expect(await transportTo(url).send(hiveOf().nextHeartbeat())).toMatchObject({ kind: 'refused', reason: 'rights' });
    expect(await transportTo(url, tokens.read).send(hiveOf().nextHeartbeat())).toMatchObject({
      kind: 'refused',
      failure: { code: 'REFUSED_403' },
    });
    const bound = transportTo(url, tokens.bound);
    expect(await bound.send(hiveOf('b').nextHeartbeat())).toMatchObject({ kind: 'refused', reason: 'rights' });
    expect(await bound.send(hiveOf('a').nextHeartbeat())).toMatchObject({ kind: 'ack' });
    expect(registry.hiveIds()).toEqual(['a']);
  });

  it('a token that is withdrawn ends its connections', async () => {
    const { port, table, streams } = await serve({ grants });
    const { closed } = await rawClient(port, { authorization: `Bearer ${tokens.hive}` });
    table.replace(grants.filter(({ token }) => token !== tokens.hive));
    streams!.endWhere((owner) => !table.knows(owner));
    expect((await closed)[0]).toBe(1008);
  });

  it('a token that is bound to another hive, or has another role, ends its connections', async () => {
    const { port, table, streams } = await serve({ grants });
    const changed: readonly TokenGrant[] = [
      { role: 'hive', token: tokens.hive, hive: 'b' },
      { role: 'read', token: tokens.hive },
    ];
    for (const grant of changed) {
      table.replace(grants);
      const { client, closed } = await rawClient(port, { authorization: `Bearer ${tokens.hive}` });
      table.replace(grants);
      streams!.endWhere((owner) => !table.knows(owner));
      expect(client.readyState).toBe(WebSocket.OPEN);
      table.replace([...grants.filter(({ token }) => token !== tokens.hive), grant]);
      streams!.endWhere((owner) => !table.knows(owner));
      expect((await closed)[0]).toBe(1008);
    }
  });

  it('two hives with one id: the second is refused as with a POST', async () => {
    let nowMs = 1_000_000;
    const { url, warnings } = await serve({ clock: () => nowMs });
    const [one, two] = [hiveOf(), new SimulatedHive({ id: 'a', workers: 1, seed: 99 })];
    const sendOne = transportTo(url).send;
    await sendOne(one.nextHeartbeat());
    nowMs += 60_000;
    await transportTo(url).send(two.nextHeartbeat());
    // Longer than a packet may be under way.
    nowMs += 60_000;
    for (let i = 0; i < 3; i++) {
      one.loseGpu(i % 2);
      const withEvents = one.nextHeartbeat();
      expect(withEvents.events).not.toEqual([]);
      expect(await sendOne(withEvents)).toMatchObject({ kind: 'refused', reason: 'duplicateId' });
    }
    expect(warnings).toEqual([expect.stringContaining('give one of them another --id')]);
  });
});

describe('messages that are none', () => {
  it('what is no hello ends the connection', async () => {
    const { port } = await serve();
    for (const message of [
      '',
      'null',
      '{}',
      '{"type":"hello"}',
      JSON.stringify({ type: 'hello', schema: {} }),
      Buffer.from([1]),
    ]) {
      const { client, closed } = await rawClient(port);
      client.send(message);
      expect((await closed)[0]).toBe(1002);
    }
  });

  it('what cannot be read is asked for again, and what is no heartbeat is refused', async () => {
    const { port, intake } = await serve();
    const { client, next } = await rawClient(port);
    client.send(hello);
    expect(await next()).toMatchObject({ type: 'welcome', ackEvery: 5 });
    client.send(Buffer.from([9, 9]));
    expect(await next()).toEqual({ type: 'resync', reason: 'malformed' });
    // One that was under way meanwhile is left out.
    client.send(Buffer.from([2, 0, 1, 1, 1, 0]));
    client.send(Buffer.from([1, 0, 1, ...Buffer.from('{}')]));
    expect(await next()).toMatchObject({ type: 'refused', status: 400, code: 'INVALID_HEARTBEAT' });
    expect(intake.counts.accepted).toBe(0);
  });

  it('a delta of which the queen has no keyframe is asked for as a whole', async () => {
    const { port } = await serve();
    const { client, next } = await rawClient(port);
    client.send(hello);
    await next();
    client.send(Buffer.from([2, 0, 1, 1, 1, 0]));
    expect(await next()).toEqual({ type: 'resync', reason: 'outOfOrder' });
  });

  it('numbers that are not the hive’s are noticed by the checksum, and sent again', async () => {
    const { port, registry, warnings, intake } = await serve();
    const { client, next } = await rawClient(port);
    client.send(hello);
    await next();
    const hive = hiveOf();
    const encoder = new StreamEncoder(
      () => 0,
      () => 0.5,
    );
    encoder.ackEvery = 1000;
    let heartbeat = hive.nextHeartbeat();
    const send = async (changed: Partial<Heartbeat> = {}) => {
      heartbeat = { ...heartbeat, ...changed, seq: heartbeat.seq + 1 };
      const { bytes } = await encoder.encode(heartbeat);
      return Buffer.from(bytes);
    };
    client.send(await send());
    expect(await next()).toMatchObject({ type: 'ack', deltas: true });
    const torn = await send({ host: { ...heartbeat.host, load1: heartbeat.host.load1! + 0.5 } });
    torn[torn.length - 1]! ^= 2;
    client.send(torn);
    for (let i = 0; i < 15; i++) client.send(await send());
    expect(await next()).toEqual({ type: 'resync', reason: 'checksum' });
    expect(warnings).toHaveLength(1);
    expect(intake.counts.refused.get('CHECKSUM_MISMATCH')).toBe(1);
    encoder.reset();
    client.send(await send());
    expect(await next()).toMatchObject({ type: 'ack' });
    expect(registry.hive('a')!.host.load1).toBe(heartbeat.host.load1);
  });

  it('more heartbeats than the limit are not merged', async () => {
    const { url, intake } = await serve({ heartbeatsPerSecond: 1 });
    const { send } = transportTo(url);
    const hive = hiveOf();
    const outcomes = [];
    for (let i = 0; i < 8; i++) outcomes.push((await send(hive.nextHeartbeat())).kind);
    expect(outcomes).toContain('failed');
    expect(intake.counts.accepted).toBeLessThan(6);
    expect(intake.counts.refused.get('RATE_LIMITED')).toBeGreaterThan(0);
  });
});

describe('what a connection may cost', () => {
  it('a hello of other form or size than any is refused before it is parsed, however it is nested', async () => {
    const { port, streams } = await serve();
    for (const schema of [
      `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
      `{"worker":[${'["a",1],'.repeat(7000)}0]}`,
      `{"worker":[["${'a'.repeat(60_000)}",1]]}`,
    ]) {
      const { client, closed } = await rawClient(port);
      client.send(`{"type":"hello","schema":${schema}}`);
      expect((await closed)[0]).toBe(1002);
    }
    await expect.poll(() => streams!.size).toBe(0);
  });

  it.each([
    ['messages', (client: WebSocket) => client.send(Buffer.from([2]))],
    ['pings', (client: WebSocket) => client.ping()],
    ['pongs', (client: WebSocket) => client.pong()],
  ])('more %s than a hive sends end it, and count as refused', async (_what, send) => {
    const { port, intake } = await serve();
    const { client, next, closed } = await rawClient(port);
    client.send(hello);
    await next();
    client.on('error', () => undefined);
    for (let i = 0; i < 400 && client.readyState === WebSocket.OPEN; i++) send(client);
    await closed;
    expect(intake.counts.refused.get('RATE_LIMITED')).toBe(1);
  });

  it('a caller with schemas of its own leaves room for those of others', async () => {
    const { port } = await serve({ grants });
    const greet = async (token: string, name: string) => {
      const { client, next, closed } = await rawClient(port, { authorization: `Bearer ${token}` });
      client.send(helloOf({ ...sentSchema(ownSchema), worker: [[name, 1]] }));
      return Promise.race([next().then(({ type }) => type), closed.then(([code]) => code)]);
    };
    const answers = [];
    for (let i = 0; i < 60; i++)
      answers.push(await greet(tokens.hive, `made.up${String.fromCharCode(97 + (i % 26), 97 + i / 26)}`));
    expect(answers.filter((answer) => answer === 'welcome')).toHaveLength(52);
    expect(answers.at(-1)).toBe(1013);
    expect(await greet(tokens.bound, 'another')).toBe('welcome');
  });
});

describe('requests beside streams', () => {
  it('GET without an upgrade is 426 UPGRADE_REQUIRED, and other upgrades are answered in HTTP', async () => {
    const { url, port } = await serve();
    const reply = await fetch(`${url}/v1/stream`);
    expect([reply.status, reply.headers.get('upgrade')]).toEqual([426, 'websocket']);
    expect(await reply.json()).toMatchObject({ code: 'UPGRADE_REQUIRED' });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('a queen without streams is sent heartbeats by POST, which is said once', async () => {
    const { url, registry } = await serve({ hasStreams: false });
    const { send, said } = transportTo(url);
    const hive = hiveOf();
    for (let i = 0; i < 3; i++) expect(await send(hive.nextHeartbeat())).toMatchObject({ kind: 'ack' });
    expect(said).toEqual([expect.stringContaining('answers 404')]);
    expect(registry.hiveIds()).toEqual(['a']);
  });
});
