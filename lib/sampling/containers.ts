import type { Fault } from '../contract/heartbeat.js';
import { type PublishedPort, publishedPortOf } from '../workers/docker-proxy.js';
import type { Listening } from '../workers/listening.js';
import { type NamespaceAddresses, oneOfEachCgroup } from '../workers/namespace-addresses.js';
import type { KnownProcess, ProcessTable } from '../workers/process-table.js';
import type { Networks } from './published.js';

export interface ContainersDeps {
  readonly processes: Pick<ProcessTable, 'all' | 'generation'>;
  readonly addresses: Pick<NamespaceAddresses, 'addresses' | 'generation' | 'update' | 'look' | 'faults' | 'close'>;
}

interface Proxy {
  readonly process: KnownProcess;
  readonly published: PublishedPort;
}

/**
 * Published ports and addresses of containers with a network of their own. On a host without such workers only the process
 * table is looked through, where it has changed.
 */
export class Containers {
  readonly #deps: ContainersDeps;
  #seen = -1;
  #changes = 0;
  #proxies: readonly Proxy[] = [];
  #forwarders: readonly KnownProcess[] = [];
  #wanted = false;
  /** Whose namespaces count, and of what that was made. */
  #made: {
    readonly generation: number;
    readonly of: readonly KnownProcess[];
    readonly members: readonly KnownProcess[];
  } | null = null;

  constructor(deps: ContainersDeps) {
    this.#deps = deps;
  }

  /** Rises when an address, or a process that forwards, comes or goes. */
  get generation(): number {
    return this.#deps.addresses.generation + this.#changes;
  }

  /** Processes that forward ports of the host; the same list as long as they are the same. */
  forwarders(): readonly KnownProcess[] {
    const { generation } = this.#deps.processes;
    if (generation === this.#seen) return this.#forwarders;
    this.#seen = generation;
    const proxies = [...this.#deps.processes.all()].flatMap((process) => {
      const published = publishedPortOf(process.argv);
      return published === null ? [] : [{ process, published }];
    });
    const before = this.#forwarders;
    if (proxies.length === before.length && proxies.every(({ process }, i) => process === before[i])) return before;
    this.#changes += 1;
    this.#proxies = proxies;
    this.#forwarders = proxies.map(({ process }) => process);
    return this.#forwarders;
  }

  /** Some worker is in a network namespace of its own: addresses are read from now on. */
  want(): void {
    this.#wanted = true;
  }

  /** Takes the processes of workers, and begins a look at addresses where one is due. */
  update(workers: readonly KnownProcess[]): void {
    if (!this.#wanted) return;
    const { processes, addresses } = this.#deps;
    const { generation } = processes;
    if (this.#made?.generation !== generation || this.#made.of !== workers)
      this.#made = { generation, of: workers, members: [...oneOfEachCgroup(processes.all()), ...workers] };
    addresses.update(this.#made.members);
  }

  async look(): Promise<void> {
    if (this.#wanted) await this.#deps.addresses.look();
  }

  faults(): readonly Fault[] {
    return this.#deps.addresses.faults();
  }

  networks(listening: Pick<Listening, 'hostNamespace' | 'inNamespace' | 'of'>): Networks {
    const { hostNamespace } = listening;
    return {
      hostNamespace,
      hostSockets: hostNamespace === null ? [] : listening.inNamespace(hostNamespace),
      proxies: this.#proxies.map(({ process, published }) => ({
        published,
        sockets: listening.of(process)?.sockets ?? null,
      })),
      addresses: this.#deps.addresses.addresses,
    };
  }
}
