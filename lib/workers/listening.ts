import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import type { FileResult } from '../io/file-reader.js';
import { GuardedReader, type OpenFiles } from '../io/guarded.js';
import { inodesOf, type ListeningSocket, parseListening } from '../procfs/sockets.js';
import type { Clock } from '../util/clock.js';

/** A process by its identity. */
export interface ProcessIdentity {
  readonly pid: number;
  /** NaN where it is not known. */
  readonly startTicks: number;
}

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
  /** How often each namespace's sockets are read (default 5000), and while somebody waits for one (default 1000). */
  readonly everyMs?: number;
  readonly waitingEveryMs?: number;
  /** How often descriptors are read although no new socket listens: one may have been handed on (default 60,000). */
  readonly verifyMs?: number;
}

/** About 430 sockets that listen; connections come after them. */
const maxTableBytes = 64 * 1024;
const { ENOENT, ESRCH } = constants.errno;
const over = new Set<number>([ENOENT, ESRCH]);

interface Entry {
  readonly startTicks: number;
  namespace: number | null;
  /** Inodes of all its sockets that listened when its descriptors were read; null: they could not be. */
  inodes: readonly number[] | null;
  /** Its descriptors have been read. */
  read: boolean;
  gone: boolean;
}

interface Namespace {
  readonly sockets: ReadonlyMap<number, NamespaceSocket>;
}

/**
 * The TCP sockets on which processes listen. Each namespace's table is read once, not once for each process; descriptors
 * are read for a new process, and for all of a namespace where a socket listens there that was not seen before.
 */
export class Listening {
  readonly #options: Required<Omit<ListeningOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #entries = new Map<number, Entry>();
  #namespaces: ReadonlyMap<number, Namespace> = new Map();
  #own: number | null = null;
  #host: number | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #verifiedMs = Number.NEGATIVE_INFINITY;
  #changed = false;
  #running: Promise<void> | null = null;
  #generation = 0;

  constructor(options: ListeningOptions) {
    const { openFiles: open, clock } = options;
    this.#options = { everyMs: 5000, waitingEveryMs: 1000, verifyMs: 60_000, ...options };
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
    const entry = this.#entries.get(pid);
    if (entry === undefined || !entry.read || entry.startTicks !== startTicks) return null;
    if (entry.namespace === null) return { namespace: Number.NaN, sockets: null };
    const table = this.#namespaces.get(entry.namespace)?.sockets;
    if (entry.inodes === null || table === undefined) return { namespace: entry.namespace, sockets: null };
    const sockets = entry.inodes.map((inode) => table.get(inode)).filter((socket) => socket !== undefined);
    return { namespace: entry.namespace, sockets };
  }

