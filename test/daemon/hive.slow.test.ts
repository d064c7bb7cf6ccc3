import { stat } from 'node:fs/promises';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { Value } from 'typebox/value';
import { Agent, request as unixRequest } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Heartbeat } from '../../lib/contract/heartbeat.js';
import { idOfHost } from '../../lib/daemon/hive.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost, fakeGpu, PlainFiles } from '../sampling/fake-host.js';

/** A queen of before streams, that keeps what it is told. */
async function queenOf(
  answer: (heartbeat: Heartbeat) => { status: number; body: unknown } | null = (heartbeat) => ({
    status: 200,
    body: { accepted: true, queenId: 'q', ackEventSeq: heartbeat.events.at(-1)?.seq ?? 0, intervalMs: 100 },
  }),
) {
  const heartbeats: Heartbeat[] = [];
  const server: Server = createServer(async (request: IncomingMessage, response) => {
    if (request.method !== 'POST') {
      response.writeHead(404).end();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const heartbeat = JSON.parse(
      String(request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw),
    ) as Heartbeat;
    heartbeats.push(heartbeat);
    const reply = answer(heartbeat);
    if (reply === null) return; // never answers
    response.writeHead(reply.status, { 'content-type': 'application/json' }).end(JSON.stringify(reply.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { heartbeats, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const worker = (host: FakeHost, name: string, pid: number) => {
  host.worker(`/hivepulse.slice/g/${name}`, { pid, argv: ['node', 'x.js'] });
};

/** What a hive answers to a browser: status and headers. */
const visit = (url: string, headers: Record<string, string>) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(url, { headers }, (response) => {
      response.destroy();
      resolve(response);
    });
    request.on('error', reject);
  });

describe('the hive’s own server', () => {
  it('answers no page of another site but for health, and nothing of it can be framed or embedded', async () => {
    const host = new FakeHost();
    const hive = await host.startHive({});
    const paths = ['/healthz', '/v1/snapshot', '/v1/events', '/metrics', '/nothing'];
    for (const path of paths) {
      const foreign = await visit(hive.url + path, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' });
      expect(foreign.statusCode === 403, path).toBe(path !== '/healthz');
      const { headers } = await visit(hive.url + path, {});
      expect(headers, path).toMatchObject({
        'x-frame-options': 'DENY',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      });
    }
  });
});

describe('hive', () => {
  it('heartbeats hold the contract, rise in number, and turn from starting to ready', async () => {
    const host = new FakeHost();
    worker(host, 'a', 100);
    const queen = await queenOf();
    await host.startHive({ queens: [queen.url], labels: { zone: 'x' } });
    await waitFor(() => queen.heartbeats.length >= 4 && queen.heartbeats.at(-1)?.hive.state === 'ready');
    for (const heartbeat of queen.heartbeats) expect([...Value.Errors(Heartbeat, heartbeat)]).toEqual([]);
    expect(queen.heartbeats.map(({ seq }) => seq)).toEqual(queen.heartbeats.map((_, i) => i + 1));
    const last = queen.heartbeats.at(-1) as Heartbeat;
    expect(last).toMatchObject({ hive: { id: 'h1', labels: { zone: 'x' } }, workersComplete: true });
    expect(last.workers.map(({ id }) => id)).toEqual(['g/a']);
    // A hive that has not seen its host whole never says that it has.
    for (const heartbeat of queen.heartbeats)
      if (heartbeat.hive.state === 'starting') expect(heartbeat.workersComplete).toBe(false);
  });

  it('one cgroup that cannot be listed does not keep the hive starting for ever, and it never says that it is whole', async () => {
    const host = new FakeHost();
    worker(host, 'a', 100);
    host.cgroup('/hivepulse.slice/sealed');
    class Sealed extends PlainFiles {
      override async list(paths: readonly string[]) {
        const found = await super.list(paths);
        return found.map((entries, i) => (paths[i]?.endsWith('/sealed') ? 5 : entries));
      }
    }
    const queen = await queenOf();
    await host.startHive(
      { queens: [queen.url] },
      {
        machine: host.readers(() => new Sealed()),
      },
    );
    await waitFor(() => queen.heartbeats.at(-1)?.hive.state === 'ready');
    expect(queen.heartbeats[0]?.hive.state).toBe('starting');
    expect(queen.heartbeats.map(({ workersComplete }) => workersComplete)).not.toContain(true);
    expect(queen.heartbeats.at(-1)?.workers.map(({ id }) => id)).toEqual(['g/a']);
  });

  it('a worker that comes and goes leaves events, which are sent again until acknowledged', async () => {
    const host = new FakeHost();
    let acknowledge = false;
    const queen = await queenOf((heartbeat) =>
      acknowledge
        ? {
            status: 200,
            body: { accepted: true, queenId: 'q', ackEventSeq: heartbeat.events.at(-1)?.seq ?? 0, intervalMs: 100 },
          }
        : { status: 200, body: { accepted: true, queenId: 'q', ackEventSeq: 0, intervalMs: 100 } },
    );
    await host.startHive({ queens: [queen.url] });
    await waitFor(() => queen.heartbeats.at(-1)?.hive.state === 'ready');
    worker(host, 'b', 200);
    await waitFor(() => queen.heartbeats.at(-1)?.workers.length === 1, { timeoutMs: 15_000 });
    host.remove('/hivepulse.slice/g/b');
    await waitFor(() => queen.heartbeats.at(-1)?.events.some(({ kind }) => kind === 'workerExited'), {
      timeoutMs: 15_000,
    });
    const count = queen.heartbeats.length;
    await waitFor(() => queen.heartbeats.length >= count + 3);
    expect(queen.heartbeats.at(-1)?.events.some(({ kind }) => kind === 'workerExited')).toBe(true);
    acknowledge = true;
    await waitFor(() => queen.heartbeats.at(-1)?.events.length === 0);
  }, 60_000);

  it('serves its snapshot, its health and its stream; the last heartbeat says stopping; it ends within 2 s', async () => {
    const host = new FakeHost();
    worker(host, 'a', 100);
    const queen = await queenOf();
    const hive = await host.startHive({ queens: [queen.url] });
    const snapshot = await waitFor(async () => {
      const body = (await (await fetch(`${hive.url}/v1/snapshot`)).json()) as Heartbeat;
      return body.workers?.length === 1 && body;
    });
    expect([...Value.Errors(Heartbeat, snapshot)]).toEqual([]);
    expect((await fetch(`${hive.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${hive.url}/nothing`)).status).toBe(404);

    const stream = await fetch(`${hive.url}/v1/events`);
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(first).toMatch(/^event: snapshot\ndata: \{/);
    const startedMs = performance.now();
    await hive.close();
    expect(performance.now() - startedMs).toBeLessThan(2000);
    expect(queen.heartbeats.at(-1)?.hive.state).toBe('stopping');
    for (;;) if ((await reader.read()).done) break; // the stream ended in order
    await hive.close(); // may be called twice
  });

  it('ends within 2 s though the queen never answers', async () => {
    const host = new FakeHost();
    const queen = await queenOf(() => null);
    const hive = await host.startHive({ queens: [queen.url] });
    await waitFor(() => queen.heartbeats.length > 0);
    const startedMs = performance.now();
    await hive.close();
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('goes on sampling without its queen, and says why heartbeats are not taken', async () => {
    const host = new FakeHost();
    const closed = createTcp();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const hive = await host.startHive({ queens: [`http://127.0.0.1:${port}`] });
    const snapshot = await waitFor(() =>
      hive.snapshot()?.faults.some(({ source }) => source === 'queen') ? hive.snapshot() : null,
    );
    expect(snapshot.faults).toContainEqual(expect.objectContaining({ source: 'queen', code: 'ECONNREFUSED' }));
    expect(snapshot.workersComplete).toBe(true);
  });

  it('a wedged /proc costs its values, and the tick goes on', async () => {
    const host = new FakeHost();
    worker(host, 'a', 100);
    const queen = await queenOf();
    PlainFiles.hangs.add(`${host.procRoot}/100/cmdline`);
    PlainFiles.hangs.add(`${host.procRoot}/meminfo`);
    await host.startHive({ queens: [queen.url] });
    const heartbeat = await waitFor(
      () => {
        const last = queen.heartbeats.at(-1);
        return last?.workers.length === 1 && last.workers[0]?.cpuPercent !== null && last;
      },
      { timeoutMs: 18_000 },
    );
    expect(heartbeat.host.memoryTotalBytes).toBeNull();
    expect(heartbeat.workers[0]?.command).toBeNull();
    const before = queen.heartbeats.length;
    await waitFor(() => queen.heartbeats.length >= before + 5, { timeoutMs: 2500 });
  }, 30_000);

  it('refuses another host’s name, another site’s page, and an open address without a token', async () => {
    const host = new FakeHost();
    const hive = await host.startHive();
    const { port } = new URL(hive.url);
    const ask = (headers: Record<string, string>) =>
      unixRequest(`http://127.0.0.1:${port}/healthz`, { headers }).then(async ({ statusCode, body }) => {
        await body.dump();
        return statusCode;
      });
    expect(await ask({})).toBe(200);
    expect(await ask({ host: 'evil.example' })).toBe(403);
    expect(await ask({ origin: 'http://evil.example' })).toBe(403);
    await expect(new FakeHost().startHive({ host: '0.0.0.0' })).rejects.toMatchObject({ code: 'INSECURE_BIND' });
  });

  it('beyond loopback it asks for its token, and slows down who guesses; health is open', async () => {
    const hive = await new FakeHost().startHive({ host: '0.0.0.0', token: 'the-token-of-this-hive' });
    const { port } = new URL(hive.url);
    const ask = async (path: string, token?: string) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return (await visit(`http://127.0.0.1:${port}${path}`, headers)).statusCode;
    };
    for (const path of ['/metrics', '/v1/snapshot', '/v1/events']) expect(await ask(path), path).toBe(401);
    expect(await ask('/healthz')).toBe(200);
    expect(await ask('/metrics', 'the-token-of-this-hive')).toBe(200);
    const guesses = new Set<number | undefined>();
    for (let i = 0; i < 12; i++) guesses.add(await ask('/metrics', `another-token-number-${i}`));
    expect(guesses).toEqual(new Set([401, 429]));
    expect(await ask('/metrics', 'the-token-of-this-hive')).toBe(200);
  });

  it('a port that is taken is one clear error, and nothing stays open', async () => {
    const first = await new FakeHost().startHive();
    await expect(new FakeHost().startHive({ port: Number(new URL(first.url).port) })).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
    });
  });

  it.each([
    [{ id: 'a/b' }, 'id'],
    [{ queens: ['queen:7833'] }, 'queens'],
  ])('%j is refused by name', async (options, subject) => {
    await expect(new FakeHost().startHive(options)).rejects.toMatchObject({ code: 'INVALID_OPTION', subject });
  });

  it('the control socket is its owner’s alone, and lets the driver go', async () => {
    const host = new FakeHost();
    const released: number[] = [];
    const gpu = { ...fakeGpu({}), release: async (seconds: number) => void released.push(seconds) };
    const hive = await host.startHive({}, { gpu });
    const path = hive.control as string;
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const agent = new Agent({ connect: { socketPath: path } });
    onTestFinished(() => agent.destroy());
    const post = async (body: unknown, route = '/v1/gpu/release') => {
      const { statusCode, body: reply } = await unixRequest(`http://hive${route}`, {
        dispatcher: agent,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      await reply.dump();
      return statusCode;
    };
    expect(await post({ seconds: 30 })).toBe(200);
    expect(await post({ seconds: -1 })).toBe(400);
    expect(released).toEqual([30]);

    const state = () => hive.snapshot()?.hive.state;
    await waitFor(() => state() === 'ready');
    expect(await post({ draining: 'yes' }, '/v1/drain')).toBe(400);
    expect(state()).toBe('ready');
    expect(await post({ draining: true }, '/v1/drain')).toBe(200);
    expect(state()).toBe('draining');
    expect(await post({ draining: false }, '/v1/drain')).toBe(200);
    expect(state()).toBe('ready');

    await hive.close();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('a hostname becomes an id', () => {
    expect(idOfHost('gpu-01.rack.local')).toBe('gpu-01.rack.local');
    expect(idOfHost('-weird host!')).toBe('weird-host-');
    expect(idOfHost('')).toBe('localhost');
  });
});
