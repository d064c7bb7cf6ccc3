import { createServer, type RequestListener } from 'node:http';
import { createServer as createTls } from 'node:https';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Asker, SystemAsker } from '../../lib/engines/ask.js';
import { examine, type Finding, late, type Server, unasked } from '../../lib/engines/examine.js';
import { type Engine, engines } from '../../lib/engines/table.js';
import { selfSigned } from '../harness/certificate.js';

const opened: { close: () => unknown }[] = [];
afterEach(() => {
  for (const thing of opened.splice(0)) thing.close();
});

let certificate: ReturnType<typeof selfSigned>;
beforeAll(() => {
  certificate = selfSigned();
});

type Way = 'http' | 'https' | 'mutual';

async function serve(handler: RequestListener, way: Way = 'http', host = '127.0.0.1'): Promise<number> {
  const mutual = way === 'mutual' ? { requestCert: true, rejectUnauthorized: true } : {};
  const server = way === 'http' ? createServer(handler) : createTls({ ...certificate, ...mutual }, handler);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  opened.push({
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
  return (server.address() as AddressInfo).port;
}

/** Answers by path: a status with a body; all else is not found, as a FastAPI server says it. */
type Pages = Readonly<Record<string, readonly [number, unknown]>>;
const pages =
  (answers: Pages): RequestListener =>
  ({ url = '' }, response) => {
    const [status, body] = answers[url] ?? answers['*'] ?? [404, { detail: 'Not Found' }];
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** What each engine answers once it is ready: as its own documents or a real one say. */
const readyPages: Readonly<Record<Engine, Pages>> = {
  vllm: {
    '/version': [200, { version: '0.11.0' }],
    '/health': [200, ''],
    '/v1/models': [
      200,
      { object: 'list', data: ['org/m', 'adapter'].map((id) => ({ id, object: 'model', owned_by: 'vllm' })) },
    ],
  },
  sglang: {
    '/get_model_info': [200, { model_path: 'Qwen/Qwen3-8B', tokenizer_path: 'Qwen/Qwen3-8B', is_generation: true }],
    '/health': [200, ''],
    '/v1/models': [200, { object: 'list', data: [{ id: 'Qwen/Qwen3-8B', object: 'model', owned_by: 'sglang' }] }],
  },
  'llama-server': {
    '/v1/models': [
      200,
      { object: 'list', data: [{ id: 'q.gguf', object: 'model', created: 1, owned_by: 'llamacpp', meta: {} }] },
    ],
    '/health': [200, { status: 'ok' }],
  },
  ollama: {
    '/api/version': [200, { version: '0.12.3' }],
    '/api/ps': [200, { models: [{ name: 'llama3.1:8b', model: 'llama3.1:8b', digest: 'sha256:46e0' }] }],
  },
  'text-generation': {
    '/info': [200, { model_id: 'bigscience/bloom', max_concurrent_requests: 128, version: '3.3.0', router: 't' }],
    '/health': [200, ''],
  },
  tritonserver: {
    '/v2': [200, { name: 'triton', version: '2.60.0', extensions: ['classification', 'sequence'] }],
    '/v2/health/ready': [200, ''],
  },
  'text-embeddings': {
    '/info': [200, { model_id: 'BAAI/bge-m3', model_type: { embedding: { pooling: 'cls' } }, version: '1.8.3' }],
    '/health': [200, ''],
  },
  lmdeploy: {
    '/v1/models': [200, { object: 'list', data: [{ id: 'org/m', object: 'model', owned_by: 'lmdeploy' }] }],
    '/health': [200, ''],
  },
  'llama-cpp-python': {
    '/v1/models': [
      200,
      { object: 'list', data: [{ id: '/m/x.gguf', object: 'model', owned_by: 'me', permissions: [] }] },
    ],
    '/openapi.json': [200, { openapi: '3.1.0', info: { title: 'llama.cpp Python API', version: '0.3.16' } }],
  },
  'mlx-lm': {
    '/v1/models': [200, { object: 'list', data: [{ id: 'mlx-community/x', object: 'model', created: 1 }] }],
    '/health': [200, { status: 'ok' }],
  },
  'tensorrt-llm': {
    '/version': [200, { version: '1.0.0' }],
    '/health': [200, ''],
    '/v1/models': [200, { object: 'list', data: [{ id: 'trt', object: 'model', owned_by: 'tensorrt_llm' }] }],
  },
};

/** What clients may ask each of them for. */
const served: Readonly<Record<Engine, readonly string[] | undefined>> = {
  vllm: ['org/m', 'adapter'],
  sglang: ['Qwen/Qwen3-8B'],
  'llama-server': ['q.gguf'],
  ollama: ['llama3.1:8b'],
  'text-generation': ['bigscience/bloom'],
  // Its list of models is given to a POST alone.
  tritonserver: undefined,
  'text-embeddings': ['BAAI/bge-m3'],
  lmdeploy: ['org/m'],
  'llama-cpp-python': ['/m/x.gguf'],
  'mlx-lm': ['mlx-community/x'],
  'tensorrt-llm': ['trt'],
};

const loading: Pages = {
  '*': [503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }],
};
const guarded: Pages = { '*': [401, { error: 'Unauthorized' }] };
const names = engines.map(({ name }) => name);

function lateAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(late), ms).unref();
  return controller.signal;
}

