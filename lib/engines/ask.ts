import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Answer } from './answer.js';
import { type HttpAnswer, HttpAnswerReader, NotHttp } from './http-answer.js';

export type Scheme = 'http' | 'https';

/** An address at which a server is asked. */
export interface ServerAddress {
  /** An IP address without brackets, or `localhost`. */
  readonly host: string;
  readonly port: number;
}

/** Opens a connection another way: in the server's own network namespace. */
export type Connect = (address: ServerAddress, signal: AbortSignal) => Promise<Socket>;

/** What a request goes over. */
export interface Ways {
  readonly connect?: Connect | undefined;
  /** A connection that is used again; without one each request has its own. */
  readonly kept?: KeptConnection | undefined;
}

/** How the bytes of an answer are asked for. */
export interface FetchOptions extends Ways {
  /** Of a longer answer the body is null. */
  readonly maxBodyBytes: number;
  /** Sent as a bearer token. */
  readonly key?: string | null;
}

/** One connection to one server, idle between requests. */
export class KeptConnection {
  #idle: Socket | null = null;
  readonly #drop = (): void => this.close();

  /** null where none is open. */
  take(): Socket | null {
    const socket = this.#idle;
    this.#idle = null;
    for (const event of idleEvents) socket?.off(event, this.#drop);
    return socket?.destroyed === false ? socket : null;
  }

  give(socket: Socket): void {
    this.close();
    this.#idle = socket;
    for (const event of idleEvents) socket.on(event, this.#drop);
  }

  close(): void {
    this.#idle?.destroy();
    this.#idle = null;
  }
}

/** Nothing is expected of an idle connection: whatever comes, it is given up. */
const idleEvents = ['error', 'end', 'close', 'data'] as const;

/** One GET and the bytes of its answer. Ends with the signal; errors carry the system's or the parser's code. */
export interface Fetcher {
  fetch(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    signal: AbortSignal,
    options: FetchOptions,
  ): Promise<Pick<HttpAnswer, 'status' | 'body'>>;
}

/** Asks servers of this host. Each call ends with the signal. Errors carry the system's or the parser's code. */
export interface Asker {
  get(scheme: Scheme, address: ServerAddress, path: string, signal: AbortSignal, ways?: Ways): Promise<Answer>;
  /** Whether a TLS handshake succeeds; false where the server answers it otherwise. Rejects where none can be tried. */
  offersTls(address: ServerAddress, signal: AbortSignal, connect?: Connect): Promise<boolean>;
}

/** No answer that is looked at is longer; of a longer one only the status counts. */
const maxBodyBytes = 64 * 1024;

/** The certificate is not checked: the socket is known to be the worker's, whose own key is all that is sent. */
const tls = { rejectUnauthorized: false } as const;

export class SystemAsker implements Asker, Fetcher {
  async get(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    signal: AbortSignal,
    ways: Ways = {},
  ): Promise<Answer> {
    const { status, body } = await this.fetch(scheme, address, path, signal, { ...ways, maxBodyBytes });
    try {
      return { status, json: body === null ? undefined : JSON.parse(body.toString()) };
    } catch {
      return { status, json: undefined };
    }
  }

  async fetch(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    signal: AbortSignal,
    { connect, maxBodyBytes: most, key, kept }: FetchOptions,
  ): Promise<HttpAnswer> {
    const request = getRequest(address, path, key, kept !== undefined);
    const idle = kept?.take() ?? null;
    if (idle !== null) {
      try {
        return await exchange(idle, request, signal, most, kept);
      } catch (error) {
        signal.throwIfAborted();
        // The server may have closed it meanwhile.
        if (!isOtherProtocol(error)) throw error;
      }
    }
    const socket = connect && (await connect(address, signal));
    if (signal.aborted) {
      socket?.destroy();
      throw signal.reason;
    }
    return exchange(opened(scheme, address, socket), request, signal, most, kept);
  }

  async offersTls({ host, port }: ServerAddress, signal: AbortSignal, connect?: Connect): Promise<boolean> {
    const opened = connect && (await connect({ host, port }, signal));
    return new Promise((resolve, reject) => {
      let connected = opened !== undefined;
      const socket = connectTls({ ...tls, ...(opened ? { socket: opened } : { host, port, lookup: loopbackLookup }) });
      const give = (): void => {
        socket.destroy();
        reject(signal.reason);
      };
      if (signal.aborted) return give();
      signal.addEventListener('abort', give, { once: true });
      socket.once('connect', () => {
        connected = true;
      });
      socket.once('secureConnect', () => resolve(true));
      socket.once('error', (error) => {
        if (connected) resolve(isTlsAlert(error));
        else reject(error);
      });
      socket.once('close', () => {
        signal.removeEventListener('abort', give);
        resolve(false);
      });
      socket.once('secureConnect', () => socket.destroy());
    });
  }
}

/** The peer ended the handshake by a message of TLS: it asks for a certificate, or for another version. */
export const isTlsAlert = (error: unknown): boolean => /ALERT/.test(String((error as { code?: unknown }).code));

/** How a request without TLS fails at a server that expects it. */
export const isOtherProtocol = (error: unknown): boolean => {
  const code = String((error as { code?: unknown }).code);
  return code === 'NOT_HTTP' || code === 'ECONNRESET' || code === 'EPIPE';
};

/** A connection that is being made; over `socket` where that is given. */
function opened(scheme: Scheme, { host, port }: ServerAddress, socket: Socket | undefined): Socket {
  const target = { host, port, lookup: loopbackLookup };
  if (scheme === 'https') return connectTls({ ...tls, ...(socket ? { socket } : target) });
  return socket ?? connectPlain(target);
}

/** Where all plain connections read into: without it each read has 64 KiB of its own. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

function connectPlain(target: { host: string; port: number; lookup: typeof loopbackLookup }): Socket {
  const callback = (bytes: number): boolean => {
    socket.emit('data', Buffer.from(readBuffer.subarray(0, bytes)));
    return true;
  };
  const socket = connectTcp({ ...target, onread: { buffer: readBuffer, callback } });
  return socket;
}

function getRequest({ host, port }: ServerAddress, path: string, key: string | null = null, keeps = false): string {
  const name = host.includes(':') ? `[${host}]` : host;
  const authorization = key === null ? '' : `Authorization: Bearer ${key}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: ${name}:${port}\r\nUser-Agent: hivepulse\r\nAccept: */*\r\n${authorization}Connection: ${keeps ? 'keep-alive' : 'close'}\r\n\r\n`;
}

/** Sends a request and reads the one answer to it. The socket is destroyed in the end, or kept where it can be. */
function exchange(
  socket: Socket,
  request: string,
  signal: AbortSignal,
  most: number,
  kept?: KeptConnection,
): Promise<HttpAnswer> {
  const reader = new HttpAnswerReader(most);
  return new Promise<HttpAnswer>((resolve, reject) => {
    const fail = (error: unknown): void => {
      release();
      // What it says when it is destroyed is no news.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const read = (next: () => HttpAnswer | null): void => {
      try {
        const answer = next();
        if (answer === null) return;
        release();
        if (kept !== undefined && answer.reusable) kept.give(socket);
        else socket.on('error', () => undefined).destroy();
        resolve(answer);
      } catch (error) {
        fail(error);
      }
    };
    const onAbort = (): void => fail(signal.reason);
    const onData = (chunk: Buffer): void => read(() => reader.push(chunk));
    const onEnd = (): void => read(() => reader.end());
    const onClose = (): void => fail(new NotHttp('the connection ended'));
    const release = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail).off('data', onData).off('end', onEnd).off('close', onClose);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', fail).on('data', onData).on('end', onEnd).on('close', onClose);
    socket.write(request, 'latin1');
  });
}

/** `localhost` is a loopback address, whatever a resolver says. */
const loopbackLookup = (
  _host: string,
  options: { all?: boolean | undefined },
  done: (error: Error | null, address: string | { address: string; family: number }[], family?: number) => void,
): void => {
  if (options.all) {
    done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]);
  } else done(null, '127.0.0.1', 4);
};
