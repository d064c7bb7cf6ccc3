import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Connection, KeptConnection, type ReadAnswer } from '../../lib/engines/connection.js';
import type { HttpAnswer } from '../../lib/engines/http-answer.js';
import { Cancellation } from '../../lib/util/cancellation.js';

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** A connection over a socket in memory, and what came of its requests. */
function connected() {
  const written: string[] = [];
  const socket = new Duplex({
    allowHalfOpen: true,
    read: () => undefined,
    write: (chunk, _encoding, done) => {
      written.push(Buffer.from(chunk).toString('latin1'));
      done();
    },
  });
  const connection = new Connection(socket as Socket);
  const outcomes: string[] = [];
  const asText: ReadAnswer<string> = ({ status, body }: HttpAnswer) => `${status} ${body}`;
  const ask = (kept?: KeptConnection, read = asText, maxBodyBytes = 100) => {
    const cancellation = new Cancellation();
    const head = `GET /é${outcomes.length}\r\n\r\n`;
    connection.exchange({ head, maxBodyBytes, read, cancellation, kept }).then(
      (value) => outcomes.push(value),
      (error) => outcomes.push(`failed: ${error.code ?? error.message}`),
    );
    return cancellation;
  };
  const send = async (text: string | null): Promise<void> => {
    socket.push(text === null ? null : Buffer.from(text));
    await settle();
  };
  return { socket, connection, written, outcomes, ask, send };
}

const ok = (body: string, more = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

describe('a request over a connection', () => {
  it('is written as it is and gives what is read of its answer, whole or in pieces; then the connection ends', async () => {
    for (const pieces of [[ok('one')], ['HTTP/1.1 200 OK\r\nConte', 'nt-Length: 3\r\n\r\no', 'ne']]) {
      const { ask, send, written, outcomes, connection } = connected();
      const cancellation = ask();
      expect(written).toEqual(['GET /é0\r\n\r\n']);
      for (const [i, piece] of pieces.entries()) {
        expect([outcomes, connection.isOpen]).toEqual([[], true]);
        await send(piece);
        expect(outcomes).toHaveLength(i === pieces.length - 1 ? 1 : 0);
      }
      expect([outcomes, connection.isOpen, cancellation.onCancel]).toEqual([['200 one'], false, null]);
    }
  });

  it('whose answer ends with the connection has what came until then', async () => {
    const { ask, send, outcomes, connection } = connected();
    ask();
    await send('HTTP/1.0 200 OK\r\n\r\nab');
    await send('cd');
    expect(outcomes).toEqual([]);
    await send(null);
    expect([outcomes, connection.isOpen]).toEqual([['200 abcd'], false]);
  });

  it.each([
    ['that is no HTTP', ['SSH-2.0\r\n'], 'NOT_HTTP'],
    ['that ends within it', ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab', null], 'NOT_HTTP'],
    ['that never came', [null], 'NOT_HTTP'],
  ] as const)('has failed with an answer %s', async (_what, pieces, code) => {
    const { ask, send, outcomes, connection } = connected();
    const cancellation = ask();
    for (const piece of pieces) await send(piece);
    expect([outcomes, connection.isOpen, cancellation.onCancel]).toEqual([[`failed: ${code}`], false, null]);
  });

  it('has failed where the connection does, or is closed', async () => {
    const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    const ends: readonly [string, (of: ReturnType<typeof connected>) => unknown][] = [
      ['failed: ECONNRESET', ({ socket }) => socket.destroy(reset)],
      ['failed: NOT_HTTP', ({ connection }) => connection.close()],
    ];
    for (const [outcome, end] of ends) {
      const all = connected();
      all.ask();
      end(all);
      await settle();
      expect([all.outcomes, all.connection.isOpen]).toEqual([[outcome], false]);
    }
  });

  it('ends when nobody waits for it any more, with the reason', async () => {
    const { ask, send, outcomes, connection } = connected();
    const cancellation = ask();
    cancellation.cancel(new Error('late'));
    await settle();
    expect([outcomes, connection.isOpen, cancellation.onCancel]).toEqual([['failed: late'], false, null]);
    await send(ok('one'));
    expect(outcomes).toEqual(['failed: late']);
  });

  it('has failed where its answer cannot be read by whoever asked', async () => {
    const { ask, send, outcomes, connection } = connected();
    ask(undefined, () => {
      throw new Error('not mine');
    });
    await send(ok('one'));
    expect([outcomes, connection.isOpen]).toEqual([['failed: not mine'], false]);
  });

  it('of whose answer the end of the connection cannot be read has failed', async () => {
    const { ask, send, outcomes } = connected();
    ask(undefined, () => {
      throw new Error('not mine');
    });
    await send('HTTP/1.0 200 OK\r\n\r\nab');
    await send(null);
    expect(outcomes).toEqual(['failed: not mine']);
  });

  it('has no body where that is longer than is wanted', async () => {
    const { ask, send, outcomes } = connected();
    ask(new KeptConnection(), undefined, 3);
    await send(ok('four'));
    expect(outcomes).toEqual(['200 null']);
  });
});

describe('a connection that is kept', () => {
  it('takes one request after the other, as long as its server lets it', async () => {
    const { ask, send, outcomes, connection, written } = connected();
    const kept = new KeptConnection();
    expect(kept.take()).toBeNull();
    ask(kept);
    await send(ok('one'));
    expect(connection.isOpen).toBe(true);
    expect(kept.take()).toBe(connection);
    expect(kept.take()).toBeNull();
    ask(kept);
    await send(ok('two'));
    expect(kept.take()).toBe(connection);
    ask(kept);
    await send(ok('three', 'Connection: close\r\n'));
    expect([outcomes, written.length, connection.isOpen]).toEqual([['200 one', '200 two', '200 three'], 3, false]);
    expect(kept.take()).toBeNull();
  });

  it.each([
    ['something', 'HTTP/1.1 408 Timeout\r\n\r\n'],
    ['its end', null],
  ])('ends where %s comes that nobody has asked for, and is used no more', async (_what, text) => {
    const { ask, send, connection, outcomes } = connected();
    const kept = new KeptConnection();
    ask(kept);
    await send(ok('one'));
    await send(text);
    expect([connection.isOpen, kept.take(), outcomes]).toEqual([false, null, ['200 one']]);
  });

  it('ends where another takes its place, and with whoever keeps it', async () => {
    const kept = new KeptConnection();
    const [first, second] = [connected(), connected()];
    for (const each of [first, second]) {
      each.ask(kept);
      await each.send(ok('one'));
    }
    expect([first.connection.isOpen, second.connection.isOpen]).toEqual([false, true]);
    kept.close();
    expect([second.connection.isOpen, kept.take()]).toEqual([false, null]);
    kept.close();
  });

  it('is no more where it ended meanwhile', async () => {
    const { ask, send, connection } = connected();
    const kept = new KeptConnection();
    ask(kept);
    await send(ok('one'));
    connection.close();
    expect(kept.take()).toBeNull();
  });
});
