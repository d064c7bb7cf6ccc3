import { afterEach, describe, expect, it, vi } from 'vitest';
import { StreamRows } from '../../lib/api/stream-rows.js';
import { RequestTurns } from '../../lib/http/request-turns.js';
import { Registry } from '../../lib/queen/registry.js';
import { eventOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { hubBench } from './hub-bench.js';

const of = (model: string, n: number, cpuPercent = n) => workerOf(`llm/${n}`, { model, models: null, cpuPercent });

describe('a reader of one model', () => {
  it('has no message of hives in which nothing of it has changed, and where it stands like any that is not sent all', () => {
    const { hub, open, hear, said } = hubBench();
    hear('a', { workers: [of('m', 0), of('n', 1)] });
    const [one, all] = [open({ model: 'm' }), open()];
    hear('a', { workers: [of('m', 0), of('n', 1, 50)] });
    hub.flush();
    expect(said(one)).toEqual(['snapshot', 'position']);
    expect(said(all)).toEqual(['snapshot', 'heartbeat']);
    hear('a', { workers: [of('m', 0), of('n', 1, 50)] });
    hub.flush();
    expect(said(one)).toEqual(['snapshot', 'position']);
    // Who sees all hives sees that this one is still there.
    expect(all.messages.at(-1)?.data).toMatchObject({ workers: [], gone: [], whole: false });
    hear('a', { workers: [of('m', 0, 70), of('n', 1, 50)] });
    hub.flush();
    expect(one.messages.at(-1)?.data).toMatchObject({ workers: [{ key: 'a/llm/0' }], gone: [] });
    hear('a', { workers: [of('n', 1, 50)] });
    hub.flush();
    expect(one.messages.at(-1)?.data).toMatchObject({ workers: [], gone: ['a/llm/0'] });
  });
});

describe('events of one moment', () => {
  it('go to each reader in one write, and one by one where it is behind', () => {
    const { hub, open, hear } = hubBench({ limits: { behindBytes: 1 } });
    const [quick, slow] = [open({ kinds: ['queenEvent'] }), open({ kinds: ['queenEvent'] })];
    hear('a');
    slow.reading = false;
    hub.flush();
    quick.reading = false;
    for (const hive of ['b', 'c', 'd']) hear(hive);
    hub.flush();
    expect(quick.waiting).toHaveLength(1);
    expect(slow.waiting).toHaveLength(1);
    for (const each of [quick, slow]) each.read();
    const joined = ['a', 'b', 'c', 'd'];
    const hives = (response: typeof quick) =>
      response.messages
        .filter(({ event }) => event === 'queenEvent')
        .map(({ data }) => (data as { hive: string }).hive);
    expect(hives(quick)).toEqual(joined);
    expect(hives(slow)).toEqual(joined);
  });
});

describe('events of one moment that are many', () => {
  it('are some writes, each hardly longer than 32 KiB, with none twice and none left out', () => {
    const { hub, open, hear } = hubBench();
    const reader = open({ kinds: ['queenEvent'] });
    const hives = Array.from({ length: 600 }, (_, n) => `h${n}`);
    for (const hive of hives) hear(hive);
    reader.reading = false;
    hub.flush();
    const sizes = reader.waiting.map(({ length }) => length);
    expect(sizes.length).toBeGreaterThan(2);
    for (const size of sizes) expect(size).toBeLessThan(33 * 1024);
    for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThan(32 * 1024);
    reader.read();
    const joined = reader.messages.filter(({ event }) => event === 'queenEvent');
    expect(joined.map(({ data }) => (data as { hive: string }).hive)).toEqual(hives);
  });
});

describe('a caller that holds its share of all streams', () => {
  it('is refused another, while somebody else is not', () => {
    const { hub, open } = hubBench({ maxClients: 10 });
    for (let n = 0; n < 8; n += 1) open({}, 'one');
    expect(hub.refusal('one', {})).toMatch(/^Too many streams/);
    expect(hub.refusal('another', {})).toBeNull();
  });
});

describe('rows that nobody sees', () => {
  it('are not made: most readers want events alone, or one hive', () => {
    const { registry, hub, open, hear, said } = hubBench();
    const looked: string[] = [];
    vi.spyOn(registry, 'subscribe').mockImplementation((listener) =>
      Registry.prototype.subscribe.call(registry, (change) => {
        if (change.type !== 'heartbeat') return listener(change);
        const { type, hiveId } = change;
        const made = () => looked.push(hiveId) && change.heartbeat;
        listener({
          type,
          hiveId,
          get heartbeat() {
            return made();
          },
        } as typeof change);
      }),
    );
    const [events, one] = [open({ kinds: ['event', 'queenEvent'] }), open({ hive: 'a' })];
    hear('b');
    hear('a');
    hub.flush();
    expect(looked).toEqual(['a']);
    expect(said(events)).toEqual(['position', 'hiveJoined', 'hiveJoined']);
    expect(said(one)).toEqual(['snapshot', 'position', 'hiveJoined', 'heartbeat']);
  });
});

describe('rows that many see', () => {
  it.each([
    ['as changes', { changes: true }],
    ['of one hive', { hive: 'a' }],
    ['of one model', { model: 'm' }],
  ])('%s are made once, whatever events their readers see, until the last of them leaves', (_, filter) => {
    const { registry, hub, open, hear } = hubBench();
    hear('a', { workers: [of('m', 0)] });
    const readers = Array.from({ length: 10 }, (__, n) => open({ ...filter, kinds: ['heartbeat', `kind-${n}`] }));
    const asked = vi.spyOn(registry, 'workersOf');
    for (const reader of readers) reader.reading = false;
    for (const cpu of [50, 60]) {
      hear('a', { workers: [of('m', 0, cpu)] });
      hub.flush();
      const messages = new Set(readers.map(({ waiting }) => waiting.at(-1)));
      expect(messages.size).toBe(1);
      expect(String([...messages][0])).toContain(String(cpu));
    }
    expect(asked.mock.calls.length).toBeLessThanOrEqual(2);
    const [last, ...others] = readers;
    for (const reader of others) reader.emit('close');
    hear('a', { workers: [of('m', 0, 70)] });
    hub.flush();
    expect(String(last!.waiting.at(-1))).toContain('70');
    last!.emit('close');
    asked.mockClear();
    hear('a', { workers: [of('m', 0, 80)] });
    hub.flush();
    expect(asked).not.toHaveBeenCalled();
  });
});

describe('what happens in one turn', () => {
  it('a hive that is removed after its heartbeat is gone, and comes by no late row', () => {
    const { registry, hub, open, hear, said } = hubBench();
    hear('a');
    const response = open();
    hear('a', { workers: [workerOf('llm/7')] });
    registry.removeHive('a');
    hub.flush();
    expect(said(response)).toEqual(['snapshot', 'workerAppeared', 'workerGone', 'hiveRemoved']);
  });

  it('rows of the first of two heartbeats are kept, though events come with the second', () => {
    const { hub, open, hear, said } = hubBench();
    hear('a', { workers: [of('m', 0), of('m', 1)] });
    const response = open();
    hear('a', { workers: [of('m', 0, 61), of('m', 1)] });
    hear('a', { workers: [of('m', 0, 61), of('m', 1, 62)], events: [eventOf(1, { kind: 'oomKill' })] });
    hub.flush();
    expect(said(response)).toEqual(['snapshot', 'oomKill', 'heartbeat']);
    expect(response.messages.at(-1)?.data).toMatchObject({ workers: [{ cpuPercent: 61 }, { cpuPercent: 62 }] });
  });

  it('a hive that is sent whole has nothing gone', () => {
    const { hub, open, hear } = hubBench();
    const response = open();
    hear('b');
    hub.flush();
    expect(response.messages.at(-1)?.data).toMatchObject({ whole: true, gone: [] });
  });
});

describe('readers of the same', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('go on when one of them leaves; with the last the clock stops', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { hub, open, hear, said } = hubBench();
    const [first, second] = [open(), open()];
    expect(vi.getTimerCount()).toBe(1);
    first.emit('close');
    hear('a');
    hub.flush();
    expect(said(second)).toEqual(['snapshot', 'hiveJoined', 'heartbeat']);
    second.emit('close');
    expect([hub.clients, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('are those of the same kinds in any order: 64 different filters are all that a caller may have', () => {
    const { hub, open } = hubBench({ maxClients: 1000 });
    for (let n = 0; n < 64; n += 1) open({ kinds: ['event', `kind-${n}`] });
    expect(hub.refusal('someone', { kinds: ['kind-7', 'event', 'kind-7'] })).toBeNull();
    expect(hub.refusal('someone', { kinds: ['kind-64', 'event'] })).toMatch(/64 streams with different filters/);
    expect(hub.refusal('another', { kinds: ['kind-64', 'event'] })).toBeNull();
  });

  it('wait in the turn of their own caller', () => {
    const callers: string[] = [];
    class Turns extends RequestTurns {
      override take(who: () => string, run: () => void): void {
        callers.push(who());
        run();
      }
    }
    const { open } = hubBench({ turns: new Turns({ now: () => 0, soon: () => undefined }) });
    open({}, 'one');
    open({}, 'other');
    expect(new Set(callers)).toEqual(new Set(['one', 'other']));
  });
});

describe('memory of all readers together', () => {
  /** Three that do not read, of which the second waits for most; `limit`: bytes that may wait. */
  function waiting(limit: number) {
    const evicted: number[] = [];
    const { hub, open, hear } = hubBench({ maxUnreadBytes: limit, onEvicted: (_reader, count) => evicted.push(count) });
    hear('a');
    const filters = [{ kinds: ['event'] }, {}, { kinds: ['event', 'queenEvent'] }];
    const readers = filters.map((filter) => open(filter));
    const leaves = open();
    for (const reader of readers) reader.reading = false;
    hear('a', { workers: [workerOf('llm/5')], events: [eventOf(1)] });
    leaves.emit('close');
    hub.flush();
    return { hub, evicted, readers, unread: readers.reduce((sum, { writableLength }) => sum + writableLength, 0) };
  }

  it('up to the limit nobody is evicted; beyond it those for whom most waits, down to half of it', () => {
    const { unread } = waiting(Number.POSITIVE_INFINITY);
    expect(unread).toBeGreaterThan(1000);
    const within = waiting(unread);
    expect([within.evicted, within.hub.evicted]).toEqual([[], 0]);
    const beyond = waiting(unread - 1);
    expect(beyond.readers.map(({ destroyed }) => destroyed)).toEqual([false, true, false]);
    expect([beyond.evicted, beyond.hub.evicted, beyond.hub.clients]).toEqual([[1], 1, 2]);
  });
});

describe('a snapshot', () => {
  const hives = 40;

  function large() {
    const registry = new Registry({ clock: () => 0, epoch: 'e' });
    for (let n = 0; n < hives; n += 1) {
      const labels = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`label-${i}`, 'x'.repeat(250)]));
      const workers = Array.from({ length: 4 }, (_, i) => workerOf(`llm/${i}`));
      registry.heartbeat(heartbeatOf(`h${n}`, 1, { workers, hive: { labels } }));
    }
    return registry;
  }

  it('is built in pieces that are hardly longer than 64 KiB, also within its hives and its workers', () => {
    const pieces = [...new StreamRows(large(), {}).snapshot('e-0')].map(String);
    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) expect(piece.length).toBeLessThan(64 * 1024 + 8192);
    for (const piece of pieces.slice(0, -1)) expect(piece.length).toBeGreaterThanOrEqual(64 * 1024);
    const data = JSON.parse(/data: (.*)/.exec(pieces.join(''))?.[1] ?? '') as { hives: []; workers: [] };
    expect([data.hives.length, data.workers.length]).toEqual([hives, 4 * hives]);
  });

  it('leaves out a hive that is removed while it is built', () => {
    const registry = large();
    const building = new StreamRows(registry, {}).snapshot('e-0');
    const begun = String(building.next().value);
    registry.removeHive('h39');
    const text = begun + [...building].map(String).join('');
    const data = JSON.parse(/data: (.*)/.exec(text)?.[1] ?? '') as { hives: { id: string }[] };
    expect(data.hives).toHaveLength(hives - 1);
    expect(data.hives.every((hive) => hive !== null && hive.id !== 'h39')).toBe(true);
  });
});
