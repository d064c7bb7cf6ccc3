import { rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { Heartbeat, HiveEvent } from '../contract/heartbeat.js';
import { bearerOf, hostName, isLocalName, TokenTable } from '../http/auth.js';
import { dataPolicy, isCrossSite, isolate } from '../http/browser.js';
import { FailedTokens } from '../http/failed-tokens.js';
import { ProblemError } from '../http/problem.js';
import { type SmallRequest, type SmallRoute, SmallServer } from '../http/small-server.js';
import { keepAlive, sseMessage, streamHeaders } from '../http/sse.js';
import { endVanishedPeers } from '../http/tcp-user-timeout.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';
import type { Log } from '../util/log.js';
import { ensureDirectory } from '../workers/records.js';

/** What the hive's own server shows. */
export interface HiveSource {
  /** The newest heartbeat, as it would be sent now; null before the first sample. */
  readonly snapshot: () => Heartbeat | null;
  /** Hive-side events that are still held, oldest first. */
  readonly events: () => readonly HiveEvent[];
  /** Calls for each new event and each new snapshot; gives what ends it. */
  readonly subscribe: (listener: HiveListener) => () => void;
  readonly healthy: () => { readonly ok: boolean; readonly detail: Readonly<Record<string, unknown>> };
}

export interface HiveListener {
  readonly event: (event: HiveEvent) => void;
  readonly snapshot: (heartbeat: Heartbeat) => void;
}

export interface HiveHttpOptions {
  readonly host: string;
  readonly port: number;
  /** Asked of every caller where it is given; without one only loopback may be bound, unless `insecure`. */
  readonly token?: string | undefined;
  readonly insecure: boolean;
  readonly view: HiveSource;
  readonly metrics: SmallRoute;
  readonly logger?: Log | undefined;
}

/** Streams that may be open at once; each costs a socket and what it has not read yet. */
const maxStreams = 32;
/** A reader that leaves this much unread is disconnected; it comes back and starts from a snapshot. */
const maxUnreadBytes = 4 * 1024 * 1024;
const keepAliveMs = 15_000;

/** Listens and gives the server and its URL. Throws INSECURE_BIND, ADDRESS_IN_USE, ADDRESS_UNAVAILABLE. */
export async function serveHive(options: HiveHttpOptions): Promise<{ readonly url: string; close(): Promise<void> }> {
  const { host, token, insecure, view, metrics } = options;
  if (!isLoopbackAddress(host) && token === undefined && !insecure) {
    throw new HivepulseError(
      'INSECURE_BIND',
      host,
      `Listening on ${host} lets others read what runs here: give a token, or --insecure if the network is trusted.`,
    );
  }
  const streams = new Streams(view);
  const app = new SmallServer({
    guard: guard(options),
    notFound: 'A hive serves /v1/snapshot, /v1/events, /metrics and /healthz.',
    routes: {
      'GET /healthz': () => {
        const { ok, detail } = view.healthy();
        return { status: ok ? 200 : 503, body: { status: ok ? 'ok' : 'failing', ...detail } };
      },
      'GET /v1/snapshot': () => {
        const body = view.snapshot();
        if (body === null)
          throw new ProblemError('WARMING', 'The first sample is not there yet; ask again in a second.');
        return { body };
      },
      'GET /v1/events': (request) => streams.open(request),
      'GET /metrics': metrics,
    },
  });
  endVanishedPeers(app.server);
  const url = await listen(app, options);
  return {
    url,
    close() {
      streams.end();
      return app.close();
    },
  };
}

/** Judges every request: the name it asks for, the site it comes from, its token. */
function guard({ host, token }: HiveHttpOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const loopback = isLoopbackAddress(host);
  const tokens = new TokenTable(token === undefined ? [] : [{ token, role: 'read' }]);
  const failed = new FailedTokens();
  const isLocal = (name: string) => loopback && isLocalName(name, new Set());
  return (request, response) => {
    isolate(response);
    response.setHeader('content-security-policy', dataPolicy);
    const { method = '', url = '', headers } = request;
    if (isCrossSite({ method, url, headers }))
      throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.');
    // A page that has its name point to 127.0.0.1 still says its own name.
    const name = headers.host === undefined ? null : hostName(headers.host);
    if (loopback && (name === null || !isLocal(name)))
      throw new ProblemError('HOST_NOT_ALLOWED', 'This hive listens on loopback and answers only to its names.');
    const { origin } = headers;
    const from = origin === undefined ? null : hostName(origin.replace(/^https?:\/\//i, ''));
    if (origin !== undefined && (from === null || (from !== name && !isLocal(from))))
      throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.');
    if (!tokens.required || loopback || url === '/healthz') return;
    const given = bearerOf(headers.authorization);
    if (given === null) throw new ProblemError('UNAUTHENTICATED', 'Send `Authorization: Bearer <token>`.');
    if (tokens.find(given) === null)
      throw failed.refuse(request.socket.remoteAddress ?? '', 'The token is not that of this hive.');
  };
}

async function listen(app: SmallServer, { host, port, logger }: HiveHttpOptions): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    const code = systemCode(cause);
    const where = `${host}:${port}`;
    if (code === 'EADDRINUSE') {
      const message = `Port ${port} on ${host} is taken; is a hive running already? Give another with --port.`;
      throw new HivepulseError('ADDRESS_IN_USE', where, message, { cause });
    }
    logger?.debug({ err: cause }, 'listen failed');
    const message = `Cannot listen on ${where} (${code ?? String(cause)}).`;
    throw new HivepulseError('ADDRESS_UNAVAILABLE', where, message, { cause });
  }
}

/** SSE: `snapshot` at once and after each pass, `event` with its number as id; Last-Event-ID replays what is still held. */
class Streams {
  readonly #view: HiveSource;
  readonly #open = new Set<ServerResponse>();

  constructor(view: HiveSource) {
    this.#view = view;
  }

  end(): void {
    for (const response of this.#open) response.end();
  }

  open({ raw: request, response }: SmallRequest): null {
    if (this.#open.size >= maxStreams)
      throw new ProblemError('TOO_MANY_STREAMS', `${maxStreams} streams are open.`, { retryAfterSeconds: 5 });
    response.writeHead(200, streamHeaders);
    if (request.method === 'HEAD') {
      response.end();
      return null;
    }
    const view = this.#view;
    const write = (message: string | Buffer): void => {
      response.write(message);
      if (response.writableLength > maxUnreadBytes) response.destroy();
    };
    const since = Number(request.headers['last-event-id'] ?? 0) || 0;
    const first = view.snapshot();
    if (first !== null) write(sseMessage('snapshot', JSON.stringify(first)));
    const send = (event: HiveEvent) => write(sseMessage('event', JSON.stringify(event), String(event.seq)));
    if (since > 0) for (const event of view.events()) if (event.seq > since) send(event);
    const unsubscribe = view.subscribe({
      event: send,
      // A reader that is behind misses snapshots, each of which is whole, and never events.
      snapshot: (heartbeat) => {
        if (!response.writableNeedDrain) write(sseMessage('snapshot', JSON.stringify(heartbeat)));
      },
    });
    const timer = setInterval(() => write(keepAlive), keepAliveMs);
    timer.unref();
    this.#open.add(response);
    response.on('close', () => {
      clearInterval(timer);
      unsubscribe();
      this.#open.delete(response);
    });
    return null;
  }
}

/** What the control socket can ask of a hive. */
export interface HiveControl {
  /** Lets go of the GPU driver. */
  readonly release: (seconds: number) => Promise<void>;
  /** Out of all scheduling, or back into it; workers keep running. */
  readonly drain: (draining: boolean) => void;
}

/** The control socket. The file's rights are the only check, so it is made for its owner alone. */
export async function serveControl(path: string, control: HiveControl): Promise<{ close(): Promise<void> }> {
  await ensureDirectory(dirname(path));
  // One that a killed hive left behind. A living one keeps its port, so two never get here with one runtime directory and one port.
  await rm(path, { force: true });
  const app = new SmallServer({
    notFound: 'The control socket of a hive takes POST /v1/gpu/release and /v1/drain.',
    maxBodyBytes: 1024,
    routes: {
      'POST /v1/gpu/release': async ({ body }) => {
        const seconds = body?.seconds;
        if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds <= 0 || seconds > 3600)
          throw new ProblemError('INVALID_REQUEST', 'seconds must be a number above 0 and at most 3600.', {
            field: 'seconds',
          });
        await control.release(seconds);
        return { body: { released: true, seconds } };
      },
      'POST /v1/drain': ({ body }) => {
        const draining = body?.draining;
        if (typeof draining !== 'boolean')
          throw new ProblemError('INVALID_REQUEST', 'draining must be true or false.', { field: 'draining' });
        control.drain(draining);
        return { body: { draining } };
      },
    },
  });
  const before = process.umask(0o177);
  try {
    await app.listen({ path });
  } finally {
    process.umask(before);
  }
  return {
    async close() {
      await app.close();
      await rm(path, { force: true });
    },
  };
}
