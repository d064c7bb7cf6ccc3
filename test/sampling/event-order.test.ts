import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostReading } from '../../lib/procfs/host.js';
import type { HiveEventDraft } from '../../lib/sampling/events.js';
import type { ReportedEnds } from '../../lib/sampling/reported.js';
import { StartClock } from '../../lib/sampling/start-clock.js';
import { clear, type Tracked, track } from '../../lib/sampling/tracked.js';
import { WorkerEvents } from '../../lib/sampling/worker-events.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import type { Watched } from '../../lib/workers/watched.js';
import { portion } from '../harness/draws.js';

const root = '/cg';
const none: ReportedEnds = { continued: true, exited: () => false, oomKills: () => 0 };
const wall0 = Date.parse('2026-03-04T05:06:07Z');

/** Workers that run again and again under one name, as a sampler sees them. */
class Workers {
  nowMs = 1_000_000;
  readonly ended: WorkerRecord[] = [];
  /** Runs that are recorded when time has passed. */
  readonly recordLater: { readonly atMs: number; readonly record: WorkerRecord }[] = [];
  readonly events: HiveEventDraft[] = [];
  readonly #tracked = new Map<string, Tracked>();
  #lastPid = 10;
  readonly #reading = { host: { uptimeSeconds: 1000 } as HostReading['host'], faults: [], atMs: this.nowMs };
  readonly #clock = new StartClock({
    host: { latest: () => this.#reading },
    clockTicks: 100,
    nowMs: () => this.nowMs,
    wallMs: () => this.#wallMs(),
  });
  readonly #events: WorkerEvents;

  constructor() {
    this.#events = new WorkerEvents(
      { root, reported: none, nowMs: () => this.nowMs, wallMs: () => this.#wallMs() },
      this.#clock,
    );
    this.#clock.update();
  }

  #wallMs(): number {
    return wall0 + this.nowMs;
  }

  watched(id: string, origin: Watched['origin'] = 'launched'): Watched {
    const [group = '', instance = ''] = id.split('/');
    const path = `/hivepulse.slice/${id}`;
    return { id, group, instance, path, directory: `${root}${path}`, origin, name: null, record: null } as Watched;
  }

  /** A new process `agoMs` ago, not recorded. */
  run(id: string, agoMs: number): WorkerRecord {
    const pid = ++this.#lastPid;
    const startTicks = Math.floor(100_000 + (this.nowMs - 1_000_000 - agoMs) / 10);
    const { group, instance, path } = this.watched(id);
    const startedAt = new Date(this.#wallMs() - agoMs).toISOString();
    const record = { group, instance, pid, startTicks, startedAt, cgroup: `${root}${path}`, cgroupInode: pid };
    return { ...record, exit: null } as unknown as WorkerRecord;
  }

  see(record: WorkerRecord, origin: Watched['origin'] = 'launched'): void {
    const id = `${record.group}/${record.instance}`;
    const tracked = track(this.watched(id, origin), 0, this.nowMs);
    this.#tracked.set(id, tracked);
    tracked.read = true;
    tracked.inode = record.cgroupInode as number;
    tracked.recordSeen = origin === 'launched' ? record : null;
    this.#clock.update();
    const startTicks = record.startTicks as number;
    tracked.uptimeSeconds = this.#clock.uptimeSeconds(startTicks);
    const key = `${record.pid}/${startTicks}`;
    const startedAt = this.#clock.startedAt(startTicks);
    tracked.main = { key, pid: record.pid as number, startTicks, startedAt, bootWallMs: null };
    tracked.run = { pid: record.pid as number, incarnation: key };
    this.#events.started(tracked, tracked.recordSeen);
  }

  miss(id: string): void {
    const tracked = this.#tracked.get(id);
    if (tracked === undefined) return;
    this.#events.departed(tracked);
    clear(tracked);
    this.#tracked.delete(id);
  }

  exit(record: WorkerRecord, agoMs: number): WorkerRecord {
    const at = new Date(this.#wallMs() - agoMs).toISOString();
    return { ...record, exit: { at, code: 1, signal: null, oomKills: null, remaining: 0 } } as WorkerRecord;
  }

  settle(): void {
    for (const { record } of this.recordLater.splice(
      0,
      this.recordLater.filter(({ atMs }) => atMs <= this.nowMs).length,
    ))
      this.ended.push(record);
    const byPath = (path: string) => this.#tracked.get(path.slice('/hivepulse.slice/'.length));
    this.#events.settle({ ended: [...this.ended], recordsReadAtMs: this.nowMs }, byPath);
    this.events.push(...this.#events.take());
  }
}

/** An exit before the next start of the same worker, by order and by time. */
function expectOrder(events: readonly HiveEventDraft[]): void {
  const last = new Map<string, HiveEventDraft>();
  for (const event of events) {
    const before = last.get(event.workerId as string);
    if (before && event.kind === 'workerStarted') expect(before.kind).toBe('workerExited');
    if (before?.kind === 'workerExited') expect(event.at >= before.at, `${before.at} then ${event.at}`).toBe(true);
    if (before?.kind === 'workerStarted' && event.kind === 'workerExited')
      expect(event.detail).toMatchObject({ pid: before.detail.pid, incarnation: before.detail.incarnation });
    last.set(event.workerId as string, event);
  }
}

describe('order of events', () => {
  it.each(['launched', 'adopted'] as const)(
    'a %s worker made again within a tick: exit, then start, with pid and incarnation of each',
    (origin) => {
      const workers = new Workers();
      workers.nowMs += 60_000;
      const first = workers.run('g/a', 10);
      workers.see(first, origin);
      workers.settle();
      workers.nowMs += 1000;
      const second = workers.run('g/a', 600);
      workers.miss('g/a');
      workers.see(second, origin);
      if (origin === 'launched') workers.ended.push(workers.exit(first, 590));
      workers.settle();
      expectOrder(workers.events);
      expect(workers.events).toMatchObject([
        { kind: 'workerStarted', detail: { pid: first.pid } },
        { kind: 'workerExited', detail: { pid: first.pid, incarnation: `${first.pid}/${first.startTicks}` } },
        { kind: 'workerStarted', detail: { pid: second.pid, incarnation: `${second.pid}/${second.startTicks}` } },
      ]);
    },
  );

  it('a run that nobody saw is between the runs before and after it', () => {
    const workers = new Workers();
    workers.nowMs += 60_000;
    const [a, b, c] = [workers.run('g/a', 900), workers.run('g/a', 500), workers.run('g/a', 100)];
    workers.see(a);
    workers.settle();
    workers.miss('g/a');
    workers.see(c);
    workers.ended.push(workers.exit(a, 600), workers.exit(b, 200));
    workers.settle();
    expect(workers.events.map(({ kind, detail }) => [kind, detail.pid])).toEqual([
      ['workerStarted', a.pid],
      ['workerExited', a.pid],
      ['workerExited', b.pid],
      ['workerStarted', c.pid],
    ]);
    expectOrder(workers.events);
  });

  it('however workers are made again, each exit comes before the next start, once, with its pid', () => {
    const op = fc.record({
      id: fc.constantFrom('g/a', 'g/b'),
      ms: fc.integer({ min: 0, max: 4000 }),
      ago: fc.integer({ min: 0, max: 900 }),
      recorded: fc.constantFrom('now', 'late', 'never'),
      origin: fc.constantFrom<Watched['origin']>('launched', 'adopted'),
      settle: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 30 }), (ops) => {
        const workers = new Workers();
        workers.nowMs += 60_000;
        const running = new Map<string, WorkerRecord>();
        const pids: (number | null)[] = [];
        for (const { id, ms, ago, recorded, origin, settle } of ops) {
          workers.nowMs += ms + 1;
          const before = running.get(id);
          if (before) {
            workers.miss(id);
            pids.push(before.pid);
            const ended = workers.exit(before, ago);
            if (recorded === 'now') workers.ended.push(ended);
            if (recorded === 'late') workers.recordLater.push({ atMs: workers.nowMs + 2000, record: ended });
          }
          const next = workers.run(id, Math.min(ago, ms));
          running.set(id, next);
          workers.see(next, origin);
          if (settle) workers.settle();
        }
        workers.nowMs += 100_000;
        workers.settle();
        expectOrder(workers.events);
        const exits = workers.events.filter(({ kind }) => kind === 'workerExited');
        expect(exits.map(({ detail }) => detail.pid as number).sort()).toEqual(pids.sort());
        expect(workers.events.length - exits.length).toBe(ops.length);
      }),
      { numRuns: portion(300) },
    );
  });
});

