import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { StreamConnection, type StreamEnd, streamTarget } from '../../lib/hive/stream-connection.js';
import { ManualClock } from '../harness/manual-clock.js';
import { waitFor } from '../harness/wait.js';

/** A queen that welcomes whoever comes, and says nothing more by itself. */
class SilentQueen {
  readonly #server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  client: WebSocket | null = null;

  constructor() {
    this.#server.on('connection', (client) => {
      this.client = client;
      client.once('message', () => this.say({ type: 'welcome', queenId: 'q', intervalMs: 1000, ackEvery: 10 }));
    });
  }

  async url(): Promise<string> {
    if (this.#server.address() === null) await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  say(message: object): void {
    this.client?.send(JSON.stringify(message));
  }

  close(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }
}

describe('a connection to a queen', () => {
  let queen: SilentQueen;
  beforeEach(() => {
    queen = new SilentQueen();
  });
  afterEach(() => queen.close());

  async function connected() {
    const clock = new ManualClock();
    const ends: StreamEnd[] = [];
    const connection = await StreamConnection.open(
      streamTarget(await queen.url(), undefined),
      new AbortController().signal,
      {
        clock,
        onResync: () => undefined,
        onKeyframeWanted: () => undefined,
        onGoAway: () => undefined,
        onEnd: (end) => ends.push(end),
      },
    );
    return { clock, ends, connection };
  }

  it('ends three seconds after the first message that wants an answer and gets none, and not before', async () => {
    const { clock, ends, connection } = await connected();
    const asked = connection.ask(Buffer.from('x'), 1, 1).catch((error: Error) => error.message);
    await clock.advance(2999);
    expect([ends, clock.timers]).toEqual([[], 1]);
    await clock.advance(1);
    expect(await asked).toBe('the connection ended');
    expect(ends).toEqual(['failed']);
  });

  it('an answer to another message is none, and one to this ends the wait', async () => {
    const { clock, ends, connection } = await connected();
    const asked = connection.ask(Buffer.from('x'), 1, 2);
    const reply = { accepted: true, queenId: 'q', ackEventSeq: 7, intervalMs: 500 };
    queen.say({ type: 'ack', epoch: 1, index: 1, reply: { ...reply, ackEventSeq: 6 } });
    await waitFor(() => connection.reply.ackEventSeq === 6);
    expect(clock.timers).toBe(1);
    queen.say({ type: 'ack', epoch: 1, index: 2, reply });
    expect(await asked).toMatchObject({ type: 'ack', index: 2, reply: { ackEventSeq: 7 } });
    await clock.advance(10_000);
    expect(ends).toEqual([]);
  });
});
