import { describe, expect, it } from 'vitest';
import type { HiveEvent } from '../../lib/contract/heartbeat.js';
import { EventLog } from '../../lib/hive/event-log.js';

const occurrence = (n: number) => ({
  at: '2026-01-01T00:00:00.000Z',
  kind: 'oomKill' as HiveEvent['kind'],
  workerId: 'a/b',
  detail: { n },
});

describe('event log', () => {
  it('keeps events until they are acknowledged, in order', () => {
    const log = new EventLog();
    for (let n = 1; n <= 5; n += 1) log.append(occurrence(n));
    expect(log.pending().map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    log.acknowledge(3);
    log.acknowledge(1);
    expect(log.pending().map(({ seq }) => seq)).toEqual([4, 5]);
    log.acknowledge(5);
    expect(log.size).toBe(0);
    expect(log.append(occurrence(6)).seq).toBe(6);
  });

  it('a queen that acknowledges what was never said is not believed', () => {
    const log = new EventLog();
    log.append(occurrence(1));
    expect(log.acknowledge(2)).toBe(false);
    expect(log.acknowledge(99)).toBe(false);
    expect(log.size).toBe(1);
    expect(log.acknowledge(1)).toBe(true);
  });

  it('is bounded: the oldest go, and how many is known', () => {
    const log = new EventLog(100);
    for (let n = 1; n <= 1000; n += 1) log.append(occurrence(n));
    expect(log.size).toBeLessThanOrEqual(100);
    expect(log.dropped + log.size).toBe(1000);
    expect(log.pending(Number.POSITIVE_INFINITY).at(-1)?.seq).toBe(1000);
  });

  it('a full log loses nothing; one event more is too many, and a sixteenth goes with it', () => {
    const log = new EventLog(32);
    for (let n = 1; n <= 32; n += 1) log.append(occurrence(n));
    expect([log.size, log.dropped]).toEqual([32, 0]);
    log.append(occurrence(33));
    expect([log.size, log.dropped]).toEqual([30, 3]);
    expect(log.pending()[0]?.seq).toBe(4);
  });

  it('holds 10,000 before the first goes', () => {
    const log = new EventLog();
    for (let n = 1; n <= 10_000; n += 1) log.append(occurrence(n));
    expect([log.size, log.dropped]).toEqual([10_000, 0]);
    log.append(occurrence(10_001));
    expect(log.dropped).toBe(626);
  });

  it('counts the processes that the kernel killed for memory, acknowledged or not, and no other events', () => {
    const log = new EventLog();
    log.append({ ...occurrence(1), kind: 'workerExited', detail: { kills: 5 } });
    expect(log.oomKills).toBe(0);
    log.append({ ...occurrence(2), detail: { kills: 3 } });
    log.append(occurrence(3));
    log.acknowledge(3);
    expect(log.oomKills).toBe(4);
  });

  it('one heartbeat carries only so many', () => {
    const log = new EventLog();
    for (let n = 1; n <= 700; n += 1) log.append(occurrence(n));
    expect(log.pending().length).toBe(500);
  });
});