describe('OOM kills that are no news', () => {
  const watch = (workers: Workers, origin: Watched['origin']): Tracked => {
    const tracked = track(workers.watched('g/a', origin), 0, workers.nowMs);
    tracked.uptimeSeconds = 1;
    return tracked;
  };

  it('those that an adopted cgroup counts when it is first seen, and those of an earlier occupant', () => {
    const workers = new Workers();
    workers.nowMs += 60_000;
    const events = new WorkerEvents(
      { root, reported: null, nowMs: () => workers.nowMs, wallMs: () => wall0 },
      new StartClock({
        host: { latest: () => null },
        clockTicks: 100,
        nowMs: () => workers.nowMs,
        wallMs: () => wall0,
      }),
    );
    workers.nowMs += 60_000;
    const kinds = () => {
      events.settle({ ended: [], recordsReadAtMs: workers.nowMs }, () => undefined);
      return events.take().map(({ kind, detail }) => [kind, detail.kills]);
    };
    const adopted = watch(workers, 'adopted');
    events.countOomKills(adopted, 3, null);
    expect(kinds()).toEqual([]);
    clear(adopted);
    events.countOomKills(adopted, 4, null);
    expect(kinds()).toEqual([['oomKill', 1]]);
    // The cgroup of a launched worker was made for it, so all that it counts is new.
    events.countOomKills(watch(workers, 'launched'), 2, null);
    expect(kinds()).toEqual([['oomKill', 2]]);
  });
});
