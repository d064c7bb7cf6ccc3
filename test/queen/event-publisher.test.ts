import { describe, expect, it, vi } from 'vitest';
import type { FleetEvent } from '../../lib/contract/api.js';
import type { HiveEvent } from '../../lib/contract/heartbeat.js';
import { EventPublisher } from '../../lib/queen/event-publisher.js';
import type { HiveRecord, WorkerRecord } from '../../lib/queen/records.js';
import type { RegistryChange, RegistryOptions } from '../../lib/queen/registry-options.js';
import { gpuSample, ManualClock, TestQueen, workerSample } from './heartbeats.js';

const at = '2026-03-01T00:00:00.000Z';
const hiveOf = (id: string) =>
  ({
    ...{ id, ackEventSeq: 0, incarnations: { current: `run of ${id}` } },
    info: { hostname: `${id}.example` },
    workers: new Map([['llm/0', { current: { model: 'm' } }]]),
  }) as unknown as HiveRecord;
const workerOn = (hive: HiveRecord, id = 'llm/0') => ({ hive, current: { id, model: 'm' } }) as unknown as WorkerRecord;
const eventOf = (seq: number, over: Partial<HiveEvent> = {}): HiveEvent => ({
  seq,
  at,
  kind: 'oomKill',
  detail: {},
  ...over,
});

function publisherOf(options: RegistryOptions = {}) {
  const clock = new ManualClock(0);
  const publisher = new EventPublisher({ clock: clock.read, wallClock: () => Date.parse(at), ...options }, 'e');
  const seen: RegistryChange[] = [];
  const stop = publisher.subscribe((change) => seen.push(change));
  const events = () => seen.splice(0).map((change) => ('event' in change ? change.event : change.type));
  return { publisher, clock, events, seen, stop };
}

/** Lets its records be published. */
class Queen extends TestQueen {
  get record(): HiveRecord {
    return this.indexes.hives.get('a')!;
  }
}

