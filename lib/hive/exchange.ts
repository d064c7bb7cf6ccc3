import { Agent, request } from 'undici';
import type { Heartbeat } from '../contract/heartbeat.js';

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
  const agent = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: 60_000, connect: { ...tls } });
  return {
    async exchange({ url, headers, body, signal }) {
      const response = await request(url, { method: 'POST', dispatcher: agent, headers, body, signal });
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of response.body) {
        size += (chunk as Buffer).length;
        if (size > maxReplyBytes) {
          response.body.destroy();
          throw new Error(`the answer is longer than ${maxReplyBytes} bytes`);
        }
        chunks.push(chunk as Buffer);
      }
      const retryAfter = response.headers['retry-after'];
      return {
        status: response.statusCode,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : null,
        body: Buffer.concat(chunks).toString('utf8'),
      };
    },
    close: () => agent.destroy(),
  };
}

/** Each address by its own way: `nats:` and `tls:` over NATS, the rest over HTTP. */
export function eitherExchange(nats: Exchange, http: Exchange): Exchange {
  return (request) => (/^(nats|tls):/.test(request.url) ? nats(request) : http(request));
}
