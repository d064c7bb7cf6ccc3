import type { WorkerRecord } from '../workers/records.js';
import { type DepartedWorker, exitEvents, exitWithoutSighting, type HiveEventDraft, matchesExit } from './events.js';
import { type ReportedEnds, workerRunKey } from './reported.js';

/** What the sampler has in the cgroup of a worker. */
export interface CgroupStatus {
  /** Read at least once: before that nobody knows who lives there. */
  readonly read: boolean;
  readonly live: boolean;
  readonly inode: number;
  readonly recordSeen: WorkerRecord | null;
}

/** Exits that are kept on disk are fewer. */
const maxConcluded = 2000;

/**
 * Turns workers that are gone, and what `run` noted of how they ended, into events: each end is told once, whether the
 * worker was seen to go or only its exit was found.
 */
export class ExitReporter {
  readonly #root: string | null;
  readonly #reported: ReportedEnds | null;
  readonly #departed: DepartedWorker[] = [];
  /** Ends that need not be looked at again: `toldKey`, or the inode of a cgroup whose record was never seen. */
  readonly #concluded = new Set<string>();
  #looked: readonly WorkerRecord[] | null = null;

  constructor(root: string | null, told: ReportedEnds | null) {
    this.#root = root;
    this.#reported = told;
  }

  /** A worker that was seen is gone. */
  departed(worker: DepartedWorker): void {
    this.#departed.push(worker);
  }

  /** Ends that can be told now. `occupant`: who is in a cgroup, by its path below the root. */
  settle(
    ended: readonly WorkerRecord[],
    nowMs: number,
    occupant: (path: string) => CgroupStatus | undefined,
  ): readonly HiveEventDraft[] {
    const events: HiveEventDraft[] = [];
    for (let i = this.#departed.length - 1; i >= 0; i -= 1) {
      const worker = this.#departed[i] as DepartedWorker;
      const found = exitEvents(worker, ended, nowMs, { tell: this.#reported !== null });
      if (found === null) continue;
      events.push(...found);
      this.#departed.splice(i, 1);
      // Its exit may be noted later than it was waited for.
      const record = ended.find((candidate) => matchesExit(candidate, worker)) ?? worker.record;
      this.#conclude(record === null ? inodeKey(worker.inode) : workerRunKey(record));
    }
    if (this.#root === null || this.#reported === null || ended === this.#looked) return events;
    let waits = false;
    for (const record of ended) {
      if (this.#isConcluded(record)) continue;
      if (this.#waits(record, this.#root, occupant)) waits = true;
      else events.push(...this.#reportUnsighted(record, nowMs, this.#reported));
    }
    if (!waits) this.#looked = ended;
    return events;
  }

  #isConcluded(record: WorkerRecord): boolean {
    const key = workerRunKey(record);
    if (this.#concluded.has(key)) return true;
    const path = record.cgroup?.startsWith(`${this.#root}/`) ?? false;
    const known =
      !path ||
      record.exit === null ||
      (this.#reported?.exited(key) ?? false) ||
      (record.cgroupInode !== null && this.#concluded.has(inodeKey(record.cgroupInode)));
    if (known) this.#conclude(key);
    return known;
  }

  /** The worker is still there (children of it live on), may be, or is about to be told as one that was seen to go. */
  #waits(record: WorkerRecord, root: string, occupant: (path: string) => CgroupStatus | undefined): boolean {
    if (this.#departed.some((worker) => matchesExit(record, worker))) return true;
    const there = occupant((record.cgroup as string).slice(root.length));
    if (there === undefined) return false;
    if (!there.read) return true;
    if (!there.live) return false;
    if (there.recordSeen !== null) return workerRunKey(there.recordSeen) === workerRunKey(record);
    return Number.isNaN(there.inode) || record.cgroupInode === null || there.inode === record.cgroupInode;
  }

  #reportUnsighted(record: WorkerRecord, nowMs: number, told: ReportedEnds): readonly HiveEventDraft[] {
    const { exit } = record;
    const key = workerRunKey(record);
    this.#conclude(key);
    if (exit === null) return [];
    return (
      exitEvents(exitWithoutSighting(record, exit, told.oomKills(key), nowMs), [record], nowMs, { tell: true }) ?? []
    );
  }

  #conclude(key: string): void {
    this.#concluded.add(key);
    for (const oldest of this.#concluded) {
      if (this.#concluded.size <= maxConcluded) break;
      this.#concluded.delete(oldest);
    }
  }
}

const inodeKey = (inode: number): string => `inode ${inode}`;
