import { getEventListeners, once } from 'node:events';
import {
  type AddressInfo,
  connect,
  createServer,
  type OnReadOpts,
  type Server,
  type Socket,
  setDefaultAutoSelectFamily,
} from 'node:net';
import { createServer as createTls } from 'node:tls';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  isOtherProtocol,
  isTlsAlert,
  type Scheme,
  type ServerAddress,
  SystemAsker,
  type Ways,
} from '../../lib/engines/ask.js';
import { KeptConnection } from '../../lib/engines/connection.js';
import { Cancellation } from '../../lib/util/cancellation.js';
import { selfSigned } from '../harness/certificate.js';

let certificate: ReturnType<typeof selfSigned>;
beforeAll(() => {
  certificate = selfSigned();
});

type Serve = (request: string, socket: Socket) => void;

/** A server that is given each request as it came, with its connection. */
async function serve(answer: Serve, way: 'plain' | 'tls' | 'mutual' = 'plain', host = '127.0.0.1') {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  const take = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      requests.push(data.toString('latin1'));
      answer(data.toString('latin1'), socket);
    });
  };
  const mutual = way === 'mutual' ? { requestCert: true, rejectUnauthorized: true } : {};
  const server: Server = way === 'plain' ? createServer(take) : createTls({ ...certificate, ...mutual }, take);
  server.on('tlsClientError', () => undefined);
  server.listen(0, host);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address: ServerAddress = { host, port: (server.address() as AddressInfo).port };
  return { address, requests, sockets, server };
}

function asker(): SystemAsker {
  const made = new SystemAsker();
  onTestFinished(() => made.close());
  return made;
}

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const answering =
  (text: string): Serve =>
  (_request, socket) =>
    socket.write(text);
const never = new AbortController().signal;
const get = (address: ServerAddress, scheme: Scheme = 'http', ways: Ways = {}, signal = never) =>
  asker().get(scheme, address, '/a?b=1', signal, ways);

/** Connects as a server in another namespace is connected to, and says with what. */
function elsewhere() {
  const calls: { address: ServerAddress; signal: AbortSignal; onread: OnReadOpts | undefined }[] = [];
  const way = async (address: ServerAddress, signal: AbortSignal, onread?: OnReadOpts): Promise<Socket> => {
    calls.push({ address, signal, onread });
    const socket = connect({ ...address, ...(onread ? { onread } : {}) });
    await once(socket, 'connect');
    return socket;
  };
  return { calls, way };
}

