import { isIPv4, isIPv6 } from 'node:net';
import type { EndpointReason } from '../contract/enums.js';
import { ancestorsOf } from '../engines/ancestors.js';
import type { Scheme, ServerAddress } from '../engines/ask.js';
import type { Finding } from '../engines/examine.js';
import type { ProcessRole } from '../engines/recognize.js';
import { isLoopbackAddress } from '../util/host-address.js';
import type { NamespaceSocket } from '../workers/listening.js';

/** A process of a worker, with the sockets on which it listens. */
export interface ListeningProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly role: ProcessRole;
  /** null: they cannot be read, or were not yet. */
  readonly sockets: readonly NamespaceSocket[] | null;
}

/** A port on which a worker may serve, with all of its sockets there. */
export interface Candidate {
  /** `<namespace>/<port>/<inodes>`: others where the sockets are others. */
  readonly key: string;
  readonly sockets: readonly NamespaceSocket[];
  /** That stands for the worker there: a router, an engine, or another program. */
  readonly process: ListeningProcess;
  /** A record, an argument or the engine's default names the port. */
  readonly named: boolean;
  /** Processes that were started as this engine hold all of the sockets. */
  readonly held: boolean;
  /** Nothing but its answer can show that it is the engine. */
  readonly guessed?: true;
}

/** Where a worker may serve, named ports first; `reason`: why nowhere. */
export type Choice =
  | { readonly candidates: readonly [Candidate, ...Candidate[]]; readonly reason: null }
  | { readonly candidates: readonly []; readonly reason: EndpointReason };

/** How the hive's network is seen from outside. */
export interface Reach {
  /** Host name or address under which others reach this host; null where none was given. */
  readonly address: string | null;
  /** The network namespace that `address` is about; null where it is not known. */
  readonly namespace: number | null;
  /** Where the server answered; null where it was not asked. `::` takes IPv4 too, or not: only an answer shows it. */
  readonly answeredAt?: string | null;
}

const nowhere = (reason: EndpointReason): Choice => ({ candidates: [], reason });

const choiceOf = (candidates: readonly Candidate[], reason: EndpointReason): Choice => {
  const [first, ...rest] = [...candidates].sort((a, b) => Number(b.named) - Number(a.named));
  return first === undefined ? nowhere(reason) : { candidates: [first, ...rest], reason: null };
};

/** One worker's processes as a tree. */
class Tree {
  readonly all: readonly ListeningProcess[];
  readonly #byPid: ReadonlyMap<number, ListeningProcess>;

  constructor(processes: readonly ListeningProcess[]) {
    this.all = processes;
    this.#byPid = new Map(processes.map((process) => [process.pid, process]));
  }

