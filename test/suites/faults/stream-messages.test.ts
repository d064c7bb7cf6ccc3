import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { HiveList, HiveView } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import { encodeDelta, encodeKeyframe, readSchema, sentSchema } from '../../../lib/contract/stream/codec.js';
import { ownSchema } from '../../../lib/contract/stream/columns.js';
import { helloOf, subprotocol } from '../../../lib/contract/stream/messages.js';
import { countRows, NumericState } from '../../../lib/contract/stream/state.js';
import { HeartbeatSender } from '../../../lib/hive/heartbeat-sender.js';
import { StreamTransport } from '../../../lib/hive/transport-stream.js';
import { selfSigned } from '../../harness/certificate.js';
import { type DaemonOptions, getJson, useHarness } from '../../harness/harness.js';
import { isDelta, MessageProxy, onNextDelta, passOn } from '../../harness/message-proxy.js';
import { residentMiB } from '../../harness/resources.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { breathMiB } from './fault-scenario.js';
import { notFollowed, StreamedHive } from './streamed-hive.js';

describe('messages of the heartbeat stream', () => {
  const harness = useHarness();

  /** A hive whose queen has a keyframe and some deltas of it. */
  const behindProxy = async (options: DaemonOptions = { args: ['--warming', '0'] }) => {
    const queen = await harness().queen(options);
    const proxy = await MessageProxy.before(queen.url);
    harness().defer(() => proxy.close());
    const hive = new StreamedHive(harness(), proxy.url);
    await hive.sendSeveral(7);
    expect([proxy.streams, await notFollowed(queen)]).toEqual([1, 0]);
    return { queen, proxy, hive };
  };

  test.each([
    ['message_lost', () => onNextDelta(() => [])],
    ['message_repeated', () => onNextDelta((delta) => [delta, delta])],
    ['message_torn', () => onNextDelta((delta) => [delta.subarray(0, delta.length >> 1)])],
    ['message_of_another_kind', () => onNextDelta((delta) => [Buffer.concat([Buffer.from([77]), delta])])],
    [
      'messages_swapped',
      () => {
        let held: Buffer | null = null;
        const carry = onNextDelta((delta) => {
          held = delta;
          return [];
        });
        return (message: Buffer, isBinary: boolean) => {
          const late = held;
          const passed = carry(message, isBinary);
          if (late === null) return passed;
          held = null;
          return [...passed, late];
        };
      },
    ],
  ] as const)('stream_%s: what the queen cannot follow is sent anew, whole', async (_, carry) => {
    const { queen, proxy, hive } = await behindProxy();
    proxy.fromHive = carry();
    await hive.sendSeveral(7);
    await hive.recovers(queen);
    expect(await notFollowed(queen)).toBe(1);
    expect([proxy.streams, proxy.posts, hive.said]).toEqual([1, 0, []]);
  });

  test('stream_epoch_unknown: a delta of before the newest keyframe is not believed', async () => {
    const { queen, proxy, hive } = await behindProxy();
    let kept = Buffer.alloc(0);
    proxy.fromHive = onNextDelta((delta) => {
      kept = Buffer.from(delta);
      return [delta];
    });
    await hive.sendNext();
    hive.hive.addWorker({ settled: true });
    await hive.recovers(queen);
    proxy.fromHive = onNextDelta((delta) => [kept, delta]);
    await hive.sendSeveral(2);
    await hive.recovers(queen);
    expect(await notFollowed(queen)).toBe(1);
    expect(proxy.streams).toBe(1);
  });

  test('stream_distrusted: twice in a minute is too often, so POST it is for ten minutes, which is said once', async () => {
    const { queen, proxy, hive } = await behindProxy();
    for (let i = 0; i < 2; i++) {
      await hive.sendSeveral(1);
      proxy.fromHive = onNextDelta(() => []);
      await hive.sendSeveral(5);
      await hive.recovers(queen);
    }
    await hive.sendSeveral(5);
    await hive.recovers(queen);
    expect(proxy.posts).toBeGreaterThan(4);
    expect(hive.said).toEqual([expect.stringContaining('outOfOrder')]);
  });

  test.each([
    ['answers_lost', () => []],
    ['answers_garbled', () => [Buffer.from('{"type":"ack","epoch":"1","index":{}')]],
    ['answers_of_another', () => [Buffer.from('{"type":"ack","epoch":999,"index":999}')]],
  ] as const)('stream_%s: the hive connects anew before the queen would miss it', async (_, answer) => {
    const { queen, proxy, hive } = await behindProxy();
    proxy.fromQueen = answer;
    await waitFor(async () => (await hive.sendNext()).kind === 'failed', { timeoutMs: 10_000, what: 'a late answer' });
    proxy.fromQueen = passOn;
    await hive.recovers(queen);
    expect([proxy.streams, proxy.posts, hive.said]).toEqual([2, 0, []]);
  });

  test('stream_queen_slow: answers that come after a second are waited for', async () => {
    const { queen, proxy, hive } = await behindProxy();
    for (let i = 0; i < 3; i++) {
      process.kill(queen.process.pid, 'SIGSTOP');
      const resume = setTimeout(() => process.kill(queen.process.pid, 'SIGCONT'), 1000);
      harness().defer(() => clearTimeout(resume));
      await hive.sendSeveral(6);
    }
    await hive.recovers(queen);
    expect([proxy.streams, proxy.posts, hive.said]).toEqual([1, 0, []]);
  });

  test('stream_hive_forgotten: a hive that an admin removed is there again, whole', async () => {
    const { queen, proxy, hive } = await behindProxy();
    expect((await fetch(`${queen.url}/v1/hives/alpha`, { method: 'DELETE' })).ok).toBe(true);
    await hive.recovers(queen);
    expect([proxy.streams, proxy.posts]).toEqual([1, 0]);
  });

  test('stream_heard_elsewhere: a heartbeat by POST in between makes the next one whole', async () => {
    const { queen, proxy, hive } = await behindProxy();
    const between = hive.hive.nextHeartbeat();
    const headers = { 'content-type': 'application/json' };
    const posted = await fetch(`${queen.url}/v1/heartbeats`, {
      method: 'POST',
      headers,
      body: JSON.stringify(between),
    });
    expect(posted.status).toBe(200);
    await hive.recovers(queen);
    expect(proxy.streams).toBe(1);
  });

  test('stream_implausible: a number that no device has is left out and named, and deltas follow once it is gone', async () => {
    const { queen, proxy, hive } = await behindProxy();
    const bad = hive.hive.nextHeartbeat();
    Object.assign(bad.workers[0]!, { cpuPercent: 2 ** 32 - 1 });
    expect(await hive.send(bad)).toMatchObject({ kind: 'ack' });
    await hive.sendSeveral(5);
    const faultsOf = async () => (await getJson<HiveView>(`${queen.url}/v1/hives/alpha`)).faults;
    expect(await faultsOf()).toEqual([]);
    const again = hive.hive.nextHeartbeat();
    Object.assign(again.workers[0]!, { cpuPercent: 2 ** 32 - 1 });
    // Text, so that the answer is waited for.
    const faults = [{ source: 'hive' as const, code: 'X', message: 'm' }];
    expect(await hive.send({ ...again, faults })).toMatchObject({ kind: 'ack' });
    expect((await faultsOf()).map(({ code, field }) => [code, field])).toContainEqual(['IMPLAUSIBLE', 'cpuPercent']);
    await hive.recovers(queen);
    let deltas = 0;
    proxy.fromHive = (message, isBinary) => {
      if (isDelta(message, isBinary)) deltas++;
      return [message];
    };
    await hive.sendSeveral(5);
    await hive.recovers(queen);
    expect(deltas).toBeGreaterThan(2);
    expect(proxy.streams).toBe(1);
  });

  test('stream_too_fast: what is beyond the limit of heartbeats is not merged, and all is whole afterwards', async () => {
    const { queen, hive } = await behindProxy();
    const outcomes = [];
    for (let i = 0; i < 120; i++) outcomes.push((await hive.sendNext()).kind);
    expect(outcomes).toContain('failed');
    await hive.recovers(queen);
  });

  test('stream_duplicate_id: of two hives with one id one is refused, as with a POST', async () => {
    const { queen, hive } = await behindProxy();
    const hiveOfSameId = new SimulatedHive({ id: 'alpha', workers: 1, seed: 99 });
    const other = new StreamedHive(harness(), queen.url, { hive: hiveOfSameId });
    const codes = new Set<string>();
    await waitFor(
      async () => {
        for (const each of [hive, other]) {
          const outcome = await each.sendAnswered();
          if (outcome.kind === 'refused') codes.add(outcome.reason);
        }
        return codes.has('duplicateId');
      },
      { timeoutMs: 20_000, what: 'the refusal of a second hive' },
    );
    expect([...hive.said, ...other.said]).toEqual([]);
  });

  test('stream_retired_run: a run of before is refused as overtaken, and the new one is untouched', async () => {
    const { queen, hive } = await behindProxy();
    const former = { ...hive.last, seq: hive.last.seq + 1 };
    const next = new StreamedHive(harness(), queen.url, { hive: hive.hive });
    hive.hive.restart();
    await next.recovers(queen);
    const faults = [{ source: 'hive' as const, code: 'X', message: 'm' }];
    expect(await hive.send({ ...former, faults })).toMatchObject({ kind: 'refused' });
    await next.recovers(queen);
  });

  test('stream_token_withdrawn: the connection ends with the token, and the next try is refused', async () => {
    const file = join(harness().directory(), 'tokens');
    const [token, other] = ['a'.repeat(40), 'b'.repeat(40)];
    writeFileSync(file, `hive ${token}\nread ${other}\n`, { mode: 0o600 });
    const queen = await harness().queen({ args: ['--warming', '0', '--tokens-file', file] });
    const hive = new StreamedHive(harness(), queen.url, { token });
    await hive.sendSeveral(7);
    writeFileSync(file, `read ${other}\n`, { mode: 0o600 });
    queen.process.signal('SIGHUP');
    await waitFor(
      async () => {
        const outcome = await hive.sendNext();
        return outcome.kind === 'refused' && outcome.reason === 'rights';
      },
      { timeoutMs: 20_000, what: 'the refusal of a token that was withdrawn' },
    );
    // By POST it would be the same.
    expect(hive.said).toEqual([]);
  });

  test('stream_other_version: of a hive with other columns what both know is merged', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const own = sentSchema(ownSchema);
    const worker = own.worker.filter(([name]) => name !== 'memoryBytes');
    const schema = { ...own, worker: [['futureSeconds', 100] as const, ...worker] };
    const client = new WebSocket(`${queen.url.replace('http', 'ws')}/v1/stream`, subprotocol);
    harness().defer(() => client.terminate());
    const answer = async () => JSON.parse(String((await once(client, 'message'))[0])) as { type: string };
    await once(client, 'open');
    client.send(helloOf(schema));
    expect(await answer()).toMatchObject({ type: 'welcome' });

    const first = new SimulatedHive({ id: 'alpha', workers: 2, gpus: 1 }).nextHeartbeat();
    const next = structuredClone(first);
    for (const [i, heartbeat] of [first, next].entries())
      Object.assign(heartbeat.workers[0]!, { futureSeconds: 1.5 + i, cpuPercent: 12.5 + i });
    const stateOf = (heartbeat: Heartbeat): NumericState => {
      const state = new NumericState(readSchema(schema), countRows(heartbeat));
      state.take(heartbeat);
      return state;
    };
    client.send(encodeKeyframe({ epoch: 1, encoding: null, body: Buffer.from(JSON.stringify(first)) }));
    expect(await answer()).toMatchObject({ type: 'ack', deltas: true });
    const header = { epoch: 1, index: 1, seq: first.seq + 1, wantsAck: true, text: null };
    const [before, after] = [stateOf(first), stateOf(next)];
    client.send(encodeDelta({ ...header, checksum: after.checksum() }, before, after));
    expect(await answer()).toMatchObject({ type: 'ack', index: 1 });
    const { items } = await getJson<{ items: Record<string, unknown>[] }>(`${queen.url}/v1/workers`);
    const { id, memoryBytes } = first.workers[0]!;
    const merged = items.find((each) => each.id === id);
    expect(merged).toMatchObject({ cpuPercent: 13.5, memoryBytes });
    expect(merged).not.toHaveProperty('futureSeconds');
  });

  test('stream_reconnected: over TLS a new connection takes up the session of the one before', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const { key, cert } = selfSigned();
    const reused: boolean[] = [];
    const sockets = new Set<TLSSocket>();
    const front = createServer({ key, cert }, (socket) => {
      reused.push(socket.isSessionReused());
      sockets.add(socket);
      const onward = connect(Number(new URL(queen.url).port), '127.0.0.1');
      socket
        .on('error', () => undefined)
        .pipe(onward.on('error', () => undefined))
        .pipe(socket);
      socket.on('close', () => onward.destroy());
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    harness().defer(() => new Promise<void>((resolve) => void front.close(() => resolve())));
    harness().defer(() => {
      for (const socket of sockets) socket.destroy();
    });
    const url = `https://localhost:${(front.address() as AddressInfo).port}`;
    const hive = new StreamedHive(harness(), url, { tls: { ca: cert } });
    await hive.sendSeveral(7);
    for (const socket of sockets) socket.destroy();
    await hive.recovers(queen);
    expect(reused).toEqual([false, true]);
  });

  test('stream_queen_restarted: 200 hives are back by the stream before the queen no longer says warming', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const { port } = new URL(queen.url);
    const said: string[] = [];
    const log = { info: (_: object, message: string) => void said.push(message), warn: () => undefined };
    const senders = Array.from({ length: 200 }, (_, i) => {
      const hive = new SimulatedHive({ id: `h${i}`, workers: 2, gpus: 1 });
      const transport = new StreamTransport(queen.url, { log });
      const sender = new HeartbeatSender({
        transports: [transport],
        intervalMs: 1000,
        build: () => hive.nextHeartbeat(),
        log,
      });
      const timer = setInterval(() => sender.tick(), 250);
      harness().defer(async () => {
        clearInterval(timer);
        await sender.stop(100);
        await transport.close();
      });
      return sender;
    });
    const online = async () =>
      (await getJson<HiveList>(`${queen.url}/v1/hives?limit=1000`)).items.filter(
        ({ liveness }) => liveness === 'online',
      );
    await waitFor(async () => (await online()).length === 200, { timeoutMs: 30_000, what: 'all hives' });
    const before = residentMiB(process.pid);
    queen.process.signalGroup('SIGKILL');
    await queen.process.ended();
    await waitFor(() => senders.every(({ failure }) => failure !== null), { timeoutMs: 30_000, what: 'all to fail' });
    await harness().queen({ args: ['--port', port] });
    await waitFor(
      async () => {
        const warming = ((await (await fetch(`${queen.url}/v1/fleet`)).json()) as { warming: boolean }).warming;
        const count = (await online()).length;
        expect(warming || count === 200).toBe(true);
        return count === 200;
      },
      { timeoutMs: 30_000, what: 'all hives to be back' },
    );
    expect(residentMiB(process.pid)).toBeLessThan(before + breathMiB);
    expect(said.filter((each) => each.includes('by POST'))).toEqual([]);
  });
});
