import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startQueen } from '../../lib/daemon/queen.js';
import { StreamTransport } from '../../lib/hive/transport-stream.js';
import { selfSigned } from '../harness/certificate.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { ManualClock } from '../harness/manual-clock.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost } from '../sampling/fake-host.js';

/** A queen, and the paths of what it was asked. */
async function listened() {
  const routes = new Set<string>();
  const count = (message: unknown) => void routes.add((message as { request: IncomingMessage }).request.url ?? '');
  subscribe('http.server.request.start', count);
  onTestFinished(() => void unsubscribe('http.server.request.start', count));
  const queen = await startQueen({ port: 0 });
  onTestFinished(() => queen.close());
  return { queen, routes };
}

it('a hive is heard over one connection, and its queen ends in good time', async () => {
  const { queen, routes } = await listened();
  const host = new FakeHost();
  host.worker('/hivepulse.slice/g/1', { pid: 100, argv: ['node', 'x.js'] });
  const hive = await host.startHive({ queens: [queen.url], id: 'a' });
  await waitFor(() => queen.registry.hive('a')?.workerCount === 1);
  await waitFor(() => queen.registry.hive('a')?.state === 'ready');
  expect(hive.sendFailure()).toBeNull();
  expect(routes.has('/v1/heartbeats')).toBe(false);
  await hive.close();
  expect(queen.registry.hive('a')?.state).toBe('stopping');
});

it('a hive with `stream: false` sends each heartbeat by POST, and asks for no stream', async () => {
  const { queen, routes } = await listened();
  const host = new FakeHost();
  await host.startHive({ queens: [queen.url], id: 'a', stream: false });
  await waitFor(() => queen.registry.hive('a')?.state === 'ready');
  expect([...routes]).toEqual(['/v1/heartbeats']);
});

it('over TLS a connection is made anew after some hours, before its session is too old to be taken up, with nothing lost', async () => {
  let connections = 0;
  const count = () => void connections++;
  subscribe('net.server.socket', count);
  onTestFinished(() => void unsubscribe('net.server.socket', count));
  const { path, remove } = temporaryDirectory('stream');
  onTestFinished(remove);
  const { key, cert } = selfSigned();
  const files = { key: join(path, 'key'), cert: join(path, 'cert') };
  writeFileSync(files.key, key, { mode: 0o600 });
  writeFileSync(files.cert, cert);
  const queen = await startQueen({ port: 0, tls: files });
  onTestFinished(() => queen.close());
  const said: string[] = [];
  const log = { info: (_: object, message: string) => void said.push(message), warn: () => undefined };
  const clock = new ManualClock();
  const url = queen.url.replace('127.0.0.1', 'localhost');
  const transport = new StreamTransport(url, { log, clock, random: () => 0.5, tls: { ca: cert } });
  onTestFinished(() => transport.close());
  const hive = new SimulatedHive({ id: 'a', workers: 1 });
  const after = async (hours: number) => {
    clock.jump(hours * 3600_000);
    // A keyframe, which is answered.
    const outcome = await transport.send(hive.nextHeartbeat(), new AbortController().signal);
    expect(outcome).toMatchObject({ kind: 'ack', reply: { queenId: queen.registry.queenId } });
    return connections;
  };
  expect([await after(0), await after(3), await after(2), await after(2), await after(3)]).toEqual([1, 1, 1, 2, 2]);
  expect(said).toEqual([]);
});

it('over TLS only those who show a certificate of the client authority may connect, with a token as well', async () => {
  const { path, remove } = temporaryDirectory('stream');
  onTestFinished(remove);
  const { key, cert } = selfSigned();
  const file = (name: string, text: string): string => {
    writeFileSync(join(path, name), text, { mode: 0o600 });
    return join(path, name);
  };
  const files = { cert: file('cert', cert), key: file('key', key) };
  const queen = await startQueen({
    port: 0,
    tls: { ...files, clientCa: files.cert },
    tokens: [{ role: 'hive', token: 'a'.repeat(40), hive: 'a' }],
  });
  onTestFinished(() => queen.close());
  const url = queen.url.replace('127.0.0.1', 'localhost');
  const log = { info: () => undefined, warn: () => undefined };
  const send = async (tls: { ca: string; cert?: string; key?: string }, token?: string, id = 'a') => {
    const transport = new StreamTransport(url, { log, tls, ...(token === undefined ? {} : { token }) });
    onTestFinished(() => transport.close());
    return await transport
      .send(new SimulatedHive({ id, workers: 1 }).nextHeartbeat(), new AbortController().signal)
      .then(
        ({ kind }) => kind,
        () => 'failed',
      );
  };
  const shown = { ca: cert, cert, key };
  expect(await send({ ca: cert }, 'a'.repeat(40))).toBe('failed');
  expect(await send(shown)).toBe('refused');
  expect(await send(shown, 'a'.repeat(40), 'b')).toBe('refused');
  expect(queen.registry.hiveIds()).toEqual([]);
  expect(await send(shown, 'a'.repeat(40))).toBe('ack');
  expect(queen.registry.hiveIds()).toEqual(['a']);
});
