import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RequestError } from 'hivepulse/client';
import { afterEach, describe, expect, it } from 'vitest';
import { createRouter } from '../../examples/router.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, servingOf, workerOf } from '../harness/heartbeats.js';

const model = 'm';
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listening(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An engine that streams `words` chunks; `respond` may do otherwise. */
class FakeEngine {
  received = 0;
  running = 0;
  readonly #words: number;
  readonly #everyMs: number;
  readonly #respond: ((response: ServerResponse, nth: number) => boolean) | null;

  constructor(
    words: number,
    everyMs: number,
    respond: ((response: ServerResponse, nth: number) => boolean) | null = null,
  ) {
    this.#words = words;
    this.#everyMs = everyMs;
    this.#respond = respond;
  }

  start(): Promise<string> {
    return listening(
      createServer((request, response) => {
        this.received++;
        this.running++;
        response.once('close', () => this.running--);
        request.resume();
        if (this.#respond?.(response, this.received)) return;
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        let word = 0;
        const timer = setInterval(() => {
          if (word < this.#words) response.write(`data: ${word++}\n\n`);
          else response.end('data: [DONE]\n\n');
        }, this.#everyMs);
        response.once('close', () => clearInterval(timer));
      }),
    );
  }
}

/** A queen in process, that hears of each engine once. */
function queenOf(endpoints: readonly string[]) {
  const registry = new Registry({ warmingMs: 0, historyRings: 0 });
  endpoints.forEach((endpoint, i) => {
    const worker = workerOf('llm/0', {
      model,
      models: [model],
      endpoint,
      serving: servingOf({ running: 0, promptTokensPerSecond: 0, generationTokensPerSecond: 0, ageMs: 0 }),
    });
    registry.heartbeat(heartbeatOf(`h${i}`, 1, { workers: [worker], gpus: [], events: [], intervalMs: 60_000 }));
  });
  const done: string[] = [];
  return {
    done,
    best: async (query: string | Parameters<Registry['pickWorkers']>[0]) =>
      registry.pickWorkers(typeof query === 'string' ? { model: query } : query),
    pickDone: async (id: string) => {
      done.push(id);
      registry.pickDone(id);
    },
  };
}

const ask = (url: string, over: object = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'hello' }], ...over }),
  });

describe('the router of the examples', () => {
  it('loses none of 200 parallel streams over four engines, one of which stalls midway', async () => {
    const engines = [
      new FakeEngine(8, 5),
      new FakeEngine(8, 10),
      new FakeEngine(8, 20),
      // Answers ten, and then nothing any more.
      new FakeEngine(8, 10, (_response, nth) => nth > 10),
    ];
    const endpoints = await Promise.all(engines.map((engine) => engine.start()));
    const queen = queenOf(endpoints);
    const url = await listening(createRouter({ queen, firstByteMs: 1000 }));
    const texts = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => (await ask(url, { prompt_cache_key: `session-${i}` })).text()),
    );
    const whole = `${Array.from({ length: 8 }, (_, i) => `data: ${i}\n\n`).join('')}data: [DONE]\n\n`;
    expect(texts.filter((text) => text !== whole)).toEqual([]);
    for (const engine of engines.slice(0, 3)) expect(engine.received).toBeGreaterThan(20);
    expect(engines[3]!.received).toBeGreaterThan(10);
    // Each request, and each that was tried in vain.
    expect(new Set(queen.done).size).toBe(engines.reduce((sum, { received }) => sum + received, 0));
  });

  it('goes elsewhere when a worker refuses, and gives its refusal where all do', async () => {
    const refusing = () =>
      new FakeEngine(1, 1, (response) => {
        response.writeHead(503).end('busy');
        return true;
      });
    const endpoints = [await refusing().start(), await new FakeEngine(2, 1).start()];
    const url = await listening(createRouter({ queen: queenOf(endpoints) }));
    for (let i = 0; i < 4; i++) expect((await ask(url)).status).toBe(200);
    const alone = await listening(createRouter({ queen: queenOf([endpoints[0]!, 'http://127.0.0.1:9']) }));
    expect([502, 503]).toContain((await ask(alone)).status);
  });

  it('waits and asks again where the queen says that it was asked too often', async () => {
    const queen = queenOf([await new FakeEngine(2, 1).start()]);
    let refused = 0;
    const best: typeof queen.best = (query) => {
      if (refused++ < 2) throw new RequestError('http://queen', 429, null, 0.01);
      return queen.best(query);
    };
    const url = await listening(createRouter({ queen: { ...queen, best } }));
    expect((await ask(url)).status).toBe(200);
    expect(refused).toBe(3);
  });

  it('an answer that has begun and stalls ends with an error that the client sees, and not as if it were whole', async () => {
    // The first bytes, and then nothing any more.
    const engine = new FakeEngine(8, 5, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 0\n\n');
      return true;
    });
    const queen = queenOf([await engine.start()]);
    const url = await listening(createRouter({ queen, stallMs: 300 }));
    const response = await ask(url);
    let text = '';
    const read = async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) text += Buffer.from(chunk);
    };
    await expect(read()).rejects.toThrow('terminated');
    expect(text).toMatch(/^data: 0\n\ndata: \{"error":\{"message":"the worker stopped within its answer: /);
    expect(engine.received).toBe(1);
    expect(queen.done).toHaveLength(1);
  });

  it('a client that goes away frees its worker', async () => {
    const engine = new FakeEngine(1e6, 5);
    const url = await listening(createRouter({ queen: queenOf([await engine.start()]) }));
    const response = await ask(url);
    await response.body!.getReader().read();
    expect(engine.running).toBe(1);
    await response.body!.cancel().catch(() => {});
    const leaving = new AbortController();
    const other = await fetch(url, { method: 'POST', body: JSON.stringify({ model }), signal: leaving.signal });
    expect(other.status).toBe(200);
    leaving.abort();
    await expect.poll(() => engine.running, { timeout: 5000 }).toBeLessThan(2);
  });

  it('answers in the form of OpenAI where nobody serves the model or the body is no JSON', async () => {
    const url = await listening(createRouter({ queen: queenOf([]) }));
    expect(await (await ask(url, { model: 'other' })).json()).toMatchObject({
      error: { code: 503, message: 'nobody serves other' },
    });
    expect((await fetch(url, { method: 'POST', body: '{' })).status).toBe(400);
    expect((await fetch(url)).status).toBe(404);
  });
});
