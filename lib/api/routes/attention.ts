import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { silenceAct } from '../../cluster/acts.js';
import { SilenceRequest, SilenceTarget } from '../../contract/silence.js';
import { ProblemError } from '../../http/problem.js';
import { attentionLines } from '../../present/silence.js';
import type { ServerContext } from '../context.js';
import { answers, describe, refTo } from '../openapi.js';

/** What needs attention, and who looks at it already. */
export const attentionRoutes: FastifyPluginAsyncTypebox<ServerContext> = async (app, { registry, bus }) => {
  app.get(
    '/v1/attention',
    describe('attention', 'What needs attention, the worst first', 'fleet', {
      description:
        'Equal things on several hosts are one line. Those that are acknowledged or silenced come last, with who, why and until when.',
      response: answers({ description: 'All of it.', schema: refTo('AttentionList') }),
    }),
    async () => ({
      items: attentionLines(registry.attention().items, registry.silences.list()),
      warming: registry.warming,
    }),
  );
  app.get(
    '/v1/silences',
    describe('listSilences', 'What is acknowledged or silenced', 'fleet', {
      response: answers({ description: 'All of them.', schema: refTo('SilenceList') }),
    }),
    async () => ({ items: registry.silences.list() }),
  );
  app.post(
    '/v1/silences',
    {
      config: { need: 'admin' },
      ...describe('silence', 'Acknowledge or silence a cause', 'fleet', {
        description:
          'It is left out of counts and of the webhook, and listed with who, why and until when. It holds at every queen of a bus and with `--state` ' +
          'over a restart. An event says who and why. One that is acknowledged ends once its trouble has been over for a minute.',
        body: SilenceRequest,
        response: answers({ description: 'What holds now.', schema: refTo('SilenceList') }, 413, 415, 503),
      }),
    },
    async ({ body }) => {
      const entries = registry.silences.set(body);
      if (entries === null)
        throw new ProblemError('TOO_MANY_SILENCES', 'Too much is silenced already: lift some, or wait until they end.');
      for (const entry of entries) bus.passOn(silenceAct(entry));
      return { items: entries.flatMap(({ silence }) => (silence === null ? [] : [silence])) };
    },
  );
  app.delete(
    '/v1/silences',
    {
      config: { need: 'admin' },
      ...describe('unsilence', 'Lift a silence', 'fleet', {
        querystring: SilenceTarget,
        response: answers({ status: 204, description: 'Lifted.' }, 404),
      }),
    },
    async ({ query: { cause, hive } }, reply) => {
      const entry = registry.silences.lift(cause, hive ?? null);
      if (entry === null)
        throw new ProblemError('NOT_FOUND', `No silence of ${cause} on ${hive ?? 'the fleet'} holds.`);
      bus.passOn(silenceAct(entry));
      return reply.code(204).send();
    },
  );
};
