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

/** Wall time, and by how much the wall clock had been set then. */
interface WallMark {
  readonly atMs: number;
  readonly wallStepMs: number;
}

interface SettleTimes extends ExitTimes {
  /** By how much the wall clock was set since the hive began. */
  readonly wallStepMs: number;
}

/** More than the exits kept on disk. */
const maxReported = 2000;

/** What happened to a worker, in the order in which it was seen: an event, or an end whose exit is not known yet. */
type Entry = { readonly id: string | undefined } & (
  | { readonly event: HiveEventDraft; readonly departed?: undefined }
  | { readonly departed: DepartedWorker; readonly event?: undefined }
);

/**
 * The events of workers in their order, and each end of a worker once, whether the worker was seen to go or only its
 * recorded exit was found. Events of a worker whose earlier exit is still waited for come after that exit.
 */
export class ExitReporter {
  readonly #root: string | null;
  /** What earlier runs of this hive have reported; null: exits without a sighting are not reported. */
  readonly #earlier: ReportedEnds | null;
  /** Not reported yet. */
  #entries: Entry[] = [];
  /** Ends that are done with: `workerRunKey`, or `inodeKey` of a cgroup whose record was never seen. */
  readonly #done = new Set<string>();
  /** Last exit of each worker. */
  readonly #lastExits = new Map<string, WallMark>();
  /** The last list of exits, once all of it is done with. */
  #finished: readonly WorkerRecord[] | null = null;

  constructor(root: string | null, earlier: ReportedEnds | null) {
    this.#root = root;
    this.#earlier = earlier;
  }

  /** Something happened to a worker that lives. */
  add(event: HiveEventDraft): void {
    this.#entries.push({ id: event.workerId, event });
  }

  /** A worker that was seen has ended. */
  departed(worker: DepartedWorker): void {
    this.#entries.push({ id: worker.id, departed: worker });
  }

  /** The events that can be reported now. `statusOf`: status of a cgroup by its path below the root. */
  settle(ended: readonly WorkerRecord[], times: SettleTimes, statusOf: StatusOf): readonly HiveEventDraft[] {
    const entries = this.#withUnsighted(ended, times, statusOf);
    const events: HiveEventDraft[] = [];
    const waiting = new Set<string | undefined>();
    this.#entries = entries.filter((entry, i) => {
      if (waiting.has(entry.id)) return true;
      const found = entry.event ? [this.#afterExit(entry.event, times)] : this.#exitOf(entry.departed, ended, times);
      if (found === null) {
        waiting.add(entry.id);
        return true;
      }
      const next = entry.event ? undefined : entries.slice(i + 1).find(({ id }) => id === entry.id)?.event?.at;
      for (const event of found) events.push(entry.event ? event : this.#exited(event, entry.departed, next, times));
      return false;
    });
    return events;
  }

  /** null while the exit is waited for. */
  #exitOf(worker: DepartedWorker, ended: readonly WorkerRecord[], times: ExitTimes): readonly HiveEventDraft[] | null {
    const found = exitEvents(worker, ended, times, this.#earlier !== null);
    if (found === null) return null;
    // Its exit may be recorded after the wait for it has ended.
    const record = ended.find((candidate) => matchesExit(candidate, worker)) ?? worker.record;
    this.#markDone(record === null ? inodeKey(worker.inode) : workerRunKey(record));
    return found;
  }

  /** An exit that was not recorded is as old as the pass that missed the worker; its successor may have begun before that. */
  #exited(
    event: HiveEventDraft,
    worker: DepartedWorker,
    nextAt: string | undefined,
    { wallStepMs }: SettleTimes,
  ): HiveEventDraft {
    const at = event.at === worker.at && nextAt !== undefined && nextAt < event.at ? nextAt : event.at;
    this.#lastExits.delete(worker.id);
    this.#lastExits.set(worker.id, { atMs: Date.parse(at), wallStepMs });
    for (const oldest of this.#lastExits.keys()) {
      if (this.#lastExits.size <= maxReported) break;
      this.#lastExits.delete(oldest);
    }
    return { ...event, at };
  }

  /** A start comes after the exit before it, by time as well: the two times may be of different readings of the clock. */
  #afterExit(event: HiveEventDraft, { wallStepMs }: SettleTimes): HiveEventDraft {
    const exit = event.kind === 'workerStarted' ? this.#lastExits.get(event.workerId ?? '') : undefined;
    if (exit === undefined) return event;
    const exitMs = exit.atMs + (wallStepMs - exit.wallStepMs);
    return Date.parse(event.at) < exitMs ? { ...event, at: new Date(exitMs).toISOString() } : event;
  }

  /** The entries, with the ends that were not seen, each before the start of the worker's next run. */
  #withUnsighted(ended: readonly WorkerRecord[], times: ExitTimes, statusOf: StatusOf): Entry[] {
    const entries = [...this.#entries];
    const [root, earlier] = [this.#root, this.#earlier];
    if (root === null || earlier === null || ended === this.#finished) return entries;
    let finished = true;
    for (const record of ended) {
      if (record.exit === null || this.#isDone(record, root, earlier)) continue;
      if (this.#mayLive(record, root, statusOf)) {
        finished = false;
        continue;
      }
      const key = workerRunKey(record);
      this.#markDone(key);
      const departed = exitWithoutSighting(record, record.exit, earlier.oomKills(key), times.nowMs);
      const at = entries.findIndex(
        ({ id, event }) => id === departed.id && event?.kind === 'workerStarted' && event.at >= departed.at,
      );
      entries.splice(at < 0 ? entries.length : at, 0, { id: departed.id, departed });
    }
    if (finished) this.#finished = ended;
    return entries;
  }

  #isDone(record: WorkerRecord, root: string, earlier: ReportedEnds): boolean {
    const key = workerRunKey(record);
    if (this.#done.has(key)) return true;
    const { cgroup, cgroupInode } = record;
    const done =
      !cgroup?.startsWith(`${root}/`) ||
      earlier.exited(key) ||
      (cgroupInode !== null && this.#done.has(inodeKey(cgroupInode)));
    if (done) this.#markDone(key);
    return done;
  }

  /** The worker still lives (its children do), may live, or was seen to go and is reported soon. */
  #mayLive(record: WorkerRecord, root: string, statusOf: StatusOf): boolean {
    if (this.#entries.some(({ departed }) => departed && matchesExit(record, departed))) return true;
    const status = statusOf((record.cgroup as string).slice(root.length));
    if (status === undefined) return false;
    if (!status.read) return true;
    if (!status.live) return false;
    if (status.recordSeen !== null) return workerRunKey(status.recordSeen) === workerRunKey(record);
    return Number.isNaN(status.inode) || record.cgroupInode === null || status.inode === record.cgroupInode;
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
