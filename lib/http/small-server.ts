import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, ListenOptions } from 'node:net';
import { ProblemError, problemReply } from './problem.js';
import { limitRequests } from './request-limits.js';

/** What a route gives; null: it has taken the response over. */
export type SmallAnswer = {
  readonly status?: number;
  /** Default: JSON. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A text as it is, anything else as JSON. */
  readonly body: unknown;
} | null;

export interface SmallRequest {
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  /** What was posted; null for the other methods. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export type SmallRoute = (request: SmallRequest) => SmallAnswer | Promise<SmallAnswer>;

export interface SmallServerOptions {
  /** `GET /path` or `POST /path`, each whole; HEAD is answered where GET is. */
  readonly routes: Readonly<Record<string, SmallRoute>>;
  /** What is said of any other path. */
  readonly notFound: string;
  /** Before every route; throws where the request is refused. */
  readonly guard?: (request: IncomingMessage, response: ServerResponse) => void;
  readonly maxBodyBytes?: number;
}

const jsonType = 'application/json; charset=utf-8';
const requestTimeoutMs = 10_000;
/** Longer than a minute, which scrapers pause. */
const keptMs = 72_000;

/**
 * A server of a few whole paths on `node:http` alone. The hive has no other: the framework of the queen takes 10 MiB of a
 * process, which a host of workers has a better use for.
 */
export class SmallServer {
  readonly server: Server;
  readonly #options: SmallServerOptions;

  constructor(options: SmallServerOptions) {
    this.#options = options;
    this.server = createServer(
      { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs, keepAliveTimeout: keptMs },
      (request, response) => void this.#handle(request, response),
    );
    limitRequests(this.server);
  }

  /** Listens and gives the URL; on a path, the path. */
  listen(where: ListenOptions): Promise<string> {
    const { server } = this;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, () => {
        server.off('error', reject);
        // An accept that fails (no descriptors left) is the loss of whoever came, not of the process.
        server.on('error', () => undefined);
        resolve(urlOf(server.address()));
      });
    });
  }

  /** Ends every connection too. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      this.#options.guard?.(request, response);
      const answer = await this.#answer(request, response);
      if (answer !== null) send(request, response, answer);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else send(request, response, problemReply(error as Error));
    }
  }

  async #answer(raw: IncomingMessage, response: ServerResponse): Promise<SmallAnswer> {
    const { routes, notFound, maxBodyBytes = 0 } = this.#options;
    const path = (raw.url ?? '').split(/[?#]/, 1)[0];
    const route = routes[`${raw.method === 'HEAD' ? 'GET' : raw.method} ${path}`];
    if (route === undefined) throw new ProblemError('NOT_FOUND', notFound);
    return route({ raw, response, body: raw.method === 'POST' ? await readObject(raw, maxBodyBytes) : null });
  }
}

async function readObject(request: IncomingMessage, maxBytes: number): Promise<Record<string, unknown>> {
  if (!/^application\/json *(;|$)/i.test(request.headers['content-type'] ?? ''))
    throw new ProblemError('UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json.');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new ProblemError('PAYLOAD_TOO_LARGE', `The body has more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new ProblemError('INVALID_JSON', 'The body is not JSON.');
  }
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function send(request: IncomingMessage, response: ServerResponse, answer: Exclude<SmallAnswer, null>): void {
  const { status = 200, type, headers = {}, body } = answer;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const bytes = Buffer.from(text);
  response.writeHead(status, { 'content-type': type ?? jsonType, 'content-length': bytes.length, ...headers });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

function urlOf(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') return address ?? '';
  const any = address.address === '0.0.0.0' ? '127.0.0.1' : address.address === '::' ? '[::1]' : null;
  return `http://${any ?? (address.family === 'IPv6' ? `[${address.address}]` : address.address)}:${address.port}`;
}
