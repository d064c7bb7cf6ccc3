import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError, toProblem } from '../../http/problem.js';
import type { HeartbeatBody } from '../../queen/heartbeat-body.js';
import type { HeartbeatSource, IntakeOutcome, RefusedHeartbeat } from '../../queen/intake.js';
import type { ServerContext } from '../context.js';
import { DuplicateIds } from '../duplicate-ids.js';
import { answers, refTo } from '../openapi.js';

/** Statuses of refusals that the sender could have known. */
const avoidable: ReadonlySet<number> = new Set([400, 403, 409, 413, 415]);

/** A token may be a whole fleet's: one host that is wrong must not silence the others. */
export const sourceOf = ({ caller, ip }: FastifyRequest): HeartbeatSource => ({
  key: `${caller?.key ?? ''} ${ip}`,
  owner: caller?.key ?? ip,
  hive: caller?.hive ?? null,
});

/** What the intake refused and has counted. */
class RefusalProblem extends ProblemError {
  constructor({ code, message, field, retryAfterSeconds }: RefusedHeartbeat) {
    super(code, message, { field, retryAfterSeconds });
  }
}

/** Heartbeats over HTTP. What may come in is decided by the intake; here it gets its status. */
export async function heartbeatRoutes(app: FastifyInstance, { intake }: ServerContext): Promise<void> {
  const { maxHeartbeatBytes: bodyLimit } = intake.limits;
  const duplicates = new DuplicateIds();

  app.addHook('onRequest', (request, _reply, done) => {
    const refused = intake.admit(sourceOf(request).key);
    if (refused === null) done();
    else done(new ProblemError('RATE_LIMITED', refused.message, refused));
  });
  // Also what the guard, the parser or the limit of a body refuses.
  app.addHook('onError', (request, _reply, error, done) => {
    const { code, status } = toProblem(error);
    if (!(error instanceof RefusalProblem)) intake.countRefusal(sourceOf(request).key, code, avoidable.has(status));
    done();
  });

  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer', bodyLimit }, (request, bytes: Buffer, done) => {
    done(null, { bytes, encoding: request.headers['content-encoding'] ?? null });
  });

  const answer = (request: FastifyRequest, reply: FastifyReply, outcome: IntakeOutcome): void => {
    if (outcome.accepted) {
      // As text: nothing is left to serialize.
      reply.type('application/json; charset=utf-8').send(JSON.stringify(outcome.ack));
      return;
    }
    duplicates.refused(outcome, request.log, request.ip);
    reply.send(new RefusalProblem(outcome));
  };

  app.post(
    '/v1/heartbeats',
    {
      bodyLimit,
      config: { need: 'heartbeat' },
      // Validated by the intake, which keeps what is right of a heartbeat; the schema here is for the document.
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
    // No promise unless one has to be waited for.
    (request, reply): void => {
      // A request without a body never met the parser.
      const body = (request.body ?? { bytes: Buffer.from('null'), encoding: null }) as HeartbeatBody;
      const outcome = intake.receive(body, sourceOf(request));
      if (!(outcome instanceof Promise)) answer(request, reply, outcome);
      else outcome.then((done) => answer(request, reply, done)).catch((error: unknown) => reply.send(error));
    },
  );
}
