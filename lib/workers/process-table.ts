import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { type ProcessRole, roleOf } from '../engines/recognize.js';
import type { Engine } from '../engines/table.js';
import type { FileResult } from '../io/file-reader.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import {
  parseCmdline,
  parseEnvironmentVariable,
  parseLoadavg,
  parseProcessCgroup,
  parseProcessStat,
} from '../procfs/parse.js';
import { isPidName, pidsOf } from '../procfs/pids.js';
import type { Clock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';

/** A process of the host. */
export interface KnownProcess {
  readonly pid: number;
  /** Clock ticks since boot; with the pid its identity. */
  readonly startTicks: number;
  readonly comm: string;
  readonly parentPid: number;
  readonly session: number;
  /** Value of `markerVariable` in its environment; null where there is none, or it can't be read. */
  readonly marker: string | null;
  /** v2 cgroup path; null where it has none. */
  readonly cgroup: string | null;
  readonly argv: readonly string[];
  readonly engine: Engine | null;
  readonly role: ProcessRole;
}

interface Entry extends KnownProcess {
  /** Monotonic time of the first read: for `settleMs` it may still exec or be moved. */
  readonly seenMs: number;
}

export interface ProcessTableOptions {
  readonly procRoot: string;
  /** Prefix of cgroup paths below the watched root (default '': the root is the mount itself). */
  readonly cgroupPrefix?: string;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  /** The one variable of environments that is looked at, from `readMarkers` on (default null: none). */
  readonly markerVariable?: string | null;
  /** How long a new process is read again at each scan, since it may exec or be moved (default 10,000). */
  readonly settleMs?: number;
  /** How often all are read again, for a late exec or move (default 30,000). */
  readonly verifyMs?: number;
}

const batchSize = 48;
const maxCmdline = 32 * 1024;
const files = ['stat', 'cgroup', 'cmdline'] as const;
/** How /proc answers for a process that it hides (hidepid) or that does not exist. */
const { ENOENT, ESRCH, EPERM, EACCES } = constants.errno;
const hiding: ReadonlySet<number> = new Set([ENOENT, ESRCH, EPERM, EACCES]);

/**
 * The processes of the host. Only new ones are read, and /proc is listed only where one has started since. A file that
 * hangs costs what it says of its process, nothing else.
 */
export class ProcessTable {
  readonly #options: Required<Omit<ProcessTableOptions, 'openFiles'>>;
  /** Lists of one path each, which stay what they are. */
  readonly #root: readonly string[];
  readonly #loadavg: readonly string[];
  readonly #entries = new Map<number, Entry>();
  readonly #wanted = new Set<number>();
  /** Pids that /proc did not show, with the time of the last try. */
  readonly #denied = new Map<number, number>();
  readonly #files: GuardedReader;
  #marks = false;
  #recoveries = 0;
  #lastPid: number | null = null;
  #verifiedMs = Number.NEGATIVE_INFINITY;
  #listErrno: number | null = null;
  #generation = 0;
  readonly #engines = new Map<number, Entry>();
  #engineGeneration = 0;

  constructor(options: ProcessTableOptions) {
    const { openFiles: open, clock, procRoot } = options;
    this.#root = Object.freeze([procRoot]);
    this.#loadavg = Object.freeze([join(procRoot, 'loadavg')]);
    this.#options = { cgroupPrefix: '', markerVariable: null, settleMs: 10_000, verifyMs: 30_000, ...options };
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what, path) => {
        const wedged = path !== null && /^[1-9][0-9]*\//.test(path.slice(procRoot.length + 1));
        return wedged
          ? {
              source: 'proc',
              code: 'PROCESS_WEDGED',
              message: `${what}: the process hangs in the kernel. What the file says of it is not known.`,
            }
          : { source: 'proc', code: 'PROC_STALLED', message: `${what}: engines and models may not be recognized.` };
      },
    });
  }

  get(pid: number): KnownProcess | null {
    return this.#entries.get(pid) ?? null;
  }

  /** The process of exactly this identity; the same object as long as nothing about it changes. */
  find(pid: number, startTicks: number): KnownProcess | null {
    const entry = this.#entries.get(pid);
    return entry && entry.startTicks === startTicks ? entry : null;
  }

  /** Has the environment of each process that is read from now on looked at, and soon that of all. */
  readMarkers(): void {
    if (this.#marks) return;
    this.#marks = true;
    this.#verifiedMs = Number.NEGATIVE_INFINITY;
  }

  /** Rises with each change. */
  get generation(): number {
    return this.#generation;
  }

  all(): Iterable<KnownProcess> {
    return this.#entries.values();
  }

  /** Those that are engines. */
  engines(): Iterable<KnownProcess> {
    return this.#engines.values();
  }

  /** Rises with each change of one that is an engine, or was one. */
  get engineGeneration(): number {
    return this.#engineGeneration;
  }

  /** Whether /proc did not show the process when last asked: it has ended, or /proc hides it. */
  denied(pid: number): boolean {
    return this.#denied.has(pid);
  }

  /** Has a pid from elsewhere (cgroup.procs, a GPU) read at the next scan. */
  want(pid: number): void {
    this.#wanted.add(pid);
  }

  /** Some read of /proc hangs: not every process may be known. */
  get stalled(): boolean {
    return this.#files.stalled;
  }

  faults(): readonly Fault[] {
    if (this.#listErrno === null) return this.#files.faults();
    const message = `${this.#options.procRoot} cannot be listed (${errnoText(this.#listErrno)}): engines and models are not recognized.`;
    return [{ source: 'proc', code: 'PROC_UNREADABLE', message }, ...this.#files.faults()];
  }

  /** One scan; callers keep to one at a time. */
  async scan(): Promise<void> {
    const { clock, settleMs, verifyMs } = this.#options;
    const now = clock.now();
    const { recoveries } = this.#files;
    const verify = now - this.#verifiedMs >= verifyMs || recoveries !== this.#recoveries;
    const read = new Set(this.#wanted);
    this.#wanted.clear();
    // Tried long ago: `want` tries them anew.
    for (const [pid, atMs] of this.#denied) if (now - atMs >= settleMs) this.#denied.delete(pid);
    for (const { pid, seenMs } of this.#entries.values()) if (now - seenMs < settleMs) read.add(pid);
    const alive = await this.#list(verify);
    if (alive !== null) {
      for (const pid of this.#entries.keys()) if (!alive.has(pid)) this.#remove(pid);
      for (const pid of alive) if (verify || !this.#entries.has(pid)) read.add(pid);
      if (verify) this.#verifiedMs = now;
      this.#recoveries = recoveries;
    }
    const pids = [...read];
    for (let i = 0; i < pids.length; i += batchSize) await this.#read(pids.slice(i, i + batchSize));
  }

  /** The pids of /proc; null where none was born since the last listing (unless `always`), and where it can't be listed. */
  async #list(always: boolean): Promise<ReadonlySet<number> | null> {
    const { procRoot } = this.#options;
    const [loadavg] = await this.#files.readKept(this.#loadavg, 256);
    const lastPid = typeof loadavg === 'string' ? parseLoadavg(loadavg).lastPid : null;
    if (!always && lastPid !== null && lastPid === this.#lastPid) return null;
    const [entries] = await this.#files.list(this.#root);
    this.#listErrno = typeof entries === 'number' && entries !== ETIMEDOUT ? entries : null;
    if (typeof entries !== 'object') return null;
    this.#lastPid = lastPid;
    const pids = entries.filter(({ name }) => isPidName(name)).map(({ name }) => Number(name));
    return new Set(pids.filter(pidsOf(procRoot)));
  }

  #remove(pid: number): void {
    if (this.#entries.delete(pid)) this.#generation += 1;
    if (this.#engines.delete(pid)) this.#engineGeneration += 1;
  }

  close(): void {
    this.#files.close();
  }

  async #read(pids: readonly number[]): Promise<void> {
    const { procRoot, clock, markerVariable } = this.#options;
    const names = markerVariable === null || !this.#marks ? files : [...files, 'environ'];
    const paths: string[] = [];
    for (const pid of pids) {
      const directory = join(procRoot, String(pid));
      for (const name of names) paths.push(`${directory}/${name}`);
    }
    const results = await this.#files.read(paths, maxCmdline);
    for (const [i, pid] of pids.entries()) {
      const [stat, cgroup, cmdline, environ = ENOENT] = results.slice(i * names.length, (i + 1) * names.length);
      // While the read hangs, what was known before is kept.
      if (stat !== ETIMEDOUT) this.#take(pid, { stat, cgroup, cmdline, environ } as ProcessFiles, clock.now());
    }
  }

  #take(pid: number, { stat, ...others }: ProcessFiles, nowMs: number): void {
    if (typeof stat === 'number' && hiding.has(stat)) this.#denied.set(pid, nowMs);
    else this.#denied.delete(pid);
    const parsed = stat instanceof Buffer ? parseProcessStat(stat) : null;
    if (parsed === null) {
      this.#remove(pid); // it ended
      return;
    }
    const { startTicks, comm, state, parentPid, session } = parsed;
    const before = this.#entries.get(pid);
    const old = before?.startTicks === startTicks ? before : null;
    const known = this.#known(others, old);
    const same = old !== null && equal(known.argv, old.argv);
    const role = same ? old.role : roleOf(known.argv);
    const engine = state === 'Z' || state === 'X' ? null : role.engine;
    const now = { parentPid, session, cgroup: known.cgroup, marker: known.marker, engine };
    // The same object as long as nothing changed, so that what was derived from it can be kept.
    if (same && (Object.keys(now) as (keyof typeof now)[]).every((key) => now[key] === old[key])) return;
    this.#generation += 1;
    const seenMs = old?.seenMs ?? nowMs;
    const entry = { pid, startTicks, comm, ...now, argv: known.argv, role, seenMs };
    this.#entries.set(pid, entry);
    if (this.#engines.delete(pid) || engine !== null) this.#engineGeneration += 1;
    if (engine !== null) this.#engines.set(pid, entry);
  }

  #known({ cgroup, cmdline, environ }: Omit<ProcessFiles, 'stat'>, old: Entry | null) {
    const { markerVariable } = this.#options;
    const path = cgroup instanceof Buffer ? this.#below(parseProcessCgroup(cgroup)) : null;
    const argv = cmdline instanceof Buffer ? parseCmdline(cmdline) : [];
    const marker =
      environ instanceof Buffer && markerVariable !== null ? parseEnvironmentVariable(environ, markerVariable) : null;
    return {
      cgroup: cgroup === ETIMEDOUT ? (old?.cgroup ?? null) : path,
      // A zombie has no command line any more, so the last one is kept.
      argv: argv.length === 0 ? (old?.argv ?? []) : argv,
      marker: environ === ETIMEDOUT ? (old?.marker ?? null) : marker,
    };
  }

  /** A path relative to the watched root; null for what lies outside of it. */
  #below(path: string | null): string | null {
    const { cgroupPrefix } = this.#options;
    if (path === null || cgroupPrefix === '') return path;
    if (path === cgroupPrefix) return '/';
    return path.startsWith(`${cgroupPrefix}/`) ? path.slice(cgroupPrefix.length) : null;
  }
}

interface ProcessFiles {
  readonly stat: FileResult;
  readonly cgroup: FileResult;
  readonly cmdline: FileResult;
  /** ENOENT where it is not asked for. */
  readonly environ: FileResult;
}

const equal = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((word, i) => word === b[i]);
