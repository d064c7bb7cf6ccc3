import * as http from 'node:http';
import * as https from 'node:https';
import type { Heartbeat } from '../contract/heartbeat.js';
import { readReply } from '../contract/stream/messages.js';
import { systemCode } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import { encodeHeartbeat, type HeartbeatTransport, type RefusalReason, type SendOutcome } from './transport.js';

/** One request to a queen. */
export interface ExchangeRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

export interface ExchangeResponse {
  readonly status: number;
  /** Value of Retry-After, or null. */
  readonly retryAfter: string | null;
  readonly body: string;
}

/** Does one whole exchange: connection, request, answer read to its end. Rejects where any part fails or the signal aborts. */
export type Exchange = (request: ExchangeRequest) => Promise<ExchangeResponse>;

/** Longer than any answer to a heartbeat: what sends more is not a queen. */
const maxReplyBytes = 64 * 1024;
const maxRetryAfterMs = 60_000;

export interface HttpTransportOptions {
  readonly token?: string | undefined;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** In place of real requests, for tests. */
  readonly exchange?: Exchange;
}

/**
 * Heartbeats over HTTP, on one kept connection. `send` resolves once the whole answer is read; a request that fails because
 * the queen had just ended the idle connection is sent once more. `ack` means that this queen's registry took the
 * heartbeat; it acknowledges events that the queen, or the stream that queens share, has stored. `close` ends the connection.
 */
export function httpTransport(queen: string, { token, tls, exchange }: HttpTransportOptions = {}): HeartbeatTransport {
  const url = new URL('/v1/heartbeats', queen).href;
  const real = exchange === undefined ? httpExchange(tls) : null;
  const ask = exchange ?? (real as { exchange: Exchange }).exchange;
  return {
    queen,
    async send(heartbeat: Heartbeat, signal) {
      const { bytes: body, encoding } = await encodeHeartbeat(heartbeat);
      const headers: Record<string, string> = { 'content-type': 'application/json' };
      if (encoding !== null) headers['content-encoding'] = encoding;
      if (token !== undefined) headers.authorization = `Bearer ${token}`;
      return outcomeOf(await ask({ url, headers, body, signal }), queen);
    },
    close: async () => real?.close(),
  };
}

/** Exchanges on one kept connection. */
export function httpExchange(tls: HttpTransportOptions['tls'] = {}): { readonly exchange: Exchange; close(): void } {
  const options = { keepAlive: true, maxSockets: 1, scheduling: 'fifo' as const };
  const agents = { 'http:': new http.Agent(options), 'https:': new https.Agent({ ...options, ...tls }) };
  const ask = (
    { url, headers, body, signal }: ExchangeRequest,
    onRequest: (request: http.ClientRequest) => void,
  ): Promise<ExchangeResponse> =>
    new Promise((resolve, reject) => {
      const secure = url.startsWith('https:');
      const agent = agents[secure ? 'https:' : 'http:'];
      const sent = (secure ? https : http).request(
        url,
        { method: 'POST', agent, headers: { ...headers, 'content-length': body.length }, signal },
        (response) => {
          const chunks: Buffer[] = [];
          let size = 0;
          response.on('data', (chunk: Buffer) => {
            size += chunk.length;
            if (size > maxReplyBytes) response.destroy(new Error(`the answer is longer than ${maxReplyBytes} bytes`));
            else chunks.push(chunk);
          });
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              retryAfter: response.headers['retry-after'] ?? null,
              body: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      onRequest(sent);
      sent.on('error', reject);
      sent.end(body);
    });
  return {
    async exchange(request) {
      let sent: http.ClientRequest | null = null;
      const keep = (each: http.ClientRequest): void => {
        sent = each;
      };
      try {
        return await ask(request, keep);
      } catch (error) {
        // The queen ended an idle connection just as it was used again. The queen knows a heartbeat that comes twice by its seq.
        const reused = (sent as http.ClientRequest | null)?.reusedSocket === true;
        if (!reused || systemCode(error) !== 'ECONNRESET' || request.signal.aborted) throw error;
        return ask(request, keep);
      }
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** What an answer means. Pure. */
export function outcomeOf({ status, retryAfter, body }: ExchangeResponse, queen: string): SendOutcome {
  const failed = (code: string, message: string, retryAfterMs: number | null = null): SendOutcome => ({
    kind: 'failed',
    failure: { code, message },
    retryAfterMs,
  });
  if (status === 200) {
    const reply = readReply(parseObject(body));
    if (reply !== null) return { kind: 'ack', reply };
    return failed('INVALID_RESPONSE', `${shownUrl(queen)} answers, but not as a queen does; is it one?`);
  }
  const { code, detail } = parseProblem(body);
  const message = `${shownUrl(queen)}: ${status}${code ? ` ${code}` : ''}${detail ? `, ${detail}` : ''}`;
  if (status === 429 || status === 503) return failed(`BUSY_${status}`, message, retryAfterMs(retryAfter));
  if (status < 400 || status >= 500) return failed(`STATUS_${status}`, message);
  const why = status === 409 ? (code ?? '409') : status;
  return { kind: 'refused', reason: reasonOf(status, code), failure: { code: `REFUSED_${why}`, message } };
}

function reasonOf(status: number, code: string | null): RefusalReason {
  if (status === 401 || status === 403) return 'rights';
  if (status !== 409) return 'malformed';
  return code === 'DUPLICATE_HIVE_ID' ? 'duplicateId' : 'overtaken';
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function parseProblem(body: string): { readonly code: string | null; readonly detail: string | null } {
  const { code, detail } = parseObject(body);
  const text = (value: unknown, length: number) => (typeof value === 'string' ? value.slice(0, length) : null);
  return { code: text(code, 64), detail: text(detail, 256) };
}

/** Seconds, at most a minute; a date (the other legal form) needs a clock that agrees, so it counts as not said. */
function retryAfterMs(value: string | null): number | null {
  if (value === null || !/^[0-9]{1,6}$/.test(value.trim())) return null;
  return Math.min(Number(value) * 1000, maxRetryAfterMs);
}
