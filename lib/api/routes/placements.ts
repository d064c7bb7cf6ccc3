import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { PlacementRequest } from '../../contract/api.js';
import { ProblemError } from '../../http/problem.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo } from '../openapi.js';

export const placementRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.post(
    '/v1/placements',
    {
      config: { need: 'schedule' },
      ...describe('place', 'Where a new worker would fit, and on request the room held for it', 'scheduling', {
        description:
          'With `reserveSeconds` the room of the best candidate is held until its worker (which carries `reservationId`) is ready, or the ' +
          'time is over. The same `idempotencyKey` gives the same reservation.',
        body: PlacementRequest,
        response: answers({ description: 'Best first.', schema: refTo('PlacementReply') }, 409, 413, 415, 503),
      }),
    },
    async ({ body }) => bus.place(body),
  );
  app.get(
    '/v1/reservations',
    describe('listReservations', 'Reservations in force', 'scheduling', {
      response: answers({
        description: 'All of them.',
        schema: Type.Object({ items: Type.Array(Type.Unsafe(refTo('Reservation'))) }),
      }),
    }),
    async () => ({ items: registry.reservations() }),
  );
  app.delete(
    '/v1/reservations/:id',
    {
      config: { need: 'schedule' },
      ...describe('release', 'Give reserved room back', 'scheduling', {
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: answers({ status: 204, description: 'Given back.' }, 404, 503),
      }),
    },
    async ({ params: { id } }, reply) => {
      if (!(await bus.release(id)))
        throw new ProblemError('NOT_FOUND', `There is no reservation ${id}; it was released, used or is over.`);
      return reply.code(204).send();
    },
  );
};
