import * as http from 'node:http';
import * as https from 'node:https';
import type { Heartbeat } from '../contract/heartbeat.js';
import { systemCode } from '../util/errors.js';

/** One request to a queen. */
export interface ExchangeRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** What the body says, for an exchange that has to know. */
  readonly beat: Heartbeat;
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

/** More than any answer to a heartbeat has; what is longer comes from something that is no queen. */
const maxReplyBytes = 64 * 1024;

/** Exchanges over HTTP, one kept connection per queen. */
export function httpExchange(tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } = {}): {
  readonly exchange: Exchange;
  close(): Promise<void>;
} {
  const options = { keepAlive: true, maxSockets: 1, scheduling: 'fifo' as const };
  const agents = { 'http:': new http.Agent(options), 'https:': new https.Agent({ ...options, ...tls }) };
  const ask = (
    { url, headers, body, signal }: ExchangeRequest,
    onRequest: (request: http.ClientRequest) => void,
  ): Promise<ExchangeResponse> =>
    new Promise((resolve, reject) => {
      const secure = url.startsWith('https:');
      const sent = (secure ? https : http).request(
        url,
        {
          method: 'POST',
          agent: agents[secure ? 'https:' : 'http:'],
          headers: { ...headers, 'content-length': body.length },
          signal,
        },
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
    async exchange(beat) {
      let sent: http.ClientRequest | null = null;
      const keep = (request: http.ClientRequest): void => {
        sent = request;
      };
      try {
        return await ask(beat, keep);
      } catch (error) {
        // The queen ended an idle connection just as it was used again. A beat may come twice: its seq tells.
        const reused = (sent as http.ClientRequest | null)?.reusedSocket === true;
        if (!reused || systemCode(error) !== 'ECONNRESET' || beat.signal.aborted) throw error;
        return ask(beat, keep);
      }
    },
    async close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** Each address by its own way: `nats:` and `tls:` over NATS, the rest over HTTP. */
export function eitherExchange(nats: Exchange, http: Exchange): Exchange {
  return (request) => (/^(nats|tls):/.test(request.url) ? nats(request) : http(request));
}
