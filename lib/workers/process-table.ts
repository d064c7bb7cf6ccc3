import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { type Engine, recognize } from '../engines/recognize.js';
import type { BlockingFiles, FileResult } from '../io/file-reader.js';
import { parseCmdline, parseLoadavg, parseProcessCgroup, parseProcessStat } from '../procfs/parse.js';
import { errnoText } from '../util/errno.js';

/** What is kept of a process of the host. */
export interface KnownProcess {
  readonly pid: number;
  /** Clock ticks since boot; with the pid its identity. */
  readonly startTicks: number;
  readonly comm: string;
  /** v2 cgroup path; null where it has none. */
  readonly cgroup: string | null;
  readonly argv: readonly string[];
  readonly engine: Engine | null;
}

interface Entry extends KnownProcess {
  /** Monotonic time at which it was first read: until it has settled, it may still exec or be moved. */
  readonly seenMs: number;
}

export interface ProcessTableOptions {
  readonly procRoot: string;
  /** What stands in front of the paths below the watched root (default '': the root is the mount itself). */
  readonly cgroupPrefix?: string;
  /** Opens a reader of its own for /proc: cmdline takes a lock of the process, which may be held for ever. */
  readonly openFiles: () => BlockingFiles;
  /** CLOCK_MONOTONIC in ms. */
  readonly nowMs: () => number;
  /** How long a new process is read again at each scan: its launcher moves it and it execs, in either order. */
  readonly settleMs?: number;
  /** How often all are looked at again, for a late exec or move. */
  readonly verifyMs?: number;
  /** How long a batch may take before its thread is given up. */
  readonly stuckMs?: number;
}

const batchSize = 48;
const maxCmdline = 32 * 1024;
/** How /proc answers where it hides a process (hidepid), as it does where there is none: who is told to be there is hidden. */
const { ENOENT, ESRCH, EPERM, EACCES } = constants.errno;
const hiding: ReadonlySet<number> = new Set([ENOENT, ESRCH, EPERM, EACCES]);

/** Threads that may be lost to wedged processes; more would be a leak without end. */
const maxAbandoned = 8;

/**
 * The processes of the host, kept up to date cheaply: only new ones are read, /proc is listed only where a process was
 * born since, and a process whose files block costs one thread and itself, never the rest.
 */
export class ProcessTable {
  readonly #options: Required<ProcessTableOptions>;
  readonly #entries = new Map<number, Entry>();
  readonly #wanted = new Set<number>();
  readonly #suspects = new Set<number>();
  readonly #wedged = new Set<number>();
  /** Pids that /proc would not show, with the time of the last try. */
  readonly #denied = new Map<number, number>();
  #files: BlockingFiles;
  #abandoned = 0;
  #lastPid: number | null = null;
  #verifiedMs = Number.NEGATIVE_INFINITY;
  #listErrno: number | null = null;
  #generation = 0;
  #closed = false;

  constructor(options: ProcessTableOptions) {
    this.#options = { cgroupPrefix: '', settleMs: 10_000, verifyMs: 30_000, stuckMs: 5000, ...options };
    this.#files = options.openFiles();
  }

  get(pid: number): KnownProcess | null {
    return this.#entries.get(pid) ?? null;
  }

  /** The process of exactly this identity; the same object as long as nothing about it changes. */
  find(pid: number, startTicks: number): KnownProcess | null {
    const entry = this.#entries.get(pid);
    return entry && entry.startTicks === startTicks ? entry : null;
  }

  /** Rises whenever something of what is known has changed. */
  get generation(): number {
    return this.#generation;
  }

  all(): Iterable<KnownProcess> {
    return this.#entries.values();
  }

  /** Whether /proc would not show the process when it was last asked for: it has ended, or /proc hides it. */
  denied(pid: number): boolean {
    return this.#denied.has(pid);
  }

