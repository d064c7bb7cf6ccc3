import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { StreamHub } from '../../lib/api/stream-hub.js';
import type { StreamHeartbeat, StreamSnapshot } from '../../lib/contract/index.js';
import { StreamClient, type StreamLimits, sseMessage, streamLimits } from '../../lib/http/sse.js';
import { Registry } from '../../lib/queen/registry.js';
import { anyLetter } from '../harness/any-letter.js';
import { eventOf, heartbeatOf, incarnationOf, longLabels, workerOf } from '../harness/heartbeats.js';
import { StreamReader } from '../harness/sse.js';
import { waitFor } from '../harness/wait.js';
import { endlessTurn, grants, serverOfTest, tokens } from './build-server.js';
import { FakeResponse, type Message, messagesOf } from './fake-response.js';

function bench(limits: Partial<StreamLimits> = {}, ringSize = 100) {
  const clock = { ms: 0 };
  const registry = new Registry({ clock: () => clock.ms, epoch: 'e', eventRingSize: ringSize });
  const hub = new StreamHub(registry, {
    turns: endlessTurn(),
    limits: { behindBytes: 1000, ...limits },
    now: () => clock.ms,
    maxClients: 50,
  });
  const open = (filter = {}, lastEventId: string | null = null, caller = 'someone') => {
    const response = new FakeResponse();
    hub.open(response as unknown as ServerResponse, filter, lastEventId, caller);
    return response;
  };
  const seqs = new Map<string, number>();
  const sendHeartbeat = (hive: string, over: Parameters<typeof heartbeatOf>[2] = {}) => {
    const seq = (seqs.get(hive) ?? 0) + 1;
    seqs.set(hive, seq);
    const outcome = registry.heartbeat(heartbeatOf(hive, seq, over));
    if (!outcome.accepted) throw new Error(outcome.message);
    hub.flush();
  };
  return { clock, registry, hub, open, sendHeartbeat };
}

const names = (response: FakeResponse) => response.messages.map((message) => message.event);
const isHeartbeat = ({ event }: Message) => event === 'heartbeat';
const streamHeartbeatOf = (message: Message | undefined) => message?.data as StreamHeartbeat | undefined;
const rows = (message: Message | undefined) => streamHeartbeatOf(message)?.workers.map((worker) => worker.key);

