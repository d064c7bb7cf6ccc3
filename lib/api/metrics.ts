import { Readable } from 'node:stream';
import type { FastifyPluginAsync } from 'fastify';
import { Type } from 'typebox';
import { contentTypes, Exposition, negotiate } from '../metrics/exposition.js';
import { processProbe } from '../metrics/process.js';
import { inSlices } from '../util/slices.js';
import { type FleetScrape, type FleetSource, familiesOfQueen, scrapeSteps } from './metric-families.js';
import { answers } from './openapi.js';

/** GET /metrics of a queen: the fleet, gathered when it is asked. Needs a token of role `read` where tokens are. */
export function queenMetrics(source: () => FleetSource): FastifyPluginAsync {
  return async (app) => {
    const probe = processProbe();
    const exposition = new Exposition<FleetScrape>([...familiesOfQueen, ...probe.families], { paced: true });
    app.addHook('onClose', async () => probe.close());
    app.get(
      '/metrics',
      {
        config: { need: 'read' },
        schema: {
          operationId: 'metrics',
          summary: 'Metrics of the fleet for Prometheus',
          description:
            'OpenMetrics 1.0 or the text format 0.0.4, by the Accept header. docs/metrics.md lists the names.',
          tags: ['service'],
          response: answers({ description: 'The metrics.', schema: Type.String(), type: 'text/plain' }),
        },
      },
      async (request, reply) => {
        const format = negotiate(request.headers.accept);
        const pieces = await exposition.pieces(format, () => inSlices(scrapeSteps(source())));
        return reply.type(contentTypes[format]).header('vary', 'accept').send(Readable.from(pieces));
      },
    );
  };
}