describe('a question', () => {
  it('is one request with no more than it needs', async () => {
    const { address, requests } = await serve(answering(ok('{"version":"1"}')));
    expect(await get(address)).toEqual({ status: 200, json: { version: '1' } });
    expect(requests).toEqual([
      `GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:${address.port}\r\nUser-Agent: hivepulse\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
    ]);
  });

  it('names an address of IPv6 in brackets, and sends a key where there is one, over a connection that it keeps', async () => {
    const { address, requests } = await serve(answering(ok('x')), 'plain', '::1');
    const kept = new KeptConnection();
    onTestFinished(() => kept.close());
    const read = ({ status, body }: { status: number; body: Buffer | null }) => `${status} ${body}`;
    const options = { maxBodyBytes: 1, kept };
    const ask = (key: string | null) =>
      asker().fetch('http', address, '/m', read, new Cancellation(), { ...options, key });
    expect([await ask('secret'), await ask(null)]).toEqual(['200 x', '200 x']);
    const head = `GET /m HTTP/1.1\r\nHost: [::1]:${address.port}\r\nUser-Agent: hivepulse\r\nAccept: */*\r\n`;
    expect(requests).toEqual([
      `${head}Authorization: Bearer secret\r\nConnection: keep-alive\r\n\r\n`,
      `${head}Connection: keep-alive\r\n\r\n`,
    ]);
  });

  it.each([
    ['is no JSON', ok('<html>'), 200],
    ['has none', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
    ['is longer than any that is looked at', ok(`"${'x'.repeat(64 * 1024)}"`), 200],
  ])('whose answer %s has its status alone', async (_what, text, status) => {
    const { address } = await serve(answering(text));
    expect(await get(address)).toEqual({ status, json: undefined });
  });

  it('is asked over TLS, whoever has signed the certificate', async () => {
    const { address, requests } = await serve(answering(ok('[1]')), 'tls');
    expect(await get(address, 'https')).toEqual({ status: 200, json: [1] });
    expect(requests).toHaveLength(1);
  });

  it.each(['http', 'https'] as const)('by %s goes the way of its server', async (scheme) => {
    const { address } = await serve(answering(ok('[1]')), scheme === 'http' ? 'plain' : 'tls');
    const { calls, way } = elsewhere();
    expect(await get(address, scheme, { connect: way })).toEqual({ status: 200, json: [1] });
    expect(calls).toHaveLength(1);
    expect(calls[0]?.address).toEqual(address);
    expect(calls[0]?.onread !== undefined).toBe(scheme === 'http');
  });

  it('fails with what kept it from being asked', async () => {
    const { address, server } = await serve(answering(''));
    server.close();
    await once(server, 'close');
    await expect(get(address)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const failing = () => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' }));
    for (const scheme of ['http', 'https'] as const)
      await expect(get(address, scheme, { connect: failing })).rejects.toMatchObject({ code: 'EPERM' });
  });

  it('ends with whoever asked: before, while it connects, and while it waits', async () => {
    const { address, requests } = await serve(() => undefined);
    const why = new Error('late');
    await expect(get(address, 'http', {}, AbortSignal.abort(why))).rejects.toBe(why);
    expect(requests).toEqual([]);

    const connecting = new AbortController();
    const { way } = elsewhere();
    let opened: Socket | undefined;
    const slow = async (...args: Parameters<typeof way>) => {
      opened = await way(...args);
      connecting.abort(why);
      return opened;
    };
    await expect(get(address, 'http', { connect: slow }, connecting.signal)).rejects.toBe(why);
    expect([opened?.destroyed, requests]).toEqual([true, []]);

    const waiting = new AbortController();
    const asked = get(address, 'http', {}, waiting.signal);
    await expect.poll(() => requests.length).toBe(1);
    waiting.abort(why);
    await expect(asked).rejects.toBe(why);
  });

  it('lets whoever connects know that nobody waits any more', async () => {
    const stop = new AbortController();
    const why = new Error('late');
    const hanging = (_address: ServerAddress, signal: AbortSignal) =>
      new Promise<Socket>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const asked = get({ host: '127.0.0.1', port: 1 }, 'http', { connect: hanging }, stop.signal);
    stop.abort(why);
    await expect(asked).rejects.toBe(why);
  });
});

describe('a connection that is kept', () => {
  const read = ({ status }: { status: number }) => status;
  async function kept(answer: Serve) {
    const server = await serve(answer);
    const connection = new KeptConnection();
    onTestFinished(() => connection.close());
    const made = asker();
    const ask = (cancellation = new Cancellation()) =>
      made.fetch('http', server.address, '/m', read, cancellation, { maxBodyBytes: 10, kept: connection });
    return { ...server, ask };
  }

  it('is used again, and another one where its server ends it at the next request', async () => {
    let ends = false;
    const { ask, sockets, requests } = await kept((_request, socket) => {
      if (ends) socket.destroy();
      else socket.write(ok('x'));
      ends = false;
    });
    expect([await ask(), await ask()]).toEqual([200, 200]);
    expect(sockets.size).toBe(1);
    ends = true;
    expect(await ask()).toBe(200);
    expect([sockets.size, requests.length]).toEqual([2, 4]);
  });

  it('is no reason to ask twice where nobody waits any more, or the answer was not wanted so', async () => {
    let silent = false;
    const { ask, sockets, requests } = await kept((_request, socket) => {
      if (!silent) socket.write(ok('x'));
    });
    await ask();
    silent = true;
    const cancellation = new Cancellation();
    const asked = ask(cancellation);
    await expect.poll(() => requests.length).toBe(2);
    const why = Object.assign(new Error('late'), { code: 'ECONNRESET' });
    cancellation.cancel(why);
    await expect(asked).rejects.toBe(why);
    expect([sockets.size, requests.length]).toEqual([1, 2]);
  });

  it('fails as whoever reads its answer does', async () => {
    const { address, sockets } = await serve(answering(ok('x')));
    const connection = new KeptConnection();
    onTestFinished(() => connection.close());
    const made = asker();
    const options = { maxBodyBytes: 10, kept: connection };
    await made.fetch('http', address, '/m', read, new Cancellation(), options);
    const failing = (): never => {
      throw new Error('not mine');
    };
    await expect(made.fetch('http', address, '/m', failing, new Cancellation(), options)).rejects.toThrow('not mine');
    expect(sockets.size).toBe(1);
  });
});

describe('localhost', () => {
  it.each(['127.0.0.1', '::1'])('is a loopback address whatever a resolver says: %s', async (host) => {
    const { address } = await serve(answering(ok('[1]')), 'plain', host);
    const name = { host: 'localhost', port: address.port };
    expect(await get(name)).toEqual({ status: 200, json: [1] });
    expect(await asker().offersTls(name, never)).toBe(false);
  });
});

describe('whether a server offers TLS', () => {
  it.each([
    ['it does', 'tls', true],
    ['it asks for a certificate', 'mutual', true],
    ['it answers in HTTP', 'plain', false],
  ] as const)('%s', async (_what, way, offers) => {
    const { address, sockets } = await serve((_data, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), way);
    expect(await asker().offersTls(address, never)).toBe(offers);
    const { calls, way: connectWay } = elsewhere();
    expect(await asker().offersTls(address, never, connectWay)).toBe(offers);
    expect(calls.map(({ address: to, signal }) => [to, signal])).toEqual([[address, never]]);
    await expect.poll(() => [...sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  it('it ends the connection: it does not', async () => {
    const { address } = await serve((_data, socket) => socket.end());
    expect(await asker().offersTls(address, never)).toBe(false);
    const resetting = await serve((_data, socket) => socket.resetAndDestroy());
    expect(await asker().offersTls(resetting.address, never)).toBe(false);
  });

  it('cannot be said where nothing listens, or nobody can get there', async () => {
    const { address, server } = await serve(() => undefined);
    server.close();
    await once(server, 'close');
    await expect(asker().offersTls(address, never)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const failing = () => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' }));
    await expect(asker().offersTls(address, never, failing)).rejects.toMatchObject({ code: 'EPERM' });
  });

  it('is given up with whoever asks', async () => {
    const { address, sockets } = await serve(() => undefined);
    const why = new Error('late');
    await expect(asker().offersTls(address, AbortSignal.abort(why))).rejects.toBe(why);
    const stop = new AbortController();
    const asked = asker().offersTls(address, stop.signal);
    await expect.poll(() => sockets.size).toBeGreaterThan(0);
    stop.abort(why);
    await expect(asked).rejects.toBe(why);
    await expect.poll(() => [...sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });
});

describe('a signal that many questions share', () => {
  it('is left without a listener by each', async () => {
    const { signal } = new AbortController();
    const { address } = await serve(answering(ok('[1]')));
    const made = asker();
    const offers = await serve(() => undefined, 'tls');
    await made.get('http', address, '/', signal);
    await expect(
      made.get('http', address, '/', signal, { connect: () => Promise.reject(new Error('no')) }),
    ).rejects.toThrow();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(await made.offersTls(offers.address, signal)).toBe(true);
    await expect.poll(() => getEventListeners(signal, 'abort')).toEqual([]);
  });
});

it('localhost is a loopback address also where connections try one address alone', async () => {
  setDefaultAutoSelectFamily(false);
  onTestFinished(() => setDefaultAutoSelectFamily(true));
  const { address } = await serve(answering(ok('[1]')));
  expect(await get({ host: 'localhost', port: address.port })).toEqual({ status: 200, json: [1] });
});

describe('the statuses of many', () => {
  it('are those of their answers, 0 where there is none', async () => {
    const made = asker();
    const ready = await serve(answering('HTTP/1.1 204 No Content\r\n\r\n'));
    const loading = await serve(answering('HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n'));
    const gone = await serve(() => undefined);
    gone.server.close();
    const questions = [ready, loading, gone].map(({ address }) => ({ address, path: '/health' }));
    expect(await made.statuses?.(questions, 1000)).toEqual([204, 503, 0]);
    expect(ready.requests).toEqual([
      `GET /health HTTP/1.1\r\nHost: 127.0.0.1:${ready.address.port}\r\nUser-Agent: hivepulse\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
    ]);
  });

  it('are asked by nobody once it is closed', async () => {
    const made = new SystemAsker();
    const { address } = await serve(answering(ok('x')));
    const ask = () => made.statuses?.([{ address, path: '/' }], 1000);
    expect(await ask()).toEqual([200]);
    made.close();
    await expect(ask()).rejects.toThrow();
  });
});

it.each([
  ['NOT_HTTP', true, false],
  ['ECONNRESET', true, false],
  ['EPIPE', true, false],
  ['ECONNREFUSED', false, false],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', false, true],
  [undefined, false, false],
])('%s: whether another protocol is expected, or an alert of TLS has come', (code, isOther, isAlert) => {
  const error = Object.assign(new Error('failed'), { code });
  expect([isOtherProtocol(error), isTlsAlert(error)]).toEqual([isOther, isAlert]);
});