describe('a stream', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('begins with a snapshot, then tells what changes: rows without an id, events with one', () => {
    const { open, sendHeartbeat, registry } = bench();
    sendHeartbeat('a');
    const response = open();
    sendHeartbeat('a', { workers: [workerOf('llm/0', { cpuPercent: 1 }), workerOf('llm/1')], events: [eventOf(1)] });
    const [snapshot, ...rest] = response.messages;
    expect(snapshot).toMatchObject({ event: 'snapshot', id: undefined });
    const data = snapshot?.data as StreamSnapshot;
    expect(data.hives.map((hive) => hive.id)).toEqual(['a']);
    expect(data.workers.map((worker) => worker.key)).toEqual(['a/llm/0']);
    expect(data.lastEventId).toBe('e-1');
    expect(rest.map(({ event, id }) => [event, id])).toEqual([
      ['event', 'e-2'],
      ['queenEvent', 'e-3'],
      ['heartbeat', undefined],
    ]);
    expect(rows(rest[2])).toEqual(['a/llm/0', 'a/llm/1']);
    expect(registry.events.lastId).toBe('e-3');
  });

  it('sends only rows that changed, and keys of those that are gone', () => {
    const { open, sendHeartbeat } = bench();
    const workers = ['llm/0', 'llm/1', 'llm/2'].map((id) => workerOf(id));
    sendHeartbeat('a', { workers });
    const response = open();
    sendHeartbeat('a', { workers: [workerOf('llm/0'), workerOf('llm/1', { cpuPercent: 3 })] });
    const heartbeatMessage = response.messages.find(isHeartbeat);
    expect(rows(heartbeatMessage)).toEqual(['a/llm/1']);
    expect(heartbeatMessage?.data).toMatchObject({ gone: ['a/llm/2'], whole: false });
  });

  it('sends a hive whole where it alone is asked for, and when it is new or another run', () => {
    const { open, sendHeartbeat } = bench();
    sendHeartbeat('a', { workers: [workerOf('llm/0'), workerOf('llm/1')] });
    const one = open({ hive: 'a' });
    const all = open();
    sendHeartbeat('a', { workers: [workerOf('llm/0', { cpuPercent: 1 }), workerOf('llm/1')] });
    sendHeartbeat('b');
    expect(one.messages.filter(isHeartbeat).map(rows)).toEqual([['a/llm/0', 'a/llm/1']]);
    expect(all.messages.at(-1)?.data).toMatchObject({ whole: true, hive: { id: 'b' } });
    sendHeartbeat('a', {
      workers: [workerOf('llm/1')],
      hive: { incarnation: incarnationOf(2), startedAt: '2026-01-02T04:00:00.000Z' },
    });
    expect(all.messages.at(-1)?.data).toMatchObject({ whole: true, hive: { id: 'a' } });
    expect(rows(all.messages.at(-1))).toEqual(['a/llm/1']);
  });

  it('filters by hive, by model and by kind', () => {
    const { open, sendHeartbeat } = bench();
    const hive = open({ hive: 'b' });
    const model = open({ model: 'm' });
    const kind = open({ kinds: ['oomKill', 'heartbeat'] });
    const events = [eventOf(1, { kind: 'oomKill' }), eventOf(2, { kind: 'xid' })];
    sendHeartbeat('a', { workers: [workerOf('llm/0', { model: 'm' }), workerOf('llm/1', { model: 'n' })], events });
    sendHeartbeat('b', { workers: [workerOf('llm/0', { model: 'n' })] });
    const about = (response: FakeResponse) =>
      response.messages.map(({ event, data }) => {
        const { hive: of, kind: what } = data as { hive?: string | { id: string }; kind?: string };
        return `${event} ${typeof of === 'object' ? of.id : (of ?? '')} ${what ?? ''}`.trim();
      });
    expect(about(hive)).toEqual(['snapshot', 'position', 'queenEvent b hiveJoined', 'heartbeat b']);
    expect(about(kind)).toEqual(['snapshot', 'position', 'event a oomKill', 'heartbeat a', 'heartbeat b']);
    expect(rows(model.messages.find(isHeartbeat))).toEqual(['a/llm/0']);
    expect(about(model)).toContain('queenEvent b hiveJoined');
  });

  it('takes a row back from a reader of one model when the worker turns to another', () => {
    const { open, sendHeartbeat } = bench();
    sendHeartbeat('a', { workers: [workerOf('llm/0', { model: 'm' })] });
    const response = open({ model: 'm' });
    sendHeartbeat('a', { workers: [workerOf('llm/0', { model: 'n' })] });
    expect(response.messages.at(-1)?.data).toMatchObject({ workers: [], gone: ['a/llm/0'] });
  });

  it('without heartbeat among the kinds has no rows at all', () => {
    const { open, sendHeartbeat } = bench();
    const response = open({ kinds: ['queenEvent'] });
    sendHeartbeat('a', { events: [eventOf(1)] });
    expect(names(response)).toEqual(['position', 'queenEvent']);
  });

  it('replays what came after Last-Event-ID, after the snapshot', () => {
    const { open, sendHeartbeat } = bench();
    sendHeartbeat('a', { events: [eventOf(1), eventOf(2)] });
    const response = open({}, 'e-1');
    expect(response.messages.map(({ event, id }) => [event, id])).toEqual([
      ['snapshot', undefined],
      ['event', 'e-2'],
      ['event', 'e-3'],
    ]);
    expect(names(open({}, 'e-3'))).toEqual(['snapshot']);
    expect(names(open({ kinds: ['hiveOffline'] }, 'e-1'))).toEqual(['position']);
  });

  it('resets where the ring has moved on, where the stream is another, and where the id is nonsense', () => {
    const { open, sendHeartbeat } = bench({}, 2);
    for (let i = 1; i <= 5; i++) sendHeartbeat('a', { events: [eventOf(i)] });
    for (const id of ['e-1', 'other-6', 'e-99', 'e-', 'x', '-1', 'e-1e9']) {
      const response = open({}, id);
      expect(names(response), id).toEqual(['reset', 'snapshot']);
      expect(response.messages[0]?.data).toEqual({ lastEventId: 'e-6' });
    }
    expect(names(open({}, 'e-5'))).toEqual(['snapshot', 'event']);
  });

  it('where the ring has moved on, what is still kept of what does not come with every change follows the snapshot', () => {
    const { open, sendHeartbeat } = bench({}, 2);
    sendHeartbeat('a', { events: [eventOf(1, { kind: 'oomKill' })] });
    for (let i = 2; i <= 6; i++) sendHeartbeat('a', { events: [eventOf(i, { kind: 'workerStarted' })] });
    const { messages } = open({}, 'e-1');
    expect(messages.map(({ event }) => event)).toEqual(['reset', 'snapshot', 'event', 'position']);
    expect(messages[2]?.data).toMatchObject({ kind: 'oomKill', hive: 'a' });
  });

  it('with a filter tells where it stands: at its beginning, after what is replayed, and as what passes it by goes on', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { open, sendHeartbeat, registry, hub } = bench({ behindBytes: 1 }, 3);
    sendHeartbeat('a', { events: [eventOf(1, { kind: 'xid' })] });
    const rare = open({ kinds: ['oomKill'] });
    const told = (response: FakeResponse) =>
      response.messages.map(({ event, id, data }) => {
        if (event === 'position') expect(data).toEqual({ lastEventId: id });
        return `${event} ${id ?? ''}`.trim();
      });
    expect(told(rare)).toEqual(['position e-2']);
    for (let i = 2; i <= 6; i++) sendHeartbeat('a', { events: [eventOf(i, { kind: 'xid' })] });
    vi.advanceTimersByTime(15_000);
    vi.advanceTimersByTime(15_000);
    expect(told(rare)).toEqual(['position e-2', 'position e-7']);
    // One that is behind has not seen what it would tell.
    rare.reading = false;
    sendHeartbeat('a', { events: [eventOf(7, { kind: 'oomKill' })] });
    sendHeartbeat('a', { events: [eventOf(8, { kind: 'oomKill' })] });
    vi.advanceTimersByTime(15_000);
    rare.read();
    expect(told(rare).slice(2)).toEqual(['event e-8', 'event e-9']);
    rare.emit('close');
    // By now the first position would have left the ring.
    expect(registry.eventsSince('e-2').type).toBe('reset');
    expect(told(open({ kinds: ['oomKill'] }, 'e-7'))).toEqual(['event e-8', 'event e-9', 'position e-9']);
    expect(told(open({ hive: 'b' }, 'e-2'))).toEqual(['reset', 'snapshot', 'position e-9']);
    // Who is sent every event needs no more than those.
    const all = open();
    vi.advanceTimersByTime(15_000);
    expect(told(all)).toEqual(['snapshot']);
    hub.close();
  });

  it('builds each event and row once, however many clients read', () => {
    const { open, sendHeartbeat, registry } = bench();
    sendHeartbeat('a');
    const responses = Array.from({ length: 20 }, () => open());
    const writes = responses.map((response) => vi.spyOn(response, 'write'));
    sendHeartbeat('a', { workers: [workerOf('llm/0', { cpuPercent: 5 })], events: [eventOf(1)] });
    expect(registry.events.size).toBe(2);
    const [first, ...others] = writes.map(({ mock }) => mock.calls.map(([chunk]) => chunk));
    expect(first).toHaveLength(2);
    for (const chunks of others) for (const [i, chunk] of chunks.entries()) expect(chunk).toBe(first?.[i]);
  });

  it('keeps nothing and costs nothing while nobody reads', () => {
    const { open, sendHeartbeat, hub, registry } = bench();
    let listeners = 0;
    const subscribe = registry.subscribe.bind(registry);
    registry.subscribe = (listener) => {
      listeners++;
      const end = subscribe(listener);
      return () => {
        listeners--;
        end();
      };
    };
    sendHeartbeat('a');
    expect(listeners).toBe(0);
    const response = open();
    expect([listeners, hub.clients]).toEqual([1, 1]);
    response.emit('close');
    expect([listeners, hub.clients]).toEqual([0, 0]);
  });

  it('a line break or a forged field in a name stays data', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyLetter }), (text) => {
        const forged = `${text}\n\nevent: queenEvent\nid: e-9\ndata: {}\r\n\r`;
        const [message, ...rest] = messagesOf(sseMessage('event', JSON.stringify({ forged }), 'e-1'));
        return rest.length === 0 && message?.id === 'e-1' && (message.data as { forged: string }).forged !== undefined;
      }),
    );
  });
});

