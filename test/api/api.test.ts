import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/index.js';
import { problems } from '../../lib/http/problem.js';
import { eventOf, gpuOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { buildTestServer, type TestServer } from './build-server.js';

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: object }> }>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
}

let server: TestServer;
let document: Document;
let ajv: Ajv2020;
const checked = new Set<string>();

beforeAll(async () => {
  server = await buildTestServer();
  const workers = [
    workerOf('llm/0'),
    workerOf('llm/1', { state: 'busy', model: null, pid: null, gpus: [], ready: null, command: null }),
    workerOf('llm/2', { pressure: { cpu: null, memory: null, io: null }, cpuPercent: null, oomKills: null }),
  ];
  const gpus = [
    gpuOf('GPU-0'),
    gpuOf('GPU-1', { remappedRows: null, health: 'lost', memoryTotalBytes: 48 * 2 ** 30, memoryUsedBytes: null }),
  ];
  const events = [eventOf(1), eventOf(2, { kind: 'xid', gpuUuid: 'GPU-0', detail: { xid: 79 } })];
  const faults = [{ source: 'gpu', code: 'LOST', message: 'm', gpuUuid: 'GPU-1' }];
  expect((await server.post(heartbeatOf('a', 1, { workers, gpus, events, faults }))).statusCode).toBe(200);
  expect((await server.post(heartbeatOf('b'))).statusCode).toBe(200);
  document = (await server.app.inject({ url: '/openapi.json', headers: { host: 'localhost' } })).json();
  ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, 'api');
});

afterAll(() => server.app.close());

type Method = 'GET' | 'POST' | 'DELETE';

/** Asks, finds the operation in the document, and holds the answer against what the document says of it. */
async function ask(method: Method, url: string, payload?: object) {
  const response = await server.app.inject({
    method,
    url,
    headers: { host: 'localhost' },
    ...(payload === undefined ? {} : { payload }),
  });
  const path = (url.split('?')[0] ?? '').slice(1).split('/');
  const fits = (template: string) => {
    const parts = template.slice(1).split('/');
    return parts.length === path.length && parts.every((part, i) => part.startsWith('{') || part === path[i]);
  };
  const templates = Object.keys(document.paths).filter(fits);
  const template = templates.sort((a, b) => a.split('{').length - b.split('{').length)[0];
  if (template === undefined) throw new Error(`${url} is not in the document`);
  const operation = document.paths[template]?.[method.toLowerCase()];
  if (operation === undefined) throw new Error(`${method} ${template} is not in the document`);
  const described = operation.responses[String(response.statusCode)];
  if (described === undefined) throw new Error(`${method} ${template} does not describe ${response.statusCode}`);
  const type = String(response.headers['content-type'] ?? '').split(';')[0] as string;
  const content = described.content?.[type];
  if (described.content === undefined) expect(response.body).toBe('');
  else {
    expect(content, `${type} of ${method} ${template}`).toBeDefined();
    const where = ['paths', template, method.toLowerCase(), 'responses', String(response.statusCode), 'content', type];
    const pointer = [...where, 'schema'].map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
    const validate = ajv.compile({ $ref: `api#/${encodeURI(pointer)}` });
    expect(validate(response.json()), `${method} ${url}: ${ajv.errorsText(validate.errors)}`).toBe(true);
  }
  if (response.statusCode < 400) checked.add(`${method.toLowerCase()} ${template}`);
  return response;
}

