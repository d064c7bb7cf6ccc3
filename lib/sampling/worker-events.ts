import { round2 } from '../procfs/round.js';
import type { WorkerRecord } from '../workers/records.js';
import type { WatchSet } from '../workers/watched.js';
import type { SamplerDeps } from './deps.js';
import type { HiveEventDraft } from './events.js';
import { type CgroupStatus, ExitReporter } from './exit-reporter.js';
import { workerRunKey } from './reported.js';
import type { ServingFigures } from './serving.js';
import type { StartClock } from './start-clock.js';
import type { Tracked } from './tracked.js';

type Deps = Pick<SamplerDeps, 'root' | 'reported' | 'nowMs' | 'wallMs'>;

/** Events of workers: started, OOM kills, exited. */
export class WorkerEvents {
  readonly #deps: Deps;
  readonly #clock: StartClock;
  readonly #exits: ExitReporter;
  readonly #bornMs: number;
  #drafts: HiveEventDraft[] = [];

  constructor(deps: Deps, clock: StartClock) {
    this.#deps = deps;
    this.#clock = clock;
    this.#bornMs = deps.nowMs();
    this.#exits = new ExitReporter(deps.root, deps.reported);
  }

  /** Events since the last call, oldest first. */
  take(): HiveEventDraft[] {
    const drafts = this.#drafts;
    this.#drafts = [];
    return drafts;
  }

  /** The first row of a live worker. One that ran before the sampler did did not start now. */
  started(tracked: Tracked, record: WorkerRecord | null): void {
    tracked.live = true;
    tracked.predates = !this.#isNew(tracked);
    if (tracked.predates) return;
    this.#exits.add({
      at: tracked.main?.startedAt ?? this.#now(),
      kind: 'workerStarted',
      workerId: tracked.watched.id,
      detail: {
        pid: tracked.run?.pid ?? null,
        incarnation: tracked.run?.incarnation ?? null,
        origin: tracked.watched.origin,
        ...(record?.reservationId ? { reservationId: record.reservationId } : {}),
      },
    });
  }

  /** `since`: kills since the last row of the same occupant, null where unknown. */
  countOomKills(tracked: Tracked, total: number, since: number | null): void {
    if (Number.isNaN(total)) return;
    const { reported } = this.#deps;
    const { recordSeen: record } = tracked;
    const before = this.#oomKillsBefore(tracked);
    const kills = since ?? (before === null ? 0 : Math.max(0, total - before));
    tracked.oomKills = total;
    if (kills === 0) return;
    this.#exits.add({
      at: this.#now(),
      kind: 'oomKill',
      workerId: tracked.watched.id,
      detail: { kills, total },
      ...(reported !== null && record !== null
        ? { reportMark: { worker: workerRunKey(record), exited: false, oomKills: total } }
        : {}),
    });
  }

  /** The engine of a worker computes nothing though it has requests, or goes on. */
  stalled(tracked: Tracked, isStalled: boolean, serving: ServingFigures | null): void {
    if (tracked.stalled === isStalled) return;
    tracked.stalled = isStalled;
    this.#exits.add({
      at: this.#now(),
      kind: isStalled ? 'workerStalled' : 'workerRecovered',
      workerId: tracked.watched.id,
      detail: {
        engine: serving?.engine ?? null,
        running: serving?.running ?? null,
        waiting: serving?.waiting ?? null,
        progressAgeMs: serving?.progressAgeMs ?? null,
      },
    });
  }

  departed(tracked: Tracked): void {
    const { watched, recordSeen: record, run, inode, oomKills, uptimeSeconds } = tracked;
    this.#exits.departed({
      id: watched.id,
      group: watched.group,
      instance: watched.instance,
      origin: watched.origin,
      record,
      pid: run?.pid ?? null,
      incarnation: run?.incarnation ?? null,
      inode,
      oomKills,
      uptimeSeconds: uptimeSeconds === null ? null : round2(uptimeSeconds),
      atMs: this.#deps.nowMs(),
      at: this.#now(),
    });
  }

  /** Reports what is known by now. */
  settle(
    { ended, recordsReadAtMs }: Pick<WatchSet, 'ended' | 'recordsReadAtMs'>,
    statusOf: (path: string) => CgroupStatus | undefined,
  ): void {
    const times = { nowMs: this.#deps.nowMs(), recordsReadAtMs, wallStepMs: this.#clock.wallStepMs };
    this.#drafts.push(...this.#exits.settle(ended, times, statusOf));
  }

  /** Kills of the cgroup that are no news; null: all that it counts. */
  #oomKillsBefore(tracked: Tracked): number | null {
    const { reported } = this.#deps;
    const { recordSeen: record, oomKills, watched } = tracked;
    // An earlier occupant of the same cgroup left them.
    if (oomKills !== null) return oomKills;
    // The cgroup of a launched worker was made for it. What an adopted one counts may be of long ago.
    if (watched.origin === 'launched' && this.#isNew(tracked)) return 0;
    return reported?.continued && record !== null ? reported.oomKills(workerRunKey(record)) : null;
  }

  #isNew({ uptimeSeconds }: Tracked): boolean {
    return uptimeSeconds !== null && uptimeSeconds * 1000 <= this.#deps.nowMs() - this.#bornMs;
  }

  #now(): string {
    return new Date(this.#deps.wallMs()).toISOString();
  }
}
