import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { SessionRequest } from '../../contract/api.js';
import { sessionCookie } from '../../http/guard.js';
import { ProblemError } from '../../http/problem.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo } from '../openapi.js';

const sessionSeconds = 30 * 24 * 3600;

const Status = (status: string) => Type.Object({ status: Type.Literal(status) });

const health: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry }) => {
  const config = { need: 'open', rateLimit: false } as const;
  app.get(
    '/healthz',
    {
      config,
      ...describe('healthz', 'The process answers', 'service', {
        response: answers({ description: 'It does.', schema: Status('ok') }),
      }),
    },
    async () => ({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      config,
      ...describe('readyz', 'The queen has had time to hear its fleet', 'service', {
        response: answers({ description: 'It has.', schema: Status('ready') }, 503),
      }),
    },
    async () => {
      if (!registry.warming) return { status: 'ready' };
      const detail = 'warming: the queen has just started, and may not have heard every hive yet.';
      throw new ProblemError('WARMING', detail, { retryAfterSeconds: 1 });
    },
  );
};

/** The log-in of the page. */
const session: FastifyPluginAsyncTypebox<ServerContext> = async (app, { tokens, failed, secure }) => {
  const cookie = { path: '/', httpOnly: true, sameSite: 'strict', secure } as const;
  app.get(
    '/v1/session',
    {
      config: { need: 'open', saysRole: true },
      ...describe('getSession', 'Who the caller is to this queen', 'service', {
        response: answers({ description: 'The role; null: none yet.', schema: refTo('Session') }),
      }),
    },
    async (request) => ({ required: tokens.required, role: request.caller?.role ?? null }),
  );
  app.post(
    '/v1/session',
    {
      // A right token is never refused for the wrong ones of others.
      config: { need: 'open', rateLimit: false },
      ...describe('logIn', 'Keep a token in a cookie that scripts cannot read', 'service', {
        body: SessionRequest,
        response: answers({ description: 'Logged in.', schema: refTo('Session') }, 413, 415),
      }),
    },
    async (request, reply) => {
      const caller = tokens.find(request.body.token);
      if (tokens.required && caller === null)
        throw failed.refuse(request.ip, 'The token is not one of this queen.', 'token');
      if (caller !== null) reply.setCookie(sessionCookie, request.body.token, { ...cookie, maxAge: sessionSeconds });
      return { required: tokens.required, role: caller?.role ?? null };
    },
  );
  app.delete(
    '/v1/session',
    {
      config: { need: 'open' },
      ...describe('logOut', 'Drop the cookie', 'service', {
        response: answers({ status: 204, description: 'Dropped.' }),
      }),
    },
    async (_request, reply) => {
      reply.clearCookie(sessionCookie, cookie);
      return reply.code(204).send();
    },
  );
};

/** Health, and the log-in of the page. */
export const serviceRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, context) => {
  await app.register(health, context);
  await app.register(session, context);
};
