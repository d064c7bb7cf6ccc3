import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import type { FileResult } from '../io/file-reader.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import { inodesOf, type ListeningSocket, parseListening, parseSocketDump } from '../procfs/sockets.js';
import type { Clock } from '../util/clock.js';
import { oneAtATime } from '../util/one-at-a-time.js';
import { type ProcessIdentity, type SeenProcess, SeenProcesses } from './seen-processes.js';

/** A socket that listens, in its network namespace. */
export interface NamespaceSocket extends ListeningSocket {
  /** Inode of the network namespace. */
  readonly namespace: number;
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
  /** How often all descriptors are read where some socket listens that no process is known to hold, ms (default 60,000). */
  readonly verifyMs?: number;
  /** How often they are where no socket came since: one that was there may have been handed on (default 600,000). */
  readonly quietVerifyMs?: number;
}

/** About 1700 sockets that listen; connections come after them. */
const maxTableBytes = 256 * 1024;
const { ENOENT, ESRCH, EACCES, EPERM } = constants.errno;
const over = new Set<number>([ENOENT, ESRCH]);
const refused = new Set<number>([EACCES, EPERM]);

/** `read`: its descriptors have been. */
interface Entry extends SeenProcess {
  namespace: number | null;
  /** Inodes of all its sockets that listened when its descriptors were read; null: they could not be. */
  inodes: readonly number[] | null;
  gone: boolean;
  /** The hive has no right to see its namespace or descriptors. */
  denied: boolean;
}

type Table = ReadonlyMap<number, NamespaceSocket>;

/** A dump as the kernel gave it, with what was read from it. */
interface Dumped {
  readonly bytes: Buffer;
  readonly table: Table;
}

/**
 * The TCP sockets on which processes listen. Each namespace's table is read once, not once for each process; descriptors
 * are read for a new process, and for all of a namespace where a socket listens there that was not seen before.
 */
