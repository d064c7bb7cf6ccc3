import { fastifyCookie } from '@fastify/cookie';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { bearerOf, type Caller, hostName, isLocalName, mayDo, type Need, type TokenTable } from './auth.js';
import { isCrossSite, isolate } from './browser.js';
import type { ConnectionShares } from './connection-shares.js';
import type { FailedTokens } from './failed-tokens.js';
import { ProblemError } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route asks of its caller; default `read`. */
    need?: Need;
    /** An open route whose answer says whether a token is right. */
    saysRole?: boolean;
  }
  interface FastifyRequest {
    /** Null where no token was given; whoever asks may then do all that a queen without tokens lets anyone do. */
    caller: Caller | null;
  }
}

export const sessionCookie = 'hivepulse_token';

export interface GuardOptions {
  readonly tokens: TokenTable;
  /** The server listens on loopback only: Host is checked. */
  readonly loopback: boolean;
  readonly allowedHosts: readonly string[];
  readonly failed: FailedTokens;
  readonly connections?: Pick<ConnectionShares, 'prove'>;
}

/** Judges every request before its body is read: the name it asks for, the site it comes from, and whose token it has. */
export function registerGuard(app: FastifyInstance, options: GuardOptions): void {
  const { tokens, loopback, allowedHosts, failed, connections } = options;
  const allowed = new Set(allowedHosts.map((name) => name.toLowerCase()));
  app.decorateRequest('caller', null);
  // Read here: the plugin's own hook runs later, and heartbeats do without it.
  const tokenInCookie = (header: string | undefined): string | null =>
    header === undefined ? null : (fastifyCookie.parse(header)[sessionCookie] ?? null);
  const authorize = (request: FastifyRequest): void => {
    checkSite(request, allowed, loopback);
    if (!tokens.required) return;
    const need = request.is404 ? 'open' : (request.routeOptions.config.need ?? 'read');
    const bearer = bearerOf(request.headers.authorization);
    const token = bearer ?? tokenInCookie(request.headers.cookie);
    if (token === null) {
      if (need === 'open') return;
      throw new ProblemError('UNAUTHENTICATED', 'Send `Authorization: Bearer <token>`.');
    }
    const caller = tokens.find(token);
    if (caller === null) {
      const isStaleCookie = need === 'open' && bearer === null;
      const { saysRole = false } = request.routeOptions.config;
      // A cookie that has gone stale must not keep anyone from the page on which to log in.
      if (isStaleCookie && !saysRole) return;
      const refusal = failed.refuse(request.ip, 'The token is not one of this queen.');
      if (isStaleCookie && refusal.code === 'UNAUTHENTICATED') return;
      throw refusal;
    }
    request.caller = caller;
    connections?.prove(request.raw.socket);
    if (!mayDo(caller.role, need))
      throw new ProblemError(
        'FORBIDDEN',
        `A token of role ${caller.role} does not allow this; it needs ${needName(need)}.`,
      );
  };
  // With a callback: a promise for each request would cost more than the check.
  app.addHook('onRequest', (request, reply, done) => {
    try {
      // No browser sends heartbeats, and a fleet sends many.
      if (request.routeOptions.config.need !== 'heartbeat') isolate(reply.raw);
      authorize(request);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  });
}

const needName = (need: Need): string => (need === 'heartbeat' ? 'hive' : need);

/** The name that is asked for, and the page that asks. */
function checkSite(request: FastifyRequest, allowed: ReadonlySet<string>, loopback: boolean): void {
  if (loopback) checkHost(request, allowed);
  if (isCrossSite(request))
    throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.');
  checkOrigin(request, allowed, loopback);
}

function checkHost(request: FastifyRequest, allowed: ReadonlySet<string>): void {
  const host = request.headers.host;
  const name = host === undefined ? null : hostName(host);
  if (name !== null && isLocalName(name, allowed)) return;
  throw new ProblemError(
    'HOST_NOT_ALLOWED',
    'This queen listens on loopback and answers only to its names; others are given with allowedHosts.',
    { field: 'host' },
  );
}

/** A browser names the page that asks. One of another site may not; without CORS it could not read the answer anyway. */
function checkOrigin(request: FastifyRequest, allowed: ReadonlySet<string>, loopback: boolean): void {
  const { origin } = request.headers;
  if (origin === undefined) return;
  const authority = /^https?:\/\/([^/]+)$/i.exec(origin)?.[1];
  const name = authority === undefined ? null : hostName(authority);
  if (name !== null) {
    if (authority?.toLowerCase() === request.headers.host?.toLowerCase()) return;
    if (allowed.has(name)) return;
    // Another port of this machine is another site to a browser, but only its own user can open one: the page's dev server.
    if (loopback && isLocalName(name, allowed) && (request.method === 'GET' || request.method === 'HEAD')) return;
  }
  throw new ProblemError('ORIGIN_NOT_ALLOWED', 'The request comes from a page of another site.', { field: 'origin' });
}
