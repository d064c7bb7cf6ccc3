import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { type SlowConsumer, StreamClient, streamLimits } from '../../lib/http/sse.js';

/** A socket whose reader has stopped: what is written stays in it. */
class StuckResponse extends EventEmitter {
  destroyed = false;
  writableLength = 0;
  written: Buffer[] = [];

  write(chunk: Buffer): boolean {
    this.written.push(chunk);
    this.writableLength += chunk.length;
    return false;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** The reader takes all that waits. */
  read(): void {
    this.writableLength = 0;
    this.emit('drain');
  }
}

function stuck() {
  const response = new StuckResponse();
  const time = { ms: 0 };
  const evicted: SlowConsumer[] = [];
  const client = new StreamClient({
    response: response as unknown as ServerResponse,
    caller: '',
    filterName: '',
    limits: streamLimits,
    wholeHive: () => null,
    newSnapshot: () => null,
    standsAt: '',
    now: () => time.ms,
    onClose: (_client, slow) => {
      if (slow !== null) evicted.push(slow);
    },
  });
  client.events([Buffer.alloc(300 * 1024)]);
  expect(client.behind).toBe(true);
  return { client, response, time, evicted };
}

describe('a reader that is slow', () => {
  it('costs at most 1 MiB of events, whatever their number', () => {
    const { client, response } = stuck();
    for (let i = 0; i < 100; i++) client.events([Buffer.alloc(100 * 1024, i)]);
    const before = response.written.length;
    while (client.behind) response.read();
    const late = Buffer.concat(response.written.slice(before));
    expect(late.length).toBeLessThanOrEqual(1024 * 1024 + 100);
    expect(late.length).toBeGreaterThan(900 * 1024);
    expect(late.at(-1)).toBe(99);
  });

  it('costs at most 1000 events, whatever their size', () => {
    const { client, response } = stuck();
    for (let i = 0; i < 1500; i++) client.events([Buffer.from('e')]);
    const before = response.written.length;
    while (client.behind) response.read();
    const late = Buffer.concat(response.written.slice(before)).toString();
    expect(late).toContain('"dropped":500');
    expect(late.replace(/^event: lagged.*$/m, '').match(/e{1000}$/)).not.toBeNull();
  });

  it('is evicted after 30 s without a pause, and not before', () => {
    const { client, response, time, evicted } = stuck();
    time.ms = 29_000;
    client.tick(null);
    expect([client.closed, response.destroyed]).toEqual([false, false]);
    time.ms = 30_500;
    client.tick(null);
    expect([client.closed, response.destroyed]).toEqual([true, true]);
    expect(evicted).toEqual([{ dropped: 0, unsent: 0, behindMs: 30_500 }]);
  });

  it('is evicted once it has lost 10,000 events', () => {
    const { client, evicted } = stuck();
    for (let i = 0; i < 10_999; i++) client.events([Buffer.from('e')]);
    expect(evicted).toEqual([]);
    client.events([Buffer.from('e')]);
    expect(evicted).toEqual([{ dropped: 10_000, unsent: 1000, behindMs: 0 }]);
  });
});

describe('a snapshot in turns', () => {
  it('is written a piece a turn, with what happens meanwhile after it, and not at all once its reader has left', () => {
    const turns: (() => void)[] = [];
    const open = () => {
      const response = Object.assign(new StuckResponse(), {
        write: (chunk: Buffer) => response.written.push(chunk) > 0,
      });
      const client = new StreamClient({
        response: response as unknown as ServerResponse,
        caller: '',
        filterName: '',
        inTurn: (run) => turns.push(run),
        limits: streamLimits,
        wholeHive: (hive) => Buffer.from(`all of ${hive}`),
        newSnapshot: () => null,
        standsAt: '',
        now: () => 0,
        onClose: () => undefined,
      });
      return { client, texts: () => response.written.map(String), drain: () => response.emit('drain') };
    };
    const [one, other] = [open(), open()];
    for (const { client } of [one, other]) client.begin(['1', '2', '3'].map((piece) => Buffer.from(piece)).values());
    one.client.events([Buffer.from('event')]);
    one.client.heartbeats(Buffer.from('rows'), ['h']);
    one.drain();
    expect([one.texts(), other.texts(), turns.length]).toEqual([[], [], 2]);
    turns.shift()?.();
    turns.shift()?.();
    expect([one.texts(), other.texts(), turns.length]).toEqual([['1'], ['1'], 2]);
    other.client.evict();
    while (turns.length > 0) turns.shift()?.();
    expect([one.texts(), other.texts()]).toEqual([['1', '2', '3', 'event', 'all of h'], ['1']]);
    expect(one.client.behind).toBe(false);
  });
});
