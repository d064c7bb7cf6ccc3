import { describe, expect, it } from 'vitest';
import type { HiveEvent } from '../../lib/contract/heartbeat.js';
import type { Registry } from '../../lib/queen/registry.js';
import { eventOf } from '../harness/heartbeats.js';
import {
  bareHeartbeat,
  gib,
  gpuSample,
  type HeartbeatFields,
  runA,
  runB,
  TestQueen,
  workerSample,
} from './heartbeats.js';
import { Wire, wholeHeartbeat } from './stream-wire.js';

const later = { incarnation: runB, startedAt: '2026-01-02T03:30:00.000Z' };
const workers = (count: number) => Array.from({ length: count }, (_, i) => workerSample(`llm/${i}`));
const events = (queen: Registry) => queen.events.recent().map(({ kind, hive, detail }) => [kind, hive, detail]);

describe('a heartbeat', () => {
  it('is acknowledged with the interval that suits the queen, and the hive is late by the longer of the two', () => {
    const queen = new TestQueen();
    expect(queen.hear('a', 1, { intervalMs: 2000 })).toEqual({ accepted: true, ackEventSeq: 0, intervalMs: 100 });
    const isOnlineFor = (ms: number) => {
      queen.time.advance(ms - 1);
      const before = queen.hive('a')!.liveness;
      queen.time.advance(1);
      return [before, queen.hive('a')!.liveness];
    };
    expect(isOnlineFor(6000)).toEqual(['online', 'late']);
    queen.requestedIntervalMs = 3000;
    expect(queen.hear('a', 2, { intervalMs: 2000 })).toEqual({ accepted: true, ackEventSeq: 0, intervalMs: 3000 });
    expect(isOnlineFor(9000)).toEqual(['online', 'late']);
    queen.requestedIntervalMs = 1;
    expect(queen.hear('a', 3, { intervalMs: 4000 })).toMatchObject({ intervalMs: 100 });
    expect(isOnlineFor(12_000)).toEqual(['online', 'late']);
  });

  it.each<[string, readonly [string, number, HeartbeatFields?], string, RegExp]>([
    ['that came before', ['a', 3], 'STALE_SEQ', /^seq 3 is not after 3; the newer .* stands$/],
    [
      'with a number far ahead',
      ['a', 2 ** 50],
      'IMPLAUSIBLE_SEQ',
      /^seq 1125899906842624, or that of an event, is too far after 3$/,
    ],
    [
      'of the run before',
      ['a', 9, { hive: { incarnation: runA } }],
      'RETIRED_INCARNATION',
      /^incarnation .*1 was replaced by .*2$/,
    ],
    [
      'with too many workers',
      ['a', 4, { workers: workers(4) }],
      'TOO_MANY_WORKERS',
      /^4 workers; this queen takes 3 a hive \(maxWorkersPerHive\)$/,
    ],
    ['of a hive too many', ['c', 1], 'TOO_MANY_HIVES', /^this queen takes 2 hives \(maxHives\)$/],
  ])('is refused: one %s', (_, [id, seq, fields], code, message) => {
    const queen = new TestQueen({ maxHives: 2, maxWorkersPerHive: 3 });
    queen.hear('a', 1);
    queen.hear('b', 1);
    queen.hear('a', 1, { hive: later });
    queen.time.advance(100);
    expect(queen.hear('a', 3, { hive: later, workers: workers(3) })).toMatchObject({ accepted: true });
    const hive = { ...(id === 'a' && later), ...fields?.hive };
    const heardAt = queen.hive('a')!.ageMs;
    queen.time.advance(50);
    expect(queen.hear(id, seq, { ...fields, hive })).toEqual({
      accepted: false,
      code,
      message: expect.stringMatching(message),
    });
    expect(queen.hive('a')).toMatchObject({ ageMs: heardAt + 50, workerCount: 3 });
    expect(queen.audit()).toEqual([]);
  });

  it('of another hive with the same id is an event once a minute', () => {
    const queen = new TestQueen();
    queen.hear('a', 1);
    queen.hear('a', 1, { hive: later });
    queen.time.advance(60_000);
    const count = () => events(queen).filter(([kind]) => kind === 'duplicateHiveId').length;
    const other = () => queen.hear('a', 9);
    const counts: number[] = [];
    for (let second = 0; second <= 61; second++) {
      queen.hear('a', 2 + second, { hive: later });
      expect(other()).toEqual({
        ...{ accepted: false, code: 'DUPLICATE_HIVE_ID' },
        message: expect.stringMatching(/as a, from a; give one of them another --id$/),
      });
      counts.push(count());
      queen.time.advance(1000);
    }
    expect([counts[0], counts[59], counts[60], counts[61]]).toEqual([1, 1, 2, 2]);
  });

  it('that takes more memory than there is is refused, and charged to its owner where it is taken', () => {
    const queen = new TestQueen({ memory: { fleetBytes: 100_000, hiveBytes: 60_000 } });
    const hear = (id: string, seq: number, textBytes: number) =>
      queen.heartbeat(bareHeartbeat(id, seq), { owner: 'o', textBytes });
    expect(hear('a', 1, 1000)).toMatchObject({ accepted: true });
    expect([queen.ownerOf('a'), queen.ownerOf('b')]).toEqual(['o', null]);
    expect(hear('b', 1, 1e6)).toEqual({
      accepted: false,
      code: 'TOO_MUCH_MEMORY',
      message: expect.stringMatching(/^b is not taken in: ./),
    });
    expect(queen.hiveIds()).toEqual(['a']);
    expect(hear('a', 2, 1e6)).toMatchObject({ code: 'TOO_MUCH_MEMORY' });
    expect(hear('a', 2, 1000)).toMatchObject({ accepted: true });
    // Without limits none is.
    expect(new TestQueen().heartbeat(bareHeartbeat('a', 1), { owner: 'o', textBytes: 1e12 })).toMatchObject({
      accepted: true,
    });
  });

  it('of each way to come has its event, before what its workers do', () => {
    const queen = new TestQueen();
    const seen = () => events(queen).slice(count);
    let count = 0;
    const hear = (seq: number, fields: HeartbeatFields) => {
      count = queen.events.recent().length;
      queen.hear('a', seq, fields);
      return seen();
    };
    const own: HiveEvent = { ...eventOf(1), kind: 'oomKill', workerId: 'llm/0' };
    expect(hear(1, { workers: workers(2), events: [own] })).toEqual([
      ['hiveJoined', 'a', { workers: 2 }],
      ['oomKill', 'a', own.detail],
    ]);
    expect(hear(2, { workers: workers(3) })).toEqual([['workerAppeared', 'a', { state: 'idle' }]]);
    queen.time.advance(4000);
    queen.advance();
    expect(events(queen).at(-1)).toEqual(['hiveLate', 'a', { from: 'online', silentMs: 4000 }]);
    expect(hear(3, { workers: workers(2) })).toEqual([
      ['hiveOnline', 'a', { from: 'late' }],
      ['workerGone', 'a', { state: 'idle' }],
    ]);
    expect(
      hear(1, {
        hive: later,
        workers: [...workers(1), workerSample('llm/1', { state: 'busy' }), workerSample('llm/9')],
      }),
    ).toEqual([
      ['hiveRestarted', 'a', { workers: 3 }],
      ['workerAppeared', 'a', { state: 'idle' }],
      ['workerStateChanged', 'a', { from: 'idle', to: 'busy' }],
    ]);
    expect(queen.events.recent().at(-1)).toMatchObject({ workerId: 'llm/1' });
    expect(queen.eventCounts.get('workerAppeared')).toBe(2);
    queen.time.advance(11_000);
    queen.advance();
    expect(events(queen).at(-1)).toEqual(['hiveOffline', 'a', { from: 'online', silentMs: 11_000 }]);
  });

  it('of a new run counts its events from the first, and rows are whole where a hive joins or begins anew', () => {
    const queen = new TestQueen();
    const whole: boolean[] = [];
    queen.subscribe((change) => change.type === 'heartbeat' && whole.push(change.heartbeat.whole));
    expect(queen.hear('a', 1, { events: [eventOf(1), eventOf(2)] })).toMatchObject({ ackEventSeq: 2 });
    expect(queen.hear('a', 2)).toMatchObject({ ackEventSeq: 2 });
    expect(queen.hear('a', 1, { hive: later })).toMatchObject({ ackEventSeq: 0 });
    expect(queen.hear('a', 2, { hive: later, events: [eventOf(1)] })).toMatchObject({ ackEventSeq: 1 });
    queen.time.advance(5000);
    queen.hear('a', 3, { hive: later });
    expect(whole).toEqual([true, false, true, false, false]);
  });
});

