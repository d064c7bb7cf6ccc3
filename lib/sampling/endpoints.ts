import type { EndpointReason } from '../contract/enums.js';
import type { Fault } from '../contract/heartbeat.js';
import type { ServerAddress } from '../engines/probe.js';
import type { Listening } from '../workers/listening.js';
import type { KnownProcess } from '../workers/process-table.js';
import { chooseFace, type Face, hostInUrl, isShared, placeOf, probeAddresses, strangersOf } from './endpoint.js';

export type ListeningSource = Pick<
  Listening,
  'generation' | 'ownNamespace' | 'hostNamespace' | 'of' | 'inNamespace' | 'denied' | 'update' | 'look' | 'faults'
>;

/** Where a worker serves. */
export interface Server {
  readonly port: number | null;
  readonly endpoint: string | null;
  readonly reason: EndpointReason | null;
  /** Where the hive asks it: addresses to try, `none` where nothing listens, null where it cannot be asked. */
  readonly probe: readonly ServerAddress[] | 'none' | null;
  readonly fault: Fault | null;
}

export const unknownServer: Server = {
  port: null,
  endpoint: null,
  reason: 'socketsUnknown',
  probe: null,
  fault: null,
};

interface Known {
  readonly processes: readonly KnownProcess[];
  readonly generation: number;
  readonly recordPort: number | null;
  readonly hidden: boolean;
  readonly server: Server;
}

const sharedPort = (port: number): Fault => ({
  source: 'proc',
  code: 'PORT_SHARED',
  message: `Another process listens on the same address and port ${port} (SO_REUSEPORT): the kernel splits connections between them, so no endpoint is given. Start one of them on another port.`,
  field: 'endpoint',
});

/** Where each worker serves, by its sockets; looked at again only where something about them has changed. */
export class Endpoints {
  readonly #listening: ListeningSource | null;
  readonly #address: string | null;
  readonly #known = new Map<string, Known>();
  #groups: ReadonlyMap<string, readonly KnownProcess[]> = new Map();
  #all: readonly KnownProcess[] = [];

  constructor(listening: ListeningSource | null, address: string | null) {
    this.#listening = listening;
    this.#address = address;
  }

  /** Takes the processes of all workers, by the paths of these. Begins a look at sockets where one is due. */
  update(groups: ReadonlyMap<string, readonly KnownProcess[]>): void {
    if (groups !== this.#groups) {
      this.#groups = groups;
      this.#all = [...groups.values()].flat();
      for (const path of this.#known.keys()) if (!groups.has(path)) this.#known.delete(path);
    }
    this.#listening?.update(this.#all, this.#waiting());
  }

  async look(groups: ReadonlyMap<string, readonly KnownProcess[]>): Promise<void> {
    this.update(groups);
    await this.#listening?.look();
  }

  /** `hidden`: /proc does not show some of its processes. */
  of(path: string, recordPort: number | null, hidden: boolean): Server {
    const processes = this.#groups.get(path);
    const listening = this.#listening;
    if (processes === undefined || listening === null) return unknownServer;
    const { generation } = listening;
    const known = this.#known.get(path);
    if (
      known?.processes === processes &&
      known.generation === generation &&
      known.recordPort === recordPort &&
      known.hidden === hidden
    )
      return known.server;
    const server = this.#serverOf(processes, recordPort, hidden, listening);
    this.#known.set(path, { processes, generation, recordPort, hidden, server });
    return server;
  }

  faults(): readonly Fault[] {
    if (this.#listening === null) return [];
    let denied = 0;
    for (const [path, { server }] of this.#known)
      if (server.reason === 'socketsUnknown' && this.#groups.get(path)?.some(({ pid }) => this.#listening?.denied(pid)))
        denied += 1;
    if (denied === 0) return this.#listening.faults();
    const message = `The sockets of ${denied === 1 ? 'one worker' : `${denied} workers`} cannot be read: their processes belong to another user, so where they serve is not known. Run the hive as root with CAP_SYS_PTRACE.`;
    return [{ source: 'proc', code: 'SOCKETS_UNREADABLE', field: 'endpoint', message }, ...this.#listening.faults()];
  }

  /** Processes of workers that are expected to listen soon. */
  #waiting(): ReadonlySet<number> {
    const pids = new Set<number>();
    for (const { processes, recordPort, server } of this.#known.values()) {
      if (server.port !== null || !(recordPort !== null || processes.some(({ role }) => role.role === 'engine')))
        continue;
      for (const { pid } of processes) pids.add(pid);
    }
    return pids;
  }

  #serverOf(
    processes: readonly KnownProcess[],
    recordPort: number | null,
    hidden: boolean,
    listening: ListeningSource,
  ): Server {
    const face = chooseFace(
      processes.map((process) => ({
        pid: process.pid,
        parentPid: process.parentPid,
        role: process.role,
        sockets: listening.of(process)?.sockets ?? null,
      })),
      recordPort,
    );
    if (face.sockets === null || !face.named) return unnamed(face, hidden, processes);
    const { namespace, port } = face.sockets[0]!;
    const all = listening.inNamespace(namespace);
    const { host, reason } = placeOf(face.sockets, all, { address: this.#address, namespace: listening.hostNamespace });
    return {
      port,
      endpoint: host === null ? null : `http://${hostInUrl(host)}:${port}`,
      reason,
      probe: namespace === listening.ownNamespace ? probeAddresses(face.sockets, all) : null,
      fault: isShared(face.sockets, strangersOf(face.sockets, all)) ? sharedPort(port) : null,
    };
  }
}

/** Nothing says where it serves. */
function unnamed(face: Face, hidden: boolean, processes: readonly KnownProcess[]): Server {
  if (face.sockets !== null) return { ...unknownServer, reason: 'unidentified' };
  if (face.reason !== 'notListening') return { ...unknownServer, reason: face.reason };
  if (hidden) return unknownServer;
  const isEngine = processes.some(({ role }) => role.role === 'engine');
  return { ...unknownServer, reason: 'notListening', probe: isEngine ? 'none' : null };
}
