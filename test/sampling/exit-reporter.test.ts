import { describe, expect, it } from 'vitest';
import type { DepartedWorker, HiveEventDraft } from '../../lib/sampling/events.js';
import { type CgroupStatus, ExitReporter } from '../../lib/sampling/exit-reporter.js';
import { type ReportedEnds, workerRunKey } from '../../lib/sampling/reported.js';
import type { WorkerExit, WorkerRecord } from '../../lib/workers/records.js';
import { workerRecord } from '../harness/worker-record.js';

const began = Date.parse('2026-05-06T07:00:00.000Z');
const iso = (seconds: number) => new Date(began + seconds * 1000).toISOString();

const exitAt = (seconds: number, more: Partial<WorkerExit> = {}): WorkerExit =>
  ({ at: iso(seconds), code: 3, signal: null, oomKills: 0, remaining: 0, ...more }) as WorkerExit;
/** A run of `llm/<instance>` in the cgroup `/cg/llm/<instance>`. */
const recordOf = (pid: number, over: Partial<WorkerRecord> = {}): WorkerRecord =>
  workerRecord({
    ...{ group: 'llm', instance: 'a', pid, startTicks: pid * 10, startedAt: iso(0), exit: null },
    ...{ cgroup: '/cg/llm/a', cgroupInode: pid + 500 },
    ...over,
  });
const started = (seconds: number, pid = 1, workerId = 'llm/a'): HiveEventDraft =>
  ({ at: iso(seconds), kind: 'workerStarted', workerId, detail: { pid } }) as never;
const killed = (seconds: number, workerId = 'llm/a'): HiveEventDraft =>
  ({ at: iso(seconds), kind: 'oomKill', workerId, detail: { kills: 1, total: 1 } }) as never;
const gone = (record: WorkerRecord | null, seconds: number, over: Partial<DepartedWorker> = {}): DepartedWorker => ({
  ...{ id: 'llm/a', group: 'llm', instance: 'a', origin: 'launched', record, pid: record?.pid ?? null },
  ...{ incarnation: null, inode: (record?.pid ?? 0) + 500, oomKills: 0, uptimeSeconds: 9 },
  ...{ atMs: seconds * 1000, at: iso(seconds) },
  ...over,
});

const nothing: ReportedEnds = { continued: true, exited: () => false, oomKills: () => 0 };

/** A reporter, with what it says at a time. */
class Reports {
  readonly #reporter: ExitReporter;
  readonly states = new Map<string, CgroupStatus>();
  ended: readonly WorkerRecord[] = [];
  wallStepMs = 0;

  constructor(root: string | null = '/cg', earlier: ReportedEnds | null = nothing) {
    this.#reporter = new ExitReporter(root, earlier);
  }

  add(...events: readonly HiveEventDraft[]): this {
    for (const event of events) this.#reporter.add(event);
    return this;
  }
  departed(...workers: readonly DepartedWorker[]): this {
    for (const worker of workers) this.#reporter.departed(worker);
    return this;
  }
  at(seconds: number): readonly HiveEventDraft[] {
    const nowMs = seconds * 1000;
    const times = { nowMs, recordsReadAtMs: nowMs, wallStepMs: this.wallStepMs };
    return this.#reporter.settle(this.ended, times, (path) => this.states.get(path));
  }
  /** Kind, worker, pid and second of each. */
  brief(seconds: number) {
    return this.at(seconds).map(({ kind, workerId, detail, at }) => [
      kind,
      workerId,
      (detail as { pid?: number }).pid,
      (Date.parse(at) - began) / 1000,
    ]);
  }
}

const state = (over: Partial<CgroupStatus> = {}): CgroupStatus => ({
  ...{ read: true, live: true, inode: 512, recordSeen: null },
  ...over,
});