describe('what is known of a fleet', () => {
  it('has a name and a rate, and says what it is made of', () => {
    const [one, other] = [new TestQueen(), new TestQueen()];
    expect(one.queenId).toMatch(/^[0-9a-f-]{36}$/);
    expect(one.queenId).not.toBe(other.queenId);
    expect(one.events.epoch).toHaveLength(8);
    expect(one.events.epoch).not.toBe(other.events.epoch);
    const queen = new TestQueen({ queenId: 'q', warmingMs: 0, epoch: 'e' });
    expect(queen.fleet()).toMatchObject({ queenId: 'q', bus: 'memory', heartbeatsPerSecond: 0, warming: false });
    for (let seq = 1; seq <= 20; seq++) {
      queen.hear('a', seq, { workers: workers(2) });
      queen.time.advance(500);
    }
    expect(queen.fleet('nats')).toMatchObject({
      ...{ bus: 'nats', hives: { online: 1, late: 0, offline: 0 }, missing: { hives: 0, workers: 0, gpus: 0 } },
      workers: { total: 2 },
    });
    expect(queen.fleet().heartbeatsPerSecond).toBeCloseTo(2, 0);
    expect(queen.lastEventId).toBe('e-1');
    expect(queen.history('a')!.series.workers).toEqual([2]);
  });

  it('is brought up to now by whoever asks when something is due', () => {
    const queen = new TestQueen();
    expect(queen.nextDueMs()).toBeNull();
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    expect(queen.nextDueMs()).toBe(queen.time.nowMs + 3000);
    queen.place({ vramBytes: gib(1), reserveSeconds: 1 });
    expect(queen.nextDueMs()).toBe(queen.time.nowMs + 1000);
    expect(queen.reservations()).toHaveLength(1);
    queen.time.advance(1000);
    queen.advance();
    expect(queen.reservations()).toEqual([]);
    expect(queen.nextDueMs()).toBe(queen.time.nowMs + 2000);
  });

  it('is forgotten by time and by an admin: of the first kind the ids are given once', () => {
    const queen = new TestQueen();
    for (const id of ['a', 'b', 'c']) queen.hear(id, 1, { gpus: [gpuSample(`GPU-${id}`)] });
    queen.place({ vramBytes: gib(1), reserveSeconds: 600 });
    const reserved = queen.reservations()[0]!.hive;
    queen.cordons.set(reserved, { reason: 'x' });
    expect(queen.removeHive(reserved)).toBe(true);
    expect(queen.removeHive(reserved)).toBe(false);
    expect([queen.reservations(), queen.cordons.of(reserved)]).toEqual([[], null]);
    expect(events(queen).slice(-2)).toEqual([
      ['hiveRemoved', reserved, expect.objectContaining({ reason: 'admin' })],
      ['hiveUncordoned', reserved, expect.anything()],
    ]);
    expect(queen.cleanupStale()).toEqual([]);
    queen.time.advance(90_000);
    const left = ['a', 'b', 'c'].filter((id) => id !== reserved);
    expect(queen.cleanupStale().sort()).toEqual(left);
    expect([queen.cleanupStale(), queen.hiveCount]).toEqual([[], 0]);
    // What is missing can be forgotten too.
    expect(queen.removeHive(left[0]!)).toBe(true);
    expect(queen.removeHive(left[0]!)).toBe(false);
    expect(queen.audit()).toEqual([]);
  });

  it('has what was there before this queen, where it is not heard: why, and how many workers', () => {
    const queen = new TestQueen();
    const before = new TestQueen();
    before.hear('a', 1, { workers: workers(2) });
    before.hear('b', 1, { hive: { state: 'stopping' } });
    for (const id of ['a', 'b']) queen.missDead(before.hive(id)!, 'o');
    expect(queen.listMissing().items.map(({ key, reason }) => [key, reason])).toEqual([
      ['a', 'silent'],
      ['b', 'stopped'],
    ]);
    expect(events(queen)).toEqual([
      ['hiveRemoved', 'a', { reason: 'silent', workers: 2 }],
      ['hiveRemoved', 'b', { reason: 'silent', workers: 0 }],
    ]);
    expect(queen.fleet().missing).toMatchObject({ hives: 2 });
  });
});

