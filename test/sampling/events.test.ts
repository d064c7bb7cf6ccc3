import { describe, expect, it } from 'vitest';
import { type DepartedWorker, exitEvents, exitGraceMs, exitWithoutSighting } from '../../lib/sampling/events.js';
import { workerRunKey } from '../../lib/sampling/reported.js';
import type { WorkerExit, WorkerRecord } from '../../lib/workers/records.js';

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

  it.each([
    ['another group', { group: 'other' }],
    ['another instance', { instance: 'other' }],
    ['another cgroup of that name', { cgroupInode: 4712 }],
  ])('the exit of %s is not its own', (_what, over) => {
    expect(exitEvents(departed, [{ ...noted, ...over }], readNow(1500))).toBeNull();
    expect(exitEvents(departed, [{ ...noted, ...over }, noted], readNow(1500))).toMatchObject([
      { detail: { signal: 'SIGTERM' } },
    ]);
  });

  it('one whose record was read is found by its process and its start, whatever its cgroup', () => {
    const record = { ...noted, exit: null };
    const ended = (over: Partial<WorkerRecord>) =>
      exitEvents({ ...departed, record }, [{ ...noted, cgroupInode: 1, ...over }], readNow(1500));
    expect(ended({})).toMatchObject([{ detail: { signal: 'SIGTERM' } }]);
    expect([ended({ pid: 8 }), ended({ startTicks: 10 }), ended({ group: 'g' })]).toEqual([null, null, null]);
    // Its record is waited for too, of whichever origin it seems to be.
    expect(exitEvents({ ...departed, record, origin: 'adopted' }, [], readNow(1500))).toBeNull();
    // Its running record has the exit already, while children live on.
    const exit = { at: '2026-01-01T00:00:00.500Z', code: 3, signal: null, remaining: 2, oomKills: null };
    expect(exitEvents({ ...departed, record: { ...noted, exit } }, [], readNow(1000))).toMatchObject([
      { at: exit.at, detail: { code: 3, signal: null, remaining: 2 } },
    ]);
  });

  it('why nothing is known of its end is said, by what is known of its start', () => {
    const reasonOf = (over: Partial<DepartedWorker>, times = readNow(1000 + exitGraceMs)) => {
      const [event] = exitEvents({ ...departed, ...over }, [], times) ?? [];
      expect(event).toMatchObject({ at: departed.at, detail: { code: null, signal: null, uptimeSeconds: 1 } });
      expect(event?.detail).not.toHaveProperty('remaining');
      return event?.detail.reason;
    };
    const record = { ...noted, exit: null };
    const notOurs = 'it was not started by `hivepulse run`, so nobody here waited for it';
    expect(reasonOf({ origin: 'adopted' })).toBe(notOurs);
    expect(reasonOf({ origin: 'adopted', record })).toBe(notOurs);
    expect(reasonOf({ record: null })).toBe(notOurs);
    expect(reasonOf({ record })).toContain('could not note how it ended');
    expect(reasonOf({ record }, { nowMs: 61_000, recordsReadAtMs: 0 })).toContain('could not be read');
  });

  it('of an exit that was noted there is no reason, and of children left behind their number', () => {
    const detailOf = (exit: Partial<WorkerExit>) =>
      exitEvents(departed, [{ ...noted, exit: { ...(noted.exit as WorkerExit), ...exit } }], readNow(1500))?.at(-1)
        ?.detail as object;
    expect(Object.keys(detailOf({})).sort()).toEqual(['code', 'incarnation', 'pid', 'signal', 'uptimeSeconds']);
    expect(detailOf({ remaining: 4 })).toMatchObject({ remaining: 4 });
    expect(exitEvents(departed, [noted], readNow(1500))?.[0]?.at).toBe('2026-01-01T00:00:00.900Z');
  });

  it.each([
    [null, null, []],
    [2, null, []],
    [null, 3, [{ kills: 3, total: 3 }]],
    [1, 3, [{ kills: 2, total: 3 }]],
    [3, 3, []],
    [4, 3, []],
  ])(
    'of %s kills that were seen and %s that its exit shows, those that are new are an event',
    (seen, shown, events) => {
      const record = { ...noted, exit: { ...(noted.exit as WorkerExit), oomKills: shown } };
      const all = exitEvents({ ...departed, oomKills: seen }, [record], readNow(1500), true) ?? [];
      expect(all.filter(({ kind }) => kind === 'oomKill').map(({ detail }) => detail)).toEqual(events);
      const marks = all.map(({ kind, reportMark }) => [kind, reportMark?.exited, reportMark?.oomKills]);
      expect(marks.at(-1)).toEqual(['workerExited', true, Math.max(seen ?? 0, shown ?? 0)]);
      for (const mark of marks.slice(0, -1)) expect(mark).toEqual(['oomKill', false, shown]);
    },
  );

  it('is noted of the run that a record names, where notes are kept', () => {
    const marks = (of: DepartedWorker, ended: readonly WorkerRecord[], withMarks?: boolean) =>
      exitEvents(of, ended, readNow(5000), withMarks)?.map((event) => 'reportMark' in event);
    expect([marks(departed, [noted]), marks(departed, [noted], true), marks(departed, [], true)]).toEqual([
      ...[[false], [true], [false]],
    ]);
    expect(exitEvents(departed, [noted], readNow(1500), true)?.[0]?.reportMark?.worker).toBe(workerRunKey(noted));
    const record = { ...noted, exit: null };
    expect(exitEvents({ ...departed, record }, [], readNow(5000), true)?.[0]?.reportMark?.worker).toBe(
      workerRunKey(noted),
    );
  });

  it('names the process that was seen, else that of its record', () => {
    const runOf = (over: Partial<DepartedWorker>, ended: readonly WorkerRecord[] = [noted]) => {
      const detail = exitEvents({ ...departed, ...over }, ended, readNow(5000))?.[0]?.detail;
      return [detail?.pid, detail?.incarnation];
    };
    const unseen = { pid: null, incarnation: null };
    expect(runOf({ pid: 70, incarnation: '70/90' })).toEqual([70, '70/90']);
    expect(runOf(unseen)).toEqual([7, '7/9']);
    expect(runOf({ ...unseen, record: { ...noted, exit: null } }, [])).toEqual([7, '7/9']);
    expect(runOf(unseen, [{ ...noted, startTicks: null }])).toEqual([7, null]);
    expect(runOf(unseen, [])).toEqual([null, null]);
  });
});

describe('a worker that ended while no hive watched', () => {
  const startedAt = '2026-01-01T00:00:00.000Z';
  const unseen = (at: string) =>
    exitWithoutSighting({ ...noted, startedAt }, { ...(noted.exit as WorkerExit), at }, 2, 5000);

  it('is what its record says', () => {
    const at = '2026-01-01T00:01:30.126Z';
    const record = { ...noted, startedAt };
    expect(unseen(at)).toEqual({
      ...{ id: 'demo/brief', group: 'demo', instance: 'brief', origin: 'launched', record, pid: 7, incarnation: '7/9' },
      ...{ inode: Number.NaN, oomKills: 2, uptimeSeconds: 90.13, atMs: 5000, at },
    });
    expect(exitEvents(unseen(at), [record], readNow(5000))).toMatchObject([
      { kind: 'workerExited', at: record.exit?.at, detail: { signal: 'SIGTERM', uptimeSeconds: 90.13 } },
    ]);
  });

  it('ran for as long as is known: not less than nothing where the wall clock was set back', () => {
    expect(unseen(startedAt).uptimeSeconds).toBe(0);
    expect(unseen('2025-12-31T23:59:59.999Z').uptimeSeconds).toBeNull();
  });
});
