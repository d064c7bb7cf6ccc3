/** A process by its identity. */
export interface ProcessIdentity {
  readonly pid: number;
  /** NaN where it is not known. */
  readonly startTicks: number;
}

/** What is kept of a process that is looked at. */
export interface SeenProcess {
  readonly startTicks: number;
  readonly seenMs: number;
  /** It has been looked at. */
  read: boolean;
}

/** How long a new process may still be moved into a namespace of its own, and be handed sockets. */
const settleMs = 10_000;

/** Processes that are looked at: each when it is new and while it settles, all of them now and then. */
export class SeenProcesses<E extends SeenProcess> {
  readonly byPid = new Map<number, E>();
  readonly #entryOf: (seen: SeenProcess) => E;
  #taken: readonly ProcessIdentity[] = [];
  #newestMs = Number.NEGATIVE_INFINITY;
  /** Some had not been looked at when the last look began. */
  #unread = false;
  /** When all were looked at. */
  verifiedMs = Number.NEGATIVE_INFINITY;

  constructor(entryOf: (seen: SeenProcess) => E) {
    this.#entryOf = entryOf;
  }

  /** Forgets those that are not among `processes`, the same list as long as they are the same. Whether there are new ones. */
  take(processes: readonly ProcessIdentity[], nowMs: number): boolean {
    if (processes === this.#taken) return false;
    this.#taken = processes;
    const alive = new Set<number>();
    let hasNew = false;
    for (const { pid, startTicks } of processes) {
      if (Number.isNaN(startTicks)) continue;
      alive.add(pid);
      if (this.byPid.get(pid)?.startTicks === startTicks) continue;
      this.byPid.set(pid, this.#entryOf({ startTicks, seenMs: nowMs, read: false }));
      hasNew = true;
      this.#unread = true;
      this.#newestMs = nowMs;
    }
    for (const pid of this.byPid.keys()) if (!alive.has(pid)) this.byPid.delete(pid);
    return hasNew;
  }

  /** Which are due in the look that begins now; all where the last look at all is `verifyMs` ago. */
  dueAt(nowMs: number, verifyMs: number): readonly number[] {
    const verify = nowMs - this.verifiedMs >= verifyMs;
    if (verify) this.verifiedMs = nowMs;
    if (!verify && !this.#unread && nowMs - this.#newestMs >= settleMs) return [];
    this.#unread = false;
    const pids: number[] = [];
    for (const [pid, { read, seenMs }] of this.byPid) {
      if (!read) this.#unread = true;
      if (!read || verify || nowMs - seenMs < settleMs) pids.push(pid);
    }
    return pids;
  }
}