  /** Those that pass, without those that have an ancestor that passes. */
  tops(passes: (process: ListeningProcess) => boolean): readonly ListeningProcess[] {
    return this.all.filter((one) => passes(one) && ![...ancestorsOf(one, this.#byPid)].some(passes));
  }

  /** The process and its children that serve for it: no helpers, and no other engine with what it starts. */
  family(top: ListeningProcess): readonly ListeningProcess[] {
    const belongs = ({ role }: ListeningProcess) =>
      role.role !== 'helper' && (role.engine === null || role.engine === top.role.engine);
    return this.all.filter((one) => {
      if (one === top) return true;
      if (!belongs(one)) return false;
      for (const ancestor of ancestorsOf(one, this.#byPid)) {
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

const portKey = ({ namespace, port }: NamespaceSocket): string => `${namespace}/${port}`;

/** One candidate for each port; `named`: the port that is. */
function candidatesOf(
  sockets: readonly NamespaceSocket[],
  process: ListeningProcess,
  named: number | null,
  family: readonly ListeningProcess[] = [process],
): readonly Candidate[] {
  const { engine } = process.role;
  const engines = engine === null ? [] : family.filter(({ role }) => role.engine === engine);
  const ports = new Map<string, NamespaceSocket[]>();
  for (const socket of sockets) {
    const list = ports.get(portKey(socket));
    if (list === undefined) ports.set(portKey(socket), [socket]);
    else list.push(socket);
  }
  return [...ports].map(([port, all]) => ({
    key: `${port}/${all.map(({ inode }) => inode).sort((a, b) => a - b)}`,
    sockets: all,
    process,
    named: all[0]?.port === named,
    held: all.every((socket) => engines.some((each) => each.sockets?.includes(socket))),
  }));
}

/** Where one process with its children serves: its own sockets, or, where it has none, those of its children. */
function servedBy(tree: Tree, top: ListeningProcess): Choice {
  const family = tree.family(top);
  const sockets = listening(family);
  const own = listening([top]);
  const named = top.role.port ?? top.role.defaultPort;
  const isNamed = sockets.filter(({ port }) => port === named);
  const found = candidatesOf(own.length > 0 ? [...new Set([...own, ...isNamed])] : sockets, top, named, family);
  if (!found.some((each) => each.named) && hides(family)) return nowhere('socketsUnknown');
  return choiceOf(found, 'notListening');
}

/** All candidates of several programs; where there are none, the reason that says most. */
function either(choices: readonly Choice[]): Choice {
  const candidates = new Map(choices.flatMap((choice) => choice.candidates.map((each) => [each.key, each])));
  const hidden = choices.some(({ reason }) => reason === 'socketsUnknown');
  return choiceOf([...candidates.values()], hidden ? 'socketsUnknown' : 'notListening');
}

const onLoopbackAlone = ({ candidates }: Choice): boolean =>
  candidates.every(({ sockets }) => sockets.every(({ address }) => isLoopbackAddress(address)));
const namedOnly = ({ candidates }: Choice): Choice =>
  choiceOf(
    candidates.filter(({ named }) => named),
    'notListening',
  );

/**
 * Where a worker may serve. Pure. Only sockets on which its own processes listen count; what a command line or a record
 * says chooses among them. The port of the record wins; then a router before the engines that it stands for, an engine
 * before the engines that it starts, and a program that names its port before engines that listen on loopback alone.
 * Helpers never count.
 */
export function chooseServer(processes: readonly ListeningProcess[], recordPort: number | null): Choice {
  const tree = new Tree(processes);
  const serving = tree.all.filter(({ role }) => role.role !== 'helper');
  const recorded = listening(serving).filter(({ port }) => port === recordPort);
  const owner = serving.find(({ sockets }) => sockets?.some((socket) => recorded.includes(socket)));
  if (owner !== undefined) return choiceOf(candidatesOf(recorded, owner, recordPort), 'notListening');

  const routers = either(tree.tops(({ role }) => role.role === 'router').map((top) => servedBy(tree, top)));
  if (routers.candidates.length > 0) return routers;

  const tops = tree.tops(({ role }) => role.role === 'engine');
  const engines = tops.filter(({ role }) => !role.unixSocket);
  const others = tree.tops(({ role }) => role.role === 'other' && role.port !== null);
  const programs = namedOnly(either(others.map((top) => servedBy(tree, top))));
  if (engines.length === 0 && programs.candidates.length > 0) return programs;
  if (engines.length === 0) return tops.length > 0 ? nowhere('notListening') : unnamed(serving);
  const found = either(engines.map((top) => servedBy(tree, top)));
  if (found.reason === 'notListening' && programs.candidates.length === 0) return guessed(tree, tops);
  return onLoopbackAlone(found) && programs.candidates.length > 0 && !onLoopbackAlone(programs) ? programs : found;
}

/**
 * Where no process listens that was started as the engine or by one that was: sockets of what runs anything, and of what
 * lost its parent. Only by an answer is one the engine's.
 */
function guessed(tree: Tree, engines: readonly ListeningProcess[]): Choice {
  const [first] = engines;
  const others = tree.all.filter(({ role }) => role.role === 'other' || role.isRunner === true);
  if (first === undefined || engines.some(({ role }) => role.engine !== first.role.engine))
    return nowhere('notListening');
  const named = first.role.port ?? first.role.defaultPort;
  const found = candidatesOf(listening(others), first, named, []);
  return choiceOf(
    found.map((each) => ({ ...each, guessed: true })),
    'notListening',
  );
}

/** Of programs that are no known engine and name no port. */
function unnamed(processes: readonly ListeningProcess[]): Choice {
  if (hides(processes) || processes.length === 0) return nowhere('socketsUnknown');
  return either(
    processes.map((process) => choiceOf(candidatesOf(process.sockets ?? [], process, null), 'notListening')),
  );
}

/** Nobody is known to listen for the engine. */
export const isGuessed = (candidates: readonly Candidate[]): boolean =>
  candidates.every((each) => each.guessed === true);

export type Decision =
  | { readonly server: Candidate; readonly scheme: Scheme; readonly reason: null }
  | { readonly server: Candidate | null; readonly scheme: null; readonly reason: EndpointReason };

/**
 * Which candidate it is, by what they answered (null: nobody asks). The one that answers as the worker's engine; else
 * the one that is named, unless another program answers there. Without an answer its scheme is not known.
 */
export function decide({ candidates, reason }: Choice, findings: ReadonlyMap<string, Finding> | null): Decision {
  if (reason !== null) return { server: null, scheme: null, reason };
  const of = ({ key }: Candidate): Finding | undefined => findings?.get(key);
  const own = candidates.filter((each) => of(each)?.own === true);
  if (own.length === 0 && isGuessed(candidates)) return { server: null, scheme: null, reason: 'notListening' };
  const left = own.length > 0 ? own : candidates.filter((each) => of(each)?.own !== false);
  const named = left.filter((each) => each.named);
  const [server, ...rest] = named.length > 0 ? named : left;
  if (server === undefined) return { server: null, scheme: null, reason: 'unidentified' };
  if (rest.length > 0) return { server: null, scheme: null, reason: 'severalCandidates' };
  const isKnown = server.named || server.process.role.role === 'router' || own.length > 0;
  if (!isKnown) return { server: null, scheme: null, reason: 'unidentified' };
  const scheme = findings === null ? 'http' : (of(server)?.scheme ?? null);
  return scheme === null ? { server, scheme, reason: 'unidentified' } : { server, scheme, reason: null };
}

export type Place =
  | { readonly host: string; readonly reason: null }
  | { readonly host: null; readonly reason: EndpointReason };

const unplaced = (reason: EndpointReason): Place => ({ host: null, reason });
export const wildcards = ['0.0.0.0', '::'];

/**
 * The host under which others reach one of the sockets of a server. `all`: every socket of that namespace; who else listens
 * on the port may get what is sent to it, by the kernel's rules.
 */
export function placeOf(sockets: readonly NamespaceSocket[], all: readonly NamespaceSocket[], reach: Reach): Place {
  const places = [...sockets]
    .sort((a, b) => rank(a) - rank(b))
    .map((socket) => placeOfSocket(socket, strangersOf(sockets, all), reach));
  return places.find(({ host }) => host !== null) ?? places[0] ?? unplaced('notListening');
}

const rank = ({ address }: NamespaceSocket): number => {
  const wildcard = wildcards.indexOf(address);
  return wildcard >= 0 ? wildcard : isLoopbackAddress(address) ? 3 : 2;
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
  if (reach.namespace === null) return unplaced('socketsUnknown');
  if (namespace !== reach.namespace) return unplaced('otherNamespace');
  if (strangers.some((other) => other.address === address)) return unplaced('severalCandidates');
  const local = reach.address !== null && isLoopbackAddress(reach.address);
  if (isLoopbackAddress(address)) return local ? { host: address, reason: null } : unplaced('loopbackOnly');
  // A link-local address says nothing without the interface.
  if (address.startsWith('fe80:')) return unplaced('addressUnknown');
  if (!wildcards.includes(address)) return { host: address, reason: null };
  return reach.address === null || !covers(address, reach.address, strangers, reach.answeredAt ?? null)
    ? unplaced('addressUnknown')
    : { host: reach.address, reason: null };
}

/** Whether what is sent to `host` comes to a socket that is bound to all addresses. */
export function covers(
  wildcard: string,
  host: string,
  strangers: readonly NamespaceSocket[],
  answeredAt: string | null,
): boolean {
  const bound = new Set(strangers.map(({ address }) => address));
  if (isIPv4(host)) {
    if (bound.has(host)) return false;
    // It is asked by IPv4 first: where it answered by IPv6, it takes that alone.
    return wildcard === '0.0.0.0' || !(bound.has('0.0.0.0') || isIPv6(answeredAt ?? ''));
  }
  if (isIPv6(host)) return !bound.has(host) && wildcard === '::';
  // A name may stand for any address of the host: for loopback only as localhost.
  return strangers.every(({ address }) => isLoopbackAddress(address) && host !== 'localhost');
}

export const hostInUrl = (address: string): string => (address.includes(':') ? `[${address}]` : address);

/** Addresses at which the hive itself reaches the sockets of a server and nobody else's; in the order in which to try them. */
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
      // IPv4 first: whether it takes that too shows in which of them answers.
      if (address === '::') return strangers.has('0.0.0.0') ? ['::1'] : ['127.0.0.1', '127.0.0.2', '::1'];
      return [address];
    });
  const own = [...new Set(hosts)].filter((host) => !strangers.has(host));
  return own.map((host) => ({ host, port: sockets[0]?.port as number }));
}
