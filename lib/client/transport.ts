import type { Problem } from '../contract/api.js';
import { HivepulseError } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import { withoutTrailing } from '../util/trim.js';

/** The queen answered, and refused. `problem.code` says why and is stable; null where a proxy answered in its place. */
export class RequestError extends HivepulseError {
  readonly status: number;
  readonly problem: Problem | null;
  /** Seconds after which to try again, where the queen said so. */
  readonly retryAfterSeconds: number | null;

  constructor(url: string, status: number, problem: Problem | null, retryAfterSeconds: number | null) {
    super(
      'REQUEST_FAILED',
      shownUrl(url),
      problem === null
        ? `${shownUrl(url)} answered ${status}.`
        : `${problem.title}: ${problem.detail}`.slice(0, maxMessage),
    );
    this.name = 'RequestError';
    this.status = status;
    this.problem = problem;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface TransportOptions {
  readonly urls: readonly string[];
  readonly token: string | null;
  readonly timeoutMs: number;
  /** Deadline of one more try at an address that did not answer in time, where no other answered either; null: none. */
  readonly lastTimeoutMs?: number | null;
  readonly fetch: typeof fetch;
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: object;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Another queen may answer where this one is gone, busy or behind a proxy that lost it. */
const elsewhere = new Set([502, 503, 504]);

/** No answer of a queen is longer: a thousand hives with all they have take a tenth of it. */
export const maxAnswerBytes = 256 * 1024 * 1024;
/** A refusal is a few lines. */
const maxProblemBytes = 64 * 1024;
const maxMessage = 2000;

/** Bodies over this size are sent compressed, as a queen's other clients do. */
const compressAboveBytes = 16 * 1024;

export function joinUrl(base: string, path: string, query: object = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query) as [string, unknown][]) {
    if (value === undefined || value === null) continue;
    for (const each of Array.isArray(value) ? value : [value]) parameters.append(name, String(each));
  }
  const text = parameters.toString();
  return `${withoutTrailing(base, '/') || '.'}/${path}${text === '' ? '' : `?${text}`}`;
}

export const segment = (text: string): string => encodeURIComponent(text);

/** The first, then the others in random order, so that clients of a lost queen spread over all the others. */
export function drawOrder(urls: readonly string[], random: () => number = Math.random): readonly string[] {
  const [first, ...others] = urls;
  for (let i = others.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [others[i], others[j]] = [others[j] as string, others[i] as string];
  }
  return first === undefined ? [] : [first, ...others];
}

/** Speaks HTTP to the first of several addresses that answers, and stays with it. */
export class Transport {
  readonly #options: TransportOptions;
  #preferred = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get addresses(): number {
    return this.#options.urls.length;
  }

  get base(): string {
    return this.#options.urls[this.#preferred] ?? '';
  }

  /** The next call begins with the next address. */
  turn(): void {
    this.#preferred = (this.#preferred + 1) % this.#options.urls.length;
  }

  /** The answer's JSON; undefined where it has none (204). */
  async call(path: string, call: Call = {}): Promise<unknown> {
    const { timeoutMs, lastTimeoutMs = null } = this.#options;
    let failure: unknown;
    let slow: number | null = null;
    for (let tries = 0; tries < this.addresses; tries++) {
      try {
        return await this.#once(joinUrl(this.base, path, call.query), call, timeoutMs);
      } catch (error) {
        call.signal?.throwIfAborted();
        if (error instanceof RequestError && !elsewhere.has(error.status)) throw error;
        const isSlow = error instanceof HivepulseError && error.code === 'REQUEST_TIMEOUT';
        if (isSlow) slow ??= this.#preferred;
        // One that is there and slow says more than one that is gone.
        if (isSlow || slow === null) failure = error;
        this.turn();
      }
    }
    if (slow === null || lastTimeoutMs === null) throw failure;
    this.#preferred = slow;
    return await this.#once(joinUrl(this.base, path, call.query), call, lastTimeoutMs);
  }

