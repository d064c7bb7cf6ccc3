import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { limitRequests } from '../../lib/http/request-limits.js';
import { selfSigned } from '../harness/certificate.js';

const chunked = `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\n[\r\n'.repeat(2000)}`;
let server: Server;
afterEach(() => new Promise((resolve) => server.close(resolve)));

async function serve(made: Server): Promise<number> {
  server = made;
  limitRequests(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  return (server.address() as AddressInfo).port;
}

const answerTo = (socket: Socket, text: string): Promise<string> =>
  new Promise((resolve) => {
    let answer = '';
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString();
    });
    socket.on('close', () => resolve(answer));
    socket.write(text);
  });

/** What the parser hands over of the bodies that come. */
function bodiesOf(made: Server): Buffer[] {
  const parts: Buffer[] = [];
  made.on('request', (request: IncomingMessage) => {
    const push = request.push.bind(request);
    vi.spyOn(request, 'push').mockImplementation((part) => {
      if (part !== null) parts.push(part);
      return push(part);
    });
  });
  return parts;
}

describe('a body', () => {
  it.each([
    ['in the clear', () => createServer(), (port: number) => connect(port, '127.0.0.1')],
    [
      'over TLS',
      () => createTlsServer(selfSigned()),
      (port: number) => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }),
    ],
  ])('in chunks is not parsed, %s: none that came with the headers is handed over', async (_how, make, connection) => {
    const handler = vi.fn();
    const made = make().on('request', handler);
    const port = await serve(made);
    const parts = bodiesOf(made);
    expect(await answerTo(connection(port), chunked)).toMatch(/^HTTP\/1\.1 411 [\s\S]*LENGTH_REQUIRED[^\r]*$/);
    expect(parts).toEqual([]);
    expect(handler).not.toHaveBeenCalled();
  });

  it('with a length is handed over', async () => {
    const made = createServer((_request, response) => response.end('read'));
    const port = await serve(made);
    const parts = bodiesOf(made);
    const posted = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]';
    expect(await answerTo(connect(port, '127.0.0.1'), posted)).toContain('read');
    expect(Buffer.concat(parts).toString()).toBe('[]');
  });
});

describe('requests of one connection', () => {
  const most = 16;
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

  it('that come one after the other are answered, however many', async () => {
    const port = await serve(createServer((_request, response) => response.end('read')));
    const socket = connect(port, '127.0.0.1');
    for (let i = 0; i < 5 * most; i++) {
      socket.write(request);
      expect(String((await once(socket, 'data'))[0])).toContain('read');
    }
    socket.destroy();
  });

  it('that all wait are as many as the limit: one more ends it, and no handler sees it or what follows', async () => {
    const waiting: ServerResponse[] = [];
    const port = await serve(createServer((_request, response) => void waiting.push(response)));
    const within = connect(port, '127.0.0.1');
    within.write(request.repeat(most));
    await vi.waitFor(() => expect(waiting).toHaveLength(most), 10_000);
    for (const response of waiting.splice(0)) response.end('read');
    let answers = '';
    within.on('data', (bytes: Buffer) => {
      answers += String(bytes);
    });
    await vi.waitFor(() => expect(answers.match(/read/g)).toHaveLength(most), 10_000);
    within.destroy();
    expect(await answerTo(connect(port, '127.0.0.1'), request.repeat(1000))).toBe('');
    expect(waiting).toHaveLength(most);
  });
});
