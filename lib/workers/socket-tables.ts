import type { FileResult } from '../io/file-reader.js';
import { type ListeningSocket, parseListening } from '../procfs/sockets.js';

/** A socket that listens, in its network namespace. */
export interface NamespaceSocket extends ListeningSocket {
  /** Inode of the network namespace. */
  readonly namespace: number;
}

/** The sockets of a namespace by their inodes. */
export type SocketTable = ReadonlyMap<number, NamespaceSocket>;
/** By namespace. */
export type SocketTables = ReadonlyMap<number, SocketTable>;

export const tableIn = (namespace: number, sockets: readonly ListeningSocket[]): SocketTable =>
  new Map(sockets.map((socket) => [socket.inode, { ...socket, namespace }]));

/** Of /proc/<pid>/net/{tcp,tcp6}; without IPv6 there is no tcp6. */
export const tableOf = (namespace: number, tcp: Buffer, tcp6: FileResult): SocketTable =>
  tableIn(namespace, [...parseListening(tcp), ...(tcp6 instanceof Buffer ? parseListening(tcp6) : [])]);

/** What differs between two reads of the tables. */
export interface TableChanges {
  readonly came: readonly NamespaceSocket[];
  /** Whether a socket came or went at the port of this one. */
  readonly touches: (socket: NamespaceSocket) => boolean;
  /** Whether the namespace is in only one of them. */
  readonly isNew: (namespace: number) => boolean;
}

const portKey = ({ namespace, port }: NamespaceSocket): string => `${namespace}/${port}`;

export function changesBetween(before: SocketTables, now: SocketTables): TableChanges | null {
  const came: NamespaceSocket[] = [];
  const ports = new Set<string>();
  const namespaces = new Set<number>();
  const compare = (a: SocketTables, b: SocketTables, found: (socket: NamespaceSocket) => void): void => {
    for (const [namespace, table] of b) {
      const other = a.get(namespace);
      if (other === undefined) namespaces.add(namespace);
      if (other === table) continue;
      for (const [inode, socket] of table) if (other?.has(inode) !== true) found(socket);
    }
  };
  compare(before, now, (socket) => {
    came.push(socket);
    ports.add(portKey(socket));
  });
  compare(now, before, (socket) => ports.add(portKey(socket)));
  if (ports.size === 0 && namespaces.size === 0) return null;
  return {
    came,
    touches: (socket) => ports.has(portKey(socket)),
    isNew: (namespace) => namespaces.has(namespace),
  };
}

/** Who may hold a socket, by the cgroup in which it was made. */
export class SocketMakers {
  /** Cgroups of the processes that hold a socket of one; none: strangers hold all that is made there. */
  readonly #holders = new Map<number, Set<string>>();

  /** The cgroups of those that may hold it; null: any process may. */
  holdersOf({ cgroup }: NamespaceSocket): ReadonlySet<string> | null {
    return cgroup === null ? null : (this.#holders.get(cgroup) ?? null);
  }

  /** A process of the cgroup `holder` holds the socket. */
  note({ cgroup }: NamespaceSocket, holder: string): void {
    if (cgroup === null) return;
    const holders = this.#holders.get(cgroup);
    if (holders === undefined) this.#holders.set(cgroup, new Set([holder]));
    else holders.add(holder);
  }

  /** All descriptors have been read: what is not `held`, by inode with the cgroup of the holder, is held by strangers. */
  learn(tables: SocketTables, held: ReadonlyMap<number, string>): void {
    this.#holders.clear();
    for (const table of tables.values())
      for (const socket of table.values()) {
        const holder = held.get(socket.inode);
        if (holder !== undefined) this.note(socket, holder);
        else if (socket.cgroup !== null && !this.#holders.has(socket.cgroup))
          this.#holders.set(socket.cgroup, new Set());
      }
  }

  /** There are processes in another cgroup than before: whoever was a stranger may be one of them. */
  forgetStrangers(): void {
    for (const [cgroup, holders] of this.#holders) if (holders.size === 0) this.#holders.delete(cgroup);
  }
}
