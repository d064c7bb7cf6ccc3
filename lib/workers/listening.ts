import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import type { FileResult } from '../io/file-reader.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import { inodesOf, parseSocketDump } from '../procfs/sockets.js';
import type { Clock } from '../util/clock.js';
import { oneAtATime } from '../util/one-at-a-time.js';
import { type ProcessIdentity, type SeenProcess, SeenProcesses } from './seen-processes.js';
import {
  changesBetween,
  type NamespaceSocket,
  SocketMakers,
  type SocketTable,
  type SocketTables,
  type TableChanges,
  tableIn,
  tableOf,
} from './socket-tables.js';
import { UnixListening } from './unix-listening.js';

export type { NamespaceSocket } from './socket-tables.js';

/** A process whose sockets count, and its cgroup where that is known. */
export interface SocketProcess extends ProcessIdentity {
  readonly cgroup?: string | null;
}

/** What is known of the sockets of a process; `null`: /proc does not show them. */
export interface ProcessSockets {
  readonly namespace: number;
  readonly sockets: readonly NamespaceSocket[] | null;
}

export interface ListeningOptions {
  readonly procRoot: string;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  /** How often each namespace's sockets are read (default 5000), and while a process is expected to listen (default 1000). */
  readonly everyMs?: number;
  readonly waitingEveryMs?: number;
  /** How often all descriptors are read where a socket listens that any process may hold, ms (default 60,000). */
  readonly verifyMs?: number;
  /** How often they are where none such came since: one that was there may have been handed on (default 600,000). */
  readonly quietVerifyMs?: number;
}

/** About 1700 sockets that listen; connections come after them. */
const maxTableBytes = 256 * 1024;
const { ENOENT, ESRCH, EACCES, EPERM } = constants.errno;
const nobody: ReadonlySet<number> = new Set();
const over = new Set<number>([ENOENT, ESRCH]);
const refused = new Set<number>([EACCES, EPERM]);

/** `read`: its descriptors have been. */
interface Entry extends SeenProcess {
  namespace: number | null;
  /** Inodes of all its sockets that listened when its descriptors were read; null: they could not be. */
  inodes: readonly number[] | null;
  /** The hive has no right to see its namespace or descriptors. */
  denied: boolean;
  /** The generation in which its sockets changed last, or who else listens on their ports. */
  changedIn: number;
}

/** A dump as the kernel gave it, with what was read from it. */
interface Dumped {
  readonly bytes: Buffer;
  readonly table: SocketTable;
}

/**
 * The TCP sockets on which processes listen. Each namespace's table is read once, not once for each process; descriptors
 * are read for a new process, and where a socket comes for those that are expected to listen or whose cgroup it was made in;
 * where it is not known in which, for all a little later.
 */
export class Listening {
  readonly #options: Required<Omit<ListeningOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #seen: SeenProcesses<Entry>;
  readonly #makers = new SocketMakers();
  readonly #unix: UnixListening;
  #processes: readonly SocketProcess[] = [];
  /** Of each process; what stands for it where it is not known. */
  #cgroups: ReadonlyMap<number, string> = new Map();
  #namespaces: SocketTables = new Map();
  /** Processes by which namespaces are read; null: to be found again. */
  #readers: ReadonlyMap<number, string> | null = null;
  #dumps: ReadonlyMap<number, Dumped> = new Map();
  /** A socket has come since all descriptors were read that any process may hold. */
  #unclaimed = false;
  #waiting: ReadonlySet<number> = nobody;
  #onUnix: ReadonlySet<number> = nobody;
  #own: number | null = null;
  #host: number | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #changed = false;
  #generation = 0;

