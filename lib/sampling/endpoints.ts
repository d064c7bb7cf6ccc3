import { isIPv4 } from 'node:net';
import { defaults } from '../contract/defaults.js';
import type { EndpointReason, NullReason } from '../contract/enums.js';
import type { Fault } from '../contract/heartbeat.js';
import type { Connect } from '../engines/ask.js';
import type { Finding } from '../engines/examine.js';
import type { Candidate as ProbedServer, Prober, UrlWay } from '../engines/prober.js';
import type { NamespaceConnector } from '../io/namespace-connect.js';
import type { Listening, NamespaceSocket } from '../workers/listening.js';
import type { KnownProcess } from '../workers/process-table.js';
import type { Containers } from './containers.js';
import {
  type Candidate,
  type Choice,
  chooseServer,
  decide,
  hostInUrl,
  isGuessed,
  isShared,
  placeOf,
  probeAddresses,
  strangersOf,
} from './endpoint.js';
import { isPodPath, type PublishedPlace, publishedAt } from './published.js';
import { mayServeOnUnix, servesOnUnix } from './unix-server.js';

export type ListeningSource = Pick<
  Listening,
  | 'generation'
  | 'changedIn'
  | 'ownNamespace'
  | 'hostNamespace'
  | 'of'
  | 'unixPathsOf'
  | 'inNamespace'
  | 'processIn'
  | 'denied'
  | 'update'
  | 'look'
  | 'faults'
>;

/** Where a worker serves. */
export interface Server {
  readonly port: number | null;
  readonly endpoint: string | null;
  readonly reason: EndpointReason | null;
  readonly fault: Fault | null;
  /** Names of models by its own answer; none where it was not asked for them, or did not say. */
  readonly models: readonly string[];
}

/** What the hive asks to find out; `none`: it listens nowhere, null: nothing can be asked. */
export type Asked = readonly ProbedServer[] | 'none' | null;

type Unasked = Extract<NullReason, 'socketsUnknown' | 'notListening' | 'onUnixSocket' | 'serverUnreachable'>;

export const unknownServer: Server = {
  port: null,
  endpoint: null,
  reason: 'socketsUnknown',
  fault: null,
  models: [],
};

const none: readonly KnownProcess[] = [];

/** How long a server in another network namespace may take to accept, ms: less than one check may take. */
const connectMs = defaults.readinessTimeoutMs / 2;

/** More ports of one worker are not asked. */
const maxAsked = 8;

interface Known {
  readonly processes: readonly KnownProcess[];
  /** Of sockets, up to which nothing about those of the worker has changed since. */
  generation: number;
  /** Of addresses and forwarders. */
  readonly containers: number;
  readonly recordPort: number | null;
  readonly hidden: boolean;
  readonly choice: Choice;
  readonly asked: Asked;
  /** Why nothing can be asked, where `asked` is null. */
  readonly unasked: Unasked;
  readonly findings: ReadonlyMap<string, Finding> | null;
  readonly server: Server;
}

const sharedPort = (port: number): Fault => ({
  source: 'proc',
  code: 'PORT_SHARED',
  message: `Another process listens on the same address and port ${port} (SO_REUSEPORT): the kernel splits connections between them, so no endpoint is given. Start one of them on another port.`,
  field: 'endpoint',
});

/** Processes that are expected to listen soon, and those that may do so on a Unix socket, by pid. */
interface Expected {
  readonly waiting: ReadonlySet<number>;
  readonly onUnix: ReadonlySet<number>;
}

/** Of a server whose port another one has too, of another worker or of the same. */
function sharingFault({ sockets, guessed }: Candidate, listening: ListeningSource): Fault | null {
  const { namespace, port } = sockets[0] as NamespaceSocket;
  if (guessed || !isShared(sockets, strangersOf(sockets, listening.inNamespace(namespace)))) return null;
  return sharedPort(port);
}