describe('every route answers as its OpenAPI document says', () => {
  it('is OpenAPI 3.1 and names nothing twice', () => {
    expect(document.openapi).toBe('3.1.0');
    const ids = Object.values(document.paths).flatMap((path) => Object.values(path).map((each) => each.operationId));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(undefined);
  });

  it('has names in camelCase with their unit last; each hive, worker and GPU says whose and how old it is', () => {
    const names = new Set<string>();
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      const { properties } = value as { properties?: object };
      if (!Array.isArray(value) && properties !== undefined)
        for (const name of Object.keys(properties)) names.add(name);
      for (const inner of Object.values(value)) collect(inner);
    };
    collect(document);
    expect(names.size).toBeGreaterThan(100);
    const unit = /(?:Bytes|Percent|Seconds|Watts|Celsius)(?:PerSecond)?$/;
    for (const name of names) {
      expect(name).toMatch(/^[a-z][a-zA-Z0-9]*$/);
      if (/bytes|percent|seconds|watts|celsius/i.test(name)) expect(name).toMatch(unit);
    }
    type Named = Record<string, { readonly required: readonly string[] }>;
    const { schemas } = (document as unknown as { readonly components: { readonly schemas: Named } }).components;
    for (const view of ['HiveView', 'WorkerView', 'GpuView'])
      expect(schemas[view]?.required, view).toEqual(expect.arrayContaining(['hive', 'liveness', 'ageMs']));
  });

  it('lists and finds', async () => {
    expect((await ask('GET', '/v1/hives')).json().items.length).toBe(2);
    expect((await ask('GET', '/v1/hives/a')).json().faults.length).toBe(1);
    expect((await ask('GET', '/v1/workers')).json().items.length).toBe(4);
    expect((await ask('GET', '/v1/workers/a/llm/1')).json().key).toBe('a/llm/1');
    expect((await ask('GET', '/v1/gpus')).json().items.length).toBeGreaterThan(0);
    expect((await ask('GET', '/v1/gpus/GPU-1')).json().health).toBe('lost');
    for (const resource of ['hives/a', 'workers/a/llm/0', 'gpus/GPU-1'])
      expect((await ask('GET', `/v1/${resource}/history`)).json().stepMs).toBe(10_000);
    expect((await ask('GET', '/v1/fleet')).json().workers.total).toBe(4);
    expect((await ask('GET', '/v1/audit')).json().findings).toEqual([]);
    expect((await ask('GET', '/v1/session')).json()).toEqual({ required: false, role: null });
    expect((await ask('POST', '/v1/session', { token: 'x' })).json().required).toBe(false);
    expect((await ask('DELETE', '/v1/session')).statusCode).toBe(204);
    expect((await ask('GET', '/healthz')).json().status).toBe('ok');
  });

  it('scheduling_queries: filters, best, placement and its release', async () => {
    const model = encodeURIComponent('meta-llama/Llama-3.1-8B-Instruct');
    expect((await ask('GET', `/v1/workers?model=${model}&state=idle&hive=a`)).json().items.length).toBe(2);
    expect((await ask('GET', '/v1/workers?model=x')).json().items).toEqual([]);
    expect((await ask('GET', '/v1/workers?label=team:search&label=zone:a&group=llm')).json().items.length).toBe(4);
    expect((await ask('GET', '/v1/workers?label=team:other')).json().items).toEqual([]);
    expect((await ask('GET', '/v1/gpus?minFreeBytes=99999999999999')).json().items).toEqual([]);
    expect((await ask('GET', '/v1/gpus?health=lost')).json().items[0].uuid).toBe('GPU-1');
    expect((await ask('GET', `/v1/workers/best?model=${model}`)).json().worker.state).toBe('idle');
    expect((await ask('GET', '/v1/workers/best?model=x')).json()).toMatchObject({ worker: null, picks: [] });
    const best = (
      await ask('GET', `/v1/workers/best?model=${model}&promptTokens=900&maxTokens=200&prefixKey=s1&count=3`)
    ).json();
    expect(best.picks.length).toBe(3);
    expect(best.worker.key).toBe(best.picks[0].key);
    const excluded = best.picks.map(({ key }: { key: string }) => `&exclude=${encodeURIComponent(key)}`).join('');
    const elsewhere = (await ask('GET', `/v1/workers/best?model=${model}${excluded}`)).json();
    expect(best.picks).not.toContainEqual(expect.objectContaining({ key: elsewhere.worker?.key }));
    for (const id of [best.picks[0].id, best.picks[0].id, 'unknown'])
      expect((await ask('POST', `/v1/workers/picks/${id}/done`)).statusCode).toBe(204);
    const asked = { vramBytes: 1024 ** 3, reserveSeconds: 30, idempotencyKey: 'k' };
    const placed = (await ask('POST', '/v1/placements', asked)).json();
    expect(placed.reservation.vramBytes).toBe(1024 ** 3);
    expect((await ask('POST', '/v1/placements', asked)).json().reservation.id).toBe(placed.reservation.id);
    const other = await ask('POST', '/v1/placements', { ...asked, vramBytes: 1 });
    expect(other.json()).toMatchObject({ status: 409, code: 'IDEMPOTENCY_CONFLICT', field: 'idempotencyKey' });
    expect((await ask('GET', '/v1/reservations')).json().items.length).toBe(1);
    expect((await ask('DELETE', `/v1/reservations/${placed.reservation.id}`)).statusCode).toBe(204);
    expect((await ask('DELETE', `/v1/reservations/${placed.reservation.id}`)).statusCode).toBe(404);
    const refused = (await ask('POST', '/v1/placements', { vramBytes: 1e15 })).json();
    expect(refused.candidates).toEqual([]);
    expect(refused.refusals.length).toBe(2);
  });

  it('pages: every item once, and a cursor of another list is refused', async () => {
    const keys: string[] = [];
    for (let cursor = ''; ; ) {
      const page = (await ask('GET', `/v1/workers?limit=1${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)).json();
      keys.push(...page.items.map((item: { key: string }) => item.key));
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    expect(keys).toEqual(['a/llm/0', 'a/llm/1', 'a/llm/2', 'b/llm/0']);
    const hives = (await ask('GET', '/v1/hives?limit=1')).json().nextCursor;
    expect((await ask('GET', `/v1/workers?cursor=${hives}`)).json().code).toBe('INVALID_CURSOR');
    expect((await ask('GET', '/v1/workers?cursor=%00')).json().code).toBe('INVALID_CURSOR');
  });

  it('refuses in people’s requests what it does not know, naming it', async () => {
    const cases: [Method, string, object | undefined, string][] = [
      ['GET', '/v1/workers?modle=x', undefined, 'modle'],
      ['GET', '/v1/workers?limit=0', undefined, 'limit'],
      ['GET', '/v1/workers?limit=ten', undefined, 'limit'],
      ['GET', '/v1/workers?state=sleepy', undefined, 'state'],
      ['GET', '/v1/hives?liveness=dead', undefined, 'liveness'],
      ['GET', '/v1/gpus?minFreeBytes=-1', undefined, 'minFreeBytes'],
      ['GET', '/v1/workers/best', undefined, 'model'],
      ['GET', '/v1/workers/best?model=x&promptTokens=-1', undefined, 'promptTokens'],
      ['GET', '/v1/workers/best?model=x&count=0', undefined, 'count'],
      ['GET', '/v1/workers/best?model=x&count=65', undefined, 'count'],
      ['GET', '/v1/workers/best?model=x&prefix=1', undefined, 'prefix'],
      ['GET', '/v1/hives/..%2fetc', undefined, 'id'],
      ['POST', '/v1/placements', { vramBytes: 1, colour: 'red' }, 'colour'],
      ['POST', '/v1/placements', { vramBytes: '1' }, 'vramBytes'],
      ['POST', '/v1/placements', {}, 'vramBytes'],
      ['POST', '/v1/placements', { vramBytes: 1, strategy: 'best' }, 'strategy'],
      ['POST', '/v1/session', { token: 1 }, 'token'],
    ];
    for (const [method, url, payload, field] of cases)
      expect((await ask(method, url, payload)).json(), url).toMatchObject({
        status: 400,
        code: 'INVALID_REQUEST',
        field,
      });
  });

  it('ignores in heartbeats what it does not know', async () => {
    const heartbeat = { ...heartbeatOf('b', 2), colour: 'red' } as unknown as Heartbeat;
    expect((await server.post(heartbeat)).json()).toMatchObject({ accepted: true });
    expect((await ask('GET', '/v1/hives/b')).json()).not.toHaveProperty('colour');
  });

  it('says not found for each kind, and forgets a hive on request', async () => {
    for (const url of ['hives/x', 'workers/a/llm/9', 'gpus/GPU-9', 'hives/x/history', 'workers/x/y/z/history'])
      expect((await ask('GET', `/v1/${url}`)).json(), url).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    await server.post(heartbeatOf('gone'));
    expect((await ask('DELETE', '/v1/hives/gone')).statusCode).toBe(204);
    expect((await ask('DELETE', '/v1/hives/gone')).statusCode).toBe(404);
  });

  it('keeps what a hive names no longer as missing, until it is forgotten', async () => {
    const first = heartbeatOf('part');
    const gpu = { ...first.gpus[0]!, uuid: 'GPU-part' };
    const [worker] = first.workers;
    await server.post({ ...first, gpus: [gpu] });
    await server.post({ ...heartbeatOf('part', 2), gpus: [], workers: [] });
    const { items } = (await ask('GET', '/v1/missing?hive=part')).json();
    expect(items.map(({ kind }: { kind: string }) => kind)).toContain('worker');
    for (const url of [`gpus/${gpu.uuid}`, `workers/part/${worker!.id}`])
      expect((await ask('DELETE', `/v1/${url}`)).statusCode, url).toBe(204);
    expect((await ask('DELETE', '/v1/hives/part')).statusCode).toBe(204);
    expect((await ask('GET', '/v1/missing?hive=part')).json().items).toEqual([]);
  });

  it('cordons a hive, and says of whoever may not or is not there', async () => {
    await server.post(heartbeatOf('idle'));
    const cordon = await ask('POST', '/v1/hives/idle/cordon', { reason: 'Xid 79', by: 'kim', expiresInSeconds: 600 });
    expect(cordon.json()).toMatchObject({ reason: 'Xid 79', by: 'kim' });
    expect((await ask('GET', '/v1/hives/idle')).json().cordon).toEqual(cordon.json());
    for (const body of [{}, { reason: '' }, { reason: 'x', expiresInSeconds: 1 }, { reason: 'x', colour: 'red' }])
      expect((await ask('POST', '/v1/hives/idle/cordon', body)).statusCode).toBe(400);
    for (const path of ['cordon', 'uncordon'])
      expect(
        (await ask('POST', `/v1/hives/nobody/${path}`, path === 'cordon' ? { reason: 'x' } : undefined)).statusCode,
      ).toBe(404);
    for (let times = 0; times < 2; times++) expect((await ask('POST', '/v1/hives/idle/uncordon')).statusCode).toBe(204);
    expect((await ask('GET', '/v1/hives/idle')).json()).not.toHaveProperty('cordon');
  });

  it('silences a cause, lists it beside what needs attention, and lifts it', async () => {
    const request = { kind: 'silenced', cause: 'gpuLost', hives: ['idle'], reason: 'ordered', by: 'kim' };
    const done = await ask('POST', '/v1/silences', request);
    expect(done.json().items).toMatchObject([{ cause: 'gpuLost', hive: 'idle', by: 'kim' }]);
    expect((await ask('GET', '/v1/silences')).json()).toEqual(done.json());
    expect((await ask('GET', '/v1/attention')).json()).toHaveProperty('items');
    expect((await ask('DELETE', '/v1/silences?cause=gpuLost&hive=idle')).statusCode).toBe(204);
  });

  it('queen_restart_recovers: readyz and every list say warming at first', async () => {
    expect((await ask('GET', '/readyz')).json()).toMatchObject({ status: 503, code: 'WARMING' });
    expect((await ask('GET', '/v1/hives')).json().warming).toBe(true);
    expect((await ask('GET', '/v1/workers/best?model=x')).json().warming).toBe(true);
    server.clock.ms += 10_000;
    expect((await ask('GET', '/readyz')).json()).toEqual({ status: 'ready' });
    expect((await ask('GET', '/v1/hives')).json().warming).toBe(false);
  });

  it('takes a heartbeat as the document says', async () => {
    const validate = ajv.compile({ $ref: 'api#/components/schemas/Heartbeat' });
    expect(validate(heartbeatOf('z')), ajv.errorsText(validate.errors)).toBe(true);
    const reply = ajv.compile({ $ref: 'api#/components/schemas/HeartbeatReply' });
    expect(reply((await server.post(heartbeatOf('z'))).json()), ajv.errorsText(reply.errors)).toBe(true);
    checked.add('post /v1/heartbeats');
  });

  it('leaves no route of the document untried', () => {
    const all = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    // The stream never ends by itself: its tests open real sockets.
    expect(all.filter((route) => !checked.has(route) && !route.startsWith('head '))).toEqual(['get /v1/events']);
  });
});

describe('what is not a route', () => {
  const inject = (method: 'GET' | 'PUT' | 'POST', url: string) =>
    server.app.inject({ method, url, headers: { host: 'localhost' } });

  it('is a problem with a code as well', async () => {
    expect((await inject('GET', '/v2/hives')).json()).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    const put = await inject('PUT', '/v1/hives/a');
    expect(put.json()).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' });
    expect(put.headers.allow?.toString().split(', ').sort()).toEqual(['DELETE', 'GET', 'HEAD']);
    expect((await inject('GET', '/v1/hives/%zz')).json()).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
    expect((await inject('POST', '/v1/placements')).json().code).toBe('INVALID_REQUEST');
  });

  it('has a text at / while the page is not built', async () => {
    const page = await inject('GET', '/');
    expect(page.statusCode).toBe(200);
    expect(page.body).toContain('npm run build');
  });

  it('lists every route at /docs, without another host', async () => {
    const docs = await inject('GET', '/docs');
    expect(docs.statusCode).toBe(200);
    expect(docs.headers['content-security-policy']).not.toMatch(/https?:/);
    expect(docs.body).not.toMatch(/(src|href)="(https?:)?\/\//);
    const json = (await inject('GET', '/docs/json')).json();
    expect(Object.keys(json.paths)).toEqual(Object.keys(document.paths));
    expect(json.servers).toEqual([{ url: '..' }]);
  });

  it('has an error status and a title of its own for each code', () => {
    const titles = Object.values(problems).map(([, title]) => title);
    expect(new Set(titles).size).toBe(titles.length);
    for (const [status] of Object.values(problems)) expect(status).toBeGreaterThanOrEqual(400);
  });
});
