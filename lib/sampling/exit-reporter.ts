import type { WorkerRecord } from '../workers/records.js';
import {
  type DepartedWorker,
  type ExitTimes,
  exitEvents,
  exitWithoutSighting,
  type HiveEventDraft,
  matchesExit,
} from './events.js';
import { type ReportedEnds, workerRunKey } from './reported.js';
import type { Tracked } from './tracked.js';

/** What the sampler knows of a cgroup. */
export type CgroupStatus = Pick<Tracked, 'read' | 'live' | 'inode' | 'recordSeen'>;
type StatusOf = (path: string) => CgroupStatus | undefined;

/** More than the exits kept on disk. */
const maxReported = 2000;

/** Reports each end of a worker once, whether the worker was seen to go or only its recorded exit was found. */
export class ExitReporter {
  readonly #root: string | null;
  /** What earlier runs of this hive have reported; null: exits without a sighting are not reported. */
  readonly #earlier: ReportedEnds | null;
  readonly #departed: DepartedWorker[] = [];
  /** Ends that are done with: `workerRunKey`, or `inodeKey` of a cgroup whose record was never seen. */
  readonly #done = new Set<string>();
  /** The last list of exits, once all of it is done with. */
  #finished: readonly WorkerRecord[] | null = null;

  constructor(root: string | null, earlier: ReportedEnds | null) {
    this.#root = root;
    this.#earlier = earlier;
  }

  /** A worker that was seen has ended. */
  departed(worker: DepartedWorker): void {
    this.#departed.push(worker);
  }

  /** Events of the ends that can be reported now. `statusOf`: status of a cgroup by its path below the root. */
  settle(ended: readonly WorkerRecord[], times: ExitTimes, statusOf: StatusOf): readonly HiveEventDraft[] {
    const events: HiveEventDraft[] = [];
    for (let i = this.#departed.length - 1; i >= 0; i -= 1) {
      const worker = this.#departed[i] as DepartedWorker;
      const found = exitEvents(worker, ended, times, this.#earlier !== null);
      if (found === null) continue;
      events.push(...found);
      this.#departed.splice(i, 1);
      // Its exit may be recorded after the wait for it has ended.
      const record = ended.find((candidate) => matchesExit(candidate, worker)) ?? worker.record;
      this.#markDone(record === null ? inodeKey(worker.inode) : workerRunKey(record));
    }
    if (this.#root === null || this.#earlier === null || ended === this.#finished) return events;
    let finished = true;
    for (const record of ended) {
      if (this.#isDone(record)) continue;
      if (this.#mayLive(record, this.#root, statusOf)) finished = false;
      else events.push(...this.#reportUnsighted(record, times, this.#earlier));
    }
    if (finished) this.#finished = ended;
    return events;
  }

  #isDone(record: WorkerRecord): boolean {
    const key = workerRunKey(record);
    if (this.#done.has(key)) return true;
    const { cgroup, cgroupInode, exit } = record;
    const done =
      !cgroup?.startsWith(`${this.#root}/`) ||
      exit === null ||
      (this.#earlier?.exited(key) ?? false) ||
      (cgroupInode !== null && this.#done.has(inodeKey(cgroupInode)));
    if (done) this.#markDone(key);
    return done;
  }

  /** The worker still lives (its children do), may live, or was seen to go and is reported soon. */
  #mayLive(record: WorkerRecord, root: string, statusOf: StatusOf): boolean {
    if (this.#departed.some((worker) => matchesExit(record, worker))) return true;
    const status = statusOf((record.cgroup as string).slice(root.length));
    if (status === undefined) return false;
    if (!status.read) return true;
    if (!status.live) return false;
    if (status.recordSeen !== null) return workerRunKey(status.recordSeen) === workerRunKey(record);
    return Number.isNaN(status.inode) || record.cgroupInode === null || status.inode === record.cgroupInode;
  }

  #reportUnsighted(record: WorkerRecord, times: ExitTimes, earlier: ReportedEnds): readonly HiveEventDraft[] {
    const key = workerRunKey(record);
    this.#markDone(key);
    if (record.exit === null) return [];
    return (
      exitEvents(exitWithoutSighting(record, record.exit, earlier.oomKills(key), times.nowMs), [record], times, true) ??
      []
    );
  }

  #markDone(key: string): void {
    this.#done.add(key);
    for (const oldest of this.#done) {
      if (this.#done.size <= maxReported) break;
      this.#done.delete(oldest);
    }
  }
}

const inodeKey = (inode: number): string => `inode ${inode}`;