describe('the end of a worker that was seen', () => {
  it('is reported once its exit is recorded, and once', () => {
    const reports = new Reports().departed(gone(recordOf(12), 20));
    expect(reports.at(21)).toEqual([]);
    reports.ended = [recordOf(12, { exit: exitAt(19) })];
    expect(reports.brief(21)).toEqual([['workerExited', 'llm/a', 12, 19]]);
    expect(reports.at(22)).toEqual([]);
    reports.ended = [...reports.ended];
    expect(reports.at(23)).toEqual([]);
  });

  it('without a recorded exit is as old as the pass that missed it, or as its successor', () => {
    const late = new Reports().departed(gone(recordOf(12), 20));
    expect(late.brief(23)).toEqual([['workerExited', 'llm/a', 12, 20]]);
    const replaced = new Reports().departed(gone(recordOf(12), 20)).add(started(18, 13), started(25, 14));
    expect(replaced.brief(23)).toEqual([
      ['workerExited', 'llm/a', 12, 18],
      ['workerStarted', 'llm/a', 13, 18],
      ['workerStarted', 'llm/a', 14, 25],
    ]);
    const later = new Reports().departed(gone(recordOf(12), 20)).add(started(22, 13));
    expect(later.brief(23).map(([, , , at]) => at)).toEqual([20, 22]);
    const other = new Reports().departed(gone(recordOf(12), 20)).add(started(18, 13, 'llm/b'));
    expect(other.brief(23).map(([, , , at]) => at)).toEqual([20, 18]);
  });

  it('with a recorded exit is as old as that, whatever came after', () => {
    const reports = new Reports().departed(gone(recordOf(12), 20)).add(started(18, 13));
    reports.ended = [recordOf(12, { exit: exitAt(19) })];
    expect(reports.brief(21)).toEqual([
      ['workerExited', 'llm/a', 12, 19],
      ['workerStarted', 'llm/a', 13, 19],
    ]);
  });

  it('comes before what happened to the worker after it; others do not wait for it', () => {
    const reports = new Reports()
      .add(killed(19))
      .departed(gone(recordOf(12), 20))
      .add(started(21, 13), started(21, 31, 'llm/b'), killed(22));
    expect(reports.brief(21)).toEqual([
      ['oomKill', 'llm/a', undefined, 19],
      ['workerStarted', 'llm/b', 31, 21],
    ]);
    reports.ended = [recordOf(12, { exit: exitAt(20.5) })];
    expect(reports.brief(22)).toEqual([
      ['workerExited', 'llm/a', 12, 20.5],
      ['workerStarted', 'llm/a', 13, 21],
      ['oomKill', 'llm/a', undefined, 22],
    ]);
  });

  it('a start that comes after it is no older, by the clock as it is set now', () => {
    const reports = new Reports().departed(gone(recordOf(12), 20));
    reports.ended = [recordOf(12, { exit: exitAt(19) })];
    reports.at(21);
    expect(reports.add(started(18, 13)).brief(22)).toEqual([['workerStarted', 'llm/a', 13, 19]]);
    expect(reports.add(killed(18)).brief(22)).toEqual([['oomKill', 'llm/a', undefined, 18]]);
    expect(reports.add(started(18, 31, 'llm/b')).brief(22)).toEqual([['workerStarted', 'llm/b', 31, 18]]);
    expect(reports.add(started(19, 13)).brief(22).at(-1)?.at(-1)).toBe(19);
    reports.wallStepMs = 3600_000;
    expect(reports.add(started(18, 14)).brief(23).at(-1)?.at(-1)).toBe(3619);
    expect(reports.add(started(3700, 14)).brief(23).at(-1)?.at(-1)).toBe(3700);
    const set = new Reports().departed(gone(recordOf(12), 20));
    set.wallStepMs = 500_000;
    set.at(24);
    set.wallStepMs = 800_000;
    expect(set.add(started(18, 13)).brief(25).at(-1)?.at(-1)).toBe(320);
  });

  it('is noted as reported where notes are kept', () => {
    const marks = (earlier: ReportedEnds | null) =>
      new Reports('/cg', earlier)
        .departed(gone(recordOf(12), 20))
        .at(24)
        .map(({ reportMark }) => reportMark?.worker);
    expect([marks(nothing), marks(null)]).toEqual([[workerRunKey(recordOf(12))], [undefined]]);
  });

  it('when it was is remembered of as many workers as there may be exits on disk', () => {
    const id = (i: number) => `llm/w${i}`;
    const ends = (count: number) => {
      const reports = new Reports();
      for (let i = 0; i < count; i++) reports.departed(gone(recordOf(4000 + i), 20, { id: id(i), instance: `w${i}` }));
      expect(reports.at(24)).toHaveLength(count);
      return (i: number) =>
        reports
          .add(started(18, 9, id(i)))
          .brief(25)[0]
          ?.at(-1);
    };
    const whole = ends(2000);
    expect([whole(0), whole(1999)]).toEqual([20, 20]);
    const more = ends(2001);
    expect([more(0), more(1), more(2000)]).toEqual([18, 20, 20]);
  });

  it('two of one worker are reported in their order', () => {
    const reports = new Reports().departed(gone(recordOf(12), 20), gone(recordOf(13), 22));
    reports.ended = [recordOf(13, { exit: exitAt(21) })];
    expect(reports.at(22)).toEqual([]);
    reports.ended = [recordOf(12, { exit: exitAt(19) }), ...reports.ended];
    expect(reports.brief(22).map(([, , pid]) => pid)).toEqual([12, 13]);
  });
});

