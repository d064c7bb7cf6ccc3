import { connect, type Socket } from 'node:net';
import { HivepulseClient } from '../../../lib/client/client.js';
import type { FleetEvent, StreamSnapshot } from '../../../lib/contract/api.js';
import { StreamReader } from '../../harness/sse.js';

/** A reader that keeps up, as a page or a router does: it comes back by itself and resumes where it stood. */
export class Reader {
  /** Every mark that it was told, and how often. */
  readonly marks = new Map<string, number>();
  /** From the building of a heartbeat to the reading of its event, ms. */
  readonly delays: number[] = [];
  messages = 0;
  lagged = 0;
  reconnects = 0;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;

  /** `whole`: with the rows of all hives, else facts alone. */
  constructor(url: string, whole: boolean) {
    this.#done = this.#read(new HivepulseClient(url), whole);
  }

  async #read(client: HivepulseClient, whole: boolean): Promise<void> {
    const query = whole ? {} : { kind: 'event,queenEvent' };
    for await (const message of client.events(query, { signal: this.#abort.signal })) {
      this.messages += 1;
      if (message.type === 'closed') this.reconnects += 1;
      if (message.type === 'lagged') this.lagged += message.data.dropped;
      if (message.type !== 'event') continue;
      const { mark, producedAt } = message.data.detail as { mark?: string; producedAt?: number };
      if (mark === undefined || producedAt === undefined) continue;
      this.marks.set(mark, (this.marks.get(mark) ?? 0) + 1);
      this.delays.push(Date.now() - producedAt);
    }
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done.catch(() => undefined);
  }
}

/**
 * Reads one queen's story from its first event: a reader that comes back after its queen was replaced begins at what is
 * then the newest, so what was told in between must be looked for here.
 */
export class Auditor {
  readonly marks = new Set<string>();
  readonly #stream: Promise<StreamReader>;

  constructor(url: string) {
    this.#stream = this.#open(url);
  }

  async #open(url: string): Promise<StreamReader> {
    const first = new StreamReader(`${url}/v1/events`);
    const { data } = await first.next(({ event }) => event === 'snapshot', 60_000);
    first.close();
    const epoch = (data as StreamSnapshot).lastEventId.replace(/-\d+$/, '');
    return new StreamReader(`${url}/v1/events?kind=event,queenEvent`, { 'last-event-id': `${epoch}-0` });
  }

  /** Takes over what has come since the last call, so that it is not kept twice. */
  async gather(): Promise<void> {
    const { messages } = await this.#stream;
    for (const { data } of messages.splice(0)) {
      const { mark } = ((data as FleetEvent).detail ?? {}) as { mark?: string };
      if (mark !== undefined) this.marks.add(mark);
    }
  }

  async close(): Promise<void> {
    await this.gather().catch(() => undefined);
    await this.#stream.then((stream) => stream.close()).catch(() => undefined);
  }
}

/** A reader that reads `bytesPerSecond`, 0 for never, and comes back when it is parted with. */
export class SlowReader {
  readonly #url: URL;
  readonly #bytesPerSecond: number;
  #socket: Socket;
  #timer: NodeJS.Timeout;
  #closed = false;
  parted = 0;

  constructor(url: string, bytesPerSecond: number) {
    this.#url = new URL(url);
    this.#bytesPerSecond = bytesPerSecond;
    this.#socket = this.#open();
    this.#timer = setInterval(() => {
      if (bytesPerSecond > 0) this.#socket.read(bytesPerSecond / 10) ?? this.#socket.read();
    }, 100);
  }

  #open(): Socket {
    const socket = connect(Number(this.#url.port), this.#url.hostname);
    socket.pause();
    socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    socket.on('error', () => undefined);
    // One that never reads is told of its end by nothing but a probe: writing to it.
    socket.on('close', () => {
      if (this.#closed) return;
      this.parted += 1;
      setTimeout(() => {
        if (!this.#closed) this.#socket = this.#open();
      }, 1000);
    });
    return socket;
  }

  get stuck(): boolean {
    return this.#bytesPerSecond === 0;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket.destroy();
  }
}