describe('reservations of a registry', () => {
  it('are saved, given back, taken over elsewhere, and passed on to whoever keeps them', () => {
    let wallMs = 1e12;
    const options = { wallClock: () => wallMs, warmingMs: 0 };
    const queen = new TestQueen(options);
    let changes = 0;
    queen.onReservations(() => changes++);
    for (const id of ['a', 'b']) queen.hear(id, 1, { gpus: [gpuSample(`GPU-${id}`)] });
    const held = [1, 2].map(() => queen.place({ vramBytes: gib(20), reserveSeconds: 60 }).reservation!);
    expect(held.map(({ hive }) => hive).sort()).toEqual(['a', 'b']);
    expect(changes).toBe(2);
    queen.time.advance(1000);
    wallMs += 1000;
    const saved = queen.savedReservations();
    expect(saved.map(({ id }) => id)).toEqual(held.map(({ id }) => id));
    expect(queen.savedReservations('a').map(({ hive }) => hive)).toEqual(['a']);
    expect(queen.savedReservations('c')).toEqual([]);
    const next = new TestQueen(options);
    expect(next.adoptReservation(saved[0]!)).toBe(true);
    expect(next.reservations().map(({ id }) => id)).toEqual([held[0]!.id]);
    expect(next.nextDueMs()).toBe(next.time.nowMs + 59_000);
    wallMs += 60_000;
    expect(next.adoptReservation(saved[1]!)).toBe(false);
    expect(queen.releaseReservation(held[0]!.id)).toBe(true);
    expect(queen.releaseReservation(held[0]!.id)).toBe(false);
    expect(changes).toBe(3);
    queen.onReservations(null);
    expect(queen.releaseReservation(held[1]!.id)).toBe(true);
    expect(changes).toBe(3);
    expect(queen.place({ vramBytes: gib(1) })).toMatchObject({ warming: false, candidateCount: 2 });
  });
});

