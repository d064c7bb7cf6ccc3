/** What a server answers to a GET. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly server?: string;
}

/** A server, by what it answers to each path; `key`: the request carries a bearer token. */
export type Site = (path: string, key: boolean) => Page;

const json = (body: unknown, status = 200): Page => ({
  status,
  type: 'application/json',
  body: JSON.stringify(body),
});
const text = (body: string, status = 200): Page => ({ status, type: 'text/plain; charset=utf-8', body });
const html = (body: string, status = 200): Page => ({ status, type: 'text/html; charset=utf-8', body });

const byPath =
  (pages: Readonly<Record<string, Page>>, otherwise: Page): Site =>
  (path) =>
    pages[path] ?? otherwise;

const from =
  (server: string, site: Site): Site =>
  (path, key) => ({ server, ...site(path, key) });

/** What FastAPI answers where it has no such path. */
const noSuchPath = json({ detail: 'Not Found' }, 404);

/** The list of models in OpenAI's form. */
const modelList = (model: string, ownedBy: string, more: object = {}): Page =>
  json({ object: 'list', data: [{ id: model, object: 'model', created: 1_700_000_000, owned_by: ownedBy, ...more }] });

/** `unhealthy`: its engine is dead. `loading`: it listens, and cannot serve yet. `key`: it was started with an API key. */
export type EngineState = 'ready' | 'loading' | 'unhealthy' | 'key';

/** Guards only paths below /v1 by its key; listens only once it is loaded. */
export const vllm = (model: string, state: EngineState = 'ready'): Site => {
  const pages = byPath(
    {
      '/health': text('', state === 'unhealthy' ? 503 : 200),
      '/version': json({ version: '0.11.0' }),
      '/ping': text(''),
      '/load': json({ server_load: 0 }),
      '/v1/models': modelList(model, 'vllm', { root: model, parent: null, max_model_len: 32_768 }),
      '/is_sleeping': json({ is_sleeping: false }),
    },
    noSuchPath,
  );
  return from('uvicorn', (path, key) =>
    state === 'key' && !key && path.startsWith('/v1') ? json({ error: 'Unauthorized' }, 401) : pages(path, key),
  );
};

/** Guards all but its health by its key. `old`: before the path of /model_info was renamed. */
export const sglang = (model: string, state: EngineState = 'ready', old = false): Site => {
  const info = json({ model_path: model, tokenizer_path: model, is_generation: true, preferred_sampling_params: null });
  const health = text('', state === 'loading' || state === 'unhealthy' ? 503 : 200);
  const pages = byPath(
    {
      '/health': health,
      '/get_model_info': info,
      ...(old ? {} : { '/model_info': info }),
      '/get_server_info': json({ version: '0.5.3', model_path: model }),
      '/v1/models': modelList(model, 'sglang', { root: model, max_model_len: 32_768 }),
    },
    noSuchPath,
  );
  return from('uvicorn', (path, key) =>
    state === 'key' && !key && path !== '/health' ? json({ error: 'Unauthorized' }, 401) : pages(path, key),
  );
};

/** While it loads, every path but / says so. The list of models and its health are open without a key. */
export const llamaServer = (model: string, state: EngineState = 'ready'): Site => {
  const loading = json({ error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }, 503);
  const unauthorized = json({ error: { code: 401, message: 'Invalid API Key', type: 'authentication_error' } }, 401);
  const list = modelList(model, 'llamacpp', { meta: { vocab_type: 1, n_ctx_train: 32_768, n_params: 494_032_768 } });
  const open: Readonly<Record<string, Page>> = {
    '/': html('<!doctype html><title>llama.cpp - chat</title>'),
    '/health': json({ status: 'ok' }),
    '/models': list,
    '/v1/models': list,
  };
  const pages: Readonly<Record<string, Page>> = {
    '/props': json({ total_slots: 4, model_path: model, build_info: 'b4700-a1b2c3d4' }),
    '/metrics': json({ error: { code: 501, message: 'not enabled', type: 'not_supported_error' } }, 501),
  };
  const missing = json({ error: { code: 404, message: 'File Not Found', type: 'not_found_error' } }, 404);
  return from('llama.cpp', (path, key) => {
    if (state === 'loading' && path !== '/') return loading;
    if (open[path] !== undefined) return open[path];
    return state === 'key' && !key ? unauthorized : (pages[path] ?? missing);
  });
};

/** Its own server and that of its runner have nothing in common. */
export const ollama = (...models: readonly string[]): Site =>
  byPath(
    {
      '/': text('Ollama is running'),
      '/api/version': json({ version: '0.12.3' }),
      '/api/ps': json({
        models: models.map((name) => ({ name, model: name, size: 5_137_025_024, size_vram: 5_137_025_024 })),
      }),
      '/api/tags': json({ models: models.map((name) => ({ name, model: name, size: 4_683_087_332 })) }),
      '/v1/models': modelList(models[0] ?? 'llama3.1:8b', 'library'),
    },
    text('404 page not found', 404),
  );

/** Of Ollama before it started llama-server: knows its health alone. */
export const ollamaRunner = (): Site =>
  byPath({ '/health': json({ status: 0, progress: 1 }) }, text('404 page not found', 404));

