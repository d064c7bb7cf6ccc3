import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { type Queen, startQueen } from '../../lib/daemon/queen.js';
import { anyLetter } from '../harness/any-letter.js';
import { eventOf, gpuOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { StreamReader } from '../harness/sse.js';
import { waitFor } from '../harness/wait.js';

let queen: Queen;
beforeAll(async () => {
  queen = await startQueen({ port: 0, warmingMs: 0, requestsPerSecond: 1_000_000 });
});
afterAll(() => queen.close());

/** What is put where something else was expected; `raw` texts go into the JSON as they are. */
const nasty = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 53),
    1e308,
    '\ud800',
    '\udfff\ud800',
    '\u0000',
    '\r\nevent: event\r\ndata: {}\r\n\r\n',
    '"} 1\nhivepulse_forged{a="',
    '\\',
    '\u2028\u2029\u0085',
    '../../../etc/passwd',
    '__proto__',
    'constructor',
    'x'.repeat(5000),
    [],
    {},
    [[[[[[[[]]]]]]]],
  ),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: anyLetter, maxLength: 300 }),
);

const rawNumbers = ['1e400', '-1e400', '9007199254740993', '123456789012345678901234567890', '-0', '1E-400'] as const;

const good = (id: string, seq: number): Heartbeat =>
  heartbeatOf(id, seq, {
    gpus: [gpuOf('GPU-0'), gpuOf('GPU-1', { index: 1, memoryTotalBytes: 48 * 2 ** 30 })],
    workers: [workerOf('llm/0'), workerOf('llm/1')],
    events: [eventOf(1)],
    faults: [{ source: 'gpu', code: 'NVML_STALLED', message: 'm', field: 'gpus' }],
  });

type Path = readonly (string | number)[];
function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...at, key]))];
}

/** A copy of `heartbeat` in which what stands at `path` is `value`, as JSON text. */
function mutated(heartbeat: Heartbeat, path: Path, value: unknown, how: 'replace' | 'remove' | 'extend'): string {
  const copy = structuredClone(heartbeat) as unknown as Record<string, unknown>;
  if (path.length === 0) return JSON.stringify(value);
  let parent: Record<string, unknown> = copy;
  for (const part of path.slice(0, -1)) parent = parent[part] as Record<string, unknown>;
  const key = path.at(-1) as string;
  if (how === 'remove') delete parent[key];
  else if (how === 'replace') parent[key] = value;
  else Object.defineProperty(parent, `${key}x`, { value, enumerable: true });
  return JSON.stringify(copy);
}

const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${queen.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });

/** Below 500, and a problem with a code where it is refused. */
async function sound(response: Response): Promise<boolean> {
  const text = await response.text();
  if (response.status >= 500) throw new Error(`${response.status} ${text}`);
  if (response.status < 400) return true;
  const problem = JSON.parse(text) as { status: number; code: string };
  return problem.status === response.status && /^[A-Z][A-Z0-9_]+$/.test(problem.code);
}

const allPaths = pathsOf(good('fuzz', 1));

