import fastifyCompress from '@fastify/compress';
import { fastifyCookie } from '@fastify/cookie';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Logger } from 'pino';
import { bearerOf } from '../http/auth.js';
import { bodyBudget, registerBodyBudget } from '../http/body-budget.js';
import { shareConnections } from '../http/connection-shares.js';
import { FailedTokens } from '../http/failed-tokens.js';
import { registerGuard } from '../http/guard.js';
import { judgeJson } from '../http/judged-json.js';
import { type ProblemCode, ProblemError, rawProblem, replyProblem } from '../http/problem.js';
import { limitRequests } from '../http/request-limits.js';
import { answerInTurns } from '../http/request-turns.js';
import { endVanishedPeers } from '../http/tcp-user-timeout.js';
import { Upgrades } from '../http/upgrade.js';
import type { ServerContext } from './context.js';
import type { HeartbeatStreams } from './heartbeat-streams.js';
import { registerDocs, registerSchemas } from './openapi.js';
import { attentionRoutes } from './routes/attention.js';
import { cordonRoutes } from './routes/cordons.js';
import { eventRoutes } from './routes/events.js';
import { heartbeatRoutes } from './routes/heartbeats.js';
import { missingRoutes } from './routes/missing.js';
import { pageRoutes } from './routes/page.js';
import { placementRoutes } from './routes/placements.js';
import { queryRoutes } from './routes/queries.js';
import { serviceRoutes } from './routes/service.js';
import { streamRoutes } from './routes/stream.js';
import { registerTimeShares, timeShares } from './time-shares.js';

export interface ServerDeps extends Omit<ServerContext, 'secure' | 'failed' | 'time'> {
  readonly version: string;
  readonly logger?: Logger;
  /** It will listen on loopback alone: Host is checked. */
  readonly loopback: boolean;
  readonly allowedHosts?: readonly string[];
  readonly tls?: {
    readonly cert: string | Buffer;
    readonly key: string | Buffer;
    readonly clientCa?: string | Buffer;
    /** Which sessions may be taken up, and for how long, s. */
    readonly sessionIdContext?: string;
    readonly sessionTimeout?: number;
  };
  /** Where the built page is. */
  readonly pageDirectory: string;
  /** Hives that are connected by a stream; null: heartbeats come by POST alone. */
  readonly streams?: HeartbeatStreams | null;
  /** How long a client may take, ms; for tests. */
  readonly timeouts?: Partial<typeof clientTimeouts>;
  /** Bytes of bodies under way; for tests. */
  readonly bodies?: typeof bodyBudget;
  /** More routes, such as `/metrics`; they get the same guard. */
  readonly plugins?: readonly FastifyPluginAsync[];
}

/** Bodies of people's requests are small; heartbeats have a limit of their own. */
const bodyLimit = 64 * 1024;

/** A connection that sends nothing, or a byte now and then, is not kept. */
const clientTimeouts = { headersMs: 10_000, requestMs: 30_000, keepAliveMs: 75_000, checkMs: 2000 };