describe('a stream of a registry', () => {
  it('refers to the newest heartbeat of one run of one hive, and to nothing else', async () => {
    const queen = new TestQueen();
    const heartbeat = wholeHeartbeat('a');
    queen.heartbeat(structuredClone(heartbeat));
    const table = {} as never;
    const other = (hive: object, seq = 1) =>
      queen.streamBase({ ...heartbeat, seq, hive: { ...heartbeat.hive, ...hive } }, table);
    expect([other({ id: 'b' }), other({ incarnation: runB }), other({}, 2)]).toEqual([null, null, null]);
  });

  it('brings a hive back that was late, keeps its workers seen, and is charged for its text', async () => {
    const queen = new TestQueen({ memory: { fleetBytes: 1e6, hiveBytes: 1e6 } });
    const wire = new Wire(queen, wholeHeartbeat('a'));
    await wire.keyframe();
    queen.time.advance(4000);
    expect(queen.hive('a')?.liveness).toBe('late');
    expect(await wire.delta({ change: (set) => set('head', 0, 'intervalMs', 2000) })).toMatchObject({ kind: 'ack' });
    expect(events(queen).at(-1)).toEqual(['hiveOnline', 'a', { from: 'late' }]);
    expect(queen.hive('a')).toMatchObject({ liveness: 'online', ageMs: 0 });
    queen.time.advance(5999);
    expect(queen.hive('a')?.liveness).toBe('online');
    expect(await wire.delta({ text: { events: [eventOf(1)] } })).toMatchObject({
      kind: 'ack',
      reply: { ackEventSeq: 1 },
    });
    const faults = Array.from({ length: 50 }, () => ({ source: 'gpu', code: 'STALLED', message: 'x'.repeat(500) }));
    for (let i = 0; i < 100; i++) {
      const outcome = await wire.delta({ text: { faults } });
      if (outcome.kind === 'ack') continue;
      expect(outcome).toEqual({ kind: 'resync', reason: 'replaced' });
      return;
    }
    throw new Error('it is never too much');
  });
});