describe('heartbeats that mean harm', () => {
  it('hostile heartbeat: any one thing in it changed: below 500, and the queen goes on', async () => {
    let seq = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...allPaths),
        nasty,
        fc.constantFrom('replace', 'remove', 'extend'),
        async (path, value, how) => {
          seq += 1;
          return sound(await post('/v1/heartbeats', mutated(good(`fuzz-${seq}`, 1), path, value, how)));
        },
      ),
      { numRuns: 600 },
    );
    expect((await post('/v1/heartbeats', JSON.stringify(good('fuzz', 1)))).status).toBe(200);
    for (const path of ['/v1/hives', '/v1/workers', '/v1/gpus', '/v1/fleet', '/metrics'])
      expect((await fetch(`${queen.url}${path}`)).status, path).toBe(200);
  });

  it('hostile heartbeat: numbers that JavaScript can not hold are refused or null, never another number', async () => {
    for (const raw of rawNumbers) {
      const body = JSON.stringify({ ...good('numbers', 7), marker: 0 }).replace('"seq":7', `"seq":${raw}`);
      const reply = await post('/v1/heartbeats', body);
      expect(reply.status, raw).toBe(400);
      expect(await reply.json()).toMatchObject({ code: 'INVALID_HEARTBEAT', field: 'seq' });
    }
    for (const raw of ['1e400', '-1e400']) {
      const id = `amount-${raw.length}`;
      const body = JSON.stringify(good(id, 1)).replace('"memoryBytes":9126805504', `"memoryBytes":${raw}`);
      expect(body).toContain(raw);
      expect(await sound(await post('/v1/heartbeats', body))).toBe(true);
      const { items } = (await (await fetch(`${queen.url}/v1/workers?hive=${id}`)).json()) as {
        items: { memoryBytes: number | null }[];
      };
      for (const { memoryBytes } of items) expect(memoryBytes === null || Number.isFinite(memoryBytes)).toBe(true);
    }
  });

  it('hostile heartbeat: of two keys of one name the last counts, for the check and for the registry alike', async () => {
    const body = JSON.stringify(good('twice', 1)).replace('"schema":1', '"schema":"x","schema":1');
    expect((await post('/v1/heartbeats', body)).status).toBe(200);
    const evil = JSON.stringify(good('twice', 2)).replace('"id":"twice"', '"id":"twice","id":"../../twice"');
    expect(await (await post('/v1/heartbeats', evil)).json()).toMatchObject({ status: 400, field: 'hive.id' });
    expect(queen.registry.hive('../../twice')).toBeNull();
  });

  it('hostile heartbeat: __proto__ and constructor anywhere pollute nothing', async () => {
    const poison = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}';
    const text = JSON.stringify(good('poison', 1));
    let replaced = 0;
    for (let at = text.indexOf('{'); at >= 0; at = text.indexOf('{', at + 1)) {
      const empty = text[at + 1] === '}';
      const body = `${text.slice(0, at + 1)}${poison}${empty ? '' : ','}${text.slice(at + 1)}`;
      replaced += 1;
      expect(await sound(await post('/v1/heartbeats', body.replace('"seq":1', `"seq":${replaced}`)))).toBe(true);
    }
    expect(replaced).toBeGreaterThan(10);
    for (const path of ['/v1/hives', '/v1/workers', '/v1/gpus'])
      expect(await (await fetch(`${queen.url}${path}`)).text()).not.toContain('polluted');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('hostile heartbeat: nesting, width and length without end are refused in time', async () => {
    const started = performance.now();
    const deep = JSON.stringify(good('deep', 1)).replace(
      '"labels":{',
      `"labels":{"d":${'['.repeat(50_000)}${']'.repeat(50_000)},`,
    );
    expect(await sound(await post('/v1/heartbeats', deep))).toBe(true);
    const inEvent = JSON.stringify(good('deep', 2)).replace(
      '"detail":{',
      `"detail":{"d":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)},`,
    );
    expect((await post('/v1/heartbeats', inEvent)).status).toBe(200);
    expect(queen.registry.hive('deep')?.faults).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'MALFORMED_EVENT', field: 'events.0.detail' })]),
    );
    const wide = JSON.stringify({
      ...good('deep', 3),
      faults: Array(50_000).fill({ source: 's', code: 'c', message: 'm' }),
    });
    expect(await sound(await post('/v1/heartbeats', wide))).toBe(true);
    const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]));
    expect(await sound(await post('/v1/heartbeats', JSON.stringify({ ...good('deep', 4), ...keys })))).toBe(true);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

interface Operation {
  readonly method: string;
  readonly path: string;
}

