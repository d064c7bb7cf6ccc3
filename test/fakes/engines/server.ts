import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Engine } from '../../../lib/engines/table.js';
import * as pages from './pages.js';

type Page = string | object;
type Pages = Readonly<Record<string, (m: pages.Moment) => Page>>;

/** What an engine answers, by its version: an older one, and a newer one. */
export const versions: Readonly<Partial<Record<Engine, Readonly<Record<string, Pages>>>>> = {
  vllm: {
    '0.8 (V0)': {
      '/metrics': pages.vllmV0,
      '/version': () => ({ version: '0.8.5' }),
      '/v1/models': ({ model }) => ({ object: 'list', data: [{ id: model, parent: null, max_model_len: 32_768 }] }),
    },
    '0.29': {
      '/metrics': pages.vllmV1,
      '/version': () => ({ version: '0.29.0' }),
      '/v1/models': ({ model }) => ({ object: 'list', data: [{ id: model, parent: null, max_model_len: 32_768 }] }),
    },
  },
  sglang: {
    '0.4': {
      '/get_load': (m) => pages.sglangGetLoad(m) as object,
      '/metrics': (m) => pages.sglangMetrics(m, false),
      '/v1/models': ({ model }) => ({ data: [{ id: model, max_model_len: 40_960 }] }),
    },
    '0.5.9': {
      '/v1/loads?include=core': (m) => pages.sglangLoads(m, m.waiting * 1000, true) as object,
      '/metrics': (m) => pages.sglangMetrics(m, true, 2),
      '/v1/models': ({ model }) => ({ data: [{ id: model, max_model_len: 40_960 }] }),
    },
  },
  'llama-server': {
    b4700: {
      '/metrics': (m) => pages.llamaMetrics(m, false),
      '/slots': (m) => pages.llamaSlots(m, false) as object,
      '/props': () => pages.llamaProps() as object,
      '/v1/models': ({ model }) => ({ data: [{ id: model, owned_by: 'llamacpp' }] }),
    },
    // Started without --metrics.
    b7000: {
      '/slots': (m) => pages.llamaSlots(m, true) as object,
      '/props': () => pages.llamaProps() as object,
      '/v1/models': ({ model }) => ({ data: [{ id: model, owned_by: 'llamacpp' }] }),
    },
  },
  ollama: {
    '0.5': { '/api/ps': ({ model }) => ({ models: [{ name: model }] }), '/api/version': () => ({ version: '0.5.7' }) },
    '0.13': {
      '/api/ps': ({ model }) => ({ models: [{ name: model, context_length: 8192 }] }),
      '/api/version': () => ({ version: '0.13.1' }),
    },
  },
  'text-generation': {
    '2.4': {
      '/metrics': (m) => pages.textGeneration(m, false),
      '/info': (m) => pages.textGenerationInfo(m, '2.4.1') as object,
    },
    '3.3': {
      '/metrics': (m) => pages.textGeneration(m, true),
      '/info': (m) => pages.textGenerationInfo(m, '3.3.0') as object,
    },
  },
  'text-embeddings': {
    '1.5': { '/metrics': pages.textEmbeddings, '/info': (m) => pages.textEmbeddingsInfo(m, '1.5.0') as object },
    '1.8': { '/metrics': pages.textEmbeddings, '/info': (m) => pages.textEmbeddingsInfo(m, '1.8.3') as object },
  },
  'tensorrt-llm': {
    '1.0': { '/prometheus/metrics': (m) => pages.tensorrtLlm(m, false), '/version': () => ({ version: '1.0.0' }) },
    '1.2': { '/prometheus/metrics': (m) => pages.tensorrtLlm(m, true), '/version': () => ({ version: '1.2.0' }) },
  },
  tritonserver: {
    '24.05': { '/metrics': (m) => pages.triton(m, false) },
    '25.06': { '/metrics': (m) => pages.triton(m, true) },
  },
  lmdeploy: {
    '0.10': {
      '/metrics': (m) => pages.lmdeploy(m, false),
      '/v1/models': ({ model }) => ({ data: [{ id: model, owned_by: 'lmdeploy' }] }),
    },
    '0.12': {
      '/metrics': (m) => pages.lmdeploy(m, true),
      '/health': ({ sleeping }) => ({ status: sleeping ? 'sleeping' : 'healthy' }),
      '/v1/models': ({ model }) => ({ data: [{ id: model, owned_by: 'lmdeploy' }] }),
    },
  },
};

/** An engine's server that says what the test wants, and does what engines do wrong. */
export class FakeEngine {
  readonly #server: Server;
  readonly #pages: Pages;
  readonly #now: () => number;
  #moments: { readonly atMs: number; readonly moment: pages.Moment }[] = [];
  /** Paths in the order in which they were asked. */
  readonly asked: string[] = [];
  /** Requests under way now, and the most there were. */
  open = 0;
  mostOpen = 0;
  connections = 0;
  /** It loads its model: 503 on every path. */
  loading = false;
  /** It answers only those who show it. */
  key: string | null = null;
  /** It takes connections and never answers. */
  silent = false;
  /** Its figures are as old as this. */
  lagMs = 0;

  constructor(engine: Engine, version: string, now: () => number = () => performance.now()) {
    const found = versions[engine]?.[version];
    if (found === undefined) throw new Error(`no fake of ${engine} ${version}`);
    this.#pages = found;
    this.#now = now;
    this.show(pages.quiet);
    this.#server = createServer((request, response) => {
      this.open += 1;
      this.mostOpen = Math.max(this.mostOpen, this.open);
      response.on('close', () => {
        this.open -= 1;
      });
      const url = request.url ?? '';
      this.asked.push(url);
      if (this.silent) return;
      const { status, body } = this.#answer(url, request.headers.authorization);
      response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  }

  /** Ends connections on which nothing is asked now, as servers do after a while. */
  endIdle(): void {
    this.#server.closeIdleConnections();
  }

  show(over: Partial<pages.Moment>): void {
    this.#moments.push({ atMs: this.#now(), moment: { ...(this.#moments.at(-1)?.moment ?? pages.quiet), ...over } });
  }

  /** Another process in its place: its counters begin anew. */
  restart(): void {
    this.#moments = [];
    this.show(pages.quiet);
  }

  async listen(): Promise<number> {
    this.#server.on('connection', () => {
      this.connections += 1;
    });
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(url: string, authorization: string | undefined): { status: number; body: Page } {
    if (this.loading)
      return { status: 503, body: { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } } };
    const page = this.#pages[url];
    if (page === undefined)
      return url === '/metrics'
        ? { status: 501, body: { error: { code: 501, type: 'not_supported_error' } } }
        : { status: 404, body: { detail: 'Not Found' } };
    if (this.key !== null && authorization !== `Bearer ${this.key}`)
      return { status: 401, body: { error: { code: 401, type: 'authentication_error' } } };
    const shown = this.#moments.filter(({ atMs }) => atMs <= this.#now() - this.lagMs).at(-1) ?? this.#moments[0];
    return { status: 200, body: page(shown?.moment ?? pages.quiet) };
  }
}