describe('a client that does not keep up', () => {
  it('gets each hive once, as it is now, however many heartbeats came meanwhile', () => {
    const { open, sendHeartbeat } = bench();
    sendHeartbeat('a', { workers: [workerOf('llm/0'), workerOf('llm/1')] });
    const response = open();
    response.reading = false;
    for (let i = 1; i <= 50; i++) sendHeartbeat('a', { workers: [workerOf('llm/0', { cpuPercent: i })] });
    expect(response.writableLength).toBeLessThan(10_000);
    const before = response.messages.length;
    response.read();
    const late = response.messages.slice(before).filter(isHeartbeat);
    expect(late.length).toBeLessThanOrEqual(3);
    expect(late.at(-1)?.data).toMatchObject({ whole: true, workers: [{ key: 'a/llm/0', cpuPercent: 50 }] });
  });

  it('keeps events, in order, up to its limit, and then says how many it lost', () => {
    const { open, sendHeartbeat } = bench({ maxQueuedEvents: 5, behindBytes: 1 });
    const response = open();
    response.reading = false;
    sendHeartbeat('a');
    for (let i = 1; i <= 20; i++) sendHeartbeat('a', { events: [eventOf(i)] });
    response.read();
    const seen = response.messages.filter(({ id }) => id !== undefined).map(({ id }) => Number(id?.slice(2)));
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.slice(-5)).toEqual([17, 18, 19, 20, 21]);
    const lagged = response.messages.filter((message) => message.event === 'lagged');
    expect(lagged.map((message) => message.data)).toEqual([{ dropped: 21 - seen.length }]);
    // It has caught up: what comes next is not lost.
    sendHeartbeat('a', { events: [eventOf(21)] });
    expect(response.messages.some(({ id }) => id === 'e-22')).toBe(true);
  });

  it('gets a new snapshot after it has lost events, since one of them may have said that a hive is gone', () => {
    const { open, sendHeartbeat, registry, hub } = bench({ maxQueuedEvents: 3, behindBytes: 1 });
    sendHeartbeat('a');
    sendHeartbeat('b');
    const response = open();
    const facts = open({ kinds: ['event'] });
    response.reading = facts.reading = false;
    sendHeartbeat('a', { events: [eventOf(1)] });
    registry.removeHive('b');
    hub.flush();
    for (let i = 2; i <= 11; i++) sendHeartbeat('a', { events: [eventOf(i)] });
    response.read();
    facts.read();
    const kinds = response.messages.map(({ data }) => (data as { kind?: string }).kind);
    expect(kinds).not.toContain('hiveRemoved');
    const after = response.messages.slice(names(response).indexOf('lagged'));
    expect(after.map(({ event, id }) => id ?? event)).toEqual(['lagged', 'e-12', 'e-13', 'e-14', 'snapshot']);
    expect(after.at(-1)?.data).toMatchObject({ lastEventId: 'e-14', hives: [{ id: 'a' }] });
    // Who sees no rows needs none anew.
    expect(names(facts)).toContain('lagged');
    expect(names(facts)).not.toContain('snapshot');
  });

  it('gets new snapshots no faster than it reads them, and no more than one in five seconds', () => {
    const { open, sendHeartbeat, clock } = bench({ maxQueuedEvents: 1, behindBytes: 1 });
    sendHeartbeat('a');
    const response = open();
    const snapshots = () => names(response).filter((name) => name === 'snapshot').length;
    let seq = 0;
    const lag = () => {
      response.reading = false;
      for (let i = 0; i < 5; i++) sendHeartbeat('a', { events: [eventOf(++seq)] });
      response.read();
    };
    lag();
    expect(snapshots()).toBe(2);
    for (let i = 0; i < 10; i++) lag();
    expect(names(response).filter((name) => name === 'lagged').length).toBe(11);
    expect(snapshots()).toBe(2);
    clock.ms += 4999;
    sendHeartbeat('a');
    expect(snapshots()).toBe(2);
    clock.ms += 1;
    sendHeartbeat('a', { workers: [workerOf('llm/0', { cpuPercent: 1 })] });
    expect(snapshots()).toBe(3);
    sendHeartbeat('a');
    clock.ms += 60_000;
    sendHeartbeat('a');
    expect(snapshots()).toBe(3);
  });

  it('is closed at the limit, by number of events lost or by time', () => {
    const { open, sendHeartbeat, hub, clock } = bench({
      maxQueuedEvents: 2,
      maxDropped: 5,
      behindBytes: 1,
      maxBehindMs: 1000,
    });
    const lossy = open();
    lossy.reading = false;
    sendHeartbeat('a');
    for (let i = 1; i <= 10; i++) sendHeartbeat('a', { events: [eventOf(i)] });
    expect([lossy.destroyed, hub.clients]).toEqual([true, 0]);
    const response = new FakeResponse();
    const client = new StreamClient({
      response: response as unknown as ServerResponse,
      ...{ caller: '', filterName: '' },
      limits: { ...streamLimits, behindBytes: 1, maxBehindMs: 1000 },
      wholeHive: () => null,
      newSnapshot: () => null,
      standsAt: 'e-0',
      now: () => clock.ms,
      onClose: () => undefined,
    });
    response.reading = false;
    client.events([Buffer.from('data: 1\n\n')]);
    client.tick(null);
    expect(response.destroyed).toBe(false);
    clock.ms += 1000;
    client.tick(null);
    expect(response.destroyed).toBe(true);
  });

  it('gets a snapshot no faster than it reads, and what happens meanwhile after it', () => {
    const { sendHeartbeat, registry } = bench();
    for (let hive = 0; hive < 60; hive++)
      sendHeartbeat(`h${hive}`, { workers: Array.from({ length: 10 }, (_, i) => workerOf(`llm/${i}`)) });
    const response = new FakeResponse();
    response.reading = false;
    const hub = new StreamHub(registry, { limits: { behindBytes: 64 * 1024 }, turns: endlessTurn() });
    hub.open(response as unknown as ServerResponse, {}, null, '');
    expect(response.writableLength).toBeLessThan(200 * 1024);
    registry.heartbeat(heartbeatOf('h7', 9, { workers: [workerOf('llm/0', { cpuPercent: 7 })], events: [eventOf(1)] }));
    registry.removeHive('h59');
    hub.flush();
    for (let turns = 0; response.waiting.length > 0 && turns < 100; turns++) {
      response.read();
      response.reading = false;
    }
    response.read();
    const [snapshot, ...rest] = response.messages;
    expect((snapshot?.data as StreamSnapshot | undefined)?.hives.length).toBeGreaterThanOrEqual(59);
    expect(rest.find(isHeartbeat)?.data).toMatchObject({ whole: true, hive: { id: 'h7' } });
    const kinds = rest.map((message) => (message.data as { kind?: string }).kind);
    expect(kinds).toContain('hiveRemoved');
    expect(kinds).toContain('workerStarted');
    hub.close();
  });

  it('a hive that was removed and came back in one turn ends up present', () => {
    const { open, sendHeartbeat, registry, hub } = bench();
    sendHeartbeat('a', { workers: [workerOf('llm/0'), workerOf('llm/1')] });
    const response = open();
    registry.removeHive('a');
    registry.heartbeat(heartbeatOf('a', 1, { workers: [workerOf('llm/1')], hive: { incarnation: incarnationOf(3) } }));
    hub.flush();
    const kinds = response.messages.map(({ event, data }) => (data as { kind?: string }).kind ?? event);
    expect(kinds).toEqual(['snapshot', 'hiveRemoved', 'hiveJoined', 'heartbeat']);
    expect(rows(response.messages.at(-1))).toEqual(['a/llm/1']);
  });
});