describe('what a queen publishes', () => {
  it('about a hive, a worker and two hives of one name has all that says which', () => {
    const { publisher, events } = publisherOf();
    const hive = hiveOf('a');
    publisher.publishHiveEvent('hiveJoined', 'a', { x: 1 });
    publisher.publishWorkerEvent('workerAppeared', workerOn(hive), { y: 2 });
    publisher.publishDuplicate(hive, { hostname: 'other', incarnation: 'run 2' } as never);
    expect(events()).toEqual([
      { id: 'e-1', at, kind: 'hiveJoined', hive: 'a', detail: { x: 1 } },
      { id: 'e-2', at, kind: 'workerAppeared', hive: 'a', workerId: 'llm/0', model: 'm', detail: { y: 2 } },
      {
        ...{ id: 'e-3', at, kind: 'duplicateHiveId', hive: 'a' },
        detail: {
          ...{ hostname: 'other', incarnation: 'run 2' },
          ...{ currentHostname: 'a.example', currentIncarnation: 'run of a' },
        },
      },
    ]);
  });

  it('of rows is what changed of them, what is gone, and whether that is all, as it was when the host was heard', () => {
    const queen = new Queen();
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')], workers: [workerSample('llm/0'), workerSample('llm/1')] });
    const [hive, one, other] = [queen.hive('a'), queen.worker('a', 'llm', '0'), queen.worker('a', 'llm', '1')];
    const { publisher, seen } = publisherOf();
    const [first, second] = queen.record.workerOrder;
    publisher.publishRows(queen.record, [first!]);
    publisher.publishRows(queen.record, [second!], [first!], true);
    queen.time.advance(500);
    const rows = seen.map((change) => ('heartbeat' in change ? [change.type, change.hiveId, change.heartbeat] : []));
    expect(rows).toEqual([
      ['heartbeat', 'a', { hive, workers: [one], gone: [], whole: false }],
      ['heartbeat', 'a', { hive, workers: [other], gone: ['a/llm/0'], whole: true }],
    ]);
    // Made once for all who look.
    for (const [i, change] of seen.entries()) expect('heartbeat' in change && change.heartbeat).toBe(rows[i]![2]);
  });

  it('says whether a hive reports it or a queen found it out', () => {
    const { publisher, seen } = publisherOf();
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    publisher.publishWorkerEvent('workerAppeared', workerOn(hiveOf('a')), {});
    publisher.ingestHiveEvents(hiveOf('a'), [eventOf(1)]);
    expect(seen.map(({ type }) => type)).toEqual(['queenEvent', 'queenEvent', 'event']);
  });

  it('has the time at which it happens', () => {
    const wall = { ms: Date.parse(at) };
    const { publisher, events } = publisherOf({ wallClock: () => wall.ms });
    for (const ms of [0, 0, 1, 1]) {
      wall.ms += ms;
      publisher.publishHiveEvent('hiveJoined', 'a', {});
    }
    expect(events().map((event) => (event as FleetEvent).at.slice(-5))).toEqual(['.000Z', '.000Z', '.001Z', '.002Z']);
  });

  it('is counted by its kind from 0 on, and what is newer as one', () => {
    const { publisher } = publisherOf();
    expect([
      publisher.counts.get('oomKill'),
      publisher.counts.get('hiveJoined'),
      publisher.counts.get('other'),
    ]).toEqual([0, 0, 0]);
    const hive = hiveOf('a');
    publisher.ingestHiveEvents(hive, [eventOf(1), eventOf(2), eventOf(3, { kind: 'ofTheFuture' as never })]);
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    expect([
      publisher.counts.get('oomKill'),
      publisher.counts.get('hiveJoined'),
      publisher.counts.get('other'),
    ]).toEqual([2, 1, 1]);
    expect(publisher.counts.has('ofTheFuture')).toBe(false);
  });

  it('is nothing while it does not lead, but for what hives report', () => {
    const { publisher, events } = publisherOf({ concludes: () => false });
    const hive = hiveOf('a');
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    publisher.publishWorkerEvent('workerAppeared', workerOn(hive), {});
    publisher.ingestHiveEvents(hive, [eventOf(1)]);
    expect(events()).toMatchObject([{ kind: 'oomKill' }]);
  });

  it('goes to those who listen while they do', () => {
    const { publisher, events, stop } = publisherOf();
    expect(publisher.hasListeners).toBe(true);
    publisher.publishRows(hiveOf('a'), []);
    expect(events()).toEqual(['heartbeat']);
    stop();
    expect(publisher.hasListeners).toBe(false);
    publisher.publishRows(hiveOf('a'), []);
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    expect(events()).toEqual([]);
    expect(publisher.ring.lastId).toBe('e-1');
  });

  it('a listener that throws is heard of on its own', () => {
    const { publisher } = publisherOf();
    const later: (() => void)[] = [];
    const queued = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((task) => void later.push(task));
    publisher.subscribe(() => {
      throw new Error('broken listener');
    });
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    queued.mockRestore();
    expect(later).toHaveLength(1);
    expect(later[0]).toThrow('broken listener');
  });
});

