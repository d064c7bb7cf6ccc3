import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Id } from '../../contract/primitives.js';
import { BestQuery, GpusQuery, HivesQuery, WorkersQuery } from '../../contract/queries.js';
import { ProblemError } from '../../http/problem.js';
import type { GpuQuery, HiveQuery, WorkerQuery } from '../../queen/queries.js';
import type { ServerContext } from '../context.js';
import { answers, refTo } from '../openapi.js';

const hiveParams = Type.Object({ id: Id('The hive.') });
const workerParams = Type.Object({ hive: Id('The hive.'), group: Id('The group.'), instance: Id('The instance.') });
const gpuParams = Type.Object({ uuid: Type.String({ minLength: 1, maxLength: 96 }) });

/** `k:v` pairs of a query string -> labels. */
export function labelsOf(label: string | readonly string[] | undefined): Record<string, string> | undefined {
  if (label === undefined) return undefined;
  const pairs = typeof label === 'string' ? [label] : label;
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)] as const),
  );
}

const absent = (what: string, id: string) => new ProblemError('NOT_FOUND', `There is no ${what} ${id}.`);

function present<T>(value: T | null, what: string, id: string): T {
  if (value === null) throw absent(what, id);
  return value;
}

/** Everything one can ask; none of it changes what the registry holds, but that a pick is debited. */
export const queryRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  const list = (name: 'HiveList' | 'WorkerList' | 'GpuList') =>
    answers({ description: 'One page.', schema: refTo(name) });
  const one = (name: 'HiveView' | 'WorkerView' | 'GpuView' | 'History', description: string) =>
    answers({ description, schema: refTo(name) }, 404);

  app.get(
    '/v1/hives',
    {
      schema: {
        operationId: 'listHives',
        summary: 'Hives, whatever their liveness',
        tags: ['hives'],
        querystring: HivesQuery,
        response: list('HiveList'),
      },
    },
    async ({ query: { label, ...query } }) => {
      const labels = labelsOf(label);
      return registry.hives({ ...query, ...(labels && { labels }) } as HiveQuery);
    },
  );

  app.get(
    '/v1/hives/:id',
    {
      schema: {
        operationId: 'getHive',
        summary: 'One hive',
        tags: ['hives'],
        params: hiveParams,
        response: one('HiveView', 'The hive.'),
      },
    },
    async ({ params: { id } }) => present(registry.hive(id), 'hive', id),
  );

  app.delete(
    '/v1/hives/:id',
    {
      config: { need: 'admin' },
      schema: {
        operationId: 'removeHive',
        summary: 'Forget a hive, its workers and its reservations',
        description: 'If it still sends, it is back with its next heartbeat.',
        tags: ['hives'],
        params: hiveParams,
        response: answers({ status: 204, description: 'Forgotten.' }, 404),
      },
    },
    async ({ params: { id } }, reply) => {
      if (!registry.removeHive(id)) throw absent('hive', id);
      bus.removed(id);
      return reply.code(204).send();
    },
  );

  app.get(
    '/v1/hives/:id/history',
    {
      schema: {
        operationId: 'getHiveHistory',
        summary: 'The last hour of a hive',
        tags: ['hives'],
        params: hiveParams,
        response: one('History', 'Series by name.'),
      },
    },
    async ({ params: { id } }) => present(registry.history(id), 'hive', id),
  );

  app.get(
    '/v1/workers',
    {
      schema: {
        operationId: 'listWorkers',
        summary: 'Workers by model, state, group, hive, label or room',
        tags: ['workers'],
        querystring: WorkersQuery,
        response: list('WorkerList'),
      },
    },
    async ({ query: { label, ...query } }) => {
      const labels = labelsOf(label);
      return registry.workers({ ...query, ...(labels && { labels }) } as WorkerQuery);
    },
  );

  app.get(
    '/v1/workers/best',
    {
      config: { need: 'schedule' },
      schema: {
        operationId: 'bestWorker',
        summary: 'The worker to send a request for a model to',
        description:
          'Ready and idle, else the least loaded; ties are drawn at random. A pick counts as load until the next heartbeat of its hive, ' +
          'so that callers within one interval spread. `worker` is null where none is ready.',
        tags: ['scheduling'],
        querystring: BestQuery,
        response: answers({ description: 'The pick.', schema: refTo('BestWorker') }),
      },
    },
    async ({ query: { model } }) => ({ worker: registry.findBestWorkerForModel(model), warming: registry.warming }),
  );

  app.get(
    '/v1/workers/:hive/:group/:instance',
    {
      schema: {
        operationId: 'getWorker',
        summary: 'One worker',
        tags: ['workers'],
        params: workerParams,
        response: one('WorkerView', 'The worker.'),
      },
    },
    async ({ params: { hive, group, instance } }) =>
      present(registry.worker(hive, group, instance), 'worker', `${hive}/${group}/${instance}`),
  );

  app.get(
    '/v1/workers/:hive/:group/:instance/history',
    {
      schema: {
        operationId: 'getWorkerHistory',
        summary: 'The last hour of a worker',
        tags: ['workers'],
        params: workerParams,
        response: one('History', 'Series by name.'),
      },
    },
    async ({ params: { hive, group, instance } }) =>
      present(registry.history(hive, `${group}/${instance}`), 'worker', `${hive}/${group}/${instance}`),
  );

  app.get(
    '/v1/gpus',
    {
      schema: {
        operationId: 'listGpus',
        summary: 'GPUs and MIG devices, with the room left on each',
        tags: ['gpus'],
        querystring: GpusQuery,
        response: list('GpuList'),
      },
    },
    async ({ query }) => registry.gpus(query as GpuQuery),
  );

  app.get(
    '/v1/gpus/:uuid',
    {
      schema: {
        operationId: 'getGpu',
        summary: 'One GPU',
        tags: ['gpus'],
        params: gpuParams,
        response: one('GpuView', 'The GPU.'),
      },
    },
    async ({ params: { uuid } }) => present(registry.gpu(uuid), 'GPU', uuid),
  );

  app.get(
    '/v1/gpus/:uuid/history',
    {
      schema: {
        operationId: 'getGpuHistory',
        summary: 'The last hour of a GPU',
        tags: ['gpus'],
        params: gpuParams,
        response: one('History', 'Series by name.'),
      },
    },
    async ({ params: { uuid } }) => present(registry.gpuHistory(uuid), 'GPU', uuid),
  );

  app.get(
    '/v1/fleet',
    {
      schema: {
        operationId: 'getFleet',
        summary: 'Totals',
        tags: ['fleet'],
        response: answers({ description: 'Totals over all hives known.', schema: refTo('Fleet') }),
      },
    },
    async () => registry.fleet(bus.state()),
  );

  app.get(
    '/v1/audit',
    {
      config: { need: 'admin' },
      schema: {
        operationId: 'audit',
        summary: 'Check the registry’s indexes against what they index',
        description: 'Walks everything; for whoever looks for a fault in the queen.',
        tags: ['fleet'],
        response: answers({
          description: 'What is wrong, in words; empty: nothing.',
          schema: Type.Object({ findings: Type.Array(Type.String()) }),
        }),
      },
    },
    async () => ({ findings: registry.audit() }),
  );
};
