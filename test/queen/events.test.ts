import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FleetEvent } from '../../lib/contract/api.js';
import type { HiveEvent } from '../../lib/contract/heartbeat.js';
import { EventRing, type Replay } from '../../lib/queen/events.js';
import type { RegistryChange } from '../../lib/queen/registry.js';
import { bareHeartbeat, ManualClock, runB, TestQueen, workerSample } from './heartbeats.js';

const draft = (n: number) => ({ at: '2026-01-02T03:04:05.000Z', kind: 'xid', hive: 'a', detail: { n } });
const fact = (seq: number, fields: Partial<HiveEvent> = {}): HiveEvent => ({
  seq,
  at: '2026-01-02T03:04:05.000Z',
  kind: 'oomKill',
  workerId: 'llm/1',
  detail: { kills: seq },
  ...fields,
});

const whole = ({ events }: Replay): FleetEvent[] => events.map(({ json }) => JSON.parse(json));

describe('the ring of events', () => {
  it('keeps an OOM kill through any number of workers that come and go, and gives it after a reset', () => {
    const ring = new EventRing('e', 10);
    const oom = ring.append({ ...draft(1), kind: 'oomKill', hive: 'victim' });
    for (let n = 0; n < 1000; n++) ring.append({ ...draft(n), kind: 'workerAppeared' });
    const replay = ring.since('e-0');
    expect(replay.type).toBe('reset');
    expect(whole(replay)).toEqual([oom]);
  });

  /** What a plain list with the same rule would keep: of a full one the oldest goes, of the hive that fills it or of all. */
  function keepPlain(plain: { readonly id: string; readonly hive: string }[], capacity: number, hive: string): void {
    if (plain.length <= capacity) return;
    const fills = plain.filter((each) => each.hive === hive).length > plain.length / 8;
    plain.splice(fills ? plain.findIndex((each) => each.hive === hive) : 0, 1);
  }

  it.each([
    ['bursts', 60, 12],
    ['turns', 3, 60],
  ])(
    'keeps what a plain list with the same rule would, whoever reports how much in whatever order: %s',
    (_, most, turns) => {
      const hives = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
      const reports = fc.array(fc.record({ hive: hives, count: fc.integer({ min: 1, max: most }) }), {
        maxLength: turns,
      });
      fc.assert(
        fc.property(reports, fc.integer({ min: 1, max: 24 }), (all, capacity) => {
          const ring = new EventRing('e', capacity);
          const plain: { readonly id: string; readonly hive: string }[] = [];
          for (const { hive, count } of all)
            for (let n = 0; n < count; n++) {
              plain.push({ id: ring.append({ ...draft(n), hive }).id, hive });
              keepPlain(plain, capacity, hive);
            }
          expect(ring.recent().map(({ id }) => id)).toEqual(plain.map(({ id }) => id));
          expect([ring.size, ring.capacity]).toEqual([plain.length, capacity]);
        }),
      );
    },
  );

  it('keeps the same after thousands were dropped, whose places are given back', () => {
    const [ring, capacity] = [new EventRing('e', 40), 40];
    const plain: { readonly id: string; readonly hive: string }[] = [];
    for (let n = 0; n < 8000; n++) {
      // One that reports much, and sixteen that report little.
      const hive = n % 3 === 0 ? 'much' : `h${n % 16}`;
      plain.push({ id: ring.append({ ...draft(n), hive }).id, hive });
      keepPlain(plain, capacity, hive);
      if (n % 97 !== 0) continue;
      expect(ring.recent().map(({ id }) => id)).toEqual(plain.map(({ id }) => id));
    }
    expect(ring.size).toBe(capacity);
  });

  it('gives both lanes in one order, and as many of the newest as are asked for', () => {
    const ring = new EventRing('e', 10);
    const all = Array.from({ length: 9 }, (_, n) =>
      ring.append({ ...draft(n), kind: n % 3 === 0 ? 'oomKill' : 'workerAppeared' }),
    );
    for (let limit = 0; limit <= 12; limit++) expect(ring.recent(limit)).toEqual(all.slice(Math.max(0, 9 - limit)));
    for (let from = 0; from <= 9; from++) {
      const replay = ring.since(`e-${from}`);
      expect({ type: replay.type, events: whole(replay) }).toEqual({ type: 'events', events: all.slice(from) });
    }
  });

  it('keeps as many bytes as it may, and one event however long it is', () => {
    const length = JSON.stringify({ id: 'e-1', ...draft(1) }).length + 512;
    for (const [maxBytes, kept] of [
      [1, 1],
      [3 * length - 1, 2],
      [3 * length, 3],
    ] as const) {
      const ring = new EventRing('e', 10, maxBytes);
      for (let n = 1; n <= 5; n++) ring.append(draft(n));
      expect([maxBytes, ring.size]).toEqual([maxBytes, kept]);
      expect(ring.recent().map(({ id }) => id)).toEqual(['e-1', 'e-2', 'e-3', 'e-4', 'e-5'].slice(-kept));
    }
  });

  it.each([[''], ['1'], ['a-1'], ['-']])('knows its own ids, whatever its name is: %j', (epoch) => {
    const ring = new EventRing(epoch, 10);
    for (let n = 1; n <= 12; n++) ring.append(draft(n));
    expect(ring.since(ring.lastId)).toEqual({ type: 'events', events: [] });
    expect(whole(ring.since(`${epoch}-11`)).map(({ id }) => id)).toEqual([`${epoch}-12`]);
    // Its name with a digit behind it is no id.
    expect(ring.since(`${epoch}1`).type).toBe('reset');
    expect(ring.since(`${epoch}2`).events).toEqual([]);
  });

  it('of 3,000 events of a hive in a ring that others have filled keeps its newest', () => {
    const ring = new EventRing('e', 2000);
    for (let n = 0; n < 2000; n++) ring.append({ ...draft(n), hive: 'others' });
    for (let n = 0; n < 3000; n++) ring.append({ ...draft(n), hive: 'late' });
    const late = ring.recent().filter(({ hive }) => hive === 'late');
    expect(ring.size).toBe(2000);
    expect(late.at(-1)?.detail).toEqual({ n: 2999 });
    expect(late.map(({ detail }) => detail.n)).toEqual(late.map((_, i) => 3000 - late.length + i));
  });

  it('lets no hive push out what others report, once it fills the ring', () => {
    const ring = new EventRing('e', 16);
    const others = ['b', 'c', 'd'].map((hive) => ring.append({ ...draft(1), kind: 'oomKill', hive }));
    for (let n = 0; n < 1000; n++) ring.append({ ...draft(n), kind: 'oomKill', hive: 'a' });
    expect(ring.size).toBe(16);
    expect(whole(ring.since('e-0')).slice(0, 3)).toEqual(others);
  });

  it('has a budget in bytes: what it keeps is text, of any size', () => {
    const ring = new EventRing('e', 10_000, 1024 * 1024);
    const detail = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`k${i}`, {}]));
    for (let n = 0; n < 1000; n++) ring.append({ ...draft(n), detail });
    const kept = ring.since(`e-${1000 - ring.size}`).events;
    expect(kept).toHaveLength(ring.size);
    expect(kept.reduce((sum, { json }) => sum + json.length, 0)).toBeLessThan(1024 * 1024);
    expect(ring.size).toBeGreaterThan(100);
  });

  it('replays exactly what came after an id, or says reset', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: -3, max: 70 }),
        (capacity, count, from) => {
          const ring = new EventRing('e-1', capacity);
          const all = Array.from({ length: count }, (_, n) => ring.append(draft(n + 1)));
          const replay = ring.since(`e-1-${from}`);
          if (from < 0 || from > count || from < count - capacity) expect(replay.type).toBe('reset');
          else expect({ ...replay, events: whole(replay) }).toEqual({ type: 'events', events: all.slice(from) });
          expect(ring.recent()).toEqual(all.slice(-capacity));
          expect(ring.lastId).toBe(`e-1-${count}`);
        },
      ),
    );
  });

  it.each([
    ['other-1'],
    ['e'],
    ['e-'],
    ['e-x'],
    ['e-1.5'],
    ['-1'],
    [''],
    ['e-99999999999999999999'],
    ['e-x2'],
    ['e-2x'],
  ])('knows that %j is no place in it', (id) => {
    const ring = new EventRing('e', 10);
    ring.append(draft(1));
    expect(ring.since(id)).toEqual({ type: 'reset', events: [] });
    expect(ring.adopt({ id, ...draft(2) })).toBe(false);
    ring.skip(id);
    expect(ring.lastId).toBe('e-1');
  });

  it('goes on over what is no event, however it came to be in the stream', () => {
    const ring = new EventRing('s', 10);
    ring.adopt({ id: 's-1', ...draft(1) });
    for (const id of ['s-2', 's-3', 't-4', 's-9']) ring.skip(id);
    expect(ring.adopt({ id: 's-4', ...draft(4) })).toBe(true);
    expect(whole(ring.since('s-1'))).toEqual([{ id: 's-4', ...draft(4) }]);
    expect([ring.since('s-1').type, ring.lastId]).toEqual(['events', 's-4']);
  });

  it('takes a shared stream: what is known already is left out, and a gap begins the ring anew', () => {
    const ring = new EventRing('s', 10);
    const at = (n: number) => ({ id: `s-${n}`, ...draft(n) });
    expect([ring.adopt(at(1)), ring.adopt(at(2)), ring.adopt(at(2)), ring.adopt(at(1))]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(ring.adopt({ ...at(3), id: 't-3' })).toBe(false);
    expect(whole(ring.since('s-0'))).toEqual([at(1), at(2)]);
    expect(ring.since('s-0').type).toBe('events');
    expect(ring.adopt(at(7))).toBe(true);
    expect(ring.since('s-2')).toMatchObject({ type: 'reset' });
    expect(ring.since('s-6').type).toBe('events');
    expect(whole(ring.since('s-6'))).toEqual([at(7)]);
  });
});

