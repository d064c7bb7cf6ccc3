import type { FastifyInstance } from 'fastify';
import { ProblemError } from '../http/problem.js';
import { Limiter } from '../util/rate-limiter.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** When its handler began, ms; 0: it has not. */
    beganMs: number;
  }
}

/** Time of the event loop for each request that a caller may make: at 2000 a second 400 ms of a second. */
const msPerRequest = 0.2;
const burstSeconds = 10;
/** However few requests a caller may make, the first answer of a queen that has just started takes tens of milliseconds. */
const leastBurstMs = 500;
/** An answer that is written in pieces waits for others meanwhile. */
const mostMs = 250;
/** Who asks for too much waits for the refusal, since a refusal costs too; so many wait at most. */
const waitMs = 200;
const mostWaiting = 1000;

/** What callers have taken of it, by token or address. */
export function timeShares(requestsPerSecond: number): Limiter {
  const perSecond = requestsPerSecond * msPerRequest;
  return new Limiter({ perSecond, burst: Math.max(leastBurstMs, perSecond * burstSeconds) });
}

/** Charges the time that answers take to the token or address that asks, so that no caller takes the queen from the others. */
export function registerTimeShares(app: FastifyInstance, taken: Limiter): void {
  let waiting = 0;
  app.decorateRequest('beganMs', 0);
  app.addHook('onRequest', (request, _reply, done) => {
    if (taken.size === 0 || !taken.isEmpty(request.caller?.key ?? request.ip)) return done();
    const refusal = new ProblemError('RATE_LIMITED', 'The answers to this token or address took too much time.', {
      retryAfterSeconds: 1,
    });
    if (waiting >= mostWaiting) return done(refusal);
    waiting++;
    setTimeout(() => {
      waiting--;
      done(refusal);
    }, waitMs).unref();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    request.beganMs = performance.now();
    done();
  });
  app.addHook('onSend', (request, _reply, payload, done) => {
    if (request.beganMs > 0) {
      const ms = Math.min(mostMs, performance.now() - request.beganMs);
      taken.charge(request.caller?.key ?? request.ip, ms);
    }
    done(null, payload);
  });
}