describe('over a socket', () => {
  /** A client that never reads. */
  const silent = (url: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    );
    socket.on('error', () => undefined);
    socket.pause();
    onTestFinished(() => void socket.destroy());
  };

  async function listening(options: Parameters<typeof serverOfTest>[0] = {}) {
    const server = await serverOfTest(options);
    const url = await server.app.listen({ host: '127.0.0.1', port: 0 });
    const read = (query = '', headers: Record<string, string> = {}) => {
      const reader = new StreamReader(`${url}/v1/events${query}`, headers);
      onTestFinished(() => reader.close());
      return reader;
    };
    return { server, url, read };
  }

  it('a heartbeat that is posted is read by everyone, with headers that stop proxies from buffering', async () => {
    const { server: live, url, read } = await listening();
    const clients = Array.from({ length: 5 }, () => read());
    await Promise.all(clients.map((client) => client.next(({ event }) => event === 'snapshot')));
    await live.post(heartbeatOf('a'));
    const seen = await Promise.all(clients.map((client) => client.next(({ event }) => event === 'heartbeat')));
    for (const message of seen) expect((message.data as StreamHeartbeat).hive.id).toBe('a');
    const abort = new AbortController();
    const response = await fetch(`${url}/v1/events`, {
      signal: abort.signal,
      headers: { 'accept-encoding': 'gzip, br' },
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('cache-control')).toContain('no-transform');
    expect(response.headers.get('content-encoding')).toBeNull();
    abort.abort();
  });

  it('comes back with Last-Event-ID, in the header or the query, and misses nothing', async () => {
    const { server: live, read } = await listening();
    await live.post(heartbeatOf('a', 1, { events: [eventOf(1)] }));
    const ids = (reader: StreamReader) => reader.messages.flatMap(({ id }) => (id === undefined ? [] : [id]));
    const byHeader = read('', { 'last-event-id': 'test-1' });
    const byQuery = read('?lastEventId=test-1');
    for (const reader of [byHeader, byQuery]) {
      await reader.next(({ id }) => id === 'test-2');
      expect(ids(reader)).toEqual(['test-2']);
    }
    await read('', { 'last-event-id': 'gone-1' }).next(({ event }) => event === 'reset');
  });

  it('refuses a query it does not know, HEAD, and one stream too many', async () => {
    const { server: live, url } = await listening();
    expect((await fetch(`${url}/v1/events?hives=a`)).status).toBe(400);
    expect((await fetch(`${url}/v1/events`, { method: 'HEAD' })).status).toBe(405);
    vi.spyOn(live.hub, 'refusal').mockReturnValue('Too many streams are open.');
    const refused = await fetch(`${url}/v1/events`);
    expect(await refused.json()).toMatchObject({ status: 503, code: 'TOO_MANY_STREAMS' });
    expect(refused.headers.get('retry-after')).toBe('5');
  });

  it('a client that never reads holds little memory and hinders nobody', async () => {
    const { server: live, url, read } = await listening();
    const workers = Array.from({ length: 100 }, (_, i) => workerOf(`llm/${i}`, { labels: longLabels }));
    const accepted: Socket[] = [];
    live.app.server.on('connection', (socket: Socket) => accepted.push(socket));
    for (let i = 0; i < 5; i++) silent(url);
    const reader = read();
    await waitFor(() => live.hub.clients === 6);
    await reader.next(({ event }) => event === 'snapshot');
    const sendHeartbeat = async (seq: number) => {
      for (const worker of workers) worker.cpuPercent = seq;
      await live.post(heartbeatOf('a', seq, { workers }));
      await new Promise((resolve) => setImmediate(resolve));
    };
    let seq = 0;
    // 200 KB a heartbeat, 30 MB in all: far more than the kernel takes for a socket that nobody reads.
    while (seq < 150) await sendHeartbeat(++seq);
    const waiting = accepted.map((socket) => socket.writableLength);
    expect(waiting.filter((bytes) => bytes > 0).length).toBe(5);
    expect(Math.max(...waiting)).toBeLessThan(1024 * 1024);
    await reader.next(({ data }) => (data as StreamHeartbeat).workers?.[0]?.cpuPercent === seq);
    expect(live.hub.clients).toBe(6);
  });

  it('a token that is taken back ends its streams', async () => {
    const { server: live, read } = await listening({ grants });
    const reading = read('', { authorization: `Bearer ${tokens.read}` });
    const admin = read('', { authorization: `Bearer ${tokens.admin}` });
    for (const reader of [reading, admin]) await reader.next(({ event }) => event === 'snapshot');
    live.table.replace(grants.filter(({ role }) => role !== 'read'));
    live.hub.endWhere((caller) => !live.table.knows(caller));
    await waitFor(() => reading.ended);
    expect(admin.ended).toBe(false);
  });

  it('streams end at shutdown, also those that nobody reads', async () => {
    const { server: live, url, read } = await listening();
    const reader = read();
    await reader.next(({ event }) => event === 'snapshot');
    silent(url);
    await waitFor(() => live.hub.clients === 2);
    const started = performance.now();
    await live.app.close();
    expect(performance.now() - started).toBeLessThan(2000);
    await waitFor(() => reader.ended);
    expect(live.hub.clients).toBe(0);
  });
});