  async #once(url: string, call: Call, timeoutMs: number): Promise<unknown> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
    try {
      const response = await this.fetch(url, { ...call, signal });
      if (response.status === 204) return undefined;
      return await jsonOf(url, response, signal);
    } catch (error) {
      if (error instanceof HivepulseError) throw error;
      if (timeout.aborted && call.signal?.aborted !== true)
        throw new HivepulseError(
          'REQUEST_TIMEOUT',
          shownUrl(url),
          `${shownUrl(url)} did not answer within ${timeoutMs} ms.`,
          { cause: error },
        );
      throw unreachable(url, error);
    }
  }

  /** The response, which is not an error; the caller reads its body. */
  async fetch(url: string, { method = 'GET', body, headers = {}, signal }: Call): Promise<Response> {
    const { token } = this.#options;
    const payload = body === undefined ? null : await encode(body);
    const response = await this.#options.fetch(url, {
      method,
      redirect: 'error',
      ...(signal === undefined ? {} : { signal }),
      headers: {
        accept: 'application/json',
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...payload?.headers,
        ...headers,
      },
      ...(payload === null ? {} : { body: payload.body }),
    });
    if (response.ok) return response;
    const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
    throw new RequestError(
      url,
      response.status,
      await problemOf(response, signal),
      Number.isFinite(retryAfter) ? retryAfter : null,
    );
  }
}

export function unreachable(url: string, cause: unknown): HivepulseError {
  const inner = (cause as { cause?: { code?: unknown; message?: unknown } }).cause;
  const why = inner?.code ?? inner?.message ?? (cause as Error).message;
  // undici's words for a port that the Fetch standard blocks.
  const reason = why === 'bad port' ? 'no browser, and no other client of fetch, connects to this port' : String(why);
  return new HivepulseError('REQUEST_FAILED', shownUrl(url), `${shownUrl(url)} cannot be reached: ${reason}.`, {
    cause,
  });
}

async function encode(value: unknown): Promise<{ body: string | ArrayBuffer; headers: Record<string, string> }> {
  const text = JSON.stringify(value);
  const headers = { 'content-type': 'application/json' };
  if (text.length <= compressAboveBytes || typeof CompressionStream === 'undefined') return { body: text, headers };
  const compressed = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return { body: await new Response(compressed).arrayBuffer(), headers: { ...headers, 'content-encoding': 'gzip' } };
}

/**
 * The body as text, or the signal's reason. The signal given to fetch is not enough: once the headers are there, Node may
 * collect the request with its listener, and a body that stops half-way would never end.
 */
async function textOf(response: Response, signal: AbortSignal | undefined, maxBytes = maxAnswerBytes): Promise<string> {
  const reader = response.body?.getReader();
  const stop = endOnAbort(reader, signal);
  try {
    const decoder = new TextDecoder();
    let text = '';
    let length = 0;
    for (;;) {
      const part = await reader?.read();
      signal?.throwIfAborted();
      if (part === undefined || part.done) return text + decoder.decode();
      length += part.value.byteLength;
      if (length > maxBytes) throw tooLong(response.url, maxBytes);
      text += decoder.decode(part.value, { stream: true });
    }
  } finally {
    stop();
    // An answer that is not read to its end would keep its connection.
    void reader?.cancel().catch(() => undefined);
  }
}

const tooLong = (url: string, maxBytes: number): HivepulseError =>
  new HivepulseError('INVALID_RESPONSE', shownUrl(url), `${shownUrl(url)} answers with more than ${maxBytes} bytes.`);

/** Cancels the reader when the signal aborts, so that its pending read ends; gives what undoes that. */
export function endOnAbort(
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
  signal: AbortSignal | undefined,
): () => void {
  const cancel = (): void => void reader?.cancel(signal?.reason).catch(() => undefined);
  if (signal?.aborted) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  return () => signal?.removeEventListener('abort', cancel);
}

async function jsonOf(url: string, response: Response, signal: AbortSignal): Promise<unknown> {
  const type = response.headers.get('content-type') ?? 'no content type';
  const text = await textOf(response, signal);
  try {
    if (type.includes('json')) {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null) return value;
    }
  } catch {
    // Reported below, with what came instead.
  }
  throw new HivepulseError(
    'INVALID_RESPONSE',
    shownUrl(url),
    `${shownUrl(url)} did not answer in JSON (${type}): is it a queen's address?`,
  );
}

async function problemOf(response: Response, signal: AbortSignal | undefined): Promise<Problem | null> {
  try {
    const value = JSON.parse(await textOf(response, signal, maxProblemBytes)) as Partial<Problem> | null;
    return typeof value?.code === 'string' && typeof value.detail === 'string' ? (value as Problem) : null;
  } catch {
    return null;
  }
}
