import { isIPv4, isIPv6 } from 'node:net';
import type { EndpointReason } from '../contract/enums.js';
import type { ServerAddress } from '../engines/probe.js';
import type { ProcessRole } from '../engines/recognize.js';
import type { NamespaceSocket } from '../workers/listening.js';

/** A process of a worker, with the sockets on which it listens. */
export interface ListeningProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly role: ProcessRole;
  /** null: they cannot be read, or were not yet. */
  readonly sockets: readonly NamespaceSocket[] | null;
}

/** The sockets on which a worker serves, all of one port, or why that is not known. */
export type Face =
  | { readonly sockets: readonly NamespaceSocket[]; readonly process: ListeningProcess | null; readonly named: boolean }
  | { readonly sockets: null; readonly reason: EndpointReason };

/** How the hive's network is seen from outside. */
export interface Reach {
  /** Host name or address under which others reach this host; null where none was given. */
  readonly address: string | null;
  /** The network namespace that `address` is about; null where it is not known. */
  readonly namespace: number | null;
}

const none = (reason: EndpointReason): Face => ({ sockets: null, reason });

/** One worker's processes as a tree. */
class Tree {
  readonly all: readonly ListeningProcess[];
  readonly #byPid: ReadonlyMap<number, ListeningProcess>;

  constructor(processes: readonly ListeningProcess[]) {
    this.all = processes;
    this.#byPid = new Map(processes.map((process) => [process.pid, process]));
  }

  /** From the parent upwards, within the worker. A loop, which a reused pid may make, ends it. */
  *ancestors({ pid, parentPid }: ListeningProcess): Generator<ListeningProcess> {
    const seen = new Set([pid]);
    for (
      let at = this.#byPid.get(parentPid);
      at !== undefined && !seen.has(at.pid);
      at = this.#byPid.get(at.parentPid)
    ) {
      seen.add(at.pid);
      yield at;
    }
  }

  /** Those that pass, without those that have an ancestor that passes. */
  tops(passes: (process: ListeningProcess) => boolean): readonly ListeningProcess[] {
    return this.all.filter((one) => passes(one) && ![...this.ancestors(one)].some(passes));
  }

  /** The process and its children that serve for it: no helpers, and no other engine with what it starts. */
  family(top: ListeningProcess): readonly ListeningProcess[] {
    const belongs = ({ role }: ListeningProcess) =>
      role.role !== 'helper' && (role.engine === null || role.engine === top.role.engine);
    return this.all.filter((one) => {
      if (one === top) return true;
      if (!belongs(one)) return false;
      for (const ancestor of this.ancestors(one)) {
        if (ancestor === top) return true;
        if (!belongs(ancestor)) return false;
      }
      return false;
    });
  }
}

const listening = (processes: readonly ListeningProcess[]): readonly NamespaceSocket[] => {
  const found = new Map<number, NamespaceSocket>();
  for (const { sockets } of processes) for (const socket of sockets ?? []) found.set(socket.inode, socket);
  return [...found.values()];
};

const hides = (processes: readonly ListeningProcess[]): boolean => processes.some(({ sockets }) => sockets === null);

const portsOf = (sockets: readonly NamespaceSocket[]): number =>
  new Set(sockets.map(({ namespace, port }) => `${namespace}/${port}`)).size;

/** The sockets of a port; none where several namespaces have it. */
const at = (sockets: readonly NamespaceSocket[], port: number | null): readonly NamespaceSocket[] => {
  const found = port === null ? [] : sockets.filter((socket) => socket.port === port);
  return portsOf(found) === 1 ? found : [];
};

/** Where one process with its children serves: a named port wins, then the only one that there is. */
function faceOf(tree: Tree, top: ListeningProcess): Face {
  const family = tree.family(top);
  const sockets = listening(family);
  const { port, defaultPort } = top.role;
  const named = at(sockets, port ?? defaultPort);
  if (named.length > 0) return { sockets: named, process: top, named: true };
  if (hides(family)) return none('socketsUnknown');
  const own = listening([top]);
  const pool = own.length > 0 ? own : sockets;
  if (pool.length === 0) return none('notListening');
  return portsOf(pool) === 1 ? { sockets: pool, process: top, named: false } : none('severalCandidates');
}

/** One of several faces: the only one that is named, else the only one that listens. */
function oneOf(faces: readonly Face[]): Face {
  const [only] = faces;
  if (only !== undefined && faces.length === 1) return only;
  const named = faces.filter((face) => face.sockets !== null && face.named);
  const found = named.length > 0 ? named : faces.filter((face) => face.sockets !== null);
  if (portsOf(found.flatMap(({ sockets }) => sockets ?? [])) > 1) return none('severalCandidates');
  const reasons = faces.map((face) => (face.sockets === null ? face.reason : null));
  const reason = (['severalCandidates', 'socketsUnknown', 'notListening'] as const).find((each) =>
    reasons.includes(each),
  );
  return found[0] ?? none(reason ?? 'notListening');
}

const isLoopback = (address: string): boolean => address === '::1' || (isIPv4(address) && address.startsWith('127.'));
const onLoopbackAlone = (face: Face): boolean => face.sockets?.every(({ address }) => isLoopback(address)) === true;

/**
 * Where a worker serves. Pure. Only sockets on which its own processes listen count; what a command line or a record
 * says chooses among them. The port of the record wins; then a router before the engines that it stands for, an engine
 * before the engines that it starts, and a program that names its port before engines that listen on loopback alone.
 * Helpers never count.
 */