export interface EndpointDeps {
  /** null where no sockets can be read. */
  readonly listening: ListeningSource | null;
  readonly prober: Pick<Prober, 'findingsOf'> | null;
  /** null: servers in other network namespaces are not asked. */
  readonly namespaces: Pick<NamespaceConnector, 'connect' | 'faults'> | null;
  /** null: those have no endpoint. */
  readonly containers: Containers | null;
  readonly address: string | null;
}

/** Where each worker serves, by its sockets; looked at again only where something about them has changed. */
export class Endpoints {
  readonly #listening: ListeningSource | null;
  readonly #prober: Pick<Prober, 'findingsOf'> | null;
  readonly #namespaces: EndpointDeps['namespaces'];
  readonly #containers: Containers | null;
  readonly #address: string | null;
  readonly #known = new Map<string, Known>();
  #groups: ReadonlyMap<string, readonly KnownProcess[]> = new Map();
  #forwarders: readonly KnownProcess[] = none;
  #all: readonly KnownProcess[] = [];
  /** null: to be found again. */
  #expected: Expected | null = null;

  constructor({ listening, prober, namespaces, containers, address }: EndpointDeps) {
    this.#listening = listening;
    this.#prober = prober;
    this.#namespaces = namespaces;
    this.#containers = containers;
    this.#address = address;
  }

