import type { ServingReason } from '../contract/enums.js';
import type { Finding } from '../engines/examine.js';
import type { Load, LoadProber, LoadServer, LoadTarget } from '../engines/load/prober.js';
import { loadSources } from '../engines/load/table.js';
import type { Candidate, Prober } from '../engines/prober.js';
import type { Engine } from '../engines/table.js';
import type { NamespaceSocket } from '../workers/listening.js';
import type { KnownProcess } from '../workers/process-table.js';
import { probeAddresses } from './endpoint.js';
import type { Asked, ListeningSource } from './endpoints.js';
import type { EngineEvidence } from './load-state.js';
import { type ServingFigures, type ServingLoad, servingOf } from './serving.js';
import type { Tracked } from './tracked.js';

interface Deps {
  /** null: no engine is asked. */
  readonly loads: Pick<LoadProber, 'update' | 'loadOf' | 'onAnswer'> | null;
  readonly prober: Pick<Prober, 'findingsOf'> | null;
  readonly listening: ListeningSource | null;
  readonly nowMs: () => number;
}

export interface WorkerLoad extends ServingLoad {
  readonly evidence: EngineEvidence | null;
  readonly isLoading: boolean;
}

const unknownLoad = (reason: ServingReason): WorkerLoad => ({
  ...{ serving: null, reason, evidence: null, isLoading: false },
});

/** What the engines of workers say of their load: whom to ask, and what they answered. */
export class WorkerLoads {
  readonly #deps: Deps;
  #targets: LoadTarget[] = [];
  /** Those that are asked since the last tick. */
  #asked = new Map<string, Tracked>();
  #asking = new Map<string, Tracked>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** What is known of a worker's load now. */
  of(tracked: Tracked): WorkerLoad {
    const { loads, nowMs } = this.#deps;
    const load = loads?.loadOf(tracked.watched.id) ?? null;
    if (load === null) return unknownLoad(this.#reasonOf(tracked));
    const { serving, reason, memory } = servingOf(tracked.serving, tracked.main?.key ?? '', load, nowMs());
    tracked.serving = memory;
    return {
      serving,
      reason,
      evidence: evidenceOf(load, serving),
      isLoading: reason === 'loading' && serving === null,
    };
  }

  /** Calls with what an engine says as soon as it has said it; ticks come when they come. */
  listen(onLoad: (id: string, serving: ServingFigures) => void): void {
    const { loads } = this.#deps;
    if (loads === null) return;
    loads.onAnswer = (id) => {
      const tracked = this.#asked.get(id);
      const serving = tracked === undefined ? null : this.of(tracked).serving;
      if (serving !== null) onLoad(id, serving);
    };
  }

  /** Notes a worker as one to be asked, where its engine has answered as itself at one of its sockets. */
  add(tracked: Tracked, processes: readonly KnownProcess[], asked: Asked): void {
    const { loads, prober, listening } = this.#deps;
    const { id } = tracked.watched;
    if (loads === null || prober === null || listening === null || !Array.isArray(asked)) return;
    const own = ownServer(asked, prober.findingsOf(id));
    if (own === null) return;
    const others = new OtherSockets(own, processes, listening);
    const server = others.ofLoad();
    if (server === null) return;
    // It starts a llama-server for each model that is loaded.
    const runners = own.server.engine === 'ollama' ? others.of('llama-server') : [];
    this.#asking.set(id, tracked);
    this.#targets.push({ id, identity: tracked.main?.key ?? '', server, runners });
  }

  /** Asks all that were noted since the last call. */
  ask(): void {
    this.#asked = this.#asking;
    this.#asking = new Map();
    this.#deps.loads?.update(this.#targets);
    this.#targets = [];
  }

  #reasonOf({ described }: Tracked): ServingReason {
    const engine = described?.serving.engine ?? null;
    if (engine === null) return 'noEngine';
    if (loadSources[engine] === null) return 'unsupported';
    return this.#deps.loads === null ? 'notAsked' : 'noAddress';
  }
}

/** The server that has answered as the worker's engine, and the network namespace it is in. */
interface OwnServer {
  readonly server: LoadServer;
  readonly namespace: number;
}

function ownServer(asked: readonly Candidate[], findings: ReadonlyMap<string, Finding>): OwnServer | null {
  for (const { key, engine, addresses, connect } of asked) {
    const finding = findings.get(key);
    const port = addresses[0]?.port;
    if (engine === null || port === undefined || finding?.own !== true) continue;
    const { scheme, host } = finding;
    if (scheme === null || host === undefined) continue;
    const server = { engine, scheme, address: { host, port }, connect };
    // The key begins with it (`Candidate.key` in endpoint.ts).
    return { server, namespace: Number.parseInt(key, 10) };
  }
  return null;
}

/** Other sockets of the worker, in the network namespace of its server. */
class OtherSockets {
  readonly #own: OwnServer;
  readonly #processes: readonly KnownProcess[];
  readonly #listening: ListeningSource;

  constructor(own: OwnServer, processes: readonly KnownProcess[], listening: ListeningSource) {
    this.#own = own;
    this.#processes = processes;
    this.#listening = listening;
  }

  /** The socket at which it says its load: its own, or another one of the same engine. */
  ofLoad(): LoadServer | null {
    const { server } = this.#own;
    const ports = this.#processes.flatMap(({ role }) => (role.engine === server.engine ? (role.loadPort ?? []) : []));
    if (ports.length === 0) return server;
    return this.of(server.engine, ({ port }) => ports.includes(port))[0] ?? null;
  }

  /** One socket of each process that was started as this engine. */
  of(engine: Engine, isWanted: (socket: NamespaceSocket) => boolean = () => true): readonly LoadServer[] {
    const { server, namespace } = this.#own;
    return this.#processes.flatMap((process): LoadServer[] => {
      if (process.role.engine !== engine) return [];
      const sockets = this.#listening.of(process)?.sockets ?? [];
      const first = sockets.find((socket) => socket.namespace === namespace && isWanted(socket));
      if (first === undefined) return [];
      const same = sockets.filter(({ port, namespace: of }) => port === first.port && of === namespace);
      const [address] = probeAddresses(same, this.#listening.inNamespace(namespace));
      return address === undefined ? [] : [{ engine, scheme: 'http', address, connect: server.connect }];
    });
  }
}

function evidenceOf({ engine, reading }: Load, serving: ServingLoad['serving']): EngineEvidence | null {
  if (reading === null || serving === null) return null;
  const { running, waiting, kvPercent, sleeping, progressAgeMs, ageMs } = serving;
  const { stepwise = false, lagMs = 0 } = loadSources[engine] ?? {};
  // What its gauges lag behind is no silence.
  const silentMs = ageMs === null ? null : ageMs - lagMs;
  return {
    running,
    waiting,
    kvPercent,
    sleeping,
    progressAgeMs,
    ageMs: silentMs,
    capacity: reading.capacity,
    stepwise,
  };
}
