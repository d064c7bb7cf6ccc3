import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { ListeningClock, livenessAfter, livenessLimits, nextChangeMs, thresholds } from '../../lib/queen/liveness.js';
import type { Registry } from '../../lib/queen/registry.js';
import { ManualClock, runB, TestQueen, workerSample } from './heartbeats.js';

const silences: readonly [intervalMs: number, silenceMs: number, expected: string][] = [
  [1000, 0, 'online'],
  [1000, 2999, 'online'],
  [1000, 3000, 'late'],
  [1000, 9999, 'late'],
  [1000, 10_000, 'offline'],
  [1000, 89_999, 'offline'],
  [1000, 90_000, 'removed'],
  // A longer interval moves late and offline with it; removal only once it would come before them.
  [5000, 14_999, 'online'],
  [5000, 15_000, 'late'],
  [5000, 25_000, 'offline'],
  [5000, 90_000, 'removed'],
  [30_000, 89_999, 'online'],
  [30_000, 149_999, 'late'],
  [30_000, 150_000, 'removed'],
  [100, 300, 'late'],
  [100, 9999, 'late'],
  [100, 10_000, 'offline'],
];

describe('liveness', () => {
  it.each(silences)('an interval of %i ms and a silence of %i ms is %s', (intervalMs, silenceMs, expected) => {
    expect(livenessAfter(silenceMs, thresholds(intervalMs))).toBe(expected);
  });

  it('only ever gets worse with silence, and the next change is exactly where it changes', () => {
    const order = ['online', 'late', 'offline', 'removed'];
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 600_000 }),
        fc.integer({ min: 0, max: 2_000_000 }),
        fc.record({
          lateAfterIntervals: fc.integer({ min: 1, max: 10 }),
          offlineAfterMs: fc.integer({ min: 0, max: 60_000 }),
          offlineAfterIntervals: fc.integer({ min: 1, max: 20 }),
          staleAfterMs: fc.integer({ min: 0, max: 200_000 }),
        }),
        (intervalMs, silenceMs, limits) => {
          const at = thresholds(intervalMs, livenessLimits(limits));
          const now = livenessAfter(silenceMs, at);
          expect(order.indexOf(livenessAfter(silenceMs + 1, at))).toBeGreaterThanOrEqual(order.indexOf(now));
          const change = nextChangeMs(now, at);
          if (now === 'removed') return;
          expect(change).toBeGreaterThan(silenceMs);
          expect(livenessAfter(change - 1, at)).toBe(now);
          expect(livenessAfter(change, at)).not.toBe(now);
        },
      ),
    );
  });
});

describe('the listening clock', () => {
  it('counts a stall of its own loop as one tick', () => {
    const clock = new ManualClock(0);
    const listening = new ListeningClock(clock.read, 250);
    clock.advance(250);
    expect(listening.now()).toBe(250);
    clock.advance(20_000);
    expect(listening.now()).toBe(500);
    clock.advance(1000);
    expect(listening.now()).toBe(1500);
    expect(listening.forgivenMs).toBe(19_750);
  });

  it('never goes back, and never faster than the clock given', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -5000, max: 30_000 }), { maxLength: 50 }),
        fc.option(fc.integer({ min: 50, max: 1000 })),
        (steps, tickMs) => {
          const clock = new ManualClock(0);
          const listening = new ListeningClock(clock.read, tickMs);
          let before = 0;
          let highest = 0;
          for (const step of steps) {
            clock.advance(step);
            const rise = Math.max(0, clock.nowMs - highest);
            highest = Math.max(highest, clock.nowMs);
            const now = listening.now();
            expect(now).toBeGreaterThanOrEqual(before);
            expect(now - before).toBeLessThanOrEqual(rise);
            before = now;
          }
        },
      ),
    );
  });
});

