import { describe, expect, it } from 'vitest';
import { ListeningClock, livenessLimits } from '../../lib/queen/liveness.js';
import { LivenessMonitor } from '../../lib/queen/liveness-monitor.js';
import type { HiveRecord } from '../../lib/queen/records.js';
import { ManualClock } from './heartbeats.js';

const limits = livenessLimits({
  lateAfterIntervals: 2,
  offlineAfterMs: 5000,
  offlineAfterIntervals: 4,
  staleAfterMs: 20_000,
});

/** A monitor of hives that are nothing but what it looks at; `rows` is what each has left to be removed. */
function monitored(tickMs: number | null = null) {
  const time = new ManualClock(1000);
  const clock = new ListeningClock(time.read, tickMs);
  const said: string[] = [];
  const asked: [string, number][] = [];
  const rows = new Map<string, number>();
  const monitor: LivenessMonitor = new LivenessMonitor(clock, limits, {
    changed: ({ id, liveness }, from, silenceMs) => said.push(`${id} ${from} ${liveness} ${silenceMs}`),
    remove: (hive, maxRows) => {
      asked.push([hive.id, maxRows]);
      const left = rows.get(hive.id) ?? 0;
      if (left >= maxRows) {
        rows.set(hive.id, left - maxRows);
        return maxRows;
      }
      monitor.untrack(hive);
      said.push(`${hive.id} removed`);
      return left + 1;
    },
  });
  const hiveOf = (id: string, intervalMs = 1000): HiveRecord => {
    const hive = {
      id,
      intervalMs,
      liveness: 'online',
      dueMs: Number.POSITIVE_INFINITY,
      incarnations: {},
    } as HiveRecord;
    heard(hive);
    return hive;
  };
  const heard = (hive: HiveRecord) => {
    hive.incarnations.heardAtMs = clock.now();
    hive.liveness = 'online';
    monitor.touch(hive);
  };
  return { time, monitor, said, asked, rows, hiveOf, heard };
}

describe('when a hive is looked at', () => {
  it('is when its liveness changes, and each change is said once, with the silence', () => {
    const { time, monitor, said, hiveOf } = monitored();
    expect(monitor.nextDueMs()).toBeNull();
    hiveOf('a');
    hiveOf('slow', 3000);
    expect(monitor.nextDueMs()).toBe(3000);
    time.advance(1999);
    expect(monitor.advance()).toBe(2999);
    expect(said).toEqual([]);
    time.advance(1);
    monitor.advance();
    monitor.advance();
    expect(said).toEqual(['a online late 2000']);
    expect(monitor.nextDueMs()).toBe(6000);
    time.advance(18_500);
    monitor.advance(9);
    expect(said.slice(1)).toEqual(['a removed', 'slow removed']);
  });

  it('is sooner after a heartbeat with a shorter interval, and no sooner than the last heartbeat needs', () => {
    const { time, monitor, said, hiveOf, heard } = monitored();
    const hive = hiveOf('a', 3000);
    expect(monitor.nextDueMs()).toBe(7000);
    hive.intervalMs = 1000;
    heard(hive);
    expect(monitor.nextDueMs()).toBe(3000);
    time.advance(1500);
    heard(hive);
    // The look that was due for the heartbeat before finds it online, and asks for one in time.
    time.advance(500);
    monitor.advance();
    expect([said, monitor.nextDueMs(), hive.dueMs]).toEqual([[], 4500, 4500]);
    time.advance(1500);
    monitor.advance();
    expect(said).toEqual(['a online late 2000']);
    // The entry of the longer interval is over, and counts no more.
    time.advance(3000);
    monitor.advance();
    expect(said.slice(1)).toEqual(['a late offline 5000']);
  });

  it('is never again once it is not tracked', () => {
    const { time, monitor, said, asked, hiveOf } = monitored();
    const hive = hiveOf('a');
    monitor.untrack(hive);
    expect(hive.dueMs).toBe(Number.POSITIVE_INFINITY);
    time.advance(90_000);
    monitor.advance();
    expect([said, asked, monitor.nextDueMs()]).toEqual([[], [], null]);
  });

  it('by the clock given is later by what was forgiven', () => {
    const { time, monitor, hiveOf } = monitored(100);
    hiveOf('a');
    time.advance(1500);
    monitor.advance();
    expect(monitor.nextDueMs()).toBe(3000 + 1400);
  });
});

describe('hives whose time is over', () => {
  it('go as far as one look has room, the first first; the others are offline meanwhile, and are looked at next', () => {
    const { time, monitor, said, asked, rows, hiveOf } = monitored();
    for (const id of ['a', 'b', 'c']) {
      hiveOf(id);
      time.advance(10);
    }
    rows.set('a', 2);
    rows.set('b', 7);
    time.advance(19_990);
    expect(monitor.advance(5)).toBe(21_020);
    expect(asked).toEqual([
      ['a', 5],
      ['b', 2],
    ]);
    expect(said).toEqual(['a removed', 'b online offline 20010', 'c online offline 20000']);
    expect(monitor.nextDueMs()).toBe(21_020);
    // By default one row.
    asked.length = 0;
    time.advance(10);
    monitor.advance();
    expect(asked).toEqual([['b', 1]]);
    expect(monitor.nextDueMs()).toBe(21_030);
    monitor.advance(100);
    expect(said.slice(3)).toEqual(['b removed', 'c removed']);
    expect(monitor.nextDueMs()).toBeNull();
  });

  it('stay where they are heard before they go, and where a longer interval gives them time', () => {
    const { time, monitor, said, asked, rows, hiveOf, heard } = monitored();
    const [first, heardAgain, slower] = ['a', 'b', 'c'].map((id) => hiveOf(id));
    rows.set('a', 50);
    time.advance(20_000);
    monitor.advance();
    heard(heardAgain!);
    slower!.intervalMs = 8000;
    said.length = 0;
    asked.length = 0;
    monitor.advance(100);
    expect(asked).toEqual([['a', 100]]);
    expect([first!.liveness, heardAgain!.liveness, slower!.liveness]).toEqual(['offline', 'online', 'late']);
    expect(said).toEqual(['a removed', 'c offline late 20000']);
    expect(heardAgain!.dueMs).toBe(23_000);
    expect(slower!.dueMs).toBe(1000 + 32_000);
    time.advance(2000);
    monitor.advance();
    expect(said.at(-1)).toBe('b online late 2000');
  });
});