export const textGeneration = (model: string, state: EngineState = 'ready'): Site =>
  byPath(
    {
      '/health':
        state === 'unhealthy' || state === 'loading'
          ? json({ error: 'unhealthy', error_type: 'healthcheck' }, 503)
          : text(''),
      '/info': json({
        model_id: model,
        model_sha: null,
        model_pipeline_tag: null,
        max_concurrent_requests: 128,
        max_input_tokens: 4095,
        max_total_tokens: 4096,
        router: 'text-generation-router',
        version: '3.3.6',
      }),
      '/v1/models': modelList(model, model),
    },
    text('', 404),
  );

/** Guards all but its health by its key. */
export const textEmbeddings = (model: string, state: EngineState = 'ready'): Site => {
  const pages = byPath(
    {
      '/info': json({
        model_id: model,
        model_sha: null,
        model_dtype: 'float16',
        model_type: { embedding: { pooling: 'cls' } },
        max_concurrent_requests: 512,
        max_input_length: 512,
        version: '1.8.2',
      }),
    },
    text('', 404),
  );
  const health = text('', state === 'unhealthy' ? 503 : 200);
  return (path, key) => (path === '/health' ? health : state === 'key' && !key ? text('', 401) : pages(path, key));
};

export const triton = (state: EngineState = 'ready'): Site =>
  byPath(
    {
      '/v2': json({
        name: 'triton',
        version: '2.60.0',
        extensions: ['classification', 'sequence', 'model_repository', 'statistics'],
      }),
      '/v2/health/live': text(''),
      '/v2/health/ready': text('', state === 'loading' || state === 'unhealthy' ? 400 : 200),
    },
    text('', 404),
  );

/** Triton's ports for metrics, and for gRPC without HTTP/2. */
export const metrics = (): Site =>
  byPath({ '/metrics': text('nv_gpu_utilization{gpu_uuid="GPU-1"} 0\n') }, text('', 404));

export const trtllm = (model: string, state: EngineState = 'ready'): Site =>
  from(
    'uvicorn',
    byPath(
      {
        '/health': text('', state === 'unhealthy' ? 503 : 200),
        '/version': json({ version: '1.1.0' }),
        '/v1/models': modelList(model, 'tensorrt_llm'),
      },
      noSuchPath,
    ),
  );

/** What FastAPI says of its own paths. */
const openApi = (title: string, paths: readonly string[]): Page =>
  json({
    openapi: '3.1.0',
    info: { title, version: '0.1.0' },
    paths: Object.fromEntries(paths.map((each) => [each, {}])),
  });

export const lmdeploy = (model: string, state: EngineState = 'ready'): Site => {
  const pages = byPath(
    {
      '/health': state === 'unhealthy' ? json({ status: 'unhealthy' }, 503) : json({ status: 'healthy' }),
      '/openapi.json': openApi('FastAPI', ['/v1/models', '/v1/chat/interactive', '/v1/encode', '/generate']),
      '/v1/models': modelList(model, 'lmdeploy', { root: model, parent: null, permission: [] }),
    },
    noSuchPath,
  );
  return from('uvicorn', (path, key) =>
    state === 'key' && !key && path.startsWith('/v1')
      ? json({ detail: 'Please request with valid api key!' }, 401)
      : pages(path, key),
  );
};

export const llamaCppPython = (model: string, state: EngineState = 'ready'): Site => {
  const pages = byPath(
    {
      '/openapi.json': openApi('🦙 llama.cpp Python API', ['/v1/models', '/v1/completions', '/extras/tokenize']),
      '/docs': html('<title>🦙 llama.cpp Python API - Swagger UI</title>'),
      '/v1/models': json({ object: 'list', data: [{ id: model, object: 'model', owned_by: 'me', permissions: [] }] }),
    },
    noSuchPath,
  );
  return from('uvicorn', (path, key) =>
    state === 'key' && !key && path.startsWith('/v1') ? json({ detail: 'Invalid API key' }, 401) : pages(path, key),
  );
};

export const mlxLm = (model: string): Site =>
  from(
    'BaseHTTP/0.6 Python/3.12.7',
    byPath(
      {
        '/health': json({ status: 'ok' }),
        '/v1/models': json({ object: 'list', data: [{ id: model, object: 'model', created: 1_700_000_000 }] }),
      },
      text('Not Found', 404),
    ),
  );

/** Strangers: servers that are no engine. */
export const webApplication = (): Site => () => html('<!doctype html><title>App</title><div id="root"></div>');
export const jsonApi = (): Site => from('uvicorn', () => noSuchPath);
export const fileServer = (): Site =>
  from(
    'SimpleHTTP/0.6 Python/3.12.7',
    byPath({ '/': html('<title>Directory listing for /</title>') }, html('Error 404', 404)),
  );
/** Another program that has a version and a status. */
export const versionedApi = (): Site =>
  byPath({ '/version': json({ name: 'registry', version: 3 }), '/health': json({ status: 'ok' }) }, noSuchPath);
/** Sends everyone to its page for signing in. */
export const redirecting = (): Site => () => html('<a href="/login">Found</a>', 302);
/** The same server behind a middleware of its own that answers nothing without a key; `only`: that guards some paths. */
export const locked =
  (site: Site, only: (path: string) => boolean = () => true, status = 401): Site =>
  (path, key) =>
    !key && only(path) ? json({ error: { message: 'Missing bearer token' } }, status) : site(path, key);
/** Asks for a name and password, whatever is asked. */
export const guarded = (): Site => () => html('<title>401 Authorization Required</title>', 401);
