import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Heartbeat, HiveEvent } from '../contract/heartbeat.js';
import { bearerOf, hostName, isLocalName, TokenTable } from '../http/auth.js';
import { dataPolicy, isCrossSite, isolate } from '../http/browser.js';
import { FailedTokens } from '../http/failed-tokens.js';
import { ProblemError, replyProblem } from '../http/problem.js';
import { keepAlive, sseMessage, streamHeaders } from '../http/sse.js';
import { endVanishedPeers } from '../http/tcp-user-timeout.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';
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
  /** Adds routes (such as /metrics) behind the same guard. */
  readonly extend?: ((app: FastifyInstance) => void | Promise<void>) | undefined;
  readonly logger?: Logger | undefined;
}

const withoutSchemas = {
  buildValidator: (() => () => () => true) as never,
  buildSerializer: (() => () => JSON.stringify) as never,
};

/** Streams that may be open at once; each costs a socket and what it has not read yet. */
const maxStreams = 32;
/** A reader that leaves this much unread is disconnected; it comes back and starts from a snapshot. */
const maxUnreadBytes = 4 * 1024 * 1024;
const keepAliveMs = 15_000;

/** Listens and gives the server and its URL. Throws INSECURE_BIND, ADDRESS_IN_USE, ADDRESS_UNAVAILABLE. */
export async function serveHive(
  options: HiveHttpOptions,
): Promise<{ readonly app: FastifyInstance; readonly url: string }> {
  const { host, token, insecure, view, extend } = options;
  if (!isLoopbackAddress(host) && token === undefined && !insecure) {
    throw new HivepulseError(
      'INSECURE_BIND',
      host,
      `Listening on ${host} lets others read what runs here: give a token, or --insecure if the network is trusted.`,
    );
  }
  const app = Fastify({
    logger: false,
    // No route here has a schema: without these Fastify loads its validator, for 10 MiB and 200 ms of CPU.
    schemaController: { compilersFactory: withoutSchemas },
    forceCloseConnections: true,
    requestTimeout: 10_000,
    bodyLimit: 4096,
    routerOptions: { maxParamLength: 64 },
  });
  app.setErrorHandler(replyProblem);
  app.setNotFoundHandler(() => {
    throw new ProblemError('NOT_FOUND', 'A hive serves /v1/snapshot, /v1/events, /metrics and /healthz.');
  });
  app.addHook('onRequest', guard(options));
  app.get('/healthz', async (_request, reply) => {
    const { ok, detail } = view.healthy();
    return reply.code(ok ? 200 : 503).send({ status: ok ? 'ok' : 'failing', ...detail });
  });
  app.get('/v1/snapshot', async (_request, reply) => {
    const snapshot = view.snapshot();
    if (snapshot === null)
      throw new ProblemError('WARMING', 'The first sample is not there yet; ask again in a second.');
    return reply.send(snapshot);
  });
  registerEvents(app, view);
  endVanishedPeers(app.server);
  await extend?.(app);
  return { app, url: await listen(app, options) };
}

/** Judges every request: the name it asks for, the site it comes from, its token. */
function guard({ host, token }: HiveHttpOptions): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const loopback = isLoopbackAddress(host);
  const tokens = new TokenTable(token === undefined ? [] : [{ token, role: 'read' }]);
  const failed = new FailedTokens();
  const isLocal = (name: string) => loopback && isLocalName(name, new Set());
  return async (request, reply) => {
    isolate(reply.raw);
    reply.raw.setHeader('content-security-policy', dataPolicy);
    if (isCrossSite(request))
      throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.');
    // A page that has its name point to 127.0.0.1 still says its own name.
    const name = request.headers.host === undefined ? null : hostName(request.headers.host);
    if (loopback && (name === null || !isLocal(name)))
      throw new ProblemError('HOST_NOT_ALLOWED', 'This hive listens on loopback and answers only to its names.');
    const { origin } = request.headers;
    const from = origin === undefined ? null : hostName(origin.replace(/^https?:\/\//i, ''));
    if (origin !== undefined && (from === null || (from !== name && !isLocal(from))))
      throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.');
    if (!tokens.required || loopback || request.url === '/healthz') return;
    const given = bearerOf(request.headers.authorization);
    if (given === null) throw new ProblemError('UNAUTHENTICATED', 'Send `Authorization: Bearer <token>`.');
    if (tokens.find(given) === null) throw failed.refuse(request.ip, 'The token is not that of this hive.');
  };
}

async function listen(app: FastifyInstance, { host, port, logger }: HiveHttpOptions): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    await app.close();
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
function registerEvents(app: FastifyInstance, view: HiveSource): void {
  const streams = new Set<() => void>();
  app.get('/v1/events', (request, reply) => {
    if (streams.size >= maxStreams) {
      throw new ProblemError('TOO_MANY_STREAMS', `${maxStreams} streams are open.`, { retryAfterSeconds: 5 });
    }
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, streamHeaders);
    const write = (message: string | Buffer): void => {
      raw.write(message);
      if (raw.writableLength > maxUnreadBytes) raw.destroy();
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
        if (!raw.writableNeedDrain) write(sseMessage('snapshot', JSON.stringify(heartbeat)));
      },
    });
    const timer = setInterval(() => write(keepAlive), keepAliveMs);
    timer.unref();
    const end = () => raw.end();
    streams.add(end);
    raw.on('error', () => undefined);
    raw.on('close', () => {
      clearInterval(timer);
      unsubscribe();
      streams.delete(end);
    });
  });
  app.addHook('preClose', async () => {
    for (const end of [...streams]) end();
  });
}

/** What the control socket can ask of a hive. */
export interface HiveControl {
  /** Lets go of the GPU driver. */
  readonly release: (seconds: number) => Promise<void>;
  /** Out of all scheduling, or back into it; workers go on. */
  readonly drain: (draining: boolean) => void;
}

/** The control socket. The file's rights are the only check, so it is made for its owner alone. */
export async function serveControl(path: string, control: HiveControl): Promise<{ close(): Promise<void> }> {
  await ensureDirectory(dirname(path));
  // One that a killed hive left behind. A living one keeps its port, so two never get here with one runtime directory and one port.
  await rm(path, { force: true });
  const app = Fastify({ logger: false, forceCloseConnections: true, bodyLimit: 1024 });
  app.setErrorHandler(replyProblem);
  app.post<{ Body: { seconds?: unknown } }>('/v1/gpu/release', async (request, reply) => {
    const seconds = request.body?.seconds;
    if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds <= 0 || seconds > 3600) {
      throw new ProblemError('INVALID_REQUEST', 'seconds must be a number above 0 and at most 3600.', {
        field: 'seconds',
      });
    }
    await control.release(seconds);
    return reply.send({ released: true, seconds });
  });
  app.post<{ Body: { draining?: unknown } }>('/v1/drain', async (request, reply) => {
    const draining = request.body?.draining;
    if (typeof draining !== 'boolean') {
      throw new ProblemError('INVALID_REQUEST', 'draining must be true or false.', { field: 'draining' });
    }
    control.drain(draining);
    return reply.send({ draining });
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
