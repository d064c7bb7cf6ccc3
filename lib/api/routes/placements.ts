import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { PlacementRequest } from '../../contract/api.js';
import { ProblemError } from '../../http/problem.js';
import { HivepulseError } from '../../util/errors.js';
import type { ServerContext } from '../context.js';
import { answers, refTo } from '../openapi.js';

/** What the bus says, as an answer. */
function problemFrom(error: unknown): unknown {
  if (!(error instanceof HivepulseError)) return error;
  if (error.code === 'IDEMPOTENCY_CONFLICT')
    return new ProblemError('IDEMPOTENCY_CONFLICT', error.message, { field: error.subject });
  if (error.code === 'BUS_UNAVAILABLE')
    return new ProblemError('BUS_UNAVAILABLE', error.message, { retryAfterSeconds: 1 });
  return error;
}

export const placementRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.post(
    '/v1/placements',
    {
      config: { need: 'schedule' },
      schema: {
        operationId: 'place',
        summary: 'Where a new worker would fit, and on request the room held for it',
        description:
          'With `reserveSeconds` the room of the best candidate is held until its worker (which carries `reservationId`) is ready, or the ' +
          'time is over. The same `idempotencyKey` gives the same reservation.',
        tags: ['scheduling'],
        body: PlacementRequest,
        response: answers({ description: 'Best first.', schema: refTo('PlacementReply') }, 409, 413, 415, 503),
      },
    },
    async ({ body }) => {
      try {
        return await bus.place(body);
      } catch (error) {
        throw problemFrom(error);
      }
    },
  );

  app.get(
    '/v1/reservations',
    {
      schema: {
        operationId: 'listReservations',
        summary: 'Reservations in force',
        tags: ['scheduling'],
        response: answers({
          description: 'All of them.',
          schema: Type.Object({ items: Type.Array(Type.Unsafe(refTo('Reservation'))) }),
        }),
      },
    },
    async () => ({ items: registry.reservations() }),
  );

  app.delete(
    '/v1/reservations/:id',
    {
      config: { need: 'schedule' },
      schema: {
        operationId: 'release',
        summary: 'Give reserved room back',
        tags: ['scheduling'],
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: answers({ status: 204, description: 'Given back.' }, 404, 503),
      },
    },
    async ({ params: { id } }, reply) => {
      const released = await bus.release(id).catch((error) => {
        throw problemFrom(error);
      });
      if (!released)
        throw new ProblemError('NOT_FOUND', `There is no reservation ${id}; it was released, used or is over.`);
      return reply.code(204).send();
    },
  );
};
