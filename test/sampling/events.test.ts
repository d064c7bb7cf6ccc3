import { describe, expect, it } from 'vitest';
import { type DepartedWorker, exitEvents, exitGraceMs } from '../../lib/sampling/events.js';
import type { WorkerRecord } from '../../lib/workers/records.js';

const departed: DepartedWorker = {
  id: 'demo/brief',
  group: 'demo',
  instance: 'brief',
  origin: 'launched',
  record: null,
  pid: 7,
  incarnation: '7/9',
  inode: 4711,
  oomKills: 0,
  uptimeSeconds: 1,
  atMs: 1000,
  at: '2026-01-01T00:00:01.000Z',
};
const noted = {
  group: 'demo',
  instance: 'brief',
  cgroupInode: 4711,
  pid: 7,
  startTicks: 9,
  exit: { at: '2026-01-01T00:00:00.900Z', code: null, signal: 'SIGTERM', remaining: 0, oomKills: null },
} as unknown as WorkerRecord;

const readNow = (nowMs: number) => ({ nowMs, recordsReadAtMs: nowMs });

describe('how a worker ended', () => {
  it('one of ours that went before its record was read is waited for, and its exit found by its cgroup', () => {
    expect(exitEvents(departed, [], readNow(1000 + exitGraceMs - 1))).toBeNull();
    expect(exitEvents(departed, [noted], readNow(1500))).toMatchObject([
      { kind: 'workerExited', workerId: 'demo/brief', detail: { code: null, signal: 'SIGTERM' } },
    ]);
    const late = exitEvents(departed, [], readNow(1000 + exitGraceMs));
    expect(late).toMatchObject([{ kind: 'workerExited', detail: { code: null, signal: null } }]);
    expect(late?.[0]?.detail.reason).toEqual(expect.any(String));
  });

  it('an exit is not given up while the records cannot be read, but for a minute at most, and then says so', () => {
    const recordsReadAtMs = 1000 + exitGraceMs - 1;
    expect(exitEvents(departed, [], { nowMs: 60_999, recordsReadAtMs })).toBeNull();
    expect(exitEvents(departed, [noted], { nowMs: 60_999, recordsReadAtMs })).toMatchObject([
      { detail: { signal: 'SIGTERM' } },
    ]);
    const record = { ...noted, exit: null };
    expect(exitEvents({ ...departed, record }, [], { nowMs: 61_000, recordsReadAtMs })).toMatchObject([
      { detail: { code: null, signal: null, reason: expect.stringContaining('records') } },
    ]);
  });

  it('nobody waits for the exit of one that was not started here', () => {
    expect(exitEvents({ ...departed, origin: 'adopted' }, [], readNow(1000))).toMatchObject([
      { detail: { signal: null } },
    ]);
  });
});
