import { round2 } from '../procfs/host.js';
import type { WorkerRecord } from '../workers/records.js';
import type { HiveEventDraft } from './events.js';
import { type CgroupStatus, ExitReporter } from './exit-reporter.js';
import { type ReportedEnds, workerRunKey } from './reported.js';
import type { Tracked } from './tracked.js';

export interface WorkerEventsDeps {
  /** The cgroup root, absolute; null where there is none. */
  readonly root: string | null;
  /**
   * What earlier runs of this hive have reported; what they have not is reported by this one. null: exits are reported
   * only of workers that were seen.
   */
  readonly told: ReportedEnds | null;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
}

/** Events of workers: started, OOM kills, exited. */
export class WorkerEvents {
  readonly #deps: WorkerEventsDeps;
  readonly #exits: ExitReporter;
  readonly #bornMs: number;
  #drafts: HiveEventDraft[] = [];

  constructor(deps: WorkerEventsDeps) {
    this.#deps = deps;
    this.#bornMs = deps.nowMs();
    this.#exits = new ExitReporter(deps.root, deps.told);
  }

  /** Events since the last call, oldest first. */
  take(): HiveEventDraft[] {
    const drafts = this.#drafts;
    this.#drafts = [];
    return drafts;
  }

  /** The first row of a live worker. One that was there before the sampler did not start now. */
  started(tracked: Tracked, pid: number | null, record: WorkerRecord | null): void {
    tracked.live = true;
    tracked.predates = !this.#isNew(tracked);
    if (tracked.predates) return;
    this.#drafts.push({
      at: tracked.main?.startedAt ?? this.#now(),
      kind: 'workerStarted',
      workerId: tracked.watched.id,
      detail: {
        pid,
        origin: tracked.watched.origin,
        ...(record?.reservationId ? { reservationId: record.reservationId } : {}),
      },
    });
  }

  /** `since`: kills since the last row, null where that is not known; `fresh`: it is the first row of this cgroup. */
  countOomKills(tracked: Tracked, total: number, since: number | null, fresh: boolean): void {
    const { told } = this.#deps;
    const { recordSeen: record } = tracked;
    const kills = since ?? Math.max(0, total - (this.#oomKillsBefore(tracked, fresh) ?? total));
    if (kills > 0) {
      this.#drafts.push({
        at: this.#now(),
        kind: 'oomKill',
        workerId: tracked.watched.id,
        detail: { kills, total },
        ...(told !== null && record !== null
          ? { reportMark: { worker: workerRunKey(record), exited: false, oomKills: total } }
          : {}),
      });
    }
    if (!Number.isNaN(total)) tracked.oomKills = total;
  }

  departed(tracked: Tracked): void {
    const { watched, recordSeen: record, inode, oomKills, uptimeSeconds } = tracked;
    this.#exits.departed({
      id: watched.id,
      group: watched.group,
      instance: watched.instance,
      origin: watched.origin,
      record,
      inode,
      oomKills,
      uptimeSeconds: uptimeSeconds === null ? null : round2(uptimeSeconds),
      atMs: this.#deps.nowMs(),
      at: this.#now(),
    });
  }

  /** Reports the exits that are known by now. `ended`: exits that `run` has noted. */
  settleExits(ended: readonly WorkerRecord[], statusOf: (path: string) => CgroupStatus | undefined): void {
    this.#drafts.push(...this.#exits.settle(ended, this.#deps.nowMs(), statusOf));
  }

  /** Kills of a cgroup before its first row, as far as they are reported; null where that is not known. */
  #oomKillsBefore(tracked: Tracked, fresh: boolean): number | null {
    // A cgroup that came while we watched began at zero; of an older one the past is not ours to report.
    if (fresh && this.#isNew(tracked)) return 0;
    const { told } = this.#deps;
    const { recordSeen: record, oomKills } = tracked;
    // Of one that an earlier run of this hive watched, what that run has reported is known.
    return told?.continued && record !== null && oomKills === null ? told.oomKills(workerRunKey(record)) : null;
  }

  #isNew({ uptimeSeconds }: Tracked): boolean {
    return uptimeSeconds !== null && uptimeSeconds * 1000 <= this.#deps.nowMs() - this.#bornMs;
  }

  #now(): string {
    return new Date(this.#deps.wallMs()).toISOString();
  }
}
