import { createRequire } from 'node:module';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { TSchema } from 'typebox';
import * as contract from '../contract/index.js';
import { CachedDocument } from './cached-document.js';

/** Schemas that the document names once and refers to. */
const schemaNames = [
  'Problem',
  'HiveInfo',
  'HostSample',
  'GpuSample',
  'StoredGpu',
  'WorkerSample',
  'HiveEvent',
  'Fault',
  'Collection',
  'Heartbeat',
  'HeartbeatReply',
  'Cordon',
  'CordonRequest',
  'Silence',
  'SilenceRequest',
  'SilenceList',
  'AttentionLine',
  'AttentionList',
  'HiveView',
  'WorkerView',
  'GpuView',
  'HiveList',
  'WorkerList',
  'GpuList',
  'BestWorker',
  'PlacementRequest',
  'PlacementReply',
  'Reservation',
  'MissingCounts',
  'Fleet',
  'Missing',
  'MissingList',
  'History',
  'FleetEvent',
  'Session',
  'SessionRequest',
] as const;

export type SchemaName = (typeof schemaNames)[number];

const named: Readonly<Record<SchemaName, TSchema>> = contract;

export const refTo = (name: SchemaName) => ({ $ref: `${name}#` });

const names = new Map<unknown, string>(schemaNames.map((name) => [named[name], name]));

/** A copy in which each schema that has a name is a reference. */
function withReferences(schema: unknown, isRoot: boolean): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  const name = isRoot ? undefined : names.get(schema);
  if (name !== undefined) return { $ref: `${name}#` };
  if (Array.isArray(schema)) return schema.map((each) => withReferences(each, false));
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withReferences(value, false)]));
}

const problemResponse = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: refTo('Problem') } },
});

const descriptions: Readonly<Record<number, string>> = {
  400: 'The request is malformed; `field` names what.',
  401: 'A token is needed.',
  403: 'The token, the host name or the origin does not allow this.',
  404: 'There is no such resource.',
  409: 'It contradicts what the queen knows.',
  413: 'The body is too large.',
  415: 'Another media type or encoding is needed.',
  426: 'It is spoken to in another protocol.',
  429: 'Too many requests; Retry-After says when.',
  500: 'The queen failed.',
  503: 'Not now; Retry-After says when.',
};

/** Response schemas of a route: what it answers, and the errors it can give. */
export function answers(
  ok: { readonly status?: number; readonly description: string; readonly schema?: unknown; readonly type?: string },
  ...errors: readonly number[]
): Record<number, unknown> {
  const { status = 200, description, schema, type = 'application/json' } = ok;
  return {
    // `null` is how a reply without a body is written.
    [status]: schema === undefined ? { type: 'null', description } : { description, content: { [type]: { schema } } },
    ...problemAnswers(...errors),
  };
}

/** The errors that any route can give, and its own. */
export const problemAnswers = (...errors: readonly number[]): Record<number, unknown> =>
  Object.fromEntries(
    [...new Set([400, 401, 403, 429, 500, ...errors])].map((code) => [code, problemResponse(descriptions[code] ?? '')]),
  );

/** What a route says of itself. */
export const describe = <S extends { response: unknown }>(
  operationId: string,
  summary: string,
  tag: string,
  schema: S,
) => ({ schema: { operationId, summary, tags: [tag], ...schema } });

const docsPolicy =
  "default-src 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'none'; img-src 'self' data:; " +
  "font-src 'self' data:; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'";

/** Must be registered before the routes that it is to describe. */
export async function registerSchemas(app: FastifyInstance, version: string): Promise<void> {
  for (const name of schemaNames) app.addSchema({ $id: name, ...(withReferences(named[name], true) as object) });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'hivepulse queen',
        version,
        description:
          'Who is alive, who is idle, who serves a model, and where a new worker would fit. Fields ending in Bytes, Percent, Seconds, ' +
          'Watts, Celsius or Mhz have that unit; 100 percent is one whole CPU core or one whole GPU; null means not known. ' +
          'Every error is an RFC 9457 problem with a stable `code`.',
        license: { name: 'MIT' },
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'Role hive, read, schedule or admin.' },
          cookie: { type: 'apiKey', in: 'cookie', name: 'hivepulse_token' },
        },
      },
      security: [{ token: [] }, { cookie: [] }, {}],
    },
    refResolver: { buildLocalReference: (json, _uri, _fragment, i) => String(json.$id ?? `schema${i}`) },
  });
}

/** Once somebody asks for the document as YAML: its 73 modules take 7 MiB of a process. */
const loadYaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

/** The document and the page that shows it. */
export async function registerDocs(app: FastifyInstance): Promise<void> {
  const json = 'application/json; charset=utf-8';
  // Addresses are relative to the document, so that it holds behind a path prefix.
  const text = (url: string) => JSON.stringify({ ...app.swagger(), servers: [{ url }] });
  const documents = new Map([
    ['/docs/yaml', new CachedDocument('application/x-yaml', () => loadYaml().stringify(JSON.parse(text('..'))))],
    ['/docs/json', new CachedDocument(json, () => text('..'))],
  ]);
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiHooks: {
      preHandler: (request, reply, done) => {
        const document = documents.get(request.routeOptions.url ?? '');
        if (document === undefined) done();
        else document.send(request, reply);
      },
    },
    staticCSP: docsPolicy,
    uiConfig: { deepLinking: true, validatorUrl: null },
    transformSpecification: (document) => ({ ...document, servers: [{ url: '..' }] }),
    transformSpecificationClone: false,
  });
  const openApi = new CachedDocument(json, () => text('.'));
  app.get('/openapi.json', { schema: { hide: true }, config: { need: 'open' } }, (request, reply) => {
    openApi.send(request, reply);
  });
}
