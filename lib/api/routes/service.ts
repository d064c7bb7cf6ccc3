import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { SessionRequest } from '../../contract/api.js';
import { sessionCookie } from '../../http/guard.js';
import { ProblemError } from '../../http/problem.js';
import type { ServerContext } from '../context.js';
import { answers, refTo } from '../openapi.js';

const sessionSeconds = 30 * 24 * 3600;

/** Health, and the log-in of the page. */
export const serviceRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, tokens, secure }) => {
  const Status = (status: string) => Type.Object({ status: Type.Literal(status) });

  app.get(
    '/healthz',
    {
      config: { need: 'open', rateLimit: false },
      schema: {
        operationId: 'healthz',
        summary: 'The process answers',
        tags: ['service'],
        response: answers({ description: 'It does.', schema: Status('ok') }),
      },
    },
    async () => ({ status: 'ok' }),
  );

  app.get(
    '/readyz',
    {
      config: { need: 'open', rateLimit: false },
      schema: {
        operationId: 'readyz',
        summary: 'The queen has had time to hear its fleet',
        tags: ['service'],
        response: answers({ description: 'It has.', schema: Status('ready') }, 503),
      },
    },
    async () => {
      if (registry.warming)
        throw new ProblemError(
          'WARMING',
          'warming: the queen has just started, and may not have heard every hive yet.',
          {
            retryAfterSeconds: 1,
          },
        );
      return { status: 'ready' };
    },
  );

  const cookie = { path: '/', httpOnly: true, sameSite: 'strict', secure } as const;

  app.get(
    '/v1/session',
    {
      config: { need: 'open' },
      schema: {
        operationId: 'getSession',
        summary: 'Who the caller is to this queen',
        tags: ['service'],
        response: answers({ description: 'The role; null: none yet.', schema: refTo('Session') }),
      },
    },
    async (request) => ({ required: tokens.required, role: request.caller?.role ?? null }),
  );

  app.post(
    '/v1/session',
    {
      config: { need: 'open', rateLimit: { max: 5, timeWindow: 10_000 } },
      schema: {
        operationId: 'logIn',
        summary: 'Keep a token in a cookie that scripts cannot read',
        tags: ['service'],
        body: SessionRequest,
        response: answers({ description: 'Logged in.', schema: refTo('Session') }, 413, 415),
      },
    },
    async (request, reply) => {
      const caller = tokens.find(request.body.token);
      if (tokens.required && caller === null)
        throw new ProblemError('UNAUTHENTICATED', 'The token is not one of this queen.', { field: 'token' });
      if (caller !== null) reply.setCookie(sessionCookie, request.body.token, { ...cookie, maxAge: sessionSeconds });
      return { required: tokens.required, role: caller?.role ?? null };
    },
  );

  app.delete(
    '/v1/session',
    {
      config: { need: 'open' },
      schema: {
        operationId: 'logOut',
        summary: 'Drop the cookie',
        tags: ['service'],
        response: answers({ status: 204, description: 'Dropped.' }),
      },
    },
    async (_request, reply) => {
      reply.clearCookie(sessionCookie, cookie);
      return reply.code(204).send();
    },
  );
};
