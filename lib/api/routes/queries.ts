import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Id } from '../../contract/primitives.js';
import { BestQuery, GpusQuery, HistoryQuery, HivesQuery, WorkersQuery } from '../../contract/queries.js';
import { isForeignPage } from '../../http/browser.js';
import { ProblemError } from '../../http/problem.js';
import type { GpuQuery, HiveQuery, WorkerQuery } from '../../queen/queries.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo, type SchemaName } from '../openapi.js';

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

/** A query as the registry takes it. */
function withLabels<Q>({ label, ...query }: { label?: string | readonly string[] }): Q {
  const labels = labelsOf(label);
  return { ...query, ...(labels && { labels }) } as Q;
}

const absent = (what: string, id: string) => new ProblemError('NOT_FOUND', `There is no ${what} ${id}.`);

function present<T>(value: T | null, what: string, id: string): T {
  if (value === null) throw absent(what, id);
  return value;
}

const ok = (description: string, name: SchemaName) => ({ response: answers({ description, schema: refTo(name) }) });
const page = (name: SchemaName) => ok('One page.', name);
const one = (description: string, name: SchemaName) => ({
  response: answers({ description, schema: refTo(name) }, 404),
});
const history = one('Series by name.', 'History');

const hiveRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.get(
    '/v1/hives',
    describe('listHives', 'Hives, whatever their liveness', 'hives', { querystring: HivesQuery, ...page('HiveList') }),
    async ({ query }) => registry.hives(withLabels<HiveQuery>(query)),
  );
  app.get(
    '/v1/hives/:id',
    describe('getHive', 'One hive', 'hives', { params: hiveParams, ...one('The hive.', 'HiveView') }),
    async ({ params: { id } }) => present(registry.hive(id), 'hive', id),
  );
  app.delete(
    '/v1/hives/:id',
    {
      config: { need: 'admin' },
      ...describe('removeHive', 'Forget a hive, its workers and its reservations', 'hives', {
        description: 'If it still sends, it is back with its next heartbeat.',
        params: hiveParams,
        response: answers({ status: 204, description: 'Forgotten.' }, 404),
      }),
    },
    async ({ params: { id } }, reply) => {
      if (!registry.removeHive(id)) throw absent('hive', id);
      bus.removed(id);
      return reply.code(204).send();
    },
  );
  app.get(
    '/v1/hives/:id/history',
    describe('getHiveHistory', 'The last hour or day of a hive', 'hives', {
      params: hiveParams,
      querystring: HistoryQuery,
      ...history,
    }),
    async ({ params: { id }, query: { span } }) => present(registry.history(id, undefined, span), 'hive', id),
  );
};

const workerRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry }) => {
  app.get(
    '/v1/workers',
    describe('listWorkers', 'Workers by model, state, group, hive, label or room', 'workers', {
      querystring: WorkersQuery,
      ...page('WorkerList'),
    }),
    async ({ query }) => registry.workers(withLabels<WorkerQuery>(query)),
  );
  app.get(
    '/v1/workers/best',
    {
      config: { need: 'schedule' },
      ...describe('bestWorker', 'The worker to send a request for a model to', 'scheduling', {
        description:
          'Where the request costs least: by the queue and speed of each engine and the picks that its figures do not show yet. Where no engine ' +
          'reports: ready and idle, else the least loaded. Ties are drawn at random. A pick counts until the engine’s counters show it, 5 s at ' +
          'most (where no engine reports: until the next heartbeat of its hive), so that callers spread. Workers that are full, stale, sleeping or ' +
          'stalled come last; `why` says so where all are. Only a worker with an `endpoint` is picked; `worker` is null where none is ready.',
        querystring: BestQuery,
        ...ok('The pick.', 'BestWorker'),
      }),
    },
    async ({ query, headers }) => {
      // A pick counts as load: a GET that a foreign page can make a browser send must not cause one.
      if (isForeignPage(headers))
        throw new ProblemError('ORIGIN_NOT_ALLOWED', 'A pick is not given to a page of another origin.');
      return registry.pickWorkers(query);
    },
  );
  app.post(
    '/v1/workers/picks/:id/done',
    {
      config: { need: 'schedule' },
      ...describe('pickDone', 'A picked request is over, or was not sent', 'scheduling', {
        description:
          'Optional: its pick counts no longer, even though the engine’s figures do not show it yet. Says the same of a pick that ' +
          'counted no longer, or that another queen made.',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: answers({ status: 204, description: 'It counts no longer.' }),
      }),
    },
    async ({ params: { id } }, reply) => {
      registry.pickDone(id);
      return reply.code(204).send();
    },
  );
  app.get(
    '/v1/workers/:hive/:group/:instance',
    describe('getWorker', 'One worker', 'workers', { params: workerParams, ...one('The worker.', 'WorkerView') }),
    async ({ params: { hive, group, instance } }) =>
      present(registry.worker(hive, group, instance), 'worker', `${hive}/${group}/${instance}`),
  );
  app.get(
    '/v1/workers/:hive/:group/:instance/history',
    describe('getWorkerHistory', 'The last hour or day of a worker', 'workers', {
      params: workerParams,
      querystring: HistoryQuery,
      ...history,
    }),
    async ({ params: { hive, group, instance }, query: { span } }) =>
      present(registry.history(hive, `${group}/${instance}`, span), 'worker', `${hive}/${group}/${instance}`),
  );
};

const gpuAndFleetRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.get(
    '/v1/gpus',
    describe('listGpus', 'GPUs and MIG devices, with the room left on each', 'gpus', {
      querystring: GpusQuery,
      ...page('GpuList'),
    }),
    async ({ query }) => registry.gpus(query as GpuQuery),
  );
  app.get(
    '/v1/gpus/:uuid',
    describe('getGpu', 'One GPU', 'gpus', { params: gpuParams, ...one('The GPU.', 'GpuView') }),
    async ({ params: { uuid } }) => present(registry.gpu(uuid), 'GPU', uuid),
  );
  app.get(
    '/v1/gpus/:uuid/history',
    describe('getGpuHistory', 'The last hour or day of a GPU', 'gpus', {
      params: gpuParams,
      querystring: HistoryQuery,
      ...history,
    }),
    async ({ params: { uuid }, query: { span } }) => present(registry.gpuHistory(uuid, span), 'GPU', uuid),
  );
  app.get('/v1/fleet', describe('getFleet', 'Totals', 'fleet', ok('Totals over all hives known.', 'Fleet')), async () =>
    registry.fleet(bus.state()),
  );
  app.get(
    '/v1/fleet/history',
    describe('getFleetHistory', 'The last hour or day of the fleet as a whole', 'fleet', {
      description:
        'Over hosts that are online: `gpuUtilizationPercent`, the mean over GPUs; `powerWatts` of GPUs; `generationTokensPerSecond`; `workers`.',
      querystring: HistoryQuery,
      ...ok('The history.', 'History'),
    }),
    async ({ query: { span } }) => registry.fleetHistory(span),
  );
  app.get(
    '/v1/audit',
    {
      config: { need: 'admin' },
      ...describe('audit', 'Check the registry’s indexes against what they index', 'fleet', {
        description: 'Walks everything; for whoever looks for a fault in the queen.',
        response: answers({
          description: 'What is wrong, in words; empty: nothing.',
          schema: Type.Object({ findings: Type.Array(Type.String()) }),
        }),
      }),
    },
    async () => ({ findings: registry.audit() }),
  );
};

/** Everything one can ask; none of it changes what the registry holds, but that a pick is debited. */
export const queryRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, context) => {
  for (const routes of [hiveRoutes, workerRoutes, gpuAndFleetRoutes]) await app.register(routes, context);
};