describe('a registry and time', () => {
  const kinds = (queen: Registry) => queen.events.recent().map((event) => event.kind);

  it('late, offline, removed, each when it is due', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { workers: [workerSample('llm/1')] });
    expect(queen.nextDueMs()).toBe(queen.time.nowMs + 3000);
    queen.time.advance(3000);
    queen.advance();
    expect(queen.hive('a')?.liveness).toBe('late');
    queen.time.advance(7000);
    expect(queen.hive('a')?.liveness).toBe('offline');
    expect(queen.findIdleWorkers()).toEqual([]);
    expect(queen.findIdleWorkers({ includeStale: true })).toHaveLength(1);
    expect(queen.workers().items[0]).toMatchObject({ liveness: 'offline', ageMs: 10_000 });
    queen.time.advance(79_999);
    expect(queen.cleanupStale()).toEqual([]);
    queen.time.advance(1);
    expect(queen.cleanupStale()).toEqual(['a']);
    expect(queen.cleanupStale()).toEqual([]);
    expect(queen.workers({ liveness: 'offline' }).items).toEqual([]);
    expect(queen.nextDueMs()).toBeNull();
    expect(kinds(queen)).toEqual(['hiveJoined', 'hiveLate', 'hiveOffline', 'hiveRemoved']);
    expect(queen.audit()).toEqual([]);
  });

  it('worker_dies_removed_from_registry: at the next heartbeat, and by time when its hive died', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { workers: [workerSample('llm/1'), workerSample('llm/2')] });
    queen.hear('a', 2, { workers: [workerSample('llm/2')] });
    expect(queen.worker('a', 'llm', '1')).toBeNull();
    expect(queen.events.recent(1)[0]).toMatchObject({ kind: 'workerGone', hive: 'a', workerId: 'llm/1' });
    queen.time.advance(90_000);
    expect(queen.worker('a', 'llm', '2')).toBeNull();
    expect(queen.audit()).toEqual([]);
  });

  it('a queen whose own loop stalled for 20 s does not declare the fleet dead', () => {
    const queen = new TestQueen({ tickMs: 250 });
    queen.hear('a', 1);
    queen.hear('b', 1);
    queen.time.advance(20_000);
    queen.advance();
    expect(queen.counts().hives).toEqual({ online: 2, late: 0, offline: 0 });
    // Then the heartbeats that waited in the socket are read; the hive that truly died is still found out.
    queen.hear('a', 2);
    for (let i = 0; i < 40; i++) {
      queen.time.advance(250);
      queen.advance();
      if (i % 4 === 3) queen.hear('a', 3 + i);
    }
    expect(queen.hive('a')?.liveness).toBe('online');
    expect(queen.hive('b')?.liveness).toBe('offline');
    // A page that asks in the middle of the stall must not end the hives either.
    queen.time.advance(60_000);
    expect(queen.hive('a')?.liveness).toBe('online');
  });

  it('a longer interval granted under load moves the thresholds with it', () => {
    const queen = new TestQueen();
    queen.requestedIntervalMs = 5000;
    expect(queen.hear('a', 1)).toMatchObject({ accepted: true, intervalMs: 5000 });
    queen.time.advance(14_999);
    expect(queen.hive('a')?.liveness).toBe('online');
    queen.time.advance(1);
    expect(queen.hive('a')?.liveness).toBe('late');
    // And back: the shorter one counts from the next heartbeat, although a later look was already due.
    // A hive says to what it keeps, so that queens which did not ask for it know it as well; told back, it would stay.
    queen.requestedIntervalMs = 0;
    expect(queen.hear('a', 2, { intervalMs: 5000 })).toMatchObject({ intervalMs: 100 });
    queen.time.advance(14_999);
    expect(queen.hive('a')?.liveness).toBe('online');
    queen.hear('a', 3);
    queen.time.advance(3000);
    expect(queen.hive('a')?.liveness).toBe('late');
  });

  it('a suspended laptop goes offline, is forgotten, and is simply back when it wakes', () => {
    const queen = new TestQueen();
    queen.hear('laptop', 5, { workers: [workerSample('llm/1')] });
    queen.time.advance(12_000);
    queen.advance();
    expect(queen.hear('laptop', 6, { workers: [workerSample('llm/1')] }).accepted).toBe(true);
    expect(kinds(queen).slice(-2)).toEqual(['hiveOffline', 'hiveOnline']);
    queen.time.advance(8 * 3_600_000);
    queen.advance();
    expect(queen.hive('laptop')).toBeNull();
    expect(queen.hear('laptop', 7, { workers: [workerSample('llm/1')] }).accepted).toBe(true);
    expect(kinds(queen).slice(-1)).toEqual(['hiveJoined']);
    expect(queen.findIdleWorkers()).toHaveLength(1);
  });

  it('a stopping hive is out of scheduling at once, and its workers are listed until their time is over', () => {
    const queen = new TestQueen();
    const worker = workerSample('llm/1', { model: 'm' });
    queen.hear('a', 1, { workers: [worker] });
    expect(queen.findBestWorkerForModel('m')).not.toBeNull();
    queen.hear('a', 2, { hive: { state: 'stopping' }, workers: [worker] });
    expect(queen.findBestWorkerForModel('m')).toBeNull();
    expect(queen.findIdleWorkers()).toEqual([]);
    expect(queen.workers().items).toHaveLength(1);
    // Its next run takes them over: nothing is gone in between.
    queen.hear('a', 1, { hive: { incarnation: runB, startedAt: '2026-01-02T03:30:00.000Z' }, workers: [worker] });
    expect(queen.findBestWorkerForModel('m')).not.toBeNull();
    expect(kinds(queen)).not.toContain('workerGone');
  });

  it('says warming until the fleet had time to be heard', () => {
    const queen = new TestQueen();
    queen.hear('a', 1);
    expect([queen.warming, queen.workers().warming, queen.fleet().warming]).toEqual([true, true, true]);
    queen.time.advance(9999);
    expect(queen.warming).toBe(true);
    queen.time.advance(1);
    expect([queen.warming, queen.workers().warming, queen.place({ vramBytes: 1 }).warming]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('many hives that fall silent together', () => {
  it('are removed a part at a time, those that are heard meanwhile not, and what others are is not late by it', () => {
    const queen = new TestQueen();
    const count = 4000;
    for (let i = 0; i < count; i++) queen.hear(`dead-${i}`, 1);
    queen.time.advance(defaults.staleAfterMs - 20_000);
    queen.hear('silent', 1);
    queen.time.advance(20_000);
    queen.advance();
    expect(queen.hive('silent')?.liveness).toBe('offline');
    const left = queen.hiveCount;
    expect(left).toBeGreaterThan(count / 2);
    expect(left).toBeLessThan(count);
    expect(queen.nextDueMs()).toBeLessThanOrEqual(queen.time.nowMs);
    expect(queen.fleet().hives.online).toBe(0);
    // The last of them is heard, the one before is removed by an admin.
    queen.hear(`dead-${count - 1}`, 2);
    expect(queen.removeHive(`dead-${count - 2}`)).toBe(true);
    const removed = new Set(queen.cleanupStale());
    expect(removed.size).toBe(count - 2);
    expect(queen.hiveIds()).toEqual([`dead-${count - 1}`, 'silent']);
    expect(queen.hive(`dead-${count - 1}`)?.liveness).toBe('online');
    expect(queen.nextDueMs()).toBeGreaterThan(queen.time.nowMs);
    expect(queen.audit()).toEqual([]);
  });
});
