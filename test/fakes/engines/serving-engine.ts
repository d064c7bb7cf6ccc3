import type { RequestListener, ServerResponse } from 'node:http';
import type { Engine } from '../../../lib/engines/table.js';
import type { Site } from '../../harness/fake-engines.js';
import { type Moment, quiet } from './pages.js';
import { versions } from './server.js';

export interface ServingEngineOptions {
  readonly engine: Engine;
  /** Of its metrics, one of `versions`. */
  readonly version: string;
  readonly model: string;
  /** What it answers to other GETs. */
  readonly site: Site;
  /** Requests that it computes at the same time. */
  readonly slots: number;
  /** Each step gives every running request one token. */
  readonly stepMs: number;
  /** After so many requests it begins no other one: they come in, wait, and nothing more is computed. */
  readonly stallsAfter?: number;
}

interface Request {
  readonly response: ServerResponse;
  readonly promptTokens: number;
  readonly maxTokens: number;
  /** Tokens sent. */
  sent: number;
}

/** What it answers to a request that it computes whole. */
export const wholeAnswer = (tokens: number): string =>
  `${Array.from({ length: tokens }, (_, i) => `data: {"choices":[{"index":0,"delta":{"content":"t${i} "}}]}\n\n`).join('')}data: [DONE]\n\n`;

/** An engine that answers chat completions as a stream, with slots and a queue, and says of its load what such an engine says. */
export class ServingEngine {
  readonly #options: ServingEngineOptions;
  #waiting: Request[] = [];
  #running: Request[] = [];
  #promptTokens = 0;
  #generationTokens = 0;
  #steps = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Requests that came in, that were begun, and that were answered whole. */
  received = 0;
  begun = 0;
  finished = 0;

  constructor(options: ServingEngineOptions) {
    this.#options = options;
  }

  get isStalled(): boolean {
    return this.#running.length === 0 && this.begun >= (this.#options.stallsAfter ?? Number.POSITIVE_INFINITY);
  }

  get moment(): Moment {
    const [running, waiting] = [this.#running.length, this.#waiting.length];
    const kv = Math.min(1, (running / this.#options.slots) * 0.8);
    const { model } = this.#options;
    const [promptTokens, generationTokens, steps] = [this.#promptTokens, this.#generationTokens, this.#steps];
    return { ...quiet, model, running, waiting, kv, promptTokens, generationTokens, steps };
  }

  readonly answer: RequestListener = (request, response) => {
    if (request.method === 'POST') {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => this.#receive(body, response));
      return;
    }
    const { engine, version, site } = this.#options;
    const url = request.url ?? '/';
    const page = versions[engine]?.[version]?.[url]?.(this.moment);
    if (page !== undefined) {
      response.writeHead(200).end(typeof page === 'string' ? page : JSON.stringify(page));
      return;
    }
    const { status, type, body, server } = site(url, request.headers.authorization?.startsWith('Bearer ') === true);
    response.writeHead(status, { 'content-type': type, ...(server ? { server } : {}) }).end(body);
  };

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #receive(body: string, response: ServerResponse): void {
    this.received += 1;
    const { max_tokens: maxTokens = 16 } = JSON.parse(body) as { max_tokens?: number };
    this.#waiting.push({ response, promptTokens: Math.ceil(body.length / 4), maxTokens, sent: 0 });
    this.#admit();
    this.#timer ??= setTimeout(this.#step, this.#options.stepMs);
  }

  #admit(): void {
    const { slots, stallsAfter = Number.POSITIVE_INFINITY } = this.#options;
    while (this.#running.length < slots && this.#waiting.length > 0 && this.begun < stallsAfter) {
      this.#running.push(this.#waiting.shift() as Request);
      this.begun += 1;
    }
  }

  readonly #step = (): void => {
    this.#timer = null;
    // Once stalled it does not notice either that a client has gone: its counts stay as they are.
    if (this.isStalled) return;
    this.#waiting = this.#waiting.filter(({ response }) => !response.destroyed);
    this.#running = this.#running.filter(({ response }) => !response.destroyed);
    for (const request of this.#running) this.#giveToken(request);
    if (this.#running.length > 0) this.#steps += 1;
    this.#running = this.#running.filter(({ sent, maxTokens }) => sent < maxTokens);
    this.#admit();
    if (this.#running.length > 0) this.#timer = setTimeout(this.#step, this.#options.stepMs);
  };

  #giveToken(request: Request): void {
    const { response, promptTokens, maxTokens } = request;
    if (request.sent === 0) {
      this.#promptTokens += promptTokens;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
    }
    response.write(`data: {"choices":[{"index":0,"delta":{"content":"t${request.sent} "}}]}\n\n`);
    request.sent += 1;
    this.#generationTokens += 1;
    if (request.sent < maxTokens) return;
    response.end('data: [DONE]\n\n');
    this.finished += 1;
  }
}
