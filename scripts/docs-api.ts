// `npm run docs:api` writes docs/api.md from a queen's own description of itself, and from how it answers each role; a test
// fails where the two differ.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { HeartbeatStreams } from '../lib/api/heartbeat-streams.js';
import { queenMetrics } from '../lib/api/metrics.js';
import { buildServer } from '../lib/api/server.js';
import { StreamHub } from '../lib/api/stream-hub.js';
import { memoryBus } from '../lib/cluster/memory.js';
import { queenEventKinds } from '../lib/contract/api.js';
import { defaults } from '../lib/contract/defaults.js';
import { hiveEventKinds } from '../lib/contract/heartbeat.js';
import { roles, TokenTable } from '../lib/http/auth.js';
import { problems } from '../lib/http/problem.js';
import { streamLimits } from '../lib/http/sse.js';
import { HeartbeatIntake } from '../lib/queen/intake.js';
import { Registry } from '../lib/queen/registry.js';

const introduction = `# HTTP API of the queen

<!-- Written by \`npm run docs:api\` from the routes themselves; change it there. -->

A running queen describes every route with its schemas at \`/docs\` and \`/openapi.json\`. The client of the package
(\`HivepulseClient\`) is typed from the same schemas, and works in browsers too.

- JSON, camelCase, units in the name: \`Bytes\`, \`Percent\` (100 is one whole CPU core or GPU), \`Seconds\`, \`Watts\`, \`Celsius\`.
  \`null\` is what is not known, with an entry in the hive's \`faults\`; it is never 0.
- Every hive, worker and GPU says whose it is (\`hive\`), that hive's \`liveness\` and how old it is (\`ageMs\`). While \`warming\` is true the
  queen has just started, and what is missing may only not have spoken yet.
- Lists are paged: pass \`nextCursor\` as \`cursor\`, with the same query, until it is \`null\`. Of items that are
  large a page has fewer than its \`limit\`: about 10 MiB in all. A query parameter that does not
  exist is refused, since a misspelt filter would be none.
- Where the queen has tokens, send \`Authorization: Bearer <token>\`; the roles are \`hive\`, \`read\`, \`schedule\` and \`admin\`
  ([security](security.md)). The table says which of them a route lets in.

\`\`\`sh
curl -s 'http://127.0.0.1:7833/v1/workers?state=idle&model=Qwen/Qwen3-32B&limit=10'
curl -s -X POST http://127.0.0.1:7833/v1/placements -H 'content-type: application/json' \\
  -d '{"vramBytes": 21474836480, "strategy": "binPack", "reserveSeconds": 120}'
curl -sN 'http://127.0.0.1:7833/v1/events?kind=oomKill,gpuLost,hiveOffline'
\`\`\`

## Routes
`;

const stream = `## The event stream

\`GET /v1/events\` is a stream of server-sent events. \`?hive=\`, \`?model=\` and \`?kind=\` narrow it; \`kind\` takes names of
messages and kinds of events, and without \`heartbeat\` in it the stream has no rows and no \`snapshot\`.

| message | data | id |
|---|---|---|
| \`snapshot\` | all hives and workers, first of all and after \`reset\` and \`lagged\` | |
| \`heartbeat\` | a hive, its workers that changed, and the keys of those that are \`gone\`; \`whole\`: these are all it has | |
| \`changes\` | with \`?changes=true\`, in place of \`heartbeat\`: what differs of the rows sent before, of the hive as \`change\` and of its \`workers\` by id, whole rows that are \`added\`, and keys that are \`gone\`; a value stands for itself, a list of one holds a list or an object that takes the place of what was, an object has changes by name or by place | |
| \`event\` | an event that a hive reported: ${hiveEventKinds.map((kind) => `\`${kind}\``).join(', ')} | yes |
| \`queenEvent\` | an event that the queen found out: ${queenEventKinds.map((kind) => `\`${kind}\``).join(', ')} | yes |
| \`reset\` | the id that was asked for is no longer known; a \`snapshot\` follows, then what is still kept since then of events that do not come with every change | |
| \`lagged\` | \`{ dropped }\`: events lost because the client read too slowly; those that were not, then a \`snapshot\`, follow | |
| \`position\` | \`{ lastEventId }\`: up to this event, nothing that passes the filter is missing; only with a filter | that event's |

Events are delivered at least once and carry ids: a client that reconnects with \`Last-Event-ID\` (or \`?lastEventId=\`) gets what
it missed, of the last ${defaults.eventRingSize} events of workers that start, appear, go and change and of as many others,
as far as [memory](security.md) allows. A stream with a filter may be quiet while the fleet is not, so it sends its \`position\`
when it begins, and each 15 s where that has moved: resume from it, not from the last event that passed. \`HivepulseClient\`
and a browser's \`EventSource\` do so by themselves.

Rows are latest-wins: a slow reader is spared the ones between, never given old ones. An event that is not newer than the
last \`snapshot\` (its \`lastEventId\`) is in those rows already: it is for the record, and must not change them again. A
client that loses events over and over gets a new snapshot at most every ${streamLimits.resyncEveryMs / 1000} s. \`FleetMirror\` applies these
rules: it keeps rows, events and totals up to date from the messages of \`HivepulseClient.events()\`.
Events of a hive wait there until a queen has acknowledged them, so they outlive a queen that is away.

## Problems

Every error is \`application/problem+json\` (RFC 9457) with a stable \`code\`; match on that, never on the text. \`field\` names
what was wrong where that is known, \`Retry-After\` says when to come back.
`;