export function chooseFace(processes: readonly ListeningProcess[], recordPort: number | null): Face {
  const tree = new Tree(processes);
  const serving = tree.all.filter(({ role }) => role.role !== 'helper');
  const recorded = at(listening(serving), recordPort);
  const owner = serving.find(({ sockets }) => sockets?.some((socket) => recorded.includes(socket)));
  if (recorded.length > 0) return { sockets: recorded, process: owner ?? null, named: true };

  const routers = tree.tops(({ role }) => role.role === 'router').map((top) => faceOf(tree, top));
  const routed = oneOf(routers.filter(({ sockets }) => sockets !== null));
  if (routed.sockets !== null || routed.reason === 'severalCandidates') return routed;

  const engines = tree.tops(({ role }) => role.role === 'engine');
  const others = tree.tops(({ role }) => role.role === 'other' && role.port !== null);
  const programs = others.map((top) => faceOf(tree, top)).filter((face) => face.sockets !== null && face.named);
  if (engines.length === 0) {
    if (programs.length > 0) return oneOf(programs);
    return unnamed(serving);
  }
  const face = oneOf(engines.map((top) => faceOf(tree, top)));
  const open = programs.filter((program) => !onLoopbackAlone(program));
  return onLoopbackAlone(face) && open.length > 0 ? oneOf(open) : face;
}

/** Of programs that are no known engine and name no port. */
function unnamed(processes: readonly ListeningProcess[]): Face {
  const sockets = listening(processes);
  if (hides(processes) || processes.length === 0) return none('socketsUnknown');
  if (sockets.length === 0) return none('notListening');
  return portsOf(sockets) === 1 ? { sockets, process: null, named: false } : none('severalCandidates');
}

export type Place =
  | { readonly host: string; readonly reason: null }
  | { readonly host: null; readonly reason: EndpointReason };

const nowhere = (reason: EndpointReason): Place => ({ host: null, reason });
const wildcards = ['0.0.0.0', '::'];

/**
 * The host under which others reach one of the sockets of a face. `all`: every socket of that namespace; who else listens
 * on the port may get what is sent to it, by the kernel's rules.
 */
export function placeOf(sockets: readonly NamespaceSocket[], all: readonly NamespaceSocket[], reach: Reach): Place {
  const places = [...sockets]
    .sort((a, b) => rank(a) - rank(b))
    .map((socket) => placeOfSocket(socket, strangersOf(sockets, all), reach));
  return places.find(({ host }) => host !== null) ?? places[0] ?? nowhere('notListening');
}

const rank = ({ address }: NamespaceSocket): number => {
  const wildcard = wildcards.indexOf(address);
  return wildcard >= 0 ? wildcard : isLoopback(address) ? 3 : 2;
};

/** Who else listens on the port. */
export const strangersOf = (
  own: readonly NamespaceSocket[],
  all: readonly NamespaceSocket[],
): readonly NamespaceSocket[] => {
  const inodes = new Set(own.map(({ inode }) => inode));
  return all.filter(({ inode, port }) => port === own[0]?.port && !inodes.has(inode));
};

/** Two processes listen on the very same address and port (SO_REUSEPORT): the kernel splits connections between them. */
export const isShared = (sockets: readonly NamespaceSocket[], strangers: readonly NamespaceSocket[]): boolean =>
  sockets.some(({ address }) => strangers.some((other) => other.address === address));

function placeOfSocket(
  { address, namespace }: NamespaceSocket,
  strangers: readonly NamespaceSocket[],
  reach: Reach,
): Place {
  if (reach.namespace === null) return nowhere('socketsUnknown');
  if (namespace !== reach.namespace) return nowhere('otherNamespace');
  if (strangers.some((other) => other.address === address)) return nowhere('severalCandidates');
  const local = reach.address !== null && (reach.address === 'localhost' || isLoopback(reach.address));
  if (isLoopback(address)) return local ? { host: address, reason: null } : nowhere('loopbackOnly');
  // A link-local address says nothing without the interface.
  if (address.startsWith('fe80:')) return nowhere('addressUnknown');
  if (!wildcards.includes(address)) return { host: address, reason: null };
  return reach.address === null || !covers(address, reach.address, strangers)
    ? nowhere('addressUnknown')
    : { host: reach.address, reason: null };
}

/** Whether what is sent to `host` comes to a socket that is bound to all addresses. */
function covers(wildcard: string, host: string, strangers: readonly NamespaceSocket[]): boolean {
  const bound = new Set(strangers.map(({ address }) => address));
  if (isIPv4(host)) return !bound.has(host) && (wildcard === '0.0.0.0' || !bound.has('0.0.0.0'));
  if (isIPv6(host)) return !bound.has(host) && wildcard === '::';
  // A name may stand for any address of the host: for loopback only as localhost.
  return strangers.every(({ address }) => isLoopback(address) && host !== 'localhost');
}

export const hostInUrl = (address: string): string => (address.includes(':') ? `[${address}]` : address);

/** Addresses at which the hive itself reaches the sockets of a face and nobody else's; in the order in which to try them. */
export function probeAddresses(
  sockets: readonly NamespaceSocket[],
  all: readonly NamespaceSocket[],
): readonly ServerAddress[] {
  const strangers = new Set(strangersOf(sockets, all).map(({ address }) => address));
  const hosts = [...sockets]
    .sort((a, b) => rank(a) - rank(b))
    .filter(({ address }) => !strangers.has(address))
    .flatMap(({ address }) => {
      if (address === '0.0.0.0') return ['127.0.0.1', '127.0.0.2'];
      // Without IPv6 on loopback it is reached by IPv4, where it takes that too.
      if (address === '::') return strangers.has('0.0.0.0') ? ['::1'] : ['::1', '127.0.0.1', '127.0.0.2'];
      return [address];
    });
  const own = [...new Set(hosts)].filter((host) => !strangers.has(host));
  return own.map((host) => ({ host, port: sockets[0]?.port as number }));
}
