import type { Finding } from '../../lib/engines/examine.js';
import { roleOf } from '../../lib/engines/recognize.js';
import { type EndpointDeps, Endpoints } from '../../lib/sampling/endpoints.js';
import type { NamespaceSocket } from '../../lib/workers/listening.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';

export const [own, other] = [4001, 5002];
export const path = '/llm/0';

export const processOf = (pid: number, command: string, parentPid = 1): KnownProcess =>
  ({
    pid,
    parentPid,
    startTicks: pid,
    cgroup: path,
    argv: command.split(' '),
    role: roleOf(command.split(' ')),
  }) as never;
export const socket = (inode: number, port: number, address = '0.0.0.0', namespace = own): NamespaceSocket => ({
  ...{ inode, port, address, namespace, cgroup: null },
});
export const finding = (changes: Partial<Finding> = {}): Finding => ({
  ...{ scheme: 'http', host: '127.0.0.1', own: true, ready: true, reason: null, unclear: null, silent: false },
  ...changes,
});

/** What a test knows of sockets, answers and containers. */
export class World {
  generation = 1;
  changed = 1;
  readonly sockets = new Map<number, readonly NamespaceSocket[] | null>();
  readonly unixPaths = new Map<number, readonly string[]>();
  readonly strangers: NamespaceSocket[] = [];
  readonly updates: (readonly unknown[])[] = [];
  readonly connects: object[] = [];
  readonly deniedPids = new Set<number>();
  findings: ReadonlyMap<string, Finding> = new Map();
  pidThere: number | null = 71;
  looks = 0;
  faults: object[] = [];

  readonly listening = {
    ownNamespace: own as number | null,
    hostNamespace: own as number | null,
    generationOf: () => this.generation,
    get generation(): number {
      return this.generationOf();
    },
    changedIn: () => this.changed,
    of: ({ pid }: KnownProcess) => {
      const sockets = this.sockets.get(pid);
      return sockets === undefined ? null : { namespace: own, sockets };
    },
    unixPathsOf: ({ pid }: KnownProcess) => this.unixPaths.get(pid) ?? [],
    inNamespace: (namespace: number) =>
      [...[...this.sockets.values()].flatMap((each) => each ?? []), ...this.strangers].filter(
        (each) => each.namespace === namespace,
      ),
    processIn: () => this.pidThere,
    denied: (pid: number) => this.deniedPids.has(pid),
    update: (...what: readonly unknown[]) => this.updates.push(what),
    look: async () => {
      this.looks++;
    },
    faults: () => this.faults,
  };

  endpoints(deps: Partial<EndpointDeps> = {}): Endpoints {
    return new Endpoints({
      listening: this.listening as never,
      prober: { findingsOf: () => this.findings },
      namespaces: {
        connect: async (target) => {
          this.connects.push(target);
          return 'connected' as never;
        },
        faults: () => [{ source: 'proc', code: 'NAMESPACE_REFUSED', message: 'no right' }] as never,
      },
      containers: null,
      address: '10.4.4.4',
      ...deps,
    });
  }
}

/** A worker of these processes, with its endpoints. */
export function served(processes: readonly KnownProcess[], world: World, deps: Partial<EndpointDeps> = {}) {
  const endpoints = world.endpoints(deps);
  const groups = new Map([[path, processes]]);
  endpoints.update(groups);
  return {
    endpoints,
    groups,
    of: (recordPort: number | null = null, hidden = false) => endpoints.of(path, 'llm/0', recordPort, hidden),
  };
}

export const vllm = processOf(21, 'vllm serve org/phi');
export const key = (port: number, ...inodes: readonly number[]) => `${own}/${port}/${inodes}`;
