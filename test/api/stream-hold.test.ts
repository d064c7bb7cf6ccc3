import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StreamRows } from '../../lib/api/stream-rows.js';
import type { StreamChanges } from '../../lib/contract/api.js';
import { Registry } from '../../lib/queen/registry.js';
import { eventOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { hubBench } from './hub-bench.js';

/** Of the event loop: what is put off to its next turn, or by so many ms, happens when a test says so. */
const stepped = [
  'setImmediate',
  'clearImmediate',
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
] as const;

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...stepped, 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Where two hives were heard in one turn, what happens within so many ms of a write goes out together. */
const gatherMs = 10;

const llm = (n: number, cpuPercent: number) => workerOf(`llm/${n}`, { cpuPercent });

describe('changes are held for a tenth of a second', () => {
  it('to be compressed together, while whole rows go out in the next turn', () => {
    const { open, hear, news } = hubBench();
    hear('a', { workers: [llm(0, 1)] });
    const [whole, changes] = [open(), open({ changes: true })];
    [whole, changes].map(news);
    hear('a', { workers: [llm(0, 2)] });
    expect([whole, changes].map(news)).toEqual([[], []]);
    vi.advanceTimersByTime(1);
    expect([whole, changes].map(news)).toEqual([['heartbeat'], []]);
    vi.advanceTimersByTime(98);
    expect(news(changes)).toEqual([]);
    vi.advanceTimersByTime(1);
    // The first that is sent beside the snapshot is whole.
    expect([whole, changes].map(news)).toEqual([[], ['heartbeat']]);
    for (const cpuPercent of [3, 4]) {
      hear('a', { workers: [llm(0, cpuPercent)] });
      vi.advanceTimersByTime(40);
    }
    vi.advanceTimersByTime(30);
    expect(changes.messages).toMatchObject([{ event: 'changes', data: { workers: { 'llm/0': { cpuPercent: 4 } } } }]);
    expect(news(whole)).toEqual(['heartbeat', 'heartbeat']);
    // The clock stands still while nothing is held.
    news(changes);
    vi.advanceTimersByTime(1000);
    expect(news(changes)).toEqual([]);
  });

  it('but not behind an event, nor behind the snapshot of a reader that joins', () => {
    const { open, hear, news } = hubBench();
    hear('a', { workers: [llm(0, 1)] });
    const first = open({ changes: true });
    hear('a', { workers: [llm(0, 2)] });
    vi.advanceTimersByTime(gatherMs);
    news(first);
    hear('a', { workers: [llm(0, 3)], events: [eventOf(1, { kind: 'oomKill' })] });
    vi.advanceTimersByTime(gatherMs);
    expect(news(first)).toEqual(['oomKill', 'heartbeat']);
    hear('a', { workers: [llm(0, 4)] });
    vi.advanceTimersByTime(gatherMs);
    expect(news(first)).toEqual([]);
    open({ changes: true });
    expect(news(first)).toEqual(['changes']);
  });

  it('rows that are gone meanwhile are gone, and a hive that is removed is not sent at all', () => {
    const { registry, open, hear, news } = hubBench();
    hear('a', { workers: [llm(0, 1), llm(1, 1)] });
    const changes = open({ changes: true });
    hear('a', { workers: [llm(0, 2), llm(1, 2)] });
    vi.advanceTimersByTime(gatherMs + 100);
    news(changes);
    hear('a', { workers: [llm(0, 3), llm(1, 3)] });
    vi.advanceTimersByTime(gatherMs);
    hear('a', { workers: [llm(0, 3)] });
    vi.advanceTimersByTime(gatherMs);
    const sent = changes.messages.findLast(({ event }) => event === 'changes')?.data as StreamChanges;
    expect([sent.gone, Object.keys(sent.workers)]).toEqual([['a/llm/1'], ['llm/0']]);
    hear('a', { workers: [llm(0, 4)] });
    vi.advanceTimersByTime(gatherMs);
    news(changes);
    registry.removeHive('a');
    vi.advanceTimersByTime(200);
    expect(news(changes)).toEqual(['hiveRemoved']);
    // Back again, it is new: whole, whatever was sent of the one before.
    hear('a', { workers: [llm(0, 4)] });
    vi.advanceTimersByTime(gatherMs + 100);
    expect(news(changes)).toEqual(['hiveJoined', 'heartbeat']);
  });

  it('two new rows are two, and a hive in which nothing differs has no change', () => {
    const { open, hear } = hubBench();
    hear('a', { workers: [] });
    const changes = open({ changes: true });
    hear('a', { workers: [] });
    vi.advanceTimersByTime(gatherMs + 100);
    hear('a', { workers: [llm(0, 1), llm(1, 1)] });
    vi.advanceTimersByTime(gatherMs + 100);
    const sent = changes.messages.filter(({ event }) => event === 'changes').map(({ data }) => data as StreamChanges);
    expect(sent.at(-1)?.added.map(({ key }) => key)).toEqual(['a/llm/0', 'a/llm/1']);
    hear('a', { workers: [llm(0, 1), llm(1, 1)] });
    vi.advanceTimersByTime(gatherMs + 100);
    const last = changes.messages.at(-1)?.data as StreamChanges;
    expect(last).toMatchObject({ hive: 'a', workers: {}, gone: [], added: [] });
    expect(last).not.toHaveProperty('change');
  });

  it('when the last reader leaves nothing waits any more', () => {
    const { open, hear } = hubBench();
    hear('a', { workers: [llm(0, 1)] });
    const changes = open({ changes: true });
    hear('a', { workers: [llm(0, 2)] });
    vi.advanceTimersByTime(gatherMs);
    changes.emit('close');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('what happens in one turn goes out as one write', () => {
  it('and the next is put off by three times what it took, by half a second at most, and by ten ms where the fleet is busy', () => {
    const { hub, open, hear, news } = hubBench();
    hear('a', { workers: [llm(0, 1)] });
    const reader = open();
    /** Each write takes so long. */
    let writeMs = 0;
    const write = reader.write.bind(reader);
    let writes = 0;
    reader.write = (chunk) => {
      writes += 1;
      vi.setSystemTime(Date.now() + writeMs);
      vi.advanceTimersByTime(writeMs);
      return write(chunk);
    };
    const next = (...hives: readonly string[]) => {
      writes = 0;
      for (const hive of hives) hear(hive);
      let waitedMs = 0;
      while (writes === 0 && waitedMs < 2000) {
        vi.advanceTimersByTime(1);
        waitedMs += 1;
      }
      news(reader);
      return waitedMs;
    };
    hear('b');
    hub.flush();
    expect(next('a', 'b')).toBe(1);
    expect(writes).toBe(1);
    expect(next('a')).toBe(gatherMs - 1); // One went by since the write, also below.
    expect(next('a')).toBe(1);
    writeMs = 40;
    next('a');
    writeMs = 0;
    expect(next('a')).toBe(119);
    writeMs = 900;
    next('a');
    writeMs = 0;
    expect(next('a')).toBe(499);
    expect(next('a')).toBe(1);
  });

  it('a hub that is closed says so, and has ended its readers with what they were owed', () => {
    const { hub, open, hear, news } = hubBench();
    hear('a', { workers: [] });
    const reader = open();
    news(reader);
    hear('a', { workers: [llm(7, 1)] });
    expect(hub.closed).toBe(false);
    hub.close();
    expect([hub.closed, reader.ended, hub.clients]).toEqual([true, true, 0]);
    expect(news(reader)).toEqual(['workerAppeared', 'heartbeat']);
    vi.advanceTimersByTime(gatherMs);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('rows of a filter', () => {
  it('builds the rows of a hive for those that catch up once, until it changes or something happens there', () => {
    const registry = new Registry({ clock: () => 0, epoch: 'e' });
    registry.heartbeat(heartbeatOf('a', 1, { workers: [llm(0, 1)] }));
    const rows = new StreamRows(registry, {});
    const first = rows.wholeHive('a');
    expect(String(first)).toContain('"a/llm/0"');
    expect(rows.wholeHive('a')).toBe(first);
    expect(rows.wholeHive('b')).toBeNull();
    const event = { id: 'e-9', at: '2026-01-02T03:04:05.000Z', kind: 'oomKill', hive: 'a', detail: {} } as const;
    for (const forget of [() => rows.forget(['a'], []), () => rows.forget([], [event]), () => rows.forgetAll()]) {
      const known = rows.wholeHive('a');
      forget();
      expect(rows.wholeHive('a')).not.toBe(known);
    }
  });

  it('that is about one hive has that one alone in its snapshot', () => {
    const registry = new Registry({ clock: () => 0, epoch: 'e' });
    for (const hive of ['a', 'b']) registry.heartbeat(heartbeatOf(hive, 1, { workers: [llm(0, 1)] }));
    const text = [...new StreamRows(registry, { hive: 'b' }).snapshot('e-0')].map(String).join('');
    expect([text.includes('"b/llm/0"'), text.includes('"a/llm/0"'), text.includes('"id":"a"')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
