import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { StatusThread } from '../../lib/io/status-thread.js';
import { loadBinding } from '../../lib/native/binding.js';

const { binding } = loadBinding();
const request = 'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

describe.skipIf(binding === undefined)('statuses of servers by the addon (needs the addon)', () => {
  const thread = new StatusThread();
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterAll(() => {
    thread.close();
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
  });

  async function serve(answer: (socket: Socket, heard: string) => void, host = '127.0.0.1'): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
      let heard = '';
      socket.setEncoding('latin1').on('data', (text: string) => {
        heard += text;
        if (heard.endsWith('\r\n\r\n')) answer(socket, heard);
      });
    });
    servers.push(server);
    server.listen(0, host);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  const ask = (port: number, host = '127.0.0.1', timeoutMs = 5000) =>
    thread.ask([{ host, port, request }], timeoutMs).then(([status]) => status);

  it.each([
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 200],
    ['HTTP/1.0 204 \r\n\r\n', 204],
    ['HTTP/1.1 503 Service Unavailable\r\n\r\n{}', 503],
    ['HTTP/1.1 200', 200],
    ['HTTP/1.1 20', 0],
    ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', 0],
    ['HTTP/2 200\r\n\r\n', 0],
    ['SSH-2.0-x\r\n', 0],
    ['', 0],
  ])('%j is %i', async (text, status) => {
    expect(await ask(await serve((socket) => void socket.end(text, 'latin1')))).toBe(status);
  });

  it('any bytes, in any pieces, are no status or one of three digits', async () => {
    let bytes = Buffer.alloc(0);
    let at = 0;
    const port = await serve((socket) => {
      socket.setNoDelay(true);
      socket.write(bytes.subarray(0, at), () => setImmediate(() => socket.end(bytes.subarray(at))));
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc.string({ maxLength: 9 }).map((s) => Buffer.from(`HTTP/1.1 ${s}`)),
        ),
        fc.nat(40),
        async (drawn, cut) => {
          bytes = Buffer.from(drawn);
          at = Math.min(cut, bytes.length);
          const expected = /^HTTP\/1\.\d ([2-9]\d\d)/.exec(bytes.toString('latin1'))?.[1] ?? '0';
          expect(await ask(port)).toBe(Number(expected));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('the request arrives as it is, also over IPv6, and answers come in the order of the questions', async () => {
    const heard: string[] = [];
    const answering = (status: number) => (socket: Socket, text: string) => {
      heard.push(text);
      socket.end(`HTTP/1.1 ${status} x\r\n\r\n`);
    };
    const ports = [await serve(answering(200)), await serve(answering(404)), await serve(answering(500), '::1')];
    const questions = Array.from({ length: 250 }, (_unused, i) => ({
      host: i % 3 === 2 ? '::1' : '127.0.0.1',
      port: ports[i % 3] as number,
      request,
    }));
    const found = await thread.ask(questions, 20_000);
    expect(found).toEqual(questions.map((_unused, i) => [200, 404, 500][i % 3]));
    expect(new Set(heard)).toEqual(new Set([request]));
  });

  it('one that is silent, refuses, keeps the connection or has no such address costs the others nothing but time', async () => {
    const silent = await serve(() => undefined);
    const keeps = await serve((socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
    const endless = await serve((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      // A turn of the event loop between two: writes that end at once would leave no other work its turn.
      const more = () => void (socket.writable && socket.write('x'.repeat(65_536), () => setImmediate(more)));
      more();
    });
    const refusing = createServer().listen(0, '127.0.0.1');
    await once(refusing, 'listening');
    const closed = (refusing.address() as AddressInfo).port;
    refusing.close();
    const found = await thread.ask(
      [
        ...[silent, keeps, closed, endless].map((port) => ({ host: '127.0.0.1', port, request })),
        { host: 'localhost', port: keeps, request },
        { host: '127.0.0.1', port: 0, request },
        { host: '127.0.0.1', port: 70_000, request },
      ],
      300,
    );
    expect(found).toEqual([0, 200, 0, 200, 0, 0, 0]);
  });

  it('is there, by one thread', () => {
    let loads = 0;
    const other = new StatusThread(() => {
      loads++;
      return loadBinding();
    });
    expect([other.isThere, other.isThere, loads]).toEqual([true, true, 1]);
    other.close();
  });

  it('closed, it rejects what is outstanding', async () => {
    const other = new StatusThread();
    const answer = other.ask([{ host: '127.0.0.1', port: await serve(() => undefined), request }], 60_000);
    other.close();
    await expect(answer).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('without the addon', () => {
  it('it is not there', () => {
    let loads = 0;
    const thread = new StatusThread(() => {
      loads++;
      return { binding: undefined, reason: 'none' };
    });
    thread.close();
    expect([loads, thread.isThere]).toEqual([0, false]);
    expect(thread.isThere).toBe(false);
    expect(loads).toBe(1);
    thread.close();
  });

  it('no server has a status', async () => {
    const thread = new StatusThread(() => ({ binding: undefined, reason: 'none' }));
    const questions = [8001, 8002].map((port) => ({ host: '127.0.0.1', port, request }));
    expect(await thread.ask(questions, 100)).toEqual([0, 0]);
  });
});
