import type { FastifyInstance } from 'fastify';
import { contentTypes, Exposition, negotiate } from '../metrics/exposition.js';
import { processProbe } from '../metrics/process.js';
import { familiesOfHive, type HiveReport, type HiveScrape, hiveScrape } from './metric-families.js';

/** A hive does nearly all of its work once a second: more often would wake it more than the work does. */
const lagEveryMs = 1000;

/** GET /metrics of a hive: its own host, gathered when it is asked. */
export function hiveMetrics(app: FastifyInstance, report: () => HiveReport): void {
  const probe = processProbe(lagEveryMs);
  const exposition = new Exposition<HiveScrape>([...familiesOfHive, ...probe.families]);
  app.get('/metrics', async (request, reply) => {
    const format = negotiate(request.headers.accept);
    const text = await exposition.text(format, hiveScrape(report()));
    return reply.type(contentTypes[format]).header('vary', 'accept').send(text);
  });
  app.addHook('onClose', async () => probe.close());
}
