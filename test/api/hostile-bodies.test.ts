import { connect } from 'node:net';
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Limiter } from '../../lib/util/rate-limiter.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { buildTestServer, grants, serverOfTest, type TestServer, tokens } from './build-server.js';

const maxHeartbeatBytes = 256 * 1024;
/** Its best takes seconds for a bomb. */
const quick = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };
let server: TestServer;

beforeAll(async () => {
  server = await buildTestServer({
    limits: { maxHeartbeatBytes },
    timeouts: { headersMs: 300, requestMs: 600, checkMs: 50 },
  });
});
afterAll(() => server.app.close());

describe('bodies of people', () => {
  it.each([
    ['brackets', `{"vramBytes":1,"labels":{"a":${'['.repeat(32_000)}${']'.repeat(32_000)}}}`],
    ['values', `{"vramBytes":1,"x":[${Array(12_000).fill('1').join(',')}]}`],
    ['members', `{"vramBytes":1,"labels":{${Array.from({ length: 1100 }, (_, i) => `"k${i}":""`).join(',')}}}`],
  ])('are refused before they are parsed where they have too many %s', async (_what, payload) => {
    const answer = await server.app.inject({
      method: 'POST',
      url: '/v1/placements',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens.schedule}` },
      payload,
    });
    expect(answer.statusCode).toBe(413);
    expect(answer.json()).toMatchObject({ code: 'TOO_COMPLEX' });
  });
});

describe('bytes of bodies under way', () => {
  it('slow bodies of one address hold no more than its share, are refused by name, and give it back', async () => {
    const { app } = await serverOfTest({ bodies: { total: 100_000, perKey: 50_000 } });
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as { port: number };
    const head = (length: number) =>
      `POST /v1/heartbeats HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
    const slow = connect(port, '127.0.0.1');
    const started = new Promise((resolve) => app.server.once('request', resolve));
    slow.write(head(40_000));
    await started;
    const post = () =>
      fetch(`http://127.0.0.1:${port}/v1/heartbeats`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(heartbeatOf('a')).padEnd(20_000),
      });
    const refused = await post();
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'TOO_MANY_BYTES' });
    expect(refused.headers.get('retry-after')).toBe('1');
    slow.destroy();
    await vi.waitFor(async () => expect((await post()).status).toBe(200), { timeout: 5000 });
  });
});

