// A reverse proxy for the OpenAI API: each request goes to the worker where it costs least, and to another one while nothing of
// the answer has come. `HIVEPULSE_URL=http://queen:7833 HIVEPULSE_TOKEN=... PORT=8080 npx tsx router.ts`
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { HivepulseClient, RequestError } from 'hivepulse/client';
import { Agent } from 'undici';

interface RouterOptions {
  readonly queen: Pick<HivepulseClient, 'best' | 'pickDone'>;
  /** Workers that one request is sent to at most. */
  readonly tries?: number;
  /** Longest wait for the first byte of an answer, ms; then it is sent elsewhere. */
  readonly firstByteMs?: number;
  /** Longest wait for more of an answer that has begun, ms; then it ends with an error. */
  readonly stallMs?: number;
}

const maxBodyBytes = 16 * 1024 * 1024;
/** Of another server's doing; a request that fails so may succeed elsewhere. */
const elsewhere = new Set([429, 500, 502, 503, 504]);
/** Headers that belong to one connection. */
const ownHeaders = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'expect']);

/** What of an OpenAI request bears on where it goes. */
interface Asked {
  readonly model?: string;
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  readonly prompt_cache_key?: string;
}

export function createRouter({ queen, tries = 3, firstByteMs = 30_000, stallMs = 60_000 }: RouterOptions): Server {
  const agent = new Agent({ connections: 512, headersTimeout: firstByteMs, bodyTimeout: stallMs });

  /** Asks once more when the queen says that it was asked too often (`requestsPerSecond`). */
  async function best(query: Exclude<Parameters<HivepulseClient['best']>[0], string>, signal: AbortSignal) {
    for (let left = 3; ; left--) {
      try {
        return await queen.best(query, { signal });
      } catch (error) {
        if (left === 0 || !(error instanceof RequestError && error.status === 429)) throw error;
        await sleep(1000 * (error.retryAfterSeconds ?? 1), undefined, { signal });
      }
    }
  }

  /** The answer of the first worker that begins one, and the pick it came by. */
  async function answered(request: IncomingMessage, body: string, asked: Asked, signal: AbortSignal) {
    const excluded: string[] = [];
    let refusal = { status: 503, text: `nobody serves ${asked.model}` };
    while (excluded.length < tries) {
      const { picks } = await best(
        {
          model: asked.model ?? '',
          promptTokens: Math.ceil(body.length / 4),
          maxTokens: asked.max_completion_tokens ?? asked.max_tokens ?? 0,
          // The beginning of a prompt is what prefix caches hold: system prompt and first turn.
          prefixKey: asked.prompt_cache_key ?? createHash('sha1').update(body.slice(0, 4096)).digest('hex'),
          exclude: excluded,
        },
        signal,
      );
      const [pick] = picks;
      if (!pick) break;
      try {
        const answer = await agent.request({
          origin: new URL(pick.endpoint).origin,
          path: request.url ?? '/',
          method: 'POST',
          headers: passedOn(request.headers),
          body,
          signal,
        });
        const chunks = answer.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
        if (!elsewhere.has(answer.statusCode))
          return { pick, answer, chunks, first: await within(firstByteMs, chunks.next()) };
        refusal = { status: answer.statusCode, text: await answer.body.text() };
      } catch (error) {
        if (signal.aborted) throw error;
        refusal = { status: 502, text: error instanceof Error ? error.message : String(error) };
      }
      void queen.pickDone(pick.id).catch(() => {});
      excluded.push(pick.key);
    }
    return refusal;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const body = await textOf(request);
    if (body === null) return fail(response, 413, 'the request is too long');
    let asked: Asked;
    try {
      asked = JSON.parse(body) as Asked;
    } catch {
      return fail(response, 400, 'the body is not JSON');
    }
    const found = await answered(request, body, asked, gone.signal);
    if (!('pick' in found)) return fail(response, found.status, found.text);
    try {
      response.writeHead(found.answer.statusCode, passedOn(found.answer.headers));
      if (!found.first.done) response.write(found.first.value);
      for (let next = await found.chunks.next(); !next.done; next = await found.chunks.next())
        if (!response.write(next.value)) await once(response, 'drain', { signal: gone.signal });
      response.end();
    } catch (error) {
      cut(response, String(found.answer.headers['content-type']), error);
    } finally {
      void queen.pickDone(found.pick.id).catch(() => {});
    }
  }

  return createServer((request, response) => {
    if (request.method !== 'POST') return fail(response, 404, 'only POST is forwarded');
    serve(request, response).catch(() => fail(response, 502, 'the queen does not answer'));
  }).once('close', () => void agent.destroy());
}

const passedOn = (headers: Readonly<Record<string, string | string[] | undefined>>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !ownHeaders.has(name)));

/** Null where it is longer than any request should be. */
async function textOf(request: IncomingMessage): Promise<string | null> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > maxBodyBytes) return null;
  }
  return text;
}

function fail(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { message, type: 'router_error', code: status } }));
}

/** What has begun can't be sent elsewhere. Its connection ends, so that the client knows that the answer is not whole; a stream says why. */
function cut(response: ServerResponse, type: string, error: unknown): void {
  if (!type.startsWith('text/event-stream')) return void response.destroy();
  const message = `the worker stopped within its answer: ${error instanceof Error ? error.message : error}`;
  const event = JSON.stringify({ error: { message, type: 'router_error', code: 502 } });
  response.write(`data: ${event}\n\n`, () => response.destroy());
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing of the answer came in ${ms} ms`)), ms);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { HIVEPULSE_URL: url = 'http://127.0.0.1:7833', HIVEPULSE_TOKEN: token, PORT = '8080' } = process.env;
  const { FIRST_BYTE_MS = '30000', STALL_MS = '60000' } = process.env;
  const queen = new HivepulseClient({ url, ...(token ? { token } : {}) });
  const router = createRouter({ queen, firstByteMs: Number(FIRST_BYTE_MS), stallMs: Number(STALL_MS) });
  router.listen(Number(PORT), () => {
    const { port } = router.address() as AddressInfo;
    console.log(`listening on ${port}, routing by ${url}`);
  });
}