const pagePolicy = {
  defaultSrc: ["'self'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  connectSrc: ["'self'"],
  objectSrc: ["'none'"],
  baseUri: ["'none'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

const clientErrors: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
};

/**
 * Named before Fastify looks for compilers of its own, whose hundred modules take an eighth of a start. Answers are the registry's own
 * views; JSON.stringify is faster on them than a compiled serializer, which tries each `anyOf` in turn.
 */
const compilers = {
  buildValidator: () => TypeBoxValidatorCompiler,
  buildSerializer: () => () => JSON.stringify,
};

function tlsOptions({ clientCa, ...tls }: NonNullable<ServerDeps['tls']>) {
  return {
    ...tls,
    minVersion: 'TLSv1.2' as const,
    ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
  };
}

/** Never holds a token. Only what goes wrong is logged here; that it listens is said by who started it. */
function serverLogger(logger: Logger): Logger {
  const level = logger.isLevelEnabled('info') ? 'warn' : logger.level;
  return logger.child({}, { level, redact: ['req.headers.authorization', 'req.headers.cookie', 'token', '*.token'] });
}

function fastify({ logger, tls, timeouts: given }: ServerDeps): FastifyInstance {
  const timeouts = { ...clientTimeouts, ...given };
  const nodeOptions = { connectionsCheckingInterval: timeouts.checkMs, headersTimeout: timeouts.headersMs };
  const options = {
    ...(logger === undefined ? { logger: false as const } : { loggerInstance: serverLogger(logger) }),
    // Request lines would hold whatever people put in URLs, at the rate of a fleet.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    schemaController: { compilersFactory: compilers },
    // Every plugin is ours: on a starved host the queen starts late, where a deadline would end the process.
    pluginTimeout: 0,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    forceCloseConnections: true,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: NodeJS.WritableStream & { destroyed?: boolean }) => {
      if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return;
      const code = clientErrors[error.code ?? ''] ?? 'INVALID_REQUEST';
      socket.end(rawProblem(code, code === 'INVALID_REQUEST' ? 'This is not HTTP.' : 'See the code.'));
    },
    frameworkErrors: replyProblem,
  };
  return (tls === undefined
    ? Fastify({ ...options, http: nodeOptions } as never)
    : Fastify({ ...options, https: { ...nodeOptions, ...tlsOptions(tls) } } as never)) as unknown as FastifyInstance;
}

/** The queen's server, not yet listening. Every error it gives is a problem (RFC 9457) with a stable code. */
export async function buildServer(deps: ServerDeps): Promise<FastifyInstance> {
  const { hub, tokens, tls, loopback, allowedHosts = [], streams = null } = deps;
  const failed = new FailedTokens();
  const time = timeShares(deps.requestsPerSecond);
  const context: ServerContext = { ...deps, failed, time, secure: tls !== undefined };
  const app = fastify(deps);
  const connections = shareConnections(app.server, () => tokens.required);
  endVanishedPeers(app.server);
  answerInTurns(app.server, hub.turns, ({ headers, socket }) => {
    const token = bearerOf(headers.authorization);
    return (token === null ? null : tokens.find(token)?.key) ?? socket.remoteAddress ?? '';
  });
  limitRequests(app.server);

  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(replyProblem);
  const notFound = describeMethods(app);

  await registerSchemas(app, deps.version);
  registerGuard(app, { tokens, loopback, allowedHosts, failed, connections });
  registerBodyBudget(app, deps.bodies ?? bodyBudget);
  await app.register(heartbeatRoutes, context);
  if (streams !== null) await app.register(streamRoutes, { ...context, streams, upgrades: new Upgrades(app.server) });
  // A scope of its own: hooks of the root reach every route, and heartbeats need none of these.
  await app.register(async (people) => {
    await registerForPeople(people, context);
    people.setNotFoundHandler(notFound);
    await registerDocs(people);
    await people.register(apiRoutes, context);
    for (const plugin of deps.plugins ?? []) await people.register(plugin);
    await people.register(pageRoutes, { directory: deps.pageDirectory });
  });

  app.addHook('preClose', async () => {
    hub.close();
    await streams?.close();
  });
  return app;
}

/** Cookies, headers against attacks through a browser, a limit of requests, compression. */
async function registerForPeople(
  app: FastifyInstance,
  { secure, requestsPerSecond, time }: ServerContext,
): Promise<void> {
  judgeJson(app);
  await app.register(fastifyCookie);
  await app.register(fastifyHelmet, {
    contentSecurityPolicy: { useDefaults: false, directives: pagePolicy },
    strictTransportSecurity: secure,
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
  });
  await app.register(fastifyRateLimit, {
    max: requestsPerSecond,
    timeWindow: 1000,
    cache: 10_000,
    keyGenerator: (request) => request.caller?.key ?? request.ip,
    errorResponseBuilder: (_request, { ttl }) =>
      new ProblemError('RATE_LIMITED', 'Too many requests of this token or address.', {
        retryAfterSeconds: Math.max(1, Math.ceil(ttl / 1000)),
      }),
  });
  registerTimeShares(app, time);
  await app.register(fastifyCompress, {
    encodings: ['gzip', 'deflate', 'identity'],
    globalDecompression: false,
    threshold: 1024,
  });
}

async function apiRoutes(app: FastifyInstance, context: ServerContext): Promise<void> {
  app.addHook('preParsing', async (request) => {
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity')
      throw new ProblemError('UNSUPPORTED_ENCODING', 'Only heartbeats may be compressed.', {
        field: 'content-encoding',
      });
  });
  for (const routes of [
    queryRoutes,
    cordonRoutes,
    attentionRoutes,
    placementRoutes,
    eventRoutes,
    missingRoutes,
    serviceRoutes,
  ])
    await app.register(routes, context);
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Unknown paths are 404, known ones with another method 405 with what they have. */
function describeMethods(app: FastifyInstance): (request: FastifyRequest, reply: FastifyReply) => never {
  const routes = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();
  app.addHook('onRoute', (route) => {
    if (route.url.startsWith('/docs')) route.config = { ...route.config, need: 'open' };
    let known = routes.get(route.url);
    if (known === undefined) {
      const pattern = route.url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : escapePattern(part)));
      known = { pattern: new RegExp(`^${pattern.join('/')}$`), methods: new Set() };
      routes.set(route.url, known);
    }
    for (const method of [route.method].flat()) known.methods.add(method);
  });
  return (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const known = [...routes.values()].find(({ pattern }) => pattern.test(path));
    if (known === undefined)
      throw new ProblemError('NOT_FOUND', 'There is nothing at this path; /docs lists what there is.');
    const methods = [...known.methods].join(', ');
    reply.header('allow', methods);
    throw new ProblemError('METHOD_NOT_ALLOWED', `${request.method} is not one of ${methods}.`);
  };
}
