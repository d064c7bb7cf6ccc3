import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { httpExchange, httpTransport } from '../../lib/hive/transport-http.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (let work = cleanups.pop(); work; work = cleanups.pop()) await work();
});

async function serve(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { exchange, close } = httpExchange();
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  }, close);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/heartbeats`;
  return {
    send: (signal = new AbortController().signal) =>
      exchange({
        url,
        headers: { 'content-type': 'application/json' },
        body: Buffer.from('{}'),
        signal,
      }),
  };
}

describe('exchange over HTTP', () => {
  it('keeps its connection, and gives status, body and Retry-After', async () => {
    const sockets = new Set<Socket>();
    const { send } = await serve((request, response) => {
      sockets.add(request.socket);
      request.resume().on('end', () => response.writeHead(503, { 'retry-after': '7' }).end('busy'));
    });
    expect(await send()).toEqual({ status: 503, retryAfter: '7', body: 'busy' });
    await send();
    expect(sockets.size).toBe(1);
  });

  it('sends again, once, where the queen ends a kept connection as it is used', async () => {
    const uses = new Map<Socket, number>();
    const { send } = await serve((request, response) => {
      const use = (uses.get(request.socket) ?? 0) + 1;
      uses.set(request.socket, use);
      if (use > 1) request.socket.destroy();
      else request.resume().on('end', () => response.end('taken'));
    });
    expect((await send()).body).toBe('taken');
    expect((await send()).body).toBe('taken');
    expect([...uses.values()]).toEqual([2, 1]);
  });

  it('does not send again where a new connection ends', async () => {
    let asked = 0;
    const { send } = await serve((request) => {
      asked += 1;
      request.socket.destroy();
    });
    await expect(send()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(asked).toBe(1);
  });

  it('ends with its signal, and at an answer that no queen gives', async () => {
    const abort = new AbortController();
    const { send } = await serve((request, response) => {
      if (!abort.signal.aborted) abort.abort();
      else request.resume().on('end', () => response.end('x'.repeat(70_000)));
    });
    await expect(send(abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
    await expect(send()).rejects.toThrow('longer than 65536 bytes');
  });
});

describe('what an answer means', () => {
  const heartbeat = new SimulatedHive({ id: 'a', workers: 0, gpus: 0 }).nextHeartbeat();
  const reply = { accepted: true, queenId: 'q', ackEventSeq: 3, intervalMs: 1000 };

  it.each([
    [200, reply, { kind: 'ack', reply }],
    [
      200,
      { ...reply, intervalMs: 1e9, degraded: true },
      { kind: 'ack', reply: { intervalMs: 60_000, degraded: true } },
    ],
    [200, { accepted: true }, { kind: 'failed', failure: { code: 'INVALID_RESPONSE' } }],
    [401, {}, { kind: 'refused', reason: 'rights', failure: { code: 'REFUSED_401' } }],
    [409, { code: 'DUPLICATE_HIVE_ID' }, { kind: 'refused', reason: 'duplicateId' }],
    [409, { code: 'STALE_SEQ' }, { kind: 'refused', reason: 'overtaken', failure: { code: 'REFUSED_STALE_SEQ' } }],
    [413, {}, { kind: 'refused', reason: 'malformed', failure: { code: 'REFUSED_413', message: 'http://q: 413' } }],
    [429, {}, { kind: 'failed', retryAfterMs: 7000, failure: { code: 'BUSY_429' } }],
    [500, {}, { kind: 'failed', retryAfterMs: null, failure: { code: 'STATUS_500' } }],
  ])('%d with %j', async (status, body, outcome) => {
    const exchange = async () => ({ status, retryAfter: '7', body: JSON.stringify(body) });
    const { send } = httpTransport('http://q', { exchange });
    expect(await send(heartbeat, new AbortController().signal)).toMatchObject(outcome);
  });
});