describe('the end of a worker of which only the exit was found', () => {
  const found = (reports: Reports, over: Partial<WorkerRecord> = {}, seconds = 5) => {
    reports.ended = [recordOf(12, { exit: exitAt(seconds), ...over })];
    return reports;
  };

  it('is reported with what was recorded, once', () => {
    const reports = found(new Reports());
    const [event] = reports.at(30);
    expect(event).toMatchObject({
      ...{ at: iso(5), kind: 'workerExited', workerId: 'llm/a' },
      detail: { pid: 12, code: 3, signal: null, uptimeSeconds: 5 },
      reportMark: { worker: workerRunKey(recordOf(12)), exited: true },
    });
    expect(reports.at(31)).toEqual([]);
    reports.ended = [...reports.ended];
    expect(reports.at(32)).toEqual([]);
  });

  it('has the OOM kills that were not reported before', () => {
    const kept: ReportedEnds = { ...nothing, oomKills: () => 2 };
    const reports = new Reports('/cg', kept);
    reports.ended = [recordOf(12, { exit: exitAt(5, { oomKills: 5 }) })];
    expect(reports.at(30).map(({ kind, detail }) => [kind, (detail as { kills?: number }).kills])).toEqual([
      ['oomKill', 3],
      ['workerExited', undefined],
    ]);
  });

  it.each<[string, Reports, Partial<WorkerRecord>]>([
    ['no earlier run of the hive noted any', new Reports('/cg', null), {}],
    ['there is no cgroup root', new Reports(null), {}],
    ['an earlier run reported it', new Reports('/cg', { ...nothing, exited: () => true }), {}],
    ['it was in no cgroup', new Reports(), { cgroup: null }],
    ['it was in another tree of cgroups', new Reports(), { cgroup: '/cgroup/llm/a' }],
    ['it has not ended', new Reports(), { exit: null }],
  ])('is not reported where %s', (_why, reports, over) => {
    expect(found(reports, over).at(30)).toEqual([]);
    expect(reports.at(31)).toEqual([]);
  });

  it.each<[string, CgroupStatus, Partial<WorkerRecord>, number]>([
    ['was not read yet', state({ read: false, live: false, inode: Number.NaN }), {}, 0],
    ['is empty', state({ live: false }), {}, 1],
    ['has its children', state({ recordSeen: recordOf(12) }), {}, 0],
    ['has the next run', state({ recordSeen: recordOf(13) }), {}, 1],
    ['is the same', state(), {}, 0],
    ['is another one by now', state({ inode: 513 }), {}, 1],
    ['has no inode that is known', state({ inode: Number.NaN }), {}, 0],
    ['had no inode that was recorded', state({ inode: 513 }), { cgroupInode: null }, 0],
  ])('where its cgroup %s: reported or not', (_what, status, over, count) => {
    const reports = found(new Reports(), over);
    reports.states.set('/llm/a', status);
    expect(reports.at(30)).toHaveLength(count);
    reports.states.delete('/llm/a');
    expect(reports.at(31)).toHaveLength(1 - count);
  });

  it('is not reported beside that of the same worker that was seen to go', () => {
    const reports = found(new Reports().departed(gone(recordOf(12), 20)), {}, 19);
    expect(reports.brief(21)).toEqual([['workerExited', 'llm/a', 12, 19]]);
    expect(reports.at(22)).toEqual([]);
  });

  it('is not reported where the worker was seen to go without its record', () => {
    const reports = new Reports().departed(gone(null, 20, { inode: 512, origin: 'adopted' }));
    expect(reports.brief(21)).toEqual([['workerExited', 'llm/a', null, 20]]);
    expect(found(reports).at(22)).toEqual([]);
    reports.ended = [recordOf(12, { exit: exitAt(5), cgroupInode: null })];
    expect(reports.at(23)).toEqual([]);
    reports.ended = [recordOf(14, { exit: exitAt(5), cgroupInode: null })];
    expect(reports.at(24)).toHaveLength(1);
  });

  it('stands before the start of the next run, and behind that of its own', () => {
    const reports = found(new Reports().add(started(1, 12), started(5, 13, 'llm/b'), started(5, 13), started(9, 14)));
    expect(reports.brief(30).map(([kind, workerId, pid]) => [kind, workerId, pid])).toEqual([
      ['workerStarted', 'llm/a', 12],
      ['workerStarted', 'llm/b', 13],
      ['workerExited', 'llm/a', 12],
      ['workerStarted', 'llm/a', 13],
      ['workerStarted', 'llm/a', 14],
    ]);
    const first = found(new Reports().add(started(5, 13)));
    expect(first.brief(30).map(([kind]) => kind)).toEqual(['workerExited', 'workerStarted']);
    const last = found(new Reports().add(started(1, 12), killed(6)));
    expect(last.brief(30).map(([kind]) => kind)).toEqual(['workerStarted', 'oomKill', 'workerExited']);
  });
});

it('what was reported is remembered of as many ends as there may be exits on disk', () => {
  const reports = new Reports();
  const all = Array.from({ length: 2001 }, (_unused, i) => recordOf(3000 + i, { exit: exitAt(5) }));
  reports.ended = all.slice(0, 2000);
  expect(reports.at(30)).toHaveLength(2000);
  reports.ended = [all[0]!];
  expect(reports.at(31)).toEqual([]);
  reports.ended = [all[2000]!];
  expect(reports.at(32)).toHaveLength(1);
  reports.ended = [all[1]!];
  expect(reports.at(33)).toEqual([]);
  reports.ended = [all[0]!];
  expect(reports.at(34)).toHaveLength(1);
});
