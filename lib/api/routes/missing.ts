import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { MissingKind } from '../../contract/missing.js';
import { Id } from '../../contract/primitives.js';
import { MissingQuery } from '../../contract/queries.js';
import { ProblemError } from '../../http/problem.js';
import type { MissingQueryOptions } from '../../queen/missing.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo } from '../openapi.js';

/** What was seen and is gone, until it is forgotten. */
export const missingRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.get(
    '/v1/missing',
    describe('listMissing', 'Hives, GPUs and workers that were seen and are gone', 'fleet', {
      description:
        'Each with its last values, since when and why; until it is back, is forgotten, or seven days have passed. Nothing is scheduled by them, ' +
        'and no other list or count has them. Hives first, then GPUs, then workers. `DELETE /v1/hives/{id}` forgets a hive with all of its own.',
      querystring: MissingQuery,
      response: answers({ description: 'One page.', schema: refTo('MissingList') }),
    }),
    async ({ query }) => registry.listMissing(query as MissingQueryOptions),
  );

  const forget = (kind: MissingKind, key: string, hive: string, what: string) => {
    if (!registry.missing.remove(kind, key))
      throw new ProblemError('NOT_FOUND', `No ${what} ${key} is missing; one that is there can't be forgotten.`);
    bus.passOn({ type: 'forget', kind, key, hive });
  };
  const forgotten = answers({ status: 204, description: 'Forgotten.' }, 404);
  app.delete(
    '/v1/gpus/:uuid',
    {
      config: { need: 'admin' },
      ...describe('forgetGpu', 'Forget a GPU that is missing', 'gpus', {
        params: Type.Object({ uuid: Type.String({ minLength: 1, maxLength: 96 }) }),
        response: forgotten,
      }),
    },
    async ({ params: { uuid } }, reply) => {
      forget('gpu', uuid, registry.missing.hiveOf('gpu', uuid) ?? '', 'GPU');
      return reply.code(204).send();
    },
  );
  app.delete(
    '/v1/workers/:hive/:group/:instance',
    {
      config: { need: 'admin' },
      ...describe('forgetWorker', 'Forget a worker that is missing', 'workers', {
        params: Type.Object({ hive: Id('The hive.'), group: Id('The group.'), instance: Id('The instance.') }),
        response: forgotten,
      }),
    },
    async ({ params: { hive, group, instance } }, reply) => {
      forget('worker', `${hive}/${group}/${instance}`, hive, 'worker');
      return reply.code(204).send();
    },
  );
};
