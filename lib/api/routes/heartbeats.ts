import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { HeartbeatBody } from '../../cluster/bus.js';
import type { HeartbeatReply } from '../../contract/heartbeat.js';
import { readHeartbeat } from '../../contract/validate.js';
import { decompress, isEncoded, parseJson } from '../../http/body.js';
import { ProblemError, toProblem } from '../../http/problem.js';
import { Limiter } from '../../util/rate-limiter.js';
import type { ServerContext } from '../context.js';
import { answers, refTo } from '../openapi.js';

/** Bursts are what a hive sends after a pause of the network; it never has more than one request in flight. */
const burstSeconds = 2;

/** Answers to a beat that has nothing to say, as its sender may know beforehand. */
const refusals: ReadonlySet<number> = new Set([400, 403, 409, 413, 415]);
const refusedBurstSeconds = 10;

/** A token may be a whole fleet's: one host that is wrong must not silence the others. */
const senderOf = (request: FastifyRequest): string => `${request.caller?.key ?? ''} ${request.ip}`;

/** A body as it came, for whoever passes it on, and what it says. */
interface Frame {
  readonly bytes: Buffer;
  readonly encoding: string | null;
  readonly value: unknown;
}

function parse(plain: Buffer, body: HeartbeatBody, done: (error: Error | null, frame?: Frame) => void): void {
  let value: unknown;
  try {
    value = parseJson(plain);
  } catch (error) {
    done(error as Error);
    return;
  }
  done(null, { ...body, value });
}

export async function heartbeatRoutes(app: FastifyInstance, context: ServerContext): Promise<void> {
  const { registry, limits, bus, heartbeats } = context;
  /** Two hives of one id are said once a minute, not at each of their beats. */
  const duplicates = new Limiter({ perSecond: 1 / 60, burst: 1 });
  const beats = new Limiter({
    perSecond: limits.heartbeatsPerSecond,
    burst: Math.max(2, limits.heartbeatsPerSecond * burstSeconds),
  });

  const refusedPerSecond = limits.refusedHeartbeatsPerSecond ?? 10;
  const refused = new Limiter({ perSecond: refusedPerSecond, burst: refusedPerSecond * refusedBurstSeconds });

  // Beats of no hive have no limit of a hive: who sends too many is not read any more. In the usual case nobody does.
  app.addHook('onRequest', (request, _reply, done) => {
    if (refused.size === 0 || !refused.isEmpty(senderOf(request))) done();
    else
      done(
        new ProblemError('RATE_LIMITED', 'Too many heartbeats that were refused; see what was wrong with them.', {
          retryAfterSeconds: 1,
        }),
      );
  });
  // Also what the guard, the parser or the limit of a body refuses.
  app.addHook('onError', (request, _reply, error, done) => {
    const { code, status } = toProblem(error);
    heartbeats?.refuse(code);
    if (refusals.has(status)) refused.take(senderOf(request));
    done();
  });

  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: limits.maxHeartbeatBytes },
    (request, body: Buffer, done) => {
      const encoding = request.headers['content-encoding'];
      if (isEncoded(encoding))
        decompress(body, encoding, limits.maxHeartbeatBytes).then(
          (plain) => parse(plain, { bytes: body, encoding: encoding ?? null }, done),
          done,
        );
      else parse(body, { bytes: body, encoding: null }, done);
    },
  );

  app.post(
    '/v1/heartbeats',
    {
      bodyLimit: limits.maxHeartbeatBytes,
      config: { need: 'heartbeat' },
      // Judged by `readHeartbeat`, which keeps what is right of a frame; the schema here is for the document.
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'sendHeartbeat',
        summary: 'Take in what a hive sees',
        description:
          'An upsert: an unknown hive is registered. Unknown fields are ignored; one malformed worker is left out and becomes a fault. ' +
          'Bodies may be compressed (gzip, deflate, br).',
        tags: ['hives'],
        body: refTo('Heartbeat'),
        response: answers({ description: 'Taken.', schema: refTo('HeartbeatReply') }, 408, 409, 413, 415, 503),
      },
    },
    // No promise unless one has to be waited for, and the answer as text: nothing is left to serialize.
    (request, reply): void => {
      // A request without a body never met the parser.
      const frame = (request.body ?? { bytes: Buffer.alloc(0), encoding: null, value: null }) as Frame;
      const verdict = readHeartbeat(frame.value, { maxWorkers: limits.maxWorkersPerHive });
      if (!verdict.ok) {
        const { code, message, field } = verdict.refusal;
        throw new ProblemError(code, message, { field });
      }
      const { heartbeat } = verdict;
      const { id } = heartbeat.hive;
      const bound = request.caller?.hive ?? null;
      if (bound !== null && bound !== id)
        throw new ProblemError('WRONG_HIVE', `This token speaks for ${bound}, not for ${id}.`, { field: 'hive.id' });
      const wait = beats.take(id);
      if (wait > 0)
        throw new ProblemError(
          'RATE_LIMITED',
          `${id} sends more than ${limits.heartbeatsPerSecond} heartbeats a second.`,
          {
            retryAfterSeconds: wait,
          },
        );
      const outcome = registry.heartbeat(heartbeat);
      if (!outcome.accepted) {
        if (outcome.code === 'DUPLICATE_HIVE_ID' && duplicates.take(id) === 0)
          request.log.warn({ code: outcome.code, hive: id, address: request.ip }, outcome.message);
        const retry = outcome.code === 'TOO_MANY_HIVES' ? { retryAfterSeconds: 10 } : {};
        throw new ProblemError(outcome.code, outcome.message, retry);
      }
      if (heartbeats) heartbeats.accepted++;
      const answer = (ackEventSeq: number): void => {
        const taken: HeartbeatReply = {
          accepted: true,
          queenId: registry.queenId,
          ackEventSeq,
          intervalMs: outcome.intervalMs,
          ...(bus.state() === 'degraded' ? { degraded: true } : {}),
        };
        reply.type('application/json; charset=utf-8').send(JSON.stringify(taken));
      };
      const safe = bus.publishHeartbeat(heartbeat, frame, outcome.ackEventSeq);
      if (typeof safe === 'number') answer(safe);
      else safe.then(answer).catch((error: unknown) => reply.send(error));
    },
  );
}
