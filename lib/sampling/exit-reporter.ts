import type { WorkerRecord } from '../workers/records.js';
import { type Departed, exitEvents, type Occurrence, speaksOf, unseen } from './events.js';
import { type Told, toldKey } from './reported.js';

/** What the sampler has in the cgroup of a worker. */
export interface Occupant {
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
export class ExitTeller {
  readonly #root: string | null;
  readonly #told: Told | null;
  readonly #departed: Departed[] = [];
  /** Ends that need not be looked at again: `toldKey`, or the inode of a cgroup whose record was never seen. */
  readonly #concluded = new Set<string>();
  #looked: readonly WorkerRecord[] | null = null;

  constructor(root: string | null, told: Told | null) {
    this.#root = root;
    this.#told = told;
  }

  /** A worker that was seen is gone. */
  departed(worker: Departed): void {
    this.#departed.push(worker);
  }

  /** Ends that can be told now. `occupant`: who is in a cgroup, by its path below the root. */
  settle(
    ended: readonly WorkerRecord[],
    nowMs: number,
    occupant: (path: string) => Occupant | undefined,
  ): readonly Occurrence[] {
    const events: Occurrence[] = [];
    for (let i = this.#departed.length - 1; i >= 0; i -= 1) {
      const worker = this.#departed[i] as Departed;
      const found = exitEvents(worker, ended, nowMs, { tell: this.#told !== null });
      if (found === null) continue;
      events.push(...found);
      this.#departed.splice(i, 1);
      // Its exit may be noted later than it was waited for.
      const record = ended.find((candidate) => speaksOf(candidate, worker)) ?? worker.record;
      this.#conclude(record === null ? inodeKey(worker.inode) : toldKey(record));
    }
    if (this.#root === null || this.#told === null || ended === this.#looked) return events;
    let waits = false;
    for (const record of ended) {
      if (this.#isConcluded(record)) continue;
      if (this.#waits(record, this.#root, occupant)) waits = true;
      else events.push(...this.#unseen(record, nowMs, this.#told));
    }
    if (!waits) this.#looked = ended;
    return events;
  }

  #isConcluded(record: WorkerRecord): boolean {
    const key = toldKey(record);
    if (this.#concluded.has(key)) return true;
    const path = record.cgroup?.startsWith(`${this.#root}/`) ?? false;
    const known =
      !path ||
      record.exit === null ||
      (this.#told?.exited(key) ?? false) ||
      (record.cgroupInode !== null && this.#concluded.has(inodeKey(record.cgroupInode)));
    if (known) this.#conclude(key);
    return known;
  }

  /** The worker is still there (children of it live on), may be, or is about to be told as one that was seen to go. */
  #waits(record: WorkerRecord, root: string, occupant: (path: string) => Occupant | undefined): boolean {
    if (this.#departed.some((worker) => speaksOf(record, worker))) return true;
    const there = occupant((record.cgroup as string).slice(root.length));
    if (there === undefined) return false;
    if (!there.read) return true;
    if (!there.live) return false;
    if (there.recordSeen !== null) return toldKey(there.recordSeen) === toldKey(record);
    return Number.isNaN(there.inode) || record.cgroupInode === null || there.inode === record.cgroupInode;
  }

  #unseen(record: WorkerRecord, nowMs: number, told: Told): readonly Occurrence[] {
    const { exit } = record;
    const key = toldKey(record);
    this.#conclude(key);
    if (exit === null) return [];
    return exitEvents(unseen(record, exit, told.oomKills(key), nowMs), [record], nowMs, { tell: true }) ?? [];
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
