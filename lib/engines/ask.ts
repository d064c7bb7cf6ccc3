import * as http from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Answer } from './answer.js';

export type Scheme = 'http' | 'https';

/** An address at which a server is asked. */
export interface ServerAddress {
  /** An IP address without brackets, or `localhost`. */
  readonly host: string;
  readonly port: number;
}

/** Opens a connection another way: in the server's own network namespace. */
export type Connect = (address: ServerAddress, signal: AbortSignal) => Promise<Socket>;

/** Asks servers of this host. Each call ends with the signal. Errors carry the system's or the parser's code. */
export interface Asker {
  get(scheme: Scheme, address: ServerAddress, path: string, signal: AbortSignal, connect?: Connect): Promise<Answer>;
  /** Whether a TLS handshake succeeds; false where the server answers it otherwise. Rejects where none can be tried. */
  offersTls(address: ServerAddress, signal: AbortSignal, connect?: Connect): Promise<boolean>;
}

/** No answer that is looked at is longer; of a longer one only the status counts. */
const maxBodyBytes = 64 * 1024;

/** The certificate is not checked: the socket is known to be the worker's, and nothing secret is sent. */
const tls = { rejectUnauthorized: false } as const;

export class SystemAsker implements Asker {
  async get(
    scheme: Scheme,
    { host, port }: ServerAddress,
    path: string,
    signal: AbortSignal,
    connect?: Connect,
  ): Promise<Answer> {
    const socket = connect && (await connect({ host, port }, signal));
    // With `agent: false` Node makes an agent, which opens connections its own way and ignores createConnection.
    const agent = socket === undefined ? ({ agent: false } as const) : {};
    const common = { host, port, path, signal, lookup: loopbackLookup, ...agent } as const;
    return new Promise((resolve, reject) => {
      const request =
        scheme === 'http'
          ? http.get({ ...common, ...(socket && { createConnection: () => socket }) })
          : https.get({
              ...common,
              ...tls,
              ...(socket && { createConnection: () => connectTls({ ...tls, socket }) }),
            });
      request.on('error', reject);
      request.on('response', (response) => {
        answerOf(response).then(resolve, reject);
      });
    });
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
  return code.startsWith('HPE_') || code === 'ECONNRESET' || code === 'EPIPE';
};

async function answerOf(response: http.IncomingMessage): Promise<Answer> {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) {
      response.destroy();
      return { status, json: undefined };
    }
    chunks.push(chunk);
  }
  try {
    return { status, json: JSON.parse(Buffer.concat(chunks).toString()) };
  } catch {
    return { status, json: undefined };
  }
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