const look = (
  server: Partial<Server> & { port?: number; unnamed?: boolean },
  known: Finding = unasked,
  timeoutMs = 2000,
) =>
  examine(
    new SystemAsker(),
    { engine: 'vllm', held: true, addresses: [{ host: '127.0.0.1', port: server.port ?? 1 }], ...server },
    known,
    lateAfter(timeoutMs),
    server.unnamed ?? false,
  );

describe.each(names)('%s', (engine) => {
  it.each(['http', 'https'] as const)('answers as itself by %s and is ready', async (way) => {
    const port = await serve(pages(readyPages[engine]), way);
    expect(await look({ engine, port })).toEqual({
      scheme: way,
      own: true,
      ready: true,
      reason: null,
      unclear: null,
      silent: false,
      host: '127.0.0.1',
    });
  });

  it('says for which models clients may ask, where no argument does', async () => {
    const port = await serve(pages(readyPages[engine]));
    expect(await look({ engine, port, unnamed: true })).toMatchObject({ own: true, ready: true });
    expect((await look({ engine, port, unnamed: true })).models).toEqual(served[engine]);
  });

  it('whose health says 503 is itself and not ready', async () => {
    const port = await serve(({ url }, response) => {
      const known = readyPages[engine][url ?? ''];
      const isIdentity = known !== undefined && engines.find(({ name }) => name === engine)?.healthPath !== url;
      response.writeHead(isIdentity ? 200 : 503).end(isIdentity ? JSON.stringify(known[1]) : '');
    });
    const found = await look({ engine, port });
    expect(found.ready).toBe(false);
    expect(found.own).not.toBe(false);
  });

  it('is no other engine, no web application and no API', async () => {
    const strangers: Pages[] = [
      { '*': [200, '<!doctype html><title>Chat</title>'] },
      { '*': [200, { status: 'ok' }] },
      { '*': [200, 'OK'] },
      { '*': [200, []] },
      { '*': [200, null] },
      {},
      ...names.filter((name) => !sameAnswers(name, engine)).map((name) => readyPages[name]),
    ];
    for (const answers of strangers) {
      const port = await serve(pages(answers));
      expect(await look({ engine, port }), JSON.stringify(answers)).toMatchObject({ own: false, ready: false });
    }
  });
});

// Ollama knows no keys.
it.each(names.filter((name) => name !== 'ollama'))(
  '%s that asks for a key is itself where its own process holds the socket',
  async (engine) => {
    const { healthPath } = engines.find(({ name }) => name === engine)!;
    const port = await serve(pages({ ...guarded, [healthPath]: [200, ''] }));
    expect(await look({ engine, port, held: true })).toMatchObject({ ready: true, own: true });
    expect(await look({ engine, port, held: false })).toMatchObject({ ready: false, own: false });
  },
);

/** Two that nobody can tell apart by an answer: both give their version at the same path. */
const sameAnswers = (a: Engine, b: Engine): boolean =>
  a === b || [a, b].every((name) => name === 'vllm' || name === 'tensorrt-llm');