describe('requests that mean harm', () => {
  it('hostile requests: every route with any parameter, query and body: below 500, refusals are problems', async () => {
    const document = (await (await fetch(`${queen.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { parameters?: { name: string; in: string }[] }>>;
    };
    const operations: (Operation & { query: string[] })[] = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { parameters = [] }]) => ({
        method: method.toUpperCase(),
        path,
        query: parameters.filter((each) => each.in === 'query').map(({ name }) => name),
      })),
    );
    expect(operations.length).toBeGreaterThan(15);
    const text = fc.oneof(
      fc.constantFrom('..', '.', '%', '%00', '%2e%2e%2f', '__proto__', 'NaN', '-1', '1e999', '0x10', "'", '\u202e'),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.string({ unit: 'binary-ascii', maxLength: 300 }),
    );
    const wanted = operations.filter(({ path }) => path !== '/v1/events');
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...wanted),
        fc.array(text, { minLength: 3, maxLength: 3 }),
        fc.array(fc.tuple(fc.nat(30), text), { maxLength: 5 }),
        fc.oneof(
          nasty.map((value) => JSON.stringify(value) ?? 'null'),
          fc.string({ unit: anyLetter, maxLength: 100 }),
        ),
        async ({ method, path, query }, values, pairs, body) => {
          let next = 0;
          const filled = path.replaceAll(/\{[^}]+\}/g, () => encodeURIComponent(wellFormed(values[next++ % 3]!)));
          const search = new URLSearchParams(
            pairs.map(([at, value]): [string, string] => [query[at % Math.max(1, query.length)] ?? 'x', value]),
          );
          const sends = method === 'POST' || method === 'PUT' || method === 'PATCH';
          const response = await fetch(`${queen.url}${filled}?${search}`, {
            method,
            redirect: 'manual',
            ...(sends ? { body, headers: { 'content-type': 'application/json' } } : {}),
          });
          return sound(response);
        },
      ),
      { numRuns: 800 },
    );
  }, 90_000);

  /** The request line as it is: fetch would tidy the path. */
  const raw = (target: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(queen.port, '127.0.0.1', () =>
        socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
      );
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk.toString('latin1');
      });
      socket.on('close', () => resolve(answer));
      socket.on('error', reject);
    });

  it.each([
    '/../../../../etc/passwd',
    '/..%2f..%2f..%2f..%2fetc%2fpasswd',
    '/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/assets/../../cli/main.js',
    '/assets/..%5c..%5cpackage.json',
    '/assets/%252e%252e/%252e%252e/package.json',
    '/docs/static/../../../../../../etc/passwd',
    '/docs/static/..%2f..%2f..%2fpackage.json',
    '//etc/passwd',
    '/v1/hives/..%2f..%2fetc%2fpasswd',
    '/v1/workers/..%2f/..%2f/..%2f',
    '/%00',
    '/v1/hives/%00',
    '/v1/hives/%ff%fe',
    'http://169.254.169.254/latest/meta-data',
  ])('hostile paths: %s gives no file and no 5xx', async (target) => {
    const answer = await raw(target);
    expect(answer).toMatch(/^HTTP\/1\.1 (200|30\d|4\d\d) /);
    expect(answer).not.toMatch(/root:x:0:0|"devDependencies"|#!\/usr\/bin\/env node/);
    if (answer.startsWith('HTTP/1.1 200')) expect(answer).toMatch(/content-type: (text\/html|application\/json)/i);
  });
});

const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8');

describe('what one hive says must not speak for another', () => {
  const lines = [
    'a\nevent: event\ndata: {"kind":"forged"}\n\n',
    'a\r\nid: 999\r\n\r\nevent: queenEvent\r\ndata: {"kind":"forged"}\r\n\r\n',
    '"}\nhivepulse_forged 1\n#',
    'back\\slash"quote\\',
    '\u2028event: event\u2029data: 1\u0085',
    '\ud800 alone',
    '</script><script>alert(1)</script>',
  ];

  it('hostile text: in streams every message is one of ours, and in /metrics every line is one sample', async () => {
    const stream = new StreamReader(`${queen.url}/v1/events`);
    await stream.next(({ event }) => event === 'snapshot');
    for (const [i, text] of lines.entries()) {
      const id = `text-${i}`;
      const heartbeat = good(id, 1);
      const worker = workerOf('llm/0', {
        model: text,
        name: text,
        command: text,
        endpoint: text,
        labels: { key: text },
      });
      const body = {
        ...heartbeat,
        hive: { ...heartbeat.hive, hostname: text.slice(0, 200), version: text.slice(0, 30), labels: { key: text } },
        workers: [worker],
        gpus: [gpuOf(`GPU-${text}`.slice(0, 90), { name: text.slice(0, 90), health: 'ok' })],
        events: [eventOf(1, { detail: { text } })],
        faults: [{ source: text.slice(0, 60), code: text.slice(0, 60), message: text }],
      };
      expect(await sound(await post('/v1/heartbeats', JSON.stringify(body)))).toBe(true);
    }
    const last = `text-${lines.length - 1}`;
    expect((await post('/v1/heartbeats', JSON.stringify(good('text-end', 1)))).status).toBe(200);
    await waitFor(() => stream.messages.some(({ data }) => JSON.stringify(data).includes('text-end')), {
      what: 'the last hive on the stream',
    });
    stream.close();
    const known = new Set(['snapshot', 'heartbeat', 'event', 'queenEvent']);
    for (const { event, id, data } of stream.messages) {
      expect(known.has(event), event).toBe(true);
      expect(id).not.toBe('999');
      expect((data as { kind?: string }).kind).not.toBe('forged');
    }
    const metrics = await (await fetch(`${queen.url}/metrics`)).text();
    expect(metrics).toContain(last);
    const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
    const sample = new RegExp(`^hivepulse_[a-z0-9_]+(?:\\{${label}(?:,${label})*\\})? (?:[-+0-9.e]+|NaN|[+-]Inf)$`);
    const comment = /^# (?:HELP|TYPE) (?:hivepulse|process|nodejs)_[a-z0-9_]+ /;
    for (const line of metrics.split('\n')) {
      if (line === '' || comment.test(line) || /^(?:process|nodejs)_/.test(line)) continue;
      expect(line).toMatch(sample);
    }
    expect(metrics).not.toMatch(/^hivepulse_forged/m);
  });

  it('hostile text: a Last-Event-ID of anything opens a stream or is refused, and echoes nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary-ascii', maxLength: 200 }), async (id) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: what a header cannot hold is left out
        const value = id.replaceAll(/[\u0000-\u001f\u007f]/g, '');
        const abort = new AbortController();
        const response = await fetch(`${queen.url}/v1/events`, {
          headers: { 'last-event-id': value },
          signal: abort.signal,
        });
        abort.abort();
        return response.status === 200 || response.status === 400;
      }),
      { numRuns: 60 },
    );
    await waitFor(() => fetch(`${queen.url}/healthz`).then(({ ok }) => ok));
  });
});
