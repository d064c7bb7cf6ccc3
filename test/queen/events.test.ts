import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HiveEvent } from '../../lib/contract/heartbeat.js';
import { EventRing } from '../../lib/queen/events.js';
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

describe('the ring of events', () => {
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
          if (from < 0 || from > count || from < count - capacity) expect(replay).toEqual({ type: 'reset' });
          else expect(replay).toEqual({ type: 'events', events: all.slice(from) });
          expect(ring.recent()).toEqual(all.slice(-capacity));
          expect(ring.lastId).toBe(`e-1-${count}`);
        },
      ),
    );
  });

  it.each([['other-1'], ['e'], ['e-'], ['e-x'], ['e-1.5'], ['-1'], [''], ['e-99999999999999999999']])(
    'knows that %j is no place in it',
    (id) => {
      const ring = new EventRing('e', 10);
      ring.append(draft(1));
      expect(ring.since(id)).toEqual({ type: 'reset' });
    },
  );

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
    expect(ring.adopt(at(7))).toBe(true);
    expect(ring.since('s-2')).toEqual({ type: 'reset' });
    expect(ring.since('s-6')).toEqual({ type: 'events', events: [at(7)] });
  });
});

describe('events of a registry', () => {
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
    expect(queen.eventsSince('s-2')).toEqual({ type: 'reset' });
    queen.append(draft(3));
    expect(seen).toEqual(['heartbeat', 'queenEvent', 'queenEvent']);
    expect(queen.lastEventId).toBe('t-7');
  });
});
