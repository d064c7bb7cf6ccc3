import type { FastifyInstance } from 'fastify';
import { exceededBudget, type JsonBudget } from '../util/json-budget.js';
import { ProblemError } from './problem.js';

/** Far above what any request of people has; 64 KiB of brackets took 20 ms to parse and to look through. */
const requestBudget: JsonBudget = { depth: 32, nodes: 10_000, keys: 1000, stringBytes: 64 * 1024 };

/** Bodies of JSON are judged by their parts before they are parsed. */
export function judgeJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const exceeded = exceededBudget(body as Buffer, requestBudget);
    if (exceeded === null) parse(request, body.toString('utf8'), done);
    else done(new ProblemError('TOO_COMPLEX', `The body has ${exceeded}.`), undefined);
  });
}
