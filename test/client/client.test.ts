import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest';
import { HivepulseClient, RequestError, type StreamMessage } from '../../lib/client/client.js';
import { joinUrl } from '../../lib/client/transport.js';
import type { HiveView, WorkerList } from '../../lib/contract/index.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { buildTestServer, grants, type TestServer, tokens } from '../api/build-server.js';
import { heartbeatOf, servingOf, workerOf } from '../harness/heartbeats.js';

const servers: Server[] = [];
const testServers: TestServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await Promise.all(testServers.splice(0).map(({ app }) => app.close()));
});

/** A server that does as it is told, to see what the client makes of it. */
async function stub(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

async function queen(options: Parameters<typeof buildTestServer>[0] = {}) {
  const server = await buildTestServer(options);
  testServers.push(server);
  return { server, url: await server.app.listen({ host: '127.0.0.1', port: 0 }) };
}

async function deadUrl(): Promise<string> {
  const url = await stub(() => undefined);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return url;
}

async function failure(promise: Promise<unknown>): Promise<HivepulseError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof HivepulseError)) throw new Error(`not a HivepulseError: ${String(error)}`);
  return error;
}

const json = (response: ServerResponse, value: unknown, status = 200) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

describe('calls', () => {
  it('speaks to every route of a queen, with the types of its schemas', async () => {
    const { url } = await queen({ grants });
    const client = new HivepulseClient({ url, token: tokens.admin });
    const model = 'org/Model 7B';
    const busy = workerOf('llm/1', { model, state: 'busy', serving: servingOf({ running: 8, waiting: 3 }) });
    const workers = [workerOf('llm/0', { model }), busy, workerOf('llm/2')];
    expect(await client.sendHeartbeat(heartbeatOf('a', 1, { workers }))).toMatchObject({ accepted: true });
    await client.sendHeartbeat(heartbeatOf('b'));
    expectTypeOf(client.hive('a')).resolves.toEqualTypeOf<HiveView>();
    expectTypeOf(client.workers()).resolves.toEqualTypeOf<WorkerList>();

    expect((await client.hives()).items.map(({ id }) => id)).toEqual(['a', 'b']);
    expect((await client.hive('a')).workerCount).toBe(3);
    expect((await client.workers({ model, state: 'busy' })).items.map(({ key }) => key)).toEqual(['a/llm/1']);
    expect((await client.workers({ label: ['team:search', 'zone:a'], limit: 2 })).items.length).toBe(2);
    expect((await client.worker('a/llm/2')).id).toBe('llm/2');
    expect((await client.gpus({ minFreeBytes: 2 ** 34 })).items.length).toBeGreaterThan(0);
    expect((await client.gpu('GPU-0')).uuid).toBe('GPU-0');
    expect((await client.best(model)).worker?.key).toBe('a/llm/0');
    const { picks } = await client.best({ model, promptTokens: 100, count: 2, exclude: ['a/llm/9', 'a/llm/8'] });
    expect(picks.map(({ key }) => key.slice(0, 6))).toEqual(['a/llm/', 'a/llm/']);
    await client.pickDone(picks[0]?.id ?? '');
    expect((await client.fleet()).workers.total).toBe(4);
    expect((await client.history({ hive: 'a' })).stepMs).toBe(10_000);
    expect((await client.history({ worker: 'a/llm/0' })).series.cpuPercent).toEqual([87.25]);
    expect((await client.history({ gpu: 'GPU-0' })).series.powerWatts).toEqual([61.5]);
    const { reservation } = await client.place({ vramBytes: 2 ** 30, reserveSeconds: 60 });
    expect((await client.reservations()).items.length).toBe(1);
    await client.release(reservation?.id ?? '');
    expect(await client.session()).toEqual({ required: true, role: 'admin' });
    expect((await client.logIn(tokens.read)).role).toBe('read');
    await client.logOut();
    expect(await client.ready()).toBe(false);
    await client.removeHive('b');
    const keys: string[] = [];
    for await (const worker of client.allWorkers({ limit: 1 })) keys.push(worker.key);
    expect(keys).toEqual(['a/llm/0', 'a/llm/1', 'a/llm/2']);
  });

  it('tells what a queen refused, with its code', async () => {
    const { url } = await queen({ grants });
    const missing = await failure(new HivepulseClient({ url, token: tokens.read }).hive('x'));
    expect(missing).toBeInstanceOf(RequestError);
    expect(missing).toMatchObject({ code: 'REQUEST_FAILED', status: 404, problem: { code: 'NOT_FOUND' } });
    expect(await failure(new HivepulseClient(url).fleet())).toMatchObject({ status: 401 });
    const heartbeat = { ...heartbeatOf('a'), seq: 0 };
    const refused = await failure(new HivepulseClient({ url, token: tokens.hive }).sendHeartbeat(heartbeat));
    expect(refused).toMatchObject({ problem: { code: 'INVALID_HEARTBEAT', field: 'seq' } });
    expect(refused.message).toContain('seq');
  });

  it('goes to the next address where one is dead, busy or silent, and stays with what answered', async () => {
    let asked = 0;
    const busy = await stub((_request, response) => {
      asked++;
      json(response, { code: 'CLOSING', detail: 'x', title: 'x', status: 503 }, 503);
    });
    const silent = await stub(() => undefined);
    const { url } = await queen();
    const addresses = [await deadUrl(), busy, silent, url];
    // Drawn so that they keep their order.
    const client = new HivepulseClient({ url: addresses, timeoutMs: 300, random: () => 0.999 });
    expect((await client.fleet()).workers.total).toBe(0);
    expect(client.url).toBe(url);
    await client.fleet();
    expect(asked).toBe(1);
  });

  it('clients of a queen that is lost go to all the others, and begin with the first while it is there', async () => {
    const urls = ['http://a', 'http://b', 'http://c', 'http://d'];
    const taken = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const asked: string[] = [];
      const own = (async (input: string) => {
        asked.push(new URL(input).origin);
        if (asked.length < 2) throw new TypeError('fetch failed');
        return new Response('{}', { headers: { 'content-type': 'application/json' } });
      }) as unknown as typeof fetch;
      const client = new HivepulseClient({ url: urls, fetch: own });
      await client.fleet();
      expect(asked[0]).toBe('http://a');
      taken.set(client.url, (taken.get(client.url) ?? 0) + 1);
    }
    expect([...taken.keys()].toSorted()).toEqual(['http://b', 'http://c', 'http://d']);
    for (const count of taken.values()) expect(count).toBeGreaterThan(60);
  });

  it('a queen that is only slow is asked once more, with a longer deadline, where the others are gone', async () => {
    const asked: number[] = [];
    const slow = await stub((_request, response) => {
      asked.push(performance.now());
      if (asked.length > 1) json(response, { items: [], nextCursor: null });
    });
    const client = new HivepulseClient({ url: [slow, await deadUrl()] });
    expect((await client.hives()).items).toEqual([]);
    expect(asked).toHaveLength(2);
    expect(client.url).toBe(slow);
  });

  it('says that a queen is slow rather than that another is gone', async () => {
    const silent = await stub(() => undefined);
    const client = new HivepulseClient({ url: [silent, await deadUrl()], timeoutMs: 100 });
    expect(await failure(client.fleet())).toMatchObject({ code: 'REQUEST_TIMEOUT' });
  });

  it('does not ask another queen what the first has refused', async () => {
    const { url } = await queen();
    const never = await stub((_request, response) => json(response, {}));
    const client = new HivepulseClient({ url: [url, never] });
    expect(await failure(client.hive('x'))).toMatchObject({ status: 404 });
    expect(client.url).toBe(url);
  });

  it('has a deadline, an error for each way to fail, and obeys a signal', async () => {
    const silent = await stub(() => undefined);
    expect(await failure(new HivepulseClient({ url: silent, timeoutMs: 50 }).fleet())).toMatchObject({
      code: 'REQUEST_TIMEOUT',
    });
    const dead = await failure(new HivepulseClient(await deadUrl()).fleet());
    expect(dead).toMatchObject({ code: 'REQUEST_FAILED' });
    expect(dead.message).toContain('ECONNREFUSED');
    const page = await stub((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<p>hello');
    });
    expect(await failure(new HivepulseClient(page).fleet())).toMatchObject({ code: 'INVALID_RESPONSE' });
    const torn = await stub((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"items":[');
    });
    expect(await failure(new HivepulseClient(torn).hives())).toMatchObject({ code: 'INVALID_RESPONSE' });
    const elsewhere = await stub((_request, response) => {
      response.writeHead(302, { location: 'http://127.0.0.1:9/' });
      response.end();
    });
    expect(await failure(new HivepulseClient({ url: elsewhere, token: 'x' }).fleet())).toMatchObject({
      code: 'REQUEST_FAILED',
    });
    const reason = new Error('enough');
    await expect(new HivepulseClient(silent).fleet({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const pending = new HivepulseClient(silent).fleet({ signal: abort.signal });
    abort.abort(reason);
    await expect(pending).rejects.toBe(reason);
  });

  it('reserves once, though a reply that came too late made it ask again', async () => {
    const keys: unknown[] = [];
    const reply = { candidates: [], refusals: [], reservation: null, warming: false };
    const url = await stub(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      keys.push((JSON.parse(text) as { idempotencyKey?: unknown }).idempotencyKey);
      if (keys.length > 1) json(response, reply);
    });
    const client = new HivepulseClient({ url: [url, url], timeoutMs: 200 });
    await client.place({ vramBytes: 1, reserveSeconds: 5 });
    expect(keys.length).toBe(2);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(keys[1]).toBe(keys[0]);
  });

  it('compresses large bodies and no small ones', async () => {
    const seen: { encoding: string | undefined; bytes: number; hive: string }[] = [];
    const url = await stub(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      const encoding = request.headers['content-encoding'];
      const text = (encoding === 'gzip' ? gunzipSync(body) : body).toString();
      seen.push({ encoding, bytes: body.length, hive: (JSON.parse(text) as { hive: { id: string } }).hive.id });
      json(response, { accepted: true });
    });
    const client = new HivepulseClient(url);
    await client.sendHeartbeat(heartbeatOf('small'));
    const workers = Array.from({ length: 100 }, (_, i) => workerOf(`llm/${i}`));
    await client.sendHeartbeat(heartbeatOf('large', 1, { workers }));
    expect(seen.map(({ encoding, hive }) => [encoding, hive])).toEqual([
      [undefined, 'small'],
      ['gzip', 'large'],
    ]);
    expect(seen[1]?.bytes).toBeLessThan(15 * 1024);
  });

  it('builds relative addresses for a page, and prefixes for a proxy', () => {
    expect(joinUrl('', 'v1/hives', { limit: 5, label: ['a:b', 'c:d'], cursor: undefined })).toBe(
      './v1/hives?limit=5&label=a%3Ab&label=c%3Ad',
    );
    expect(joinUrl('https://x.example/gpu//', 'v1/fleet')).toBe('https://x.example/gpu/v1/fleet');
    expect(() => new HivepulseClient({ url: [] })).toThrow(HivepulseError);
    expect(() => new HivepulseClient('http://x').worker('a/b')).toThrow(/hive\/group\/instance/);
  });

  it('needs nothing that a browser lacks', () => {
    for (const file of ['client', 'transport', 'stream', 'mirror', 'recent-events']) {
      const source = readFileSync(new URL(`../../lib/client/${file}.ts`, import.meta.url), 'utf8');
      const imports = [...source.matchAll(/^import (?!type)[^;]*from '([^']+)'/gm)].map((match) => match[1]);
      for (const name of imports)
        expect(name, file).toMatch(
          /^(\.\/|\.\.\/util\/(errors|is-object|options|shown-url|trim)\.js|\.\.\/contract\/(changes|counts|details|event-ids)\.js|eventsource-parser)/,
        );
    }
  });
});

describe('the event stream', () => {
  const sse = (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('retry: 1\n\n');
  const snapshot = (id: string) =>
    `event: snapshot\ndata: {"hives":[],"workers":[],"warming":false,"lastEventId":"${id}"}\n\n`;
  const event = (id: string) => `id: ${id}\nevent: event\ndata: {"id":"${id}","kind":"xid"}\n\n`;
  const quick = { maxBackoffMs: 20 };

  /** Reads until `enough`. */
  async function collect(client: HivepulseClient, enough: (seen: StreamMessage[]) => boolean, options = {}) {
    const seen: StreamMessage[] = [];
    for await (const message of client.events({}, { ...quick, ...options })) {
      seen.push(message);
      if (enough(seen)) break;
    }
    return seen;
  }
  const count = (seen: StreamMessage[], type: StreamMessage['type']) =>
    seen.filter((each) => each.type === type).length;

  it('tells snapshot, then events, from a real queen', async () => {
    const { server, url } = await queen();
    await server.post(heartbeatOf('a'));
    const client = new HivepulseClient(url);
    const reading = collect(client, (seen) => {
      if (seen.at(-1)?.type === 'snapshot') void server.post(heartbeatOf('b'));
      return seen.at(-1)?.type === 'heartbeat';
    });
    expect((await reading).map(({ type }) => type)).toEqual(['open', 'snapshot', 'queenEvent', 'heartbeat']);
  });

  it('comes back with the id of its last event, at the next address, and says what happened', async () => {
    const stood: (string | undefined)[] = [];
    let connection = 0;
    const url = await stub((request, response) => {
      stood.push(request.headers['last-event-id'] as string | undefined);
      sse(response);
      connection++;
      if (connection === 1) response.end(snapshot('e-5'));
      else if (connection === 2) response.end(`${snapshot('e-9')}${event('e-6')}`);
      else if (connection === 3) response.end(`event: reset\ndata: {"lastEventId":"f-1"}\n\n${snapshot('f-1')}`);
      else response.write(snapshot('f-2'));
    });
    const client = new HivepulseClient({ url: [url, url] });
    const seen = await collect(client, (messages) => count(messages, 'snapshot') === 4);
    // Resuming from a snapshot's id, then from an event's (not from that of the snapshot before it), then from a reset's.
    expect(stood).toEqual([undefined, 'e-5', 'e-6', 'f-1']);
    expect(count(seen, 'closed')).toBe(3);
    expect(seen.find((message) => message.type === 'closed')).toMatchObject({ error: { code: 'REQUEST_FAILED' } });
  });

  it('with a filter resumes from the position it was told, and misses nothing that passes it', async () => {
    const stood: (string | undefined)[] = [];
    const position = (id: string) => `id: ${id}\nevent: position\ndata: {"lastEventId":"${id}"}\n\n`;
    let connection = 0;
    const told = await stub((request, response) => {
      stood.push(request.headers['last-event-id'] as string | undefined);
      sse(response);
      connection++;
      if (connection === 1) response.end(position('e-5'));
      else if (connection === 2) response.end(`${event('e-6')}${position('e-9')}`);
      else response.write(position('e-9'));
    });
    const seen = await collect(new HivepulseClient(told), (messages) => count(messages, 'position') === 3);
    expect(stood).toEqual([undefined, 'e-5', 'e-9']);
    expect(seen.filter(({ type }) => type === 'event').map((message) => (message as { id: string }).id)).toEqual([
      'e-6',
    ]);

    const { server, url } = await queen();
    const kinds: string[] = [];
    for await (const message of new HivepulseClient(url).events({ kind: 'hiveJoined' }, quick)) {
      if (message.type === 'position' && kinds.length === 0) {
        kinds.push('cut');
        server.hub.endWhere(() => true);
      } else if (message.type === 'closed') await server.post(heartbeatOf('while-away'));
      else if (message.type === 'queenEvent') {
        kinds.push(`${message.data.kind} ${message.data.hive}`);
        break;
      }
    }
    expect(kinds).toEqual(['cut', 'hiveJoined while-away']);
  });

  it('waits longer each time, with jitter, and as long as the queen asks', async () => {
    const url = await stub((_request, response) => {
      response.writeHead(503, { 'retry-after': '0' });
      response.end();
    });
    const client = new HivepulseClient(url);
    const waits = (await collect(client, (seen) => count(seen, 'closed') === 5, { maxBackoffMs: 2, random: () => 1 }))
      .filter((message) => message.type === 'closed')
      .map(({ retryInMs }) => retryInMs);
    expect(waits).toEqual([2, 2, 2, 2, 2]);
    const growing = (
      await collect(client, (seen) => count(seen, 'closed') === 2, { maxBackoffMs: 10_000, random: () => 0.01 })
    )
      .filter((message) => message.type === 'closed')
      .map(({ retryInMs }) => retryInMs);
    expect(growing).toEqual([3, 5]);
  });

  it('does not ask again where the answer would be the same', async () => {
    const { url } = await queen({ grants });
    const reading = collect(new HivepulseClient(url), () => false);
    expect(await failure(reading)).toMatchObject({ status: 401, problem: { code: 'UNAUTHENTICATED' } });
  });

  it('takes a silent stream for dead, and one that only keeps alive for living', async () => {
    let connections = 0;
    const url = await stub((_request, response) => {
      connections++;
      sse(response);
    });
    const seen = await collect(new HivepulseClient(url), (messages) => count(messages, 'closed') === 2, {
      silentMs: 500,
    });
    expect(connections).toBe(2);
    expect(seen.find((message) => message.type === 'closed')).toMatchObject({ error: { code: 'REQUEST_TIMEOUT' } });
  });

  it('is not an event stream: an error that says so', async () => {
    const url = await stub((_request, response) => json(response, {}));
    const seen = await collect(new HivepulseClient(url), (messages) => count(messages, 'closed') === 1);
    expect(seen.at(-1)).toMatchObject({ error: { code: 'INVALID_RESPONSE' } });
  });

  it('ends with its signal, also while it waits, and lets go of the connection when the loop is left', async () => {
    const { server, url } = await queen();
    const client = new HivepulseClient(url);
    await collect(client, (seen) => seen.at(-1)?.type === 'snapshot');
    const abort = new AbortController();
    const types: string[] = [];
    for await (const message of client.events({}, { signal: abort.signal })) {
      types.push(message.type);
      if (message.type === 'snapshot') abort.abort();
    }
    expect(types).toEqual(['open', 'snapshot']);
    const waiting = new AbortController();
    const dead = new HivepulseClient(await deadUrl());
    const started = performance.now();
    for await (const message of dead.events({}, { signal: waiting.signal, random: () => 1 }))
      if (message.type === 'closed') waiting.abort();
    expect(performance.now() - started).toBeLessThan(5000);
    await expect.poll(() => server.hub.clients).toBe(0);
  });
});