describe('events of a hive', () => {
  it('are published once each, with the model of their worker, and acknowledged as far as they came', () => {
    const { publisher, events } = publisherOf();
    const hive = hiveOf('a');
    const given = [
      eventOf(1, { workerId: 'llm/0' }),
      eventOf(1),
      eventOf(3, { workerId: 'gone', gpuUuid: 'GPU-0' }),
      eventOf(2),
    ];
    publisher.ingestHiveEvents(hive, given);
    expect(hive.ackEventSeq).toBe(3);
    expect(events()).toEqual([
      { id: 'e-1', at, kind: 'oomKill', hive: 'a', workerId: 'llm/0', model: 'm', detail: {} },
      { id: 'e-2', at, kind: 'oomKill', hive: 'a', workerId: 'gone', gpuUuid: 'GPU-0', detail: {} },
    ]);
    publisher.ingestHiveEvents(hive, given);
    expect(events()).toEqual([]);
  });

  it('are so many at once and a second: the others are taken when they are sent again', () => {
    const { publisher, clock } = publisherOf();
    const all = Array.from({ length: 5000 }, (_, i) => eventOf(i + 1));
    expect(publisher.withinRate('a', all)).toHaveLength(4000);
    expect(publisher.withinRate('a', all)).toEqual([]);
    expect(publisher.withinRate('b', all.slice(0, 3))).toHaveLength(3);
    clock.advance(1000);
    expect(publisher.withinRate('a', all)).toHaveLength(200);
  });

  it('that are acknowledged take nothing of that where they are sent again', () => {
    const { publisher, clock } = publisherOf();
    const hive = hiveOf('a');
    const all = Array.from({ length: 4300 }, (_, i) => eventOf(i + 1));
    publisher.ingestHiveEvents(hive, all);
    expect(hive.ackEventSeq).toBe(4000);
    clock.advance(1000);
    publisher.ingestHiveEvents(hive, all);
    expect(hive.ackEventSeq).toBe(4200);
  });

  it('about its workers beyond the rate are counted, and that is said once', () => {
    const { publisher, clock, events } = publisherOf();
    const [a, b] = [hiveOf('a'), hiveOf('b')];
    for (let i = 0; i < 8002; i++) publisher.publishWorkerEvent('workerAppeared', workerOn(a), {});
    publisher.publishWorkerEvent('workerAppeared', workerOn(b), {});
    expect(events()).toHaveLength(8001);
    publisher.publishOmitted('b');
    publisher.publishOmitted('a');
    publisher.publishOmitted('a');
    expect(events()).toMatchObject([{ kind: 'eventsOmitted', hive: 'a', detail: { count: 2 } }]);
    clock.advance(1000);
    for (let i = 0; i < 201; i++) publisher.publishWorkerEvent('workerAppeared', workerOn(a), {});
    expect(events()).toHaveLength(200);
    publisher.publishOmitted('a');
    expect(events()).toMatchObject([{ detail: { count: 1 } }]);
  });

  it('of a hive that is forgotten are known as acknowledged once, of the same run', () => {
    const { publisher } = publisherOf();
    const hive = hiveOf('a');
    publisher.saveAckedSeq(hive);
    expect(publisher.loadAckedSeq('a', 'run of a')).toBe(0);
    hive.ackEventSeq = 7;
    publisher.saveAckedSeq(hive);
    expect(publisher.loadAckedSeq('a', 'run of a')).toBe(7);
    expect(publisher.loadAckedSeq('a', 'run of a')).toBe(0);
    publisher.saveAckedSeq(hive);
    expect(publisher.loadAckedSeq('a', 'another run')).toBe(0);
  });
});

describe('a stream that queens share', () => {
  it('is given what the queen finds out, and hive events only by whoever keeps it', () => {
    const journal = vi.fn();
    const { publisher, events } = publisherOf({ journal });
    const hive = hiveOf('a');
    publisher.publishHiveEvent('hiveJoined', 'a', {});
    publisher.ingestHiveEvents(hive, [eventOf(1)]);
    expect(journal.mock.calls).toEqual([[{ at, kind: 'hiveJoined', hive: 'a', detail: {} }]]);
    expect([events(), hive.ackEventSeq]).toEqual([[], 0]);
    const event = { id: 'e-1', at, kind: 'hiveJoined', hive: 'a', detail: {} };
    publisher.deliver('queenEvent', event);
    publisher.deliver('queenEvent', event);
    publisher.deliver('event', { ...event, id: 'e-2' }, true);
    expect(events()).toEqual([event]);
    expect([publisher.ring.lastId, publisher.counts.get('hiveJoined')]).toEqual(['e-2', 1]);
  });
});
