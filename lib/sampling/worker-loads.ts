import type { ServingReason } from '../contract/enums.js';
import type { Finding } from '../engines/examine.js';
import type { Load, LoadProber, LoadServer, LoadTarget } from '../engines/load/prober.js';
import { loadSources } from '../engines/load/table.js';
import type { Prober } from '../engines/prober.js';
import type { Engine } from '../engines/table.js';
import type { NamespaceSocket } from '../workers/listening.js';
import type { KnownProcess } from '../workers/process-table.js';
import { probeAddresses } from './endpoint.js';
import type { Asked, ListeningSource } from './endpoints.js';
import type { EngineEvidence } from './load-state.js';
import { type ServingLoad, servingOf } from './serving.js';
import type { Tracked } from './tracked.js';

interface Deps {
  /** null: no engine is asked. */
  readonly loads: Pick<LoadProber, 'update' | 'loadOf'> | null;
  readonly prober: Pick<Prober, 'findingsOf'> | null;
  readonly listening: ListeningSource | null;
  readonly nowMs: () => number;
}

export interface WorkerLoad extends ServingLoad {
  readonly evidence: EngineEvidence | null;
  readonly isLoading: boolean;
}

const unknownLoad = (reason: ServingReason): WorkerLoad => ({
  ...{ serving: null, reason, evidence: null, isLoading: reason === 'loading' },
});

/** What the engines of workers say of their load: whom to ask, and what they answered. */
export class WorkerLoads {
  readonly #deps: Deps;
  #targets: LoadTarget[] = [];

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

  /** Notes a worker as one to be asked, where its engine has answered as itself at one of its sockets. */
  add({ watched: { id }, main }: Tracked, processes: readonly KnownProcess[], asked: Asked): void {
    const { loads, prober, listening } = this.#deps;
    if (loads === null || prober === null || listening === null || !Array.isArray(asked)) return;
    const server = ownServer(asked, prober.findingsOf(id));
    if (server === null) return;
    const at = serverOfLoad(server, processes, listening);
    if (at === null) return;
    const runners = server.engine === 'ollama' ? runnersOf(processes, listening) : [];
    this.#targets.push({ id, identity: main?.key ?? '', server: at, runners });
  }

  /** Asks all that were noted since the last call. */
  ask(): void {
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

function ownServer(asked: Exclude<Asked, 'none' | null>, findings: ReadonlyMap<string, Finding>): LoadServer | null {
  for (const { key, engine, addresses, connect } of asked) {
    const finding = findings.get(key);
    const port = addresses[0]?.port;
    if (engine === null || port === undefined || finding?.own !== true) continue;
    const { scheme, host } = finding;
    if (scheme !== null && host !== undefined) return { engine, scheme, address: { host, port }, connect };
  }
  return null;
}

/** The socket at which it says its load: its own, or another one of the same engine. */
function serverOfLoad(
  server: LoadServer,
  processes: readonly KnownProcess[],
  listening: ListeningSource,
): LoadServer | null {
  const ports = processes.flatMap(({ role }) => (role.engine === server.engine ? (role.loadPort ?? []) : []));
  if (ports.length === 0) return server;
  const found = serversOn(processes, server.engine, listening, (socket) => ports.includes(socket.port));
  return found[0] ?? null;
}

/** Ollama starts a llama-server for each model that is loaded. */
const runnersOf = (processes: readonly KnownProcess[], listening: ListeningSource): readonly LoadServer[] =>
  serversOn(processes, 'llama-server', listening, () => true);

/** Sockets of processes that were started as this engine, in the hive's own network namespace. */
function serversOn(
  processes: readonly KnownProcess[],
  engine: Engine,
  listening: ListeningSource,
  isWanted: (socket: NamespaceSocket) => boolean,
): readonly LoadServer[] {
  return processes.flatMap((process): LoadServer[] => {
    if (process.role.engine !== engine) return [];
    const sockets = (listening.of(process)?.sockets ?? []).filter(
      (socket) => socket.namespace === listening.ownNamespace && isWanted(socket),
    );
    const [first] = sockets;
    if (first === undefined) return [];
    const same = sockets.filter(({ port }) => port === first.port);
    const [address] = probeAddresses(same, listening.inNamespace(first.namespace));
    return address === undefined ? [] : [{ engine, scheme: 'http', address }];
  });
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