export class Listening {
  readonly #options: Required<Omit<ListeningOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #seen: SeenProcesses<Entry>;
  #namespaces: ReadonlyMap<number, Table> = new Map();
  #dumps: ReadonlyMap<number, Dumped> = new Map();
  /** A socket has come since all descriptors were read, and none of those that are known holds it. */
  #unclaimed = false;
  #waiting: ReadonlySet<number> = new Set();
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
      ...{ namespace: null, inodes: null, gone: false, denied: false },
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
  }

  /** Rises with each look that found something else. */
  get generation(): number {
    return this.#generation;
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

  /** All sockets that listen in a namespace, whoever's they are. */
  inNamespace(namespace: number): readonly NamespaceSocket[] {
    return [...(this.#namespaces.get(namespace)?.values() ?? [])];
  }

  /** A process that is in the namespace; null where none is known to be. */
  processIn(namespace: number): number | null {
    for (const [pid, entry] of this.#seen.byPid) if (entry.namespace === namespace && !entry.gone) return pid;
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
   * listen soon. Nobody waits for the look; a call during one changes nothing.
   */
  update(processes: readonly ProcessIdentity[], waiting: ReadonlySet<number>): void {
    const { clock, everyMs, waitingEveryMs } = this.#options;
    this.#waiting = waiting;
    if (this.#seen.take(processes, clock.now())) this.#changed = true;
    const sinceMs = clock.now() - this.#lookedMs;
    if (this.#changed || sinceMs >= (waiting.size > 0 ? waitingEveryMs : everyMs)) void this.look();
  }

  /** One look; a call during a look resolves with it. Never rejects. */
  readonly look = oneAtATime(() => this.#look());

  close(): void {
    this.#files.close();
  }

  async #look(): Promise<void> {
    const { clock, verifyMs, quietVerifyMs } = this.#options;
    const now = clock.now();
    this.#changed = false;
    this.#lookedMs = now;
    const due = this.#seen.dueAt(now, this.#unclaimed ? verifyMs : quietVerifyMs);
    await this.#readNamespaces(due);
    const before = this.#namespaces;
    const tables = await this.#readTables();
    const grown = grownIn(before, tables);
    const pids = grown.size === 0 ? due : new Set([...due, ...this.#waitingIn(grown)]);
    const changed = await this.#readDescriptors([...pids], tables);
    this.#namespaces = tables;
    if (this.#seen.verifiedMs === now) this.#unclaimed = false;
    else if (grown.size > 0) this.#unclaimed ||= this.#holdsNone(grown);
    if (changed || !sameTables(before, tables)) this.#generation += 1;
  }

  /** Processes that are expected to listen, in namespaces where a socket came. */
  #waitingIn(grown: ReadonlyMap<number, unknown>): readonly number[] {
    return [...this.#waiting].filter((pid) => grown.has(this.#seen.byPid.get(pid)?.namespace ?? Number.NaN));
  }

  /** Whether some new socket is none of those that processes are known to hold. */
  #holdsNone(grown: ReadonlyMap<number, readonly number[]>): boolean {
    const held = new Set<number>();
    for (const { inodes } of this.#seen.byPid.values()) for (const inode of inodes ?? []) held.add(inode);
    return [...grown.values()].some((inodes) => inodes.some((inode) => !held.has(inode)));
  }

  /** The namespaces of processes, of the hive, and of the host. */
  async #readNamespaces(due: readonly number[]): Promise<void> {
    const names = [...(this.#own === null ? ['self', '1'] : []), ...due.map(String)];
    if (names.length === 0) return;
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
      entry.gone = typeof links === 'number' && over.has(links);
      entry.denied = typeof links === 'number' && refused.has(links);
    }
  }

  /** The tables of all namespaces in which processes are; the last one of a namespace whose files hang. */
  async #readTables(): Promise<ReadonlyMap<number, Table>> {
    const { procRoot } = this.#options;
    const readers = new Map<number, string>(this.#own === null ? [] : [[this.#own, 'self']]);
    for (const [pid, { namespace, gone }] of this.#seen.byPid)
      if (namespace !== null && !gone && !readers.has(namespace)) readers.set(namespace, String(pid));
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
  async #dumpTables(readers: ReadonlyMap<number, string>): Promise<Map<number, Table>> {
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

  /** Whether anything was found that was not known. */
  async #readDescriptors(pids: readonly number[], tables: ReadonlyMap<number, Table>): Promise<boolean> {
    if (pids.length === 0) return false;
    const { procRoot } = this.#options;
    const found = await this.#files.links(
      pids.map((pid) => join(procRoot, String(pid), 'fd')),
      'socket:[',
    );
    let changed = false;
    for (const [i, pid] of pids.entries()) {
      const entry = this.#seen.byPid.get(pid);
      const links = found[i];
      if (entry === undefined || links === undefined || links === ETIMEDOUT) continue;
      const table = entry.namespace === null ? undefined : tables.get(entry.namespace);
      const before = entry.inodes;
      if (typeof links === 'object') entry.inodes = inodesOf(links).filter((inode) => table?.has(inode));
      else entry.inodes = over.has(links) ? [] : null;
      if (typeof links === 'number' && refused.has(links)) entry.denied = true;
      changed ||= !entry.read || before?.join() !== entry.inodes?.join();
      entry.read = true;
    }
    return changed;
  }
}

function tableOf(namespace: number, tcp: Buffer, tcp6: FileResult): Table {
  // Without IPv6 there is no tcp6.
  return tableIn(namespace, [...parseListening(tcp), ...(tcp6 instanceof Buffer ? parseListening(tcp6) : [])]);
}

const tableIn = (namespace: number, sockets: readonly ListeningSocket[]): Table =>
  new Map(sockets.map((socket) => [socket.inode, { ...socket, namespace }]));

/** The inodes that are new, by namespace. */
function grownIn(
  before: ReadonlyMap<number, Table>,
  tables: ReadonlyMap<number, Table>,
): ReadonlyMap<number, readonly number[]> {
  const grown = new Map<number, readonly number[]>();
  for (const [namespace, table] of tables) {
    const last = before.get(namespace);
    if (last === table) continue;
    const inodes = [...table.keys()].filter((inode) => last?.has(inode) !== true);
    if (inodes.length > 0) grown.set(namespace, inodes);
  }
  return grown;
}

function sameTables(a: ReadonlyMap<number, Table>, b: ReadonlyMap<number, Table>): boolean {
  if (a.size !== b.size) return false;
  for (const [namespace, table] of b) {
    const before = a.get(namespace);
    if (before === table) continue;
    if (before === undefined || before.size !== table.size) return false;
    for (const inode of table.keys()) if (!before.has(inode)) return false;
  }
  return true;
}