const tail = `## Of a hive

A hive serves its own host on port ${defaults.hivePort}, on loopback unless told otherwise: \`GET /v1/snapshot\` (the heartbeat as it
would be sent now), \`/v1/events\` (the same as a stream, with its events), \`/metrics\` and \`/healthz\`. Its control socket
(\`hive-<port>.sock\` in the runtime directory, for its own user alone) takes what changes something; \`hivepulse drain\`,
\`undrain\` and \`release-gpus\` speak to it. No route of queen or hive starts a process.
`;

interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
}

const tokenOf = (role: string) => `${role}-0123456789abcdef`;

async function queen(): Promise<FastifyInstance> {
  const registry = new Registry({ warmingMs: 0 });
  const hub = new StreamHub(registry);
  const intake = new HeartbeatIntake(registry, {
    maxHeartbeatBytes: 65_536,
    maxWorkersPerHive: 1,
    heartbeatsPerSecond: 1000,
  });
  const app = await buildServer({
    registry,
    hub,
    tokens: new TokenTable(roles.map((role) => ({ role, token: tokenOf(role) }))),
    bus: memoryBus(registry),
    version: '0.0.0',
    loopback: true,
    pageDirectory: '/nonexistent',
    intake,
    streams: new HeartbeatStreams({ registry, intake }),
    requestsPerSecond: 100_000,
    plugins: [
      queenMetrics(() => ({
        registry,
        streams: 0,
        streamsParted: 0,
        maxWorkers: 0,
        maxGpus: 100,
        heartbeats: intake.counts,
        version: '0.0.0',
        bus: 'memory',
        shared: null,
      })),
    ],
  });
  await app.ready();
  return app;
}

/** Who is let in, by asking: nobody's business is told by 401 or 403. */
async function allowed(app: FastifyInstance, method: string, url: string): Promise<string> {
  const ask = async (token?: string) => {
    const { statusCode } = await app.inject({
      method: method.toUpperCase() as NonNullable<InjectOptions['method']>,
      // A stream would never end: a parameter that does not exist is refused after the token was looked at.
      url: `${url.replaceAll(/\{\w+\}/g, 'x')}${url === '/v1/events' ? '?none=1' : ''}`,
      headers: { host: 'localhost', ...(token && { authorization: `Bearer ${token}` }) },
    });
    return statusCode !== 401 && statusCode !== 403;
  };
  if (await ask()) return 'anyone';
  const names: string[] = [];
  for (const role of roles) if (await ask(tokenOf(role))) names.push(role);
  return names.join(', ');
}

/** The whole document. */
export async function apiDocument(): Promise<string> {
  const app = await queen();
  try {
    const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, Operation>> };
    const rows: string[] = [];
    for (const [path, methods] of Object.entries(paths))
      for (const [method, { summary = '', parameters = [] }] of Object.entries(methods)) {
        const query = parameters.filter((each) => each.in === 'query').map(({ name }) => `\`${name}\``);
        const who = await allowed(app, method, path);
        rows.push(`| \`${method.toUpperCase()} ${path}\` | ${summary} | ${query.join(', ')} | ${who} |`);
      }
    const codes = Object.entries(problems).map(([code, [status, title]]) => `| \`${code}\` | ${status} | ${title} |`);
    return [
      introduction,
      '| route | | query | role |',
      '|---|---|---|---|',
      ...rows,
      '',
      stream,
      '| code | status | |',
      '|---|---|---|',
      ...codes,
      '',
      tail,
    ].join('\n');
  } finally {
    await app.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(fileURLToPath(new URL('../docs/api.md', import.meta.url)), await apiDocument());
}