describe('hostile bodies', () => {
  it('a heartbeat with a wrong field is 400 naming it, and the registry is unchanged', async () => {
    await server.post(heartbeatOf('a', 1));
    const before = server.registry.worker('a', 'llm', '0');
    const heartbeat = { ...heartbeatOf('a', 2, { workers: [] }), intervalMs: 'soon' };
    const reply = await server.post(heartbeat);
    expect(reply.headers['content-type']).toBe('application/problem+json');
    expect(reply.json()).toMatchObject({ status: 400, code: 'INVALID_HEARTBEAT', field: 'intervalMs' });
    expect(server.registry.worker('a', 'llm', '0')).toEqual(before);
  });

  it('one malformed worker among good ones is left out, and the hive shows the fault', async () => {
    const workers = [workerOf('llm/0'), { ...workerOf('llm/1'), cpuPercent: 'much' as never }];
    expect((await server.post(heartbeatOf('m', 1, { workers }))).statusCode).toBe(200);
    expect(server.registry.hive('m')?.workerCount).toBe(1);
    expect(server.registry.hive('m')?.faults[0]).toMatchObject({
      code: 'MALFORMED_WORKER',
      field: 'workers.1.cpuPercent',
    });
  });

  it.each([
    ['not JSON', 'hello', 400, 'INVALID_JSON'],
    ['half of a heartbeat', JSON.stringify(heartbeatOf('a')).slice(0, 400), 400, 'INVALID_JSON'],
    ['nothing', '', 400, 'INVALID_JSON'],
    ['JSON that is no object', '[1]', 400, 'INVALID_HEARTBEAT'],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), 400, 'INVALID_JSON'],
    ['nesting without end', '['.repeat(100_000), 400, 'INVALID_JSON'],
    ['more than the limit', `"${'x'.repeat(maxHeartbeatBytes)}"`, 413, 'PAYLOAD_TOO_LARGE'],
  ])('%s is refused', async (_name, body, status, code) => {
    const reply = await server.post(body);
    expect(reply.json()).toMatchObject({ status, code });
    expect(reply.statusCode).toBe(status);
  });

  it('never says in an error what the body said', async () => {
    const reply = await server.post('{"token": "s3cr3t-value-in-a-broken-body", oops');
    expect(reply.body).not.toContain('s3cr3t');
  });

  it('asks for application/json, and for an encoding it knows', async () => {
    const body = JSON.stringify(heartbeatOf('a'));
    expect((await server.post(body, { 'content-type': 'text/plain' })).json().code).toBe('UNSUPPORTED_MEDIA_TYPE');
    expect((await server.post(body, { 'content-encoding': 'zstd' })).json().code).toBe('UNSUPPORTED_ENCODING');
    expect((await server.post(body, { 'content-encoding': 'constructor' })).json().code).toBe('UNSUPPORTED_ENCODING');
    expect((await server.post(body, { 'content-encoding': 'gzip' })).json().code).toBe('INVALID_ENCODING');
    const people = await server.app.inject({
      method: 'POST',
      url: '/v1/placements',
      headers: { host: 'localhost', 'content-type': 'application/json', 'content-encoding': 'gzip' },
      payload: gzipSync('{"vramBytes":1}'),
    });
    expect(people.json()).toMatchObject({ status: 415, code: 'UNSUPPORTED_ENCODING' });
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', (bytes: Buffer) => brotliCompressSync(bytes, quick)],
  ])('takes %s, and cuts a bomb of it at the limit', async (encoding, compress) => {
    const headers = { 'content-encoding': encoding };
    const heartbeat = JSON.stringify(heartbeatOf(`z-${encoding}`));
    expect((await server.post(compress(Buffer.from(heartbeat)), headers)).statusCode).toBe(200);
    // 64 MiB of spaces in some tens of kilobytes.
    const bomb = compress(Buffer.alloc(64 * 1024 * 1024, 0x20));
    expect(bomb.length).toBeLessThan(maxHeartbeatBytes);
    const before = process.memoryUsage();
    const reply = await server.post(bomb, headers);
    const after = process.memoryUsage();
    expect(reply.json()).toMatchObject({ status: 413, code: 'PAYLOAD_TOO_LARGE' });
    expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(16 * 1024 * 1024);
  });

  it('answers anything with JSON and no 5xx', async () => {
    const fragments = fc.oneof(fc.jsonValue(), fc.string({ maxLength: 200 }), fc.constant(heartbeatOf('f')));
    await fc.assert(
      fc.asyncProperty(fragments, async (value) => {
        const reply = await server.post(typeof value === 'string' ? value : JSON.stringify(value));
        return reply.statusCode < 500 && typeof reply.json() === 'object';
      }),
      { numRuns: 200 },
    );
  });

  it('has a cap on workers of a hive, with a clear error', async () => {
    const many = await serverOfTest({ limits: { maxWorkersPerHive: 2 } });
    const workers = ['llm/0', 'llm/1', 'llm/2'].map((id) => workerOf(id));
    const reply = (await many.post(heartbeatOf('a', 1, { workers }))).json();
    expect(reply).toMatchObject({ status: 400, code: 'TOO_MANY_WORKERS', field: 'workers' });
    expect(reply.detail).toContain('maxWorkersPerHive');
  });
});

