import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { EventsQuery } from '../../contract/queries.js';
import { takesGzip } from '../../http/gzip-stream.js';
import { ProblemError } from '../../http/problem.js';
import type { ServerContext } from '../context.js';
import { answers } from '../openapi.js';
import type { StreamFilter } from '../stream-rows.js';

function filterOf({ hive, model, kind, changes, lists }: EventsQuery): StreamFilter {
  // Where rows are a few they are sent whole.
  const isOfAll = hive === undefined && model === undefined;
  return {
    ...(hive === undefined ? {} : { hive }),
    ...(model === undefined ? {} : { model }),
    ...(kind === undefined ? {} : { kinds: kind.split(',') }),
    ...(changes === true && isOfAll ? { changes, ...(lists === true ? { lists } : {}) } : {}),
  };
}

export const eventRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { hub, time }) => {
  app.get(
    '/v1/events',
    {
      exposeHeadRoute: false,
      compress: false,
      schema: {
        operationId: 'streamEvents',
        summary: 'Everything that happens, as server-sent events',
        description: [
          '`snapshot` first (all hives and workers); `heartbeat` (rows that changed; all rows of the hive with `?hive=`); with `?changes=true` mostly `changes` in its place;',
          '`event` (what hives report) and `queenEvent` (what the queen finds out), which alone carry ids and are replayed after',
          'Last-Event-ID; `reset` before the snapshot where that id is no longer known; `lagged {dropped}` to a client that read too slowly, and then a new `snapshot`;',
          '`position {lastEventId}` of a stream with a filter, under the id of the newest event: up to it nothing that passes the filter is missing.',
        ].join(' '),
        tags: ['fleet'],
        querystring: EventsQuery,
        response: answers({ description: 'The stream.', type: 'text/event-stream', schema: { type: 'string' } }, 503),
      },
    },
    (request, reply) => {
      if (hub.closed) throw new ProblemError('CLOSING', 'The queen is shutting down.', { retryAfterSeconds: 1 });
      const { changes, lastEventId } = request.query;
      const filter = filterOf(request.query);
      const gzip = changes === true && takesGzip(request.headers['accept-encoding']);
      const caller = request.caller?.key ?? request.ip;
      const refusal = hub.refusal(caller, filter);
      if (refusal !== null) throw new ProblemError('TOO_MANY_STREAMS', refusal, { retryAfterSeconds: 5 });
      const given = request.headers['last-event-id'];
      const stood = (typeof given === 'string' && given !== '' ? given : lastEventId) ?? null;
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) reply.raw.setHeader(name, value);
      reply.hijack();
      // It ends with its connection: without chunks each message is one buffer that all readers share, and one write.
      reply.raw.removeHeader('transfer-encoding');
      request.raw.socket.setNoDelay(true);
      request.raw.socket.setKeepAlive(true, 30_000);
      hub.open(reply.raw, filter, stood?.slice(0, 128) ?? null, caller, (ms) => time.charge(caller, ms), gzip);
    },
  );
};
