import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { CordonRequest } from '../../contract/cordon.js';
import { Id } from '../../contract/primitives.js';
import { ProblemError } from '../../http/problem.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo } from '../openapi.js';

const params = Type.Object({ id: Id('The hive.') });

/** Taking a host out of scheduling at the queen, and back. */
export const cordonRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.post(
    '/v1/hives/:id/cordon',
    {
      config: { need: 'admin' },
      ...describe('cordon', 'Take a hive out of scheduling', 'hives', {
        description:
          'No worker is placed there and no request is sent there, until it is uncordoned or the time is over. Its workers go on, and are still ' +
          'shown. It holds at every queen of a bus, over the restart of the hive, and with `--state` over that of the queen. An event says who and why.',
        params,
        body: CordonRequest,
        response: answers({ description: 'What holds now.', schema: refTo('Cordon') }, 404, 413, 415),
      }),
    },
    async ({ params: { id }, body }) => {
      if (registry.hive(id) === null) throw new ProblemError('NOT_FOUND', `There is no hive ${id}.`);
      const entry = registry.cordons.set(id, body);
      bus.passOn({ type: 'cordon', ...entry });
      return entry.cordon;
    },
  );
  app.post(
    '/v1/hives/:id/uncordon',
    {
      config: { need: 'admin' },
      ...describe('uncordon', 'Take a hive back into scheduling', 'hives', {
        description: 'Says the same of a hive that was not cordoned.',
        params,
        response: answers({ status: 204, description: 'It is not cordoned.' }, 404),
      }),
    },
    async ({ params: { id } }, reply) => {
      const entry = registry.cordons.lift(id);
      if (entry !== null) bus.passOn({ type: 'cordon', ...entry });
      else if (registry.hive(id) === null) throw new ProblemError('NOT_FOUND', `There is no hive ${id}.`);
      return reply.code(204).send();
    },
  );
};