describe('slow and broken connections', () => {
  const closed = (send: string, { app } = server): Promise<string> =>
    new Promise((resolve, reject) => {
      const address = app.server.address();
      if (typeof address !== 'object' || address === null) return reject(new Error('not listening'));
      const socket = connect(address.port, '127.0.0.1', () => socket.write(send));
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk.toString();
      });
      socket.on('close', () => resolve(answer));
      socket.on('error', reject);
    });

  beforeAll(() => server.app.listen({ host: '127.0.0.1', port: 0 }));

  it('does not wait for headers that trickle, nor for a body that never ends', async () => {
    expect(await closed('GET /healthz HTTP/1.1\r\nHost: localh')).toContain('408');
    const body =
      'POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{';
    expect(await closed(body)).toContain('REQUEST_TIMEOUT');
  });

  it('does not read a body that comes in chunks, and answers what was asked before it', async () => {
    const chunked = 'POST /v1/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect(await closed(`${chunked}${'1\r\n[\r\n'.repeat(20_000)}`)).toContain('LENGTH_REQUIRED');
    const answers = await closed(`GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n${chunked}1\r\n[\r\n`);
    expect(answers).toMatch(/^HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 411/);
    const upgraded = chunked.replace('\r\n\r\n', '\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(await closed(`${upgraded}1\r\n[\r\n`)).toContain('LENGTH_REQUIRED');
  });

  it('a request has ten seconds for its headers and thirty for all of it', async () => {
    const { app } = await serverOfTest();
    expect([app.server.headersTimeout, app.server.requestTimeout]).toEqual([10_000, 30_000]);
    await app.close();
  });

  it('bodies that are cut off are no refused heartbeats: hives behind the same address are heard', async () => {
    const strict = await serverOfTest({
      limits: { refusedHeartbeatsPerSecond: 0.1 },
      timeouts: { headersMs: 100, requestMs: 200, checkMs: 50 },
    });
    await strict.app.listen({ host: '127.0.0.1', port: 0 });
    const head = 'POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    const cut = await Promise.all(
      Array.from({ length: 12 }, () => closed(`${head}Content-Length: 99\r\n\r\n{`, strict)),
    );
    expect(cut.every((answer) => answer.includes('REQUEST_TIMEOUT'))).toBe(true);
    const heartbeat = JSON.stringify(heartbeatOf('behind-the-same-address'));
    const whole = `${head}Connection: close\r\nContent-Length: ${Buffer.byteLength(heartbeat)}\r\n\r\n${heartbeat}`;
    expect(await closed(whole, strict)).toContain('HTTP/1.1 200');
    await strict.app.close();
  });

  it('answers what is not HTTP, and headers without end, as problems', async () => {
    const answer = await closed('NOT HTTP AT ALL\r\n\r\n');
    expect(answer).toContain('HTTP/1.1 400');
    expect(answer).toContain('application/problem+json');
    const long = await closed(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(32 * 1024)}\r\n\r\n`);
    expect(long).toContain('HEADERS_TOO_LARGE');
  });
});

describe('rate limits', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('limits a token or address, and says when to come back', async () => {
    const tight = await serverOfTest({ requestsPerSecond: 3 });
    const ask = () => tight.app.inject({ url: '/v1/fleet', headers: { host: 'localhost' } });
    for (let i = 0; i < 3; i++) expect((await ask()).statusCode).toBe(200);
    const refused = await ask();
    expect(refused.json()).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    // Health is asked by what restarts a queen; heartbeats are counted per hive.
    expect((await tight.app.inject({ url: '/healthz', headers: { host: 'localhost' } })).statusCode).toBe(200);
    expect((await tight.post(heartbeatOf('a'))).statusCode).toBe(200);
  });

  it('limits the heartbeats of one hive and no other', async () => {
    const tight = await serverOfTest({ limits: { heartbeatsPerSecond: 1 } });
    const codes: number[] = [];
    for (let seq = 1; seq <= 4; seq++) codes.push((await tight.post(heartbeatOf('a', seq))).statusCode);
    expect(codes).toEqual([200, 200, 429, 429]);
    expect((await tight.post(heartbeatOf('b'))).statusCode).toBe(200);
  });

  it('heartbeats that are refused, for whatever reason, are not read any more once there are too many', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const tight = await serverOfTest({
      grants,
      limits: { refusedHeartbeatsPerSecond: 1, heartbeatsPerSecond: 1000 },
    });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const bound = bearer(tokens.bound);
    let seq = 1;
    const taken = async () => (await tight.post(heartbeatOf('a', seq++), bound)).statusCode;
    // Those that are taken pay nothing.
    for (let i = 0; i < 50; i++) expect(await taken()).toBe(200);
    const wrong: (() => Promise<{ statusCode: number }>)[] = [
      () => tight.post('{', bound),
      () => tight.post({ ...heartbeatOf('a'), seq: 0 }, bound),
      () => tight.post(heartbeatOf('other'), bound),
      () => tight.post(heartbeatOf('a', 1), bound),
      () => tight.post(' '.repeat(2 * 1024 * 1024), bound),
      () => tight.post('x', { ...bound, 'content-type': 'text/html' }),
    ];
    const codes: number[] = [];
    for (let i = 0; i < 10; i++) codes.push((await wrong[i % wrong.length]!()).statusCode);
    expect(codes).toEqual([400, 400, 403, 409, 413, 415, 400, 400, 403, 409]);
    const answer = await tight.post(heartbeatOf('a', seq), bound);
    expect(answer.json()).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(answer.headers['retry-after']).toBe('1');
    // A token of its own, and one more address, are not concerned.
    expect((await tight.post(heartbeatOf('b'), bearer(tokens.hive))).statusCode).toBe(200);
    const elsewhere = await tight.app.inject({
      method: 'POST',
      url: '/v1/heartbeats',
      remoteAddress: '10.0.0.9',
      headers: { 'content-type': 'application/json', host: 'localhost', ...bound },
      payload: JSON.stringify(heartbeatOf('a', seq++)),
    });
    expect(elsewhere.statusCode).toBe(200);
    // It is refused before its body is read: a body that is too large gets the same answer.
    expect((await tight.post(' '.repeat(2 * 1024 * 1024), bound)).statusCode).toBe(429);
    vi.advanceTimersByTime(1000);
    expect(await taken()).toBe(200);
  });

  it('a bucket fills at its rate, and leaves nothing behind', () => {
    let now = 0;
    const limiter = new Limiter({ perSecond: 2, burst: 4, now: () => now });
    for (let i = 0; i < 4; i++) expect(limiter.take('a')).toBe(0);
    expect(limiter.take('a')).toBe(1);
    expect(limiter.isEmpty('a')).toBe(true);
    expect(limiter.isEmpty('b')).toBe(false);
    now += 500;
    expect(limiter.take('a')).toBe(0);
    expect(limiter.take('a')).toBe(1);
    for (let i = 0; i < 1000; i++) limiter.take(`key-${i}`);
    now += 10_000;
    limiter.take('a');
    expect(limiter.size).toBe(1);
  });
});
