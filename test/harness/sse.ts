import { createParser } from 'eventsource-parser';
import { waitFor } from './wait.js';

export interface StreamMessage {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: unknown;
  /** performance.now() at receipt. */
  readonly at: number;
}

/** Reads a server-sent event stream and keeps what came, for tests. */
export class StreamReader {
  readonly messages: StreamMessage[] = [];
  status = 0;
  ended = false;
  private readonly abort = new AbortController();

  constructor(url: string, headers: Record<string, string> = {}) {
    void this.read(url, headers);
  }

  private async read(url: string, headers: Record<string, string>): Promise<void> {
    const parser = createParser({
      onEvent: ({ event, id, data }) => {
        this.messages.push({ event: event ?? 'message', id, data: JSON.parse(data), at: performance.now() });
      },
    });
    try {
      const response = await fetch(url, { headers, signal: this.abort.signal });
      this.status = response.status;
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
    } catch {
      // closed by us, or by the other side: both end the stream
    }
    this.ended = true;
  }

  /** Waits for a message that `accept` takes; messages already here count. */
  next(accept: (message: StreamMessage) => boolean, timeoutMs = 10_000): Promise<StreamMessage> {
    return waitFor(() => this.messages.find(accept), { timeoutMs, what: 'a message on the event stream' });
  }

  close(): void {
    this.abort.abort();
  }
}
