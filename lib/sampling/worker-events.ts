import { round2 } from '../procfs/host.js';
import type { WorkerRecord } from '../workers/records.js';
import type { WatchSet } from '../workers/watched.js';
import type { SamplerDeps } from './deps.js';
import type { HiveEventDraft } from './events.js';
import { type CgroupStatus, ExitReporter } from './exit-reporter.js';
import { workerRunKey } from './reported.js';
import type { Tracked } from './tracked.js';

type Deps = Pick<SamplerDeps, 'root' | 'reported' | 'nowMs' | 'wallMs'>;

/** Events of workers: started, OOM kills, exited. */
export class WorkerEvents {
  readonly #deps: Deps;
  readonly #exits: ExitReporter;
  readonly #bornMs: number;
  #drafts: HiveEventDraft[] = [];

  constructor(deps: Deps) {
    this.#deps = deps;
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

  /** `since`: kills since the last row, null where unknown; `fresh`: this is the first row of the cgroup. */
  countOomKills(tracked: Tracked, total: number, since: number | null, fresh: boolean): void {
    const { reported } = this.#deps;
    const { recordSeen: record } = tracked;
    const kills = since ?? Math.max(0, total - (this.#oomKillsBefore(tracked, fresh) ?? total));
    if (kills > 0) {
      this.#drafts.push({
        at: this.#now(),
        kind: 'oomKill',
        workerId: tracked.watched.id,
        detail: { kills, total },
        ...(reported !== null && record !== null
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

  /** Reports the exits that are known by now. */
  settleExits(
    { ended, recordsReadAtMs }: Pick<WatchSet, 'ended' | 'recordsReadAtMs'>,
    statusOf: (path: string) => CgroupStatus | undefined,
  ): void {
    const times = { nowMs: this.#deps.nowMs(), recordsReadAtMs };
    this.#drafts.push(...this.#exits.settle(ended, times, statusOf));
  }

  /** Reported kills of a cgroup before its first row; null where unknown. */
  #oomKillsBefore(tracked: Tracked, fresh: boolean): number | null {
    // The count of a new cgroup began at zero. Kills of an older one were before our time.
    if (fresh && this.#isNew(tracked)) return 0;
    const { reported } = this.#deps;
    const { recordSeen: record, oomKills } = tracked;
    return reported?.continued && record !== null && oomKills === null ? reported.oomKills(workerRunKey(record)) : null;
  }

  #isNew({ uptimeSeconds }: Tracked): boolean {
    return uptimeSeconds !== null && uptimeSeconds * 1000 <= this.#deps.nowMs() - this.#bornMs;
  }

  #now(): string {
    return new Date(this.#deps.wallMs()).toISOString();
  }
}
