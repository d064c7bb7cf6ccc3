import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger } from 'fastify';
import { Type } from 'typebox';
import { PlacementRequest } from '../../contract/api.js';
import { HivepulseError } from '../../errors.js';
import { answers, refTo } from '../openapi.js';
import { ProblemError } from '../problem.js';
import type { ServerContext } from '../server.js';

export const placementRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (
  app,
  { registry, reservationsSaved },
) => {
  /** Room that was granted must not be granted again by a queen that starts anew: the answer waits for the disk. */
  const saved = (log: FastifyBaseLogger) =>
    reservationsSaved().catch((error) => log.error({ err: error }, 'reservations are not kept over a restart'));

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
        response: answers({ description: 'Best first.', schema: refTo('PlacementReply') }, 409, 413, 415),
      },
    },
    async ({ body, log }) => {
      try {
        const reply = registry.place(body);
        if (reply.reservation !== null) await saved(log);
        return reply;
      } catch (error) {
        if (error instanceof HivepulseError && error.code === 'IDEMPOTENCY_CONFLICT')
          throw new ProblemError('IDEMPOTENCY_CONFLICT', error.message, { field: error.subject });
        throw error;
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
        response: answers({ status: 204, description: 'Given back.' }, 404),
      },
    },
    async ({ params: { id }, log }, reply) => {
      if (!registry.releaseReservation(id))
        throw new ProblemError('NOT_FOUND', `There is no reservation ${id}; it was released, used or is over.`);
      await saved(log);
      return reply.code(204).send();
    },
  );
};
