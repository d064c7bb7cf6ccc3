import type { OnReadOpts, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { StatusThread } from '../io/status-thread.js';
import { Cancellation } from '../util/cancellation.js';
import type { Answer } from './answer.js';
import { Connection, type KeptConnection, type ReadAnswer } from './connection.js';

export type Scheme = 'http' | 'https';

/** An address at which a server is asked. */
export interface ServerAddress {
  /** An IP address without brackets, or `localhost`. */
  readonly host: string;
  readonly port: number;
}

/** Opens a connection another way: in the server's own network namespace. With `onread` it reads so. */
export type Connect = (address: ServerAddress, signal: AbortSignal, onread?: OnReadOpts) => Promise<Socket>;

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

/** One GET, of whose answer `read` takes what is wanted. Rejects when it is cancelled; errors carry the system's or the parser's code. */
export interface Fetcher {
  fetch<T>(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    read: ReadAnswer<T>,
    cancellation: Cancellation,
    options: FetchOptions,
  ): Promise<T>;
}

/** Asks servers of this host. Each call ends with the signal. Errors carry the system's or the parser's code. */
export interface Asker {
  get(scheme: Scheme, address: ServerAddress, path: string, signal: AbortSignal, ways?: Ways): Promise<Answer>;
  /** Whether a TLS handshake succeeds; false where the server answers it otherwise. Rejects where none can be tried. */
  offersTls(address: ServerAddress, signal: AbortSignal, connect?: Connect): Promise<boolean>;
  /**
   * The statuses of answers without TLS, all asked for at once; 0 where there is none in time, or what came is no HTTP. Left
   * out where that costs as much as asking each.
   */
  readonly statuses?: ((questions: readonly PathQuestion[], timeoutMs: number) => Promise<readonly number[]>) | null;
  close?(): void;
}

/** `address` is one of IP. */
export interface PathQuestion {
  readonly address: ServerAddress;
  readonly path: string;
}

/** No answer that is looked at is longer; of a longer one only the status counts. */
const maxBodyBytes = 64 * 1024;

/** The certificate is not checked: the socket is known to be the worker's, whose own key is all that is sent. */
const tls = { rejectUnauthorized: false } as const;

export class SystemAsker implements Asker, Fetcher {
  readonly #thread = new StatusThread();

  get statuses() {
    if (!this.#thread.isThere) return null;
    return (questions: readonly PathQuestion[], timeoutMs: number): Promise<readonly number[]> =>
      this.#thread.ask(
        questions.map(({ address, path }) => ({ ...address, request: getRequest(address, path) })),
        timeoutMs,
      );
  }

  close(): void {
    this.#thread.close();
  }

  async get(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    signal: AbortSignal,
    ways: Ways = {},
  ): Promise<Answer> {
    signal.throwIfAborted();
    const cancellation = new Cancellation();
    const cancel = (): void => cancellation.cancel(signal.reason);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await this.fetch(scheme, address, path, answerOf, cancellation, { ...ways, maxBodyBytes });
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  async fetch<T>(
    scheme: Scheme,
    address: ServerAddress,
    path: string,
    read: ReadAnswer<T>,
    cancellation: Cancellation,
    { connect, maxBodyBytes: most, key, kept }: FetchOptions,
  ): Promise<T> {
    const head = getRequest(address, path, key, kept !== undefined);
    const request = { head, maxBodyBytes: most, read, cancellation, kept };
    const idle = kept?.take() ?? null;
    if (idle !== null) {
      try {
        return await idle.exchange(request);
      } catch (error) {
        // The server may have closed it meanwhile.
        if (cancellation.isCancelled || !isOtherProtocol(error)) throw error;
      }
    }
    const connection = await opened(scheme, address, cancellation, connect);
    if (cancellation.isCancelled) {
      connection.close();
      throw cancellation.reason;
    }
    return connection.exchange(request);
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

/** The body as JSON, where it is that. */
const answerOf: ReadAnswer<Answer> = ({ status, body }) => {
  try {
    return { status, json: body === null ? undefined : JSON.parse(body.toString()) };
  } catch {
    return { status, json: undefined };
  }
};

/** A connection that is being made. */
async function opened(
  scheme: Scheme,
  { host, port }: ServerAddress,
  cancellation: Cancellation,
  connect: Connect | undefined,
): Promise<Connection> {
  const target = { host, port, lookup: loopbackLookup };
  if (scheme === 'https') {
    const socket = connect && (await connect({ host, port }, cancellation.signal));
    return new Connection(connectTls({ ...tls, ...(socket ? { socket } : target) }));
  }
  return connect
    ? Connection.over((onread) => connect({ host, port }, cancellation.signal, onread))
    : Connection.open(target);
}

function getRequest({ host, port }: ServerAddress, path: string, key: string | null = null, keeps = false): string {
  const name = host.includes(':') ? `[${host}]` : host;
  const authorization = key === null ? '' : `Authorization: Bearer ${key}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: ${name}:${port}\r\nUser-Agent: hivepulse\r\nAccept: */*\r\n${authorization}Connection: ${keeps ? 'keep-alive' : 'close'}\r\n\r\n`;
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
