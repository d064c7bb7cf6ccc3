import type { FastifyInstance } from 'fastify';
import { ProblemError } from '../../http/problem.js';
import type { Upgrades } from '../../http/upgrade.js';
import type { ServerContext } from '../context.js';
import type { HeartbeatStreams } from '../heartbeat-streams.js';
import { problemAnswers } from '../openapi.js';
import { sourceOf } from './heartbeats.js';

interface StreamContext extends ServerContext {
  readonly upgrades: Upgrades;
  readonly streams: HeartbeatStreams;
}

/** Heartbeats over a connection that is kept: what a hive does where it can. */
export async function streamRoutes(app: FastifyInstance, { intake, upgrades, streams }: StreamContext): Promise<void> {
  app.addHook('onRequest', (request, _reply, done) => {
    const refused = intake.admit(sourceOf(request).key);
    done(refused === null ? undefined : new ProblemError('RATE_LIMITED', refused.message, refused));
  });
  app.get(
    '/v1/stream',
    {
      exposeHeadRoute: false,
      config: { need: 'heartbeat' },
      schema: {
        operationId: 'streamHeartbeats',
        summary: 'Take in what a hive sees, over a WebSocket',
        description:
          'Subprotocol `hivepulse.1`; docs/stream.md describes its messages. Tokens and certificates are those of `POST /v1/heartbeats`, ' +
          'which does the same with one request for each heartbeat.',
        tags: ['hives'],
        response: { 101: { type: 'null', description: 'The stream.' }, ...problemAnswers(426, 503) },
      },
    },
    (request, reply): void => {
      if (!upgrades.has(request.raw)) {
        reply.header('upgrade', 'websocket').header('connection', 'upgrade');
        throw new ProblemError('UPGRADE_REQUIRED', 'Ask for `Upgrade: websocket` with the subprotocol hivepulse.1.');
      }
      if (streams.isClosed) throw new ProblemError('CLOSING', 'The queen is shutting down.', { retryAfterSeconds: 1 });
      const upgrade = upgrades.take(request.raw);
      if (upgrade === null) return;
      reply.hijack();
      const keys = request.caller === null ? [request.ip] : [request.ip, request.caller.key];
      streams.accept(request.raw, upgrade, sourceOf(request), keys);
    },
  );
}
