import type { FastifyInstance } from 'fastify';
import { ByteBudget } from '../util/byte-budget.js';
import { ProblemError } from './problem.js';

/** Bytes of request bodies under way: together, and of one token or one address. */
export const bodyBudget = { total: 192 * 1024 * 1024, perKey: 48 * 1024 * 1024 };

/** A body of this size costs less than the connection it comes on. */
const smallBytes = 1024;

/**
 * Room for a body is taken before its first byte is read and given back with the answer, so that slow senders hold no
 * more memory than the budget.
 */
export function registerBodyBudget(app: FastifyInstance, limits: typeof bodyBudget = bodyBudget): void {
  const budget = new ByteBudget(limits);
  app.addHook('onRequest', (request, reply, done) => {
    const { 'content-length': length } = request.headers;
    if (length === undefined) return done();
    const most = request.routeOptions.bodyLimit ?? app.initialConfig.bodyLimit ?? 0;
    const bytes = Number(length);
    // What is longer than its limit is refused unread.
    if (bytes <= smallBytes || bytes > most) return done();
    const keys = request.caller === null ? [request.ip] : [request.ip, request.caller.key];
    const giveBack = budget.take(keys, bytes);
    if (giveBack === null)
      return done(
        new ProblemError('TOO_MANY_BYTES', 'Too many bytes of request bodies are under way.', { retryAfterSeconds: 1 }),
      );
    reply.raw.once('close', giveBack);
    done();
  });
}