  /** All sockets that listen in a namespace, whoever's they are. */
  inNamespace(namespace: number): readonly NamespaceSocket[] {
    return [...(this.#namespaces.get(namespace)?.sockets.values() ?? [])];
  }

  faults(): readonly Fault[] {
    return this.#files.faults();
  }

  /**
   * Takes the processes of all workers, and begins a look where one is due. `waiting`: some worker is expected to listen
   * soon. Nobody waits for the look; a call during one changes nothing.
   */
  update(processes: readonly ProcessIdentity[], waiting: boolean): void {
    const { clock, everyMs, waitingEveryMs } = this.#options;
    const alive = new Set<number>();
    for (const { pid, startTicks } of processes) {
      if (Number.isNaN(startTicks)) continue;
      alive.add(pid);
      if (this.#entries.get(pid)?.startTicks === startTicks) continue;
      this.#entries.set(pid, { startTicks, namespace: null, inodes: null, read: false, gone: false });
      this.#changed = true;
    }
    for (const pid of this.#entries.keys()) if (!alive.has(pid)) this.#entries.delete(pid);
    const sinceMs = clock.now() - this.#lookedMs;
    if (this.#changed || sinceMs >= (waiting ? waitingEveryMs : everyMs)) void this.look();
  }

  /** One look; a call during a look resolves with it. Never rejects. */
  look(): Promise<void> {
    this.#running ??= this.#look()
      .catch(() => undefined) // closed
      .finally(() => {
        this.#running = null;
      });
    return this.#running;
  }

  close(): void {
    this.#files.close();
  }

  async #look(): Promise<void> {
    const { clock, verifyMs } = this.#options;
    const now = clock.now();
    this.#changed = false;
    this.#lookedMs = now;
    await this.#readNamespaces();
    const before = this.#namespaces;
    const tables = await this.#readTables();
    const verify = now - this.#verifiedMs >= verifyMs;
    if (verify) this.#verifiedMs = now;
    const grown = new Set<number>();
    for (const [namespace, { sockets }] of tables) {
      const known = before.get(namespace)?.sockets;
      for (const inode of sockets.keys()) if (!known?.has(inode)) grown.add(namespace);
    }
    const pids = [...this.#entries]
      .filter(([, entry]) => !entry.read || verify || (entry.namespace !== null && grown.has(entry.namespace)))
      .map(([pid]) => pid);
    await this.#readDescriptors(pids, tables);
    this.#namespaces = tables;
    if (pids.length > 0 || !sameTables(before, tables)) this.#generation += 1;
  }

  /** The namespaces of new processes, of the hive, and of the host. */
  async #readNamespaces(): Promise<void> {
    const fresh = [...this.#entries].filter(([, { namespace, read }]) => namespace === null && !read);
    const names = [...(this.#own === null ? ['self', '1'] : []), ...fresh.map(([pid]) => String(pid))];
    if (names.length === 0) return;
    const { procRoot } = this.#options;
    const found = await this.#files.links(
      names.map((name) => join(procRoot, name, 'ns')),
      'net:[',
    );
    for (const [i, name] of names.entries()) {
      const links = found[i];
      const [namespace = null] = typeof links === 'object' ? inodesOf(links) : [];
      const entry = this.#entries.get(Number(name));
      if (name === 'self') this.#own = namespace;
      else if (name === '1' && entry === undefined) this.#host = namespace;
      if (entry !== undefined) {
        entry.namespace = namespace;
        if (typeof links === 'number' && over.has(links)) entry.gone = true;
      }
    }
  }

  /** The tables of all namespaces in which processes are; the last one of a namespace whose files hang. */
  async #readTables(): Promise<ReadonlyMap<number, Namespace>> {
    const { procRoot } = this.#options;
    const readers = new Map<number, string>();
    for (const [pid, { namespace, gone }] of this.#entries)
      if (namespace !== null && !gone) readers.set(namespace, String(pid));
    if (this.#own !== null) readers.set(this.#own, 'self');
    const paths = [...readers.values()].flatMap((name) => [
      join(procRoot, name, 'net/tcp'),
      join(procRoot, name, 'net/tcp6'),
    ]);
    const results = await this.#files.read(paths, maxTableBytes);
    const tables = new Map<number, Namespace>();
    for (const [i, namespace] of [...readers.keys()].entries()) {
      const [tcp, tcp6] = results.slice(i * 2, i * 2 + 2) as [FileResult, FileResult];
      const last = this.#namespaces.get(namespace);
      if (tcp instanceof Buffer) tables.set(namespace, tableOf(namespace, tcp, tcp6));
      else if (last !== undefined) tables.set(namespace, last); // it hangs, or the process ended just now
    }
    return tables;
  }

  async #readDescriptors(pids: readonly number[], tables: ReadonlyMap<number, Namespace>): Promise<void> {
    if (pids.length === 0) return;
    const { procRoot } = this.#options;
    const found = await this.#files.links(
      pids.map((pid) => join(procRoot, String(pid), 'fd')),
      'socket:[',
    );
    for (const [i, pid] of pids.entries()) {
      const entry = this.#entries.get(pid);
      const links = found[i];
      if (entry === undefined || links === undefined) continue;
      const table = entry.namespace === null ? undefined : tables.get(entry.namespace)?.sockets;
      entry.read = true;
      entry.inodes = typeof links === 'number' ? null : inodesOf(links).filter((inode) => table?.has(inode));
      if (typeof links === 'number' && over.has(links)) entry.inodes = [];
    }
  }
}

function tableOf(namespace: number, tcp: Buffer, tcp6: FileResult): Namespace {
  // Without IPv6 there is no tcp6.
  const all = [...parseListening(tcp), ...(tcp6 instanceof Buffer ? parseListening(tcp6) : [])];
  return { sockets: new Map(all.map((socket) => [socket.inode, { ...socket, namespace }])) };
}

function sameTables(a: ReadonlyMap<number, Namespace>, b: ReadonlyMap<number, Namespace>): boolean {
  if (a.size !== b.size) return false;
  for (const [namespace, { sockets }] of b) {
    const before = a.get(namespace)?.sockets;
    if (before === undefined || before.size !== sockets.size) return false;
    for (const inode of sockets.keys()) if (!before.has(inode)) return false;
  }
  return true;
}