  /** Asks for pids that were met elsewhere (cgroup.procs, a GPU) to be read at the next scan. */
  want(pid: number): void {
    if (!this.#wedged.has(pid)) this.#wanted.add(pid);
  }

  faults(): readonly Fault[] {
    const faults: Fault[] = [];
    if (this.#listErrno !== null) {
      faults.push({
        source: 'proc',
        code: 'PROC_UNREADABLE',
        message: `${this.#options.procRoot} cannot be listed (${errnoText(this.#listErrno)}): engines and models are not recognized.`,
      });
    }
    for (const pid of this.#wedged) {
      faults.push({
        source: 'proc',
        code: 'PROCESS_WEDGED',
        message: `Reading ${this.#options.procRoot}/${pid} does not return: the process hangs in the kernel. Its command line is not known.`,
      });
    }
    return faults;
  }

  /** One scan; callers keep to one at a time. */
  async scan(): Promise<void> {
    const { procRoot, nowMs, settleMs, verifyMs } = this.#options;
    const now = nowMs();
    const verify = now - this.#verifiedMs >= verifyMs;
    const read = new Set(this.#wanted);
    this.#wanted.clear();
    // Nobody has asked for them for a while.
    for (const [pid, atMs] of this.#denied) if (now - atMs >= settleMs) this.#denied.delete(pid);
    for (const { pid, seenMs } of this.#entries.values()) if (now - seenMs < settleMs) read.add(pid);

    const loadavg = await this.#attempt((files) => files.read([join(procRoot, 'loadavg')], 256), []);
    const lastPid = loadavg?.[0] instanceof Buffer ? parseLoadavg(loadavg[0]).lastPid : null;
    if (verify || lastPid === null || lastPid !== this.#lastPid) {
      const listed = await this.#attempt((files) => files.list([procRoot]), []);
      const entries = listed?.[0];
      this.#listErrno = typeof entries === 'number' ? entries : null;
      if (entries !== undefined && typeof entries !== 'number') {
        const alive = new Set<number>();
        for (const { name } of entries) if (/^[1-9][0-9]*$/.test(name)) alive.add(Number(name));
        this.#forget(alive);
        for (const pid of alive) if (verify || !this.#entries.has(pid)) read.add(pid);
        this.#lastPid = lastPid;
        if (verify) this.#verifiedMs = now;
      }
    }

    const fresh = [...read].filter((pid) => !this.#suspects.has(pid) && !this.#wedged.has(pid));
    for (let i = 0; i < fresh.length && !this.#closed; i += batchSize) await this.#read(fresh.slice(i, i + batchSize));
    // After a batch got stuck, each of its processes is tried alone: one of them is to blame.
    for (const pid of [...this.#suspects]) if (!this.#closed) await this.#read([pid]);
  }

  close(): void {
    this.#closed = true;
    this.#files.close();
  }

  #forget(alive: ReadonlySet<number>): void {
    for (const pid of this.#entries.keys()) if (!alive.has(pid) && this.#entries.delete(pid)) this.#generation += 1;
    for (const pid of this.#suspects) if (!alive.has(pid)) this.#suspects.delete(pid);
    for (const pid of this.#wedged) if (!alive.has(pid)) this.#wedged.delete(pid);
  }

  async #read(pids: readonly number[]): Promise<void> {
    const { procRoot, nowMs } = this.#options;
    const paths = pids.flatMap((pid) => ['stat', 'cgroup', 'cmdline'].map((file) => join(procRoot, String(pid), file)));
    const results = await this.#attempt((files) => files.read(paths, maxCmdline), pids);
    if (results === null) return;
    for (const [i, pid] of pids.entries()) {
      this.#suspects.delete(pid);
      this.#take(pid, results[i * 3], results[i * 3 + 1], results[i * 3 + 2], nowMs());
    }
  }

  #take(pid: number, stat?: FileResult, cgroup?: FileResult, cmdline?: FileResult, nowMs = 0): void {
    const parsed = stat instanceof Buffer ? parseProcessStat(stat) : null;
    if (typeof stat === 'number' && hiding.has(stat)) this.#denied.set(pid, nowMs);
    else this.#denied.delete(pid);
    if (parsed === null) {
      if (this.#entries.delete(pid)) this.#generation += 1; // it ended
      return;
    }
    const old = this.#entries.get(pid);
    const same = old?.startTicks === parsed.startTicks;
    const path = cgroup instanceof Buffer ? this.#below(parseProcessCgroup(cgroup)) : null;
    let argv = cmdline instanceof Buffer ? parseCmdline(cmdline) : [];
    // A zombie has no command line any more; what it was is still true.
    if (argv.length === 0 && same) argv = old.argv;
    const engine = parsed.state === 'Z' || parsed.state === 'X' ? null : (recognize(argv)?.engine ?? null);
    // The same object as long as nothing changed: what was concluded from it still holds.
    if (same && path === old.cgroup && engine === old.engine && equal(argv, old.argv)) return;
    this.#generation += 1;
    this.#entries.set(pid, {
      pid,
      startTicks: parsed.startTicks,
      comm: parsed.comm,
      cgroup: path,
      argv,
      engine,
      seenMs: same ? old.seenMs : nowMs,
    });
  }

  /** A path relative to the watched root; null for what lies outside of it. */
  #below(path: string | null): string | null {
    const { cgroupPrefix } = this.#options;
    if (path === null || cgroupPrefix === '') return path;
    if (path === cgroupPrefix) return '/';
    return path.startsWith(`${cgroupPrefix}/`) ? path.slice(cgroupPrefix.length) : null;
  }

  /** Runs one batch; where it does not return in time, gives its thread up and suspects its pids. */
  async #attempt<T>(run: (files: BlockingFiles) => Promise<T>, pids: readonly number[]): Promise<T | null> {
    if (this.#closed || this.#abandoned >= maxAbandoned) return null;
    const files = this.#files;
    let timer: NodeJS.Timeout | undefined;
    const stuck = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.#options.stuckMs);
      timer.unref();
    });
    const work = run(files);
    // After a thread is given up its batch rejects; nobody waits for it any more.
    work.catch(() => undefined);
    try {
      const result = await Promise.race([work, stuck]);
      if (result !== null) return result;
    } catch {
      return null; // closed
    } finally {
      clearTimeout(timer);
    }
    if (this.#closed) return null;
    this.#abandoned += 1;
    files.close();
    this.#files = this.#options.openFiles();
    if (pids.length === 1) {
      this.#suspects.delete(pids[0] as number);
      this.#wedged.add(pids[0] as number);
    } else for (const pid of pids) this.#suspects.add(pid);
    return null;
  }
}

const equal = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((word, i) => word === b[i]);