describe('a server', () => {
  it('of llama.cpp that loads says so at every path', async () => {
    const port = await serve(pages(loading));
    expect(await look({ engine: 'llama-server', port })).toMatchObject({
      own: true,
      ready: false,
      reason: 'status 503',
    });
    expect(await look({ engine: 'vllm', port })).toMatchObject({ own: null, ready: false, reason: 'status 503' });
  });

  it('that asks for a client’s certificate is found to use TLS, and what it is stays unknown', async () => {
    const port = await serve(pages(readyPages.vllm), 'mutual');
    const found = await look({ port });
    expect(found).toMatchObject({ scheme: 'https', own: null, unclear: 'certificateNeeded', silent: false });
    expect(found.ready).not.toBe(true);
  });

  it('that says in HTTP that it expects TLS is asked with it', async () => {
    const plain: RequestListener = (_request, response) => response.writeHead(400).end('expected HTTPS');
    expect(await look({ port: await serve(plain) })).toMatchObject({ scheme: 'http', own: false });
  });

  it('that takes the connection and does not answer is silent, not refused', async () => {
    const port = await serve(() => undefined);
    expect(await look({ port }, unasked, 50)).toMatchObject({ silent: true, reason: 'timeout', scheme: null });
  });

  it('whose every answer takes most of a check, over TLS: each goes on from what the one before has shown', async () => {
    const answers: Pages = readyPages.vllm;
    let known = unasked;
    const seen: string[] = [];
    for (let check = 0; check < 2; check += 1) {
      const controller = new AbortController();
      let left = 2;
      /** Two answers fit into a check. */
      const within = <T>(answer: () => T): Promise<T> =>
        new Promise((resolve, reject) => {
          controller.signal.addEventListener('abort', () => reject(controller.signal.reason));
          left -= 1;
          if (left < 0) controller.abort(late);
          else
            try {
              resolve(answer());
            } catch (error) {
              reject(error);
            }
        });
      const asker: Asker = {
        get: (scheme, _address, path) =>
          within(() => {
            seen.push(`${scheme} ${path}`);
            if (scheme === 'http') throw Object.assign(new Error('reset'), { code: 'ECONNRESET' });
            const [status, json] = answers[path] ?? [404, null];
            return { status, json };
          }),
        offersTls: () => within(() => seen.push('tls') > 0),
      };
      const addresses = [{ host: '127.0.0.1', port: 1 }];
      known = await examine(asker, { engine: 'vllm', held: true, addresses }, known, controller.signal);
    }
    expect(known).toMatchObject({ scheme: 'https', own: true, ready: true });
    expect(seen).toEqual(['http /version', 'tls', 'https /version', 'https /health']);
  });

  it('asks what it must ask at first over one connection', async () => {
    const connections = new Set<unknown>();
    const port = await serve((request, response) => {
      connections.add(request.socket);
      pages(readyPages.vllm)(request, response);
    }, 'http');
    expect(await look({ port, unnamed: true })).toMatchObject({ ready: true, models: expect.any(Array) });
    expect(connections.size).toBe(1);
  });

  it('is asked at its next address where the first refuses', async () => {
    const port = await serve(pages(readyPages.vllm), 'http', '127.0.0.2');
    const addresses = ['::1', '127.0.0.1', '127.0.0.2'].map((host) => ({ host, port }));
    expect(await look({ addresses })).toMatchObject({ own: true, ready: true });
    expect(await look({ addresses: addresses.slice(0, 2) })).toMatchObject({ own: null, ready: false });
    expect(await look({ addresses: [] })).toMatchObject({ own: null, ready: false });
  });

  it('in another namespace: where the hive cannot get there nothing is said of it, where it does not accept it is not ready', async () => {
    const failing = (code: string) =>
      look({ port: 1, connect: () => Promise.reject(Object.assign(new Error(code), { code })) });
    for (const code of ['EPERM', 'ESTALE', 'ENOENT', 'EBUSY', 'ENOTSUP', 'EMFILE'])
      expect(await failing(code)).toMatchObject({
        ...{ ready: null, own: null, scheme: null, silent: false, reason: code },
        unclear: 'serverUnreachable',
      });
    expect(await failing('ECONNREFUSED')).toMatchObject({ ready: false, silent: false });
    expect(await failing('ETIMEDOUT')).toMatchObject({ ready: false, silent: true });
  });

  it.each([401, 403])(
    'that asks for a key at its health path too (%d) is its engine’s, and nobody can say if it is ready',
    async (status) => {
      const { healthPath } = engines.find(({ name }) => name === 'vllm')!;
      const port = await serve(pages({ ...readyPages.vllm, [healthPath]: [status, ''] }));
      expect(await look({ port, held: true })).toMatchObject({
        ...{ own: true, ready: null, reason: `status ${status}` },
        unclear: 'keyNeeded',
      });
      expect(await look({ port, held: true }, { ...unasked, scheme: 'http', own: true, ready: true })).toMatchObject({
        ready: null,
      });
    },
  );

  it('that was its engine’s and does not know its path any more has to say again who it is', async () => {
    const port = await serve(pages({}));
    const known: Finding = { ...unasked, scheme: 'http', own: true, ready: true };
    expect(await look({ port }, known)).toMatchObject({ own: null, ready: false });
  });

  it('of no known engine is tried for TLS alone', async () => {
    let requests = 0;
    const count: RequestListener = (_request, response) => {
      requests += 1;
      response.end();
    };
    for (const way of ['http', 'https', 'mutual'] as const) {
      const port = await serve(count, way);
      expect(await look({ engine: null, port })).toMatchObject({
        scheme: way === 'http' ? 'http' : 'https',
        ready: null,
        unclear: 'serverUnknown',
      });
    }
    expect(requests).toBe(0);
  });

  it('whatever bytes it sends: an answer in time, and never ready', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...names), async (bytes, engine) => {
        const server = createTcp((socket) => {
          socket.on('error', () => undefined);
          socket.end(bytes);
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const { port } = server.address() as AddressInfo;
        const found = await look({ engine, port }).finally(() => server.close());
        expect(found.ready).toBe(false);
        expect(found.own).not.toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

it('whatever an engine says of its models: names are texts and no blobs, and it is as ready as before', async () => {
  let body: unknown = null;
  const port = await serve((request, response) => {
    const known = readyPages.ollama[request.url ?? ''];
    response.end(JSON.stringify(request.url === '/api/ps' ? body : known?.[1]));
  });
  const entry = fc.oneof(fc.jsonValue(), fc.record({ name: fc.oneof(fc.string(), fc.constant('sha256-667b')) }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), fc.record({ models: fc.array(entry) })), async (answer) => {
      body = answer;
      const { ready, models } = await look({ engine: 'ollama', port, unnamed: true });
      expect(ready).toBe(true);
      for (const name of models ?? []) expect(name).not.toContain('sha256-');
    }),
    { numRuns: 60 },
  );
});