  constructor(options: ListeningOptions) {
    const { openFiles: open, clock } = options;
    this.#options = { everyMs: 5000, waitingEveryMs: 1000, verifyMs: 60_000, quietVerifyMs: 600_000, ...options };
    this.#seen = new SeenProcesses<Entry>((seen) => ({
      ...seen,
      ...{ namespace: null, inodes: null, denied: false, changedIn: 0 },
    }));
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what) => ({
        source: 'proc',
        code: 'SOCKETS_STALLED',
        message: `${what}: where some workers listen is not known.`,
        field: 'endpoint',
      }),
    });
    this.#unix = new UnixListening(options.procRoot, this.#files);
  }

  /** Rises with each look that found something else about some process. */
  get generation(): number {
    return this.#generation;
  }

  /** The generation in which something about the sockets of these, or who else listens on their ports, changed last. */
  changedIn(processes: readonly ProcessIdentity[]): number {
    let latest = 0;
    for (const { pid } of processes) latest = Math.max(latest, this.#seen.byPid.get(pid)?.changedIn ?? 0);
    return latest;
  }

  /** The network namespace in which the hive itself is; null where it is not known. */
  get ownNamespace(): number | null {
    return this.#own;
  }

  /** The network namespace of the host: of the first process where it can be seen, else the hive's own. */
  get hostNamespace(): number | null {
    return this.#host ?? this.#own;
  }

  /** null: not looked at yet. */
  of({ pid, startTicks }: ProcessIdentity): ProcessSockets | null {
    const entry = this.#seen.byPid.get(pid);
    if (entry === undefined || !entry.read || entry.startTicks !== startTicks) return null;
    if (entry.namespace === null) return { namespace: Number.NaN, sockets: null };
    const table = this.#namespaces.get(entry.namespace);
    if (entry.inodes === null || table === undefined) return { namespace: entry.namespace, sockets: null };
    const sockets = entry.inodes.map((inode) => table.get(inode)).filter((socket) => socket !== undefined);
    return { namespace: entry.namespace, sockets };
  }

  /** Paths of Unix sockets on which it takes connections, of one that may serve on such; as of the last look. */
  unixPathsOf({ pid, startTicks }: ProcessIdentity): readonly string[] {
    return this.#seen.byPid.get(pid)?.startTicks === startTicks ? this.#unix.pathsOf(pid) : [];
  }

  /** All sockets that listen in a namespace, whoever's they are. */
  inNamespace(namespace: number): readonly NamespaceSocket[] {
    return [...(this.#namespaces.get(namespace)?.values() ?? [])];
  }

  /** A process that is in the namespace; null where none is known to be. */
  processIn(namespace: number): number | null {
    for (const [pid, entry] of this.#seen.byPid) if (entry.namespace === namespace) return pid;
    return null;
  }

  faults(): readonly Fault[] {
    return this.#files.faults();
  }

  /** The hive has no right to see the sockets of the process. */
  denied(pid: number): boolean {
    return this.#seen.byPid.get(pid)?.denied === true;
  }

  /**
   * Takes the processes of all workers, and begins a look where one is due. `waiting`: processes that are expected to
   * listen soon; `onUnix`: those that may do so on a Unix socket. Nobody waits for the look; a call during one changes nothing.
   */
  update(
    processes: readonly SocketProcess[],
    waiting: ReadonlySet<number>,
    onUnix: ReadonlySet<number> = nobody,
  ): void {
    const { clock, everyMs, waitingEveryMs } = this.#options;
    this.#waiting = waiting;
    this.#onUnix = onUnix;
    this.#take(processes);
    if (this.#seen.take(processes, clock.now())) this.#changed = true;
    const sinceMs = clock.now() - this.#lookedMs;
    if (this.#changed || sinceMs >= (waiting.size > 0 ? waitingEveryMs : everyMs)) void this.look();
  }

  /** One look; a call during a look resolves with it. Never rejects. */
  readonly look = oneAtATime(() => this.#look());

  close(): void {
    this.#files.close();
  }

  #take(processes: readonly SocketProcess[]): void {
    if (processes === this.#processes) return;
    this.#processes = processes;
    this.#readers = null;
    const before = new Set(this.#cgroups.values());
    this.#cgroups = new Map(processes.map(({ pid, cgroup }) => [pid, cgroup ?? String(pid)]));
    if ([...this.#cgroups.values()].some((cgroup) => !before.has(cgroup))) this.#makers.forgetStrangers();
  }

  async #look(): Promise<void> {
    const { clock, verifyMs, quietVerifyMs } = this.#options;
    const now = clock.now();
    this.#changed = false;
    this.#lookedMs = now;
    const due = this.#seen.dueAt(now, this.#unclaimed ? verifyMs : quietVerifyMs);
    const places = `${this.#own}/${this.#host}`;
    await this.#readNamespaces(due);
    const isMoved = places !== `${this.#own}/${this.#host}`;
    const tables = await this.#readTables();
    const changes = changesBetween(this.#namespaces, tables);
    const came = changes?.came ?? [];
    const { changed, whole } = await this.#readDescriptors([...new Set([...due, ...this.#mayHold(came)])], tables);
    for (const pid of await this.#unix.look(this.#namespacesOf(this.#onUnix))) changed.add(pid);
    if (isMoved || changed.size > 0 || changes !== null)
      this.#mark((pid, entry) => isMoved || changed.has(pid) || this.#isTouched(entry, changes, tables));
    this.#namespaces = tables;
    const verified = this.#seen.verifiedMs === now;
    if (verified || came.length > 0) this.#claim(came, verified);
    if (!whole) this.#unclaimed = true;
  }

  #namespacesOf(pids: ReadonlySet<number>): ReadonlyMap<number, number> {
    const found = new Map<number, number>();
    for (const pid of pids) {
      const entry = this.#seen.byPid.get(pid);
      if (entry !== undefined && entry.namespace !== null) found.set(pid, entry.namespace);
    }
    return found;
  }

  /** Whether all descriptors are to be read soon for the sockets that came. */
  #claim(came: readonly NamespaceSocket[], verified: boolean): void {
    const held = new Map<number, string>();
    for (const [pid, { inodes }] of this.#seen.byPid)
      for (const inode of inodes ?? []) held.set(inode, this.#cgroupOf(pid));
    if (verified) this.#makers.learn(this.#namespaces, held);
    const isOpen = came.some((socket) => !held.has(socket.inode) && this.#makers.holdersOf(socket) === null);
    this.#unclaimed = !verified && (this.#unclaimed || isOpen);
  }

  /** Processes that are expected to listen, and those of the cgroups in which the sockets were made. */
  #mayHold(came: readonly NamespaceSocket[]): readonly number[] {
    if (came.length === 0) return [];
    const namespaces = new Set(came.map(({ namespace }) => namespace));
    const cgroups = new Set(came.flatMap((socket) => [...(this.#makers.holdersOf(socket) ?? [])]));
    return [...this.#seen.byPid].flatMap(([pid, { namespace }]) => {
      const may = this.#waiting.has(pid) || cgroups.has(this.#cgroupOf(pid));
      return may && namespaces.has(namespace ?? Number.NaN) ? [pid] : [];
    });
  }

  #cgroupOf(pid: number): string {
    return this.#cgroups.get(pid) ?? String(pid);
  }

  /** Whether a socket came or went at one of its ports. */
  #isTouched({ namespace, inodes }: Entry, changes: TableChanges | null, tables: SocketTables): boolean {
    if (changes === null || namespace === null) return false;
    if (changes.isNew(namespace)) return true;
    return (inodes ?? []).some((inode) => {
      const socket = tables.get(namespace)?.get(inode) ?? this.#namespaces.get(namespace)?.get(inode);
      return socket !== undefined && changes.touches(socket);
    });
  }

  #mark(isChanged: (pid: number, entry: Entry) => boolean): void {
    const next = this.#generation + 1;
    for (const [pid, entry] of this.#seen.byPid) {
      if (!isChanged(pid, entry)) continue;
      entry.changedIn = next;
      this.#generation = next;
    }
  }

  /** The namespaces of processes, of the hive, and of the host. */
  async #readNamespaces(due: readonly number[]): Promise<void> {
    const names = [...(this.#own === null ? ['self', '1'] : []), ...due.map(String)];
    if (names.length === 0) return;
    this.#readers = null;
    const { procRoot } = this.#options;
    const found = await this.#files.links(
      names.map((name) => join(procRoot, name, 'ns')),
      'net:[',
    );
    for (const [i, name] of names.entries()) {
      const links = found[i];
      const [namespace = null] = typeof links === 'object' ? inodesOf(links) : [];
      const entry = this.#seen.byPid.get(Number(name));
      if (name === 'self') this.#own = namespace;
      else if (name === '1' && entry === undefined) this.#host = namespace;
      if (entry === undefined || links === ETIMEDOUT) continue;
      entry.namespace = namespace;
      entry.denied = typeof links === 'number' && refused.has(links);
    }
  }

  /** A process in each namespace in which some is. */
  #readersOf(): ReadonlyMap<number, string> {
    const readers = new Map<number, string>(this.#own === null ? [] : [[this.#own, 'self']]);
    for (const [pid, { namespace }] of this.#seen.byPid)
      if (namespace !== null && !readers.has(namespace)) readers.set(namespace, String(pid));
    return readers;
  }

  /** The tables of all namespaces in which processes are; the last one of a namespace whose files hang. */
  async #readTables(): Promise<SocketTables> {
    const { procRoot } = this.#options;
    this.#readers ??= this.#readersOf();
    const readers = this.#readers;
    const tables = await this.#dumpTables(readers);
    const others = [...readers].filter(([namespace]) => !tables.has(namespace));
    if (others.length === 0) return tables;
    const paths = others.flatMap(([, name]) => [join(procRoot, name, 'net/tcp'), join(procRoot, name, 'net/tcp6')]);
    const results = await this.#files.read(paths, maxTableBytes);
    for (const [i, [namespace]] of others.entries()) {
      const [tcp, tcp6] = results.slice(i * 2, i * 2 + 2) as [FileResult, FileResult];
      const last = this.#namespaces.get(namespace);
      if (tcp instanceof Buffer) tables.set(namespace, tableOf(namespace, tcp, tcp6));
      else if (last !== undefined) tables.set(namespace, last); // it hangs, or the process ended just now
    }
    return tables;
  }

  /** Of the namespaces that the kernel says it of. What it says as before is not read again. */
  async #dumpTables(readers: ReadonlyMap<number, string>): Promise<Map<number, SocketTable>> {
    const { procRoot } = this.#options;
    const found = await this.#files.listening([...readers.values()].map((name) => join(procRoot, name, 'ns/net')));
    const dumps = new Map<number, Dumped>();
    for (const [i, namespace] of [...readers.keys()].entries()) {
      const bytes = found[i];
      if (!(bytes instanceof Buffer)) continue;
      const last = this.#dumps.get(namespace);
      if (last?.bytes.equals(bytes)) dumps.set(namespace, last);
      else {
        const sockets = parseSocketDump(bytes, namespace);
        if (sockets !== null) dumps.set(namespace, { bytes, table: tableIn(namespace, sockets) });
      }
    }
    this.#dumps = dumps;
    return new Map([...dumps].map(([namespace, { table }]) => [namespace, table]));
  }

  /** Of which processes something was found that was not known; `whole`: no read hung. */
  async #readDescriptors(
    pids: readonly number[],
    tables: SocketTables,
  ): Promise<{ readonly changed: Set<number>; readonly whole: boolean }> {
    const changed = new Set<number>();
    let whole = true;
    if (pids.length === 0) return { changed, whole };
    const { procRoot } = this.#options;
    const found = await this.#files.links(
      pids.map((pid) => join(procRoot, String(pid), 'fd')),
      'socket:[',
    );
    for (const [i, pid] of pids.entries()) {
      const entry = this.#seen.byPid.get(pid);
      const links = found[i];
      if (links === ETIMEDOUT) whole = false;
      if (entry === undefined || links === undefined || links === ETIMEDOUT) continue;
      const table = entry.namespace === null ? undefined : tables.get(entry.namespace);
      const before = entry.inodes;
      if (typeof links === 'object') entry.inodes = inodesOf(links).filter((inode) => table?.has(inode));
      else entry.inodes = over.has(links) ? [] : null;
      if (typeof links === 'number' && refused.has(links)) entry.denied = true;
      if (!entry.read || before?.join() !== entry.inodes?.join()) changed.add(pid);
      entry.read = true;
      for (const inode of entry.inodes ?? [])
        this.#makers.note(table?.get(inode) as NamespaceSocket, this.#cgroupOf(pid));
    }
    return { changed, whole };
  }
}