  /** Takes the processes of all workers, by the paths of these. Begins a look at sockets where one is due. */
  update(groups: ReadonlyMap<string, readonly KnownProcess[]>): void {
    const forwarders = this.#containers?.forwarders() ?? none;
    if (groups !== this.#groups || forwarders !== this.#forwarders) {
      this.#groups = groups;
      this.#forwarders = forwarders;
      this.#all = [...[...groups.values()].flat(), ...forwarders];
      for (const path of this.#known.keys()) if (!groups.has(path)) this.#known.delete(path);
      this.#expected = null;
    }
    this.#expected ??= this.#findExpected();
    this.#listening?.update(this.#all, this.#expected.waiting, this.#expected.onUnix);
    this.#containers?.update(this.#all);
  }

  async look(groups: ReadonlyMap<string, readonly KnownProcess[]>): Promise<void> {
    this.update(groups);
    await this.#listening?.look();
    await this.#containers?.look();
  }

  /** `hidden`: /proc does not show some of its processes. */
  of(path: string, id: string, recordPort: number | null, hidden: boolean): Server {
    const processes = this.#groups.get(path);
    const listening = this.#listening;
    if (processes === undefined || listening === null) return unknownServer;
    const { generation } = listening;
    const containers = this.#containers?.generation ?? 0;
    const findings = this.#prober?.findingsOf(id) ?? null;
    const before = this.#known.get(path);
    const same =
      before?.processes === processes &&
      before.containers === containers &&
      !this.#isOutdated(before, listening) &&
      before.recordPort === recordPort &&
      before.hidden === hidden;
    if (same && before.findings === findings) return before.server;
    const key = { processes, generation, containers, recordPort, hidden };
    const { choice, asked, unasked } = same ? before : this.#choose(processes, recordPort, hidden, listening);
    const server = this.#serverOf(path, { choice, hidden }, findings, listening);
    this.#expected = null;
    this.#known.set(path, { ...key, choice, asked: sameAsked(before?.asked, asked), unasked, findings, server });
    return server;
  }

  /** Something about the worker's sockets, or who else listens on its ports, has changed. */
  #isOutdated(known: Known, listening: ListeningSource): boolean {
    const { generation } = listening;
    if (known.generation === generation) return false;
    const changed = Math.max(listening.changedIn(known.processes), listening.changedIn(this.#forwarders));
    if (changed > known.generation) return true;
    known.generation = generation;
    return false;
  }

  /** What is to be asked of the worker; the same list as long as it is about the same sockets. */
  askedOf(path: string): Asked {
    return this.#known.get(path)?.asked ?? null;
  }

  /** Why nothing can be asked of the worker. */
  unaskedOf(path: string): Unasked {
    return this.#known.get(path)?.unasked ?? 'socketsUnknown';
  }

  /** The worker's processes, the same list as long as they are the same. */
  processesOf(path: string): readonly KnownProcess[] | null {
    return this.#groups.get(path) ?? null;
  }

  /** How the worker itself is reached at a port of loopback, or why it is not. */
  wayTo(path: string, port: number): UrlWay | 'notListening' | 'serverUnreachable' | 'socketsUnknown' {
    const listening = this.#listening;
    const processes = this.#groups.get(path);
    if (listening === null || processes === undefined) return {};
    const looks = processes.map((process) => listening.of(process)).filter((look) => look !== null);
    // Who listens there is about to be known: another one's answer would count until the next.
    if (looks.length === 0) return 'socketsUnknown';
    const all = looks.map(({ sockets }) => sockets);
    const own = listening.ownNamespace;
    const there = all.flatMap((sockets) => sockets?.filter((each) => each.port === port) ?? []);
    if (there.some(({ namespace }) => namespace === own)) return {};
    const [first] = there;
    if (first === undefined) return own === null || all.includes(null) ? {} : 'notListening';
    if (this.#namespaces === null) return 'serverUnreachable';
    const takesIpv4 = there.some(({ address }) => isIPv4(address) || address === '::');
    return { localhost: takesIpv4 ? '127.0.0.1' : '::1', connect: this.#connectIn(first.namespace, listening) };
  }

  faults(): readonly Fault[] {
    if (this.#listening === null) return [];
    const faults = [this.#listening, this.#containers, this.#namespaces].flatMap((part) => part?.faults() ?? []);
    let denied = 0;
    for (const [path, { server }] of this.#known)
      if (server.reason === 'socketsUnknown' && this.#groups.get(path)?.some(({ pid }) => this.#listening?.denied(pid)))
        denied += 1;
    if (denied === 0) return faults;
    const message = `The sockets of ${denied === 1 ? 'one worker' : `${denied} workers`} cannot be read: their processes belong to another user, so where they serve is not known. Run the hive as root with CAP_SYS_PTRACE.`;
    return [{ source: 'proc', code: 'SOCKETS_UNREADABLE', field: 'endpoint', message }, ...faults];
  }

  /** Found again only where something about a worker has changed. */
  #findExpected(): Expected {
    const silent = [...this.#known.values()].filter(({ server, recordPort, processes }) => {
      if (server.port !== null) return false;
      return recordPort !== null || processes.some(({ role }) => role.role === 'engine');
    });
    const pids = (processes: readonly KnownProcess[]) => processes.map(({ pid }) => pid);
    const waiting = silent.filter(({ unasked }) => unasked !== 'onUnixSocket');
    return {
      waiting: new Set(waiting.flatMap(({ processes }) => pids(processes))),
      onUnix: new Set(silent.flatMap(({ processes }) => pids(mayServeOnUnix(processes)))),
    };
  }

  #choose(
    processes: readonly KnownProcess[],
    recordPort: number | null,
    hidden: boolean,
    listening: ListeningSource,
  ): Pick<Known, 'choice' | 'asked' | 'unasked'> {
    const choice = chooseServer(
      processes.map((process) => ({
        pid: process.pid,
        parentPid: process.parentPid,
        role: process.role,
        sockets: listening.of(process)?.sockets ?? null,
      })),
      recordPort,
    );
    const isEngine = processes.some(({ role }) => role.role === 'engine');
    // On a Unix socket it cannot be asked.
    if (isGuessed(choice.candidates) && this.#isOnUnix(processes, listening))
      return { choice: { candidates: [], reason: 'notListening' }, asked: null, unasked: 'onUnixSocket' };
    if (choice.reason === 'notListening')
      return {
        choice,
        asked: isEngine && !hidden ? 'none' : null,
        unasked: hidden ? 'socketsUnknown' : 'notListening',
      };
    const asked = choice.candidates.slice(0, maxAsked).flatMap((candidate) => this.#askedOf(candidate, listening));
    const unasked = choice.reason === null ? 'serverUnreachable' : 'socketsUnknown';
    return { choice, asked: asked.length === 0 ? null : asked, unasked };
  }

  #isOnUnix(processes: readonly KnownProcess[], listening: ListeningSource): boolean {
    return servesOnUnix(processes, (process) => listening.unixPathsOf(process));
  }

  /** Ways to ask a candidate; none where the hive cannot reach its sockets, or would reach others. */
  #askedOf({ key, sockets, process, held, guessed }: Candidate, listening: ListeningSource): readonly ProbedServer[] {
    const { namespace } = sockets[0] as (typeof sockets)[number];
    const namespaces = this.#namespaces;
    const isOwn = namespace === listening.ownNamespace;
    const addresses = probeAddresses(sockets, listening.inNamespace(namespace));
    if (addresses.length === 0 || !(isOwn || namespaces)) return [];
    const { engine } = process.role;
    return [
      { key, engine, held, guessed, addresses, ...(isOwn ? {} : { connect: this.#connectIn(namespace, listening) }) },
    ];
  }

  #connectIn(namespace: number, listening: ListeningSource): Connect {
    const namespaces = this.#namespaces;
    return async (address, signal, onread) => {
      const pid = listening.processIn(namespace);
      if (pid === null || namespaces === null)
        throw Object.assign(new Error('No process is known in its network namespace.'), { code: 'ESTALE' });
      return namespaces.connect({ ...address, pid, namespace, timeoutMs: connectMs, signal, onread });
    };
  }

  #serverOf(
    path: string,
    { choice, hidden }: Pick<Known, 'choice' | 'hidden'>,
    findings: ReadonlyMap<string, Finding> | null,
    listening: ListeningSource,
  ): Server {
    const { server, scheme, reason } = decide(choice, findings);
    if (server === null) {
      const fault =
        choice.candidates.map((each) => sharingFault(each, listening)).find((each) => each !== null) ?? null;
      return { ...unknownServer, reason: hidden && reason === 'notListening' ? 'socketsUnknown' : reason, fault };
    }
    const { sockets } = server;
    const { namespace, port } = sockets[0] as (typeof sockets)[number];
    const all = listening.inNamespace(namespace);
    const finding = findings?.get(server.key);
    const place = this.#placeOf(path, sockets, all, finding?.host ?? null, listening);
    const isUnentered = namespace !== listening.ownNamespace && scheme === null && finding?.ready !== false;
    const isKnown = scheme !== null && place.host !== null;
    return {
      port,
      endpoint: isKnown ? `${scheme}://${hostInUrl(place.host)}:${place.port}` : null,
      reason: place.reason ?? (isUnentered ? 'otherNamespace' : reason),
      fault: sharingFault(server, listening),
      models: finding?.own === true ? (finding.models ?? []) : [],
    };
  }

  /** Host and port under which others reach the sockets. */
  #placeOf(
    path: string,
    sockets: readonly NamespaceSocket[],
    all: readonly NamespaceSocket[],
    answeredAt: string | null,
    listening: ListeningSource,
  ): PublishedPlace {
    const { namespace, port } = sockets[0] as NamespaceSocket;
    const { hostNamespace } = listening;
    if (namespace !== hostNamespace && hostNamespace !== null && this.#containers !== null) {
      this.#containers.want();
      const reach = { address: this.#address, isPod: isPodPath(path), answeredAt };
      return publishedAt(sockets, all, reach, this.#containers.networks(listening));
    }
    const place = placeOf(sockets, all, { address: this.#address, namespace: hostNamespace, answeredAt });
    return place.host === null ? { ...place, port: null } : { ...place, port };
  }
}

const sameAsked = (before: Asked | undefined, now: Asked): Asked =>
  Array.isArray(before) && Array.isArray(now) && JSON.stringify(before) === JSON.stringify(now) ? before : now;