describe('events of a registry', () => {
  it('beyond the rate of a hive are not acknowledged yet, and taken when it sends them again', () => {
    const queen = new TestQueen();
    const events = Array.from({ length: 6000 }, (_, i) => fact(i + 1));
    expect(queen.hear('a', 1, { events })).toMatchObject({ accepted: true, ackEventSeq: 4000 });
    queen.time.advance(1000);
    expect(queen.hear('a', 2, { events })).toMatchObject({ accepted: true, ackEventSeq: 4200 });
  });

  it('of workers that change too fast are left out, and counted', () => {
    const queen = new TestQueen();
    queen.hear('a', 1);
    for (let turn = 0; turn < 10; turn++)
      queen.hear('a', turn + 2, { workers: Array.from({ length: 1000 }, (_, i) => workerSample(`g${turn}/${i}`)) });
    const recent = queen.events.recent();
    const omitted = recent.filter(({ kind }) => kind === 'eventsOmitted').map(({ detail }) => Number(detail.count));
    expect(omitted.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(8000);
    expect(recent.filter(({ kind }) => kind === 'workerAppeared').length).toBeLessThanOrEqual(10_000);
  });

  it('hive events are taken once each, however often they are sent, and acknowledged', () => {
    const queen = new TestQueen({ clock: () => 0, epoch: 'e' });
    const worker = workerSample('llm/1', { model: 'm' });
    expect(queen.hear('a', 1, { workers: [worker], events: [fact(1), fact(2)] })).toMatchObject({
      ackEventSeq: 2,
    });
    // The reply was lost: both come again, with a new one.
    expect(queen.hear('a', 2, { workers: [worker], events: [fact(1), fact(2), fact(3)] })).toMatchObject({
      ackEventSeq: 3,
    });
    expect(queen.hear('a', 3, { workers: [worker] })).toMatchObject({ ackEventSeq: 3 });
    const facts = () => queen.events.recent().filter((event) => event.kind === 'oomKill');
    expect(facts().map((event) => event.detail)).toEqual([{ kills: 1 }, { kills: 2 }, { kills: 3 }]);
    expect(facts()[0]).toMatchObject({ hive: 'a', workerId: 'llm/1', model: 'm', at: '2026-01-02T03:04:05.000Z' });
    // Another run counts from one again.
    const next = bareHeartbeat('a', 1, {
      hive: { incarnation: runB, startedAt: '2026-01-02T03:30:00.000Z' },
      workers: [worker],
      events: [fact(1)],
    });
    expect(queen.heartbeat(next)).toMatchObject({ ackEventSeq: 1 });
    expect(facts()).toHaveLength(4);
  });

  it('events that were acknowledged before a hive was forgotten are not taken again when it is back', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { events: [fact(1)] });
    queen.time.advance(90_000);
    queen.advance();
    expect(queen.hear('a', 2, { events: [fact(1), fact(2)] })).toMatchObject({ ackEventSeq: 2 });
    expect(queen.events.recent().filter((event) => event.kind === 'oomKill')).toHaveLength(2);
  });

  it('tells every change once, in order, as rows that changed and conclusions', () => {
    const clock = new ManualClock();
    const queen = new TestQueen({
      clock: clock.read,
      epoch: 'e',
      wallClock: () => Date.parse('2026-01-02T03:04:05.000Z'),
    });
    const seen: RegistryChange[] = [];
    const stop = queen.subscribe((change) => seen.push(change));
    const sendHeartbeat = (seq: number, ...workers: ReturnType<typeof workerSample>[]) => {
      seen.length = 0;
      queen.hear('a', seq, { workers });
      return seen.map((change) =>
        change.type === 'heartbeat'
          ? `rows ${change.heartbeat.workers.map((row) => row.key)} gone ${change.heartbeat.gone} whole ${change.heartbeat.whole}`
          : `${change.type} ${change.event.id} ${change.event.kind} ${change.event.workerId ?? ''}`,
      );
    };
    const one = () => workerSample('llm/1');
    const two = () => workerSample('llm/2');
    expect(sendHeartbeat(1, one(), two())).toEqual([
      'queenEvent e-1 hiveJoined ',
      'rows a/llm/1,a/llm/2 gone  whole true',
    ]);
    expect(sendHeartbeat(2, one(), two())).toEqual(['rows  gone  whole false']);
    // The uptime ticks on its own: no row is sent for it.
    expect(sendHeartbeat(3, { ...one(), uptimeSeconds: 3601 }, two())).toEqual(['rows  gone  whole false']);
    expect(sendHeartbeat(4, { ...one(), cpuPercent: 7 }, two())).toEqual(['rows a/llm/1 gone  whole false']);
    expect(sendHeartbeat(5, { ...one(), cpuPercent: 7, state: 'busy' })).toEqual([
      'queenEvent e-2 workerGone llm/2',
      'queenEvent e-3 workerStateChanged llm/1',
      'rows a/llm/1 gone a/llm/2 whole false',
    ]);
    clock.advance(90_000);
    seen.length = 0;
    queen.advance();
    expect(seen).toMatchObject([
      { type: 'queenEvent', event: { kind: 'hiveRemoved', detail: { reason: 'silent', workers: 1 } } },
    ]);
    stop();
    seen.length = 0;
    queen.hear('a', 6);
    expect(seen).toEqual([]);
  });

  it('gives every listener the same object, and one that throws does not keep the others from it', () => {
    const errors: unknown[] = [];
    const queen = new TestQueen({ clock: () => 0, onListenerError: (error) => errors.push(error) });
    const first: RegistryChange[] = [];
    const second: RegistryChange[] = [];
    queen.subscribe((change) => {
      first.push(change);
      throw new Error('broken listener');
    });
    queen.subscribe((change) => second.push(change));
    expect(() => queen.hear('a', 1)).not.toThrow();
    expect(second).toHaveLength(2);
    expect(second[1]).toBe(first[1]);
    expect(errors).toEqual([new Error('broken listener'), new Error('broken listener')]);
  });

  it('draws no conclusions where nobody is to hear them, and hands them to a shared stream', () => {
    const quiet = new TestQueen({ clock: () => 0, concludes: () => false });
    quiet.hear('a', 1, { events: [fact(1)] });
    expect(quiet.events.recent().map((event) => event.kind)).toEqual(['oomKill']);

    const handed: string[] = [];
    const seen: string[] = [];
    const queen = new TestQueen({
      clock: () => 0,
      epoch: 's',
      journal: (one) => handed.push(one.kind),
    });
    queen.subscribe((change) => seen.push(change.type));
    // Facts must last in the shared stream before they are acknowledged, so the registry leaves them to whoever keeps it.
    expect(queen.hear('a', 1, { events: [fact(1)] })).toMatchObject({
      accepted: true,
      ackEventSeq: 0,
    });
    expect(handed).toEqual(['hiveJoined']);
    expect(seen).toEqual(['heartbeat']);
    queen.deliver('queenEvent', { id: 's-1', ...draft(1) });
    queen.deliver('queenEvent', { id: 's-1', ...draft(1) });
    expect(seen).toEqual(['heartbeat', 'queenEvent']);
    expect(queen.eventsSince('s-0')).toMatchObject({ type: 'events', events: [{ id: 's-1' }] });
    queen.deliver('queenEvent', { id: 's-2', ...draft(2) }, true);
    expect(seen).toEqual(['heartbeat', 'queenEvent']);
    expect(queen.lastEventId).toBe('s-2');

    queen.events.restart('t', 6);
    expect(queen.eventsSince('s-2').type).toBe('reset');
    queen.append(draft(3));
    expect(seen).toEqual(['heartbeat', 'queenEvent', 'queenEvent']);
    expect(queen.lastEventId).toBe('t-7');
  });
});
