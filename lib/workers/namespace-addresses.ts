import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import { parseFibTrie, parseIfInet6 } from '../procfs/addresses.js';
import { inodesOf } from '../procfs/sockets.js';
import type { Clock } from '../util/clock.js';
import { oneAtATime } from '../util/one-at-a-time.js';
import { type ProcessIdentity, type SeenProcess, SeenProcesses } from './seen-processes.js';

export interface NamespaceAddressesOptions {
  readonly procRoot: string;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  /** How often addresses are read, in ms (default 5000); those of a new namespace at once. */
  readonly everyMs?: number;
  /** How often the namespaces of all processes are looked at again (default 60,000). */
  readonly verifyMs?: number;
}

/** A host with so many routes is no container. */
const maxTableBytes = 512 * 1024;

interface Member extends SeenProcess {
  namespace: number | null;
}

/** Where one process of each cgroup is enough: containers have their namespace as a whole. */
export function oneOfEachCgroup<P extends ProcessIdentity & { readonly cgroup: string | null }>(
  processes: Iterable<P>,
): readonly P[] {
  const first = new Map<string, P>();
  for (const process of processes)
    if (process.cgroup !== null && !first.has(process.cgroup)) first.set(process.cgroup, process);
  return [...first.values()];
}

/** The addresses of the network namespaces in which processes are. Off the event loop; nobody waits for a look. */
export class NamespaceAddresses {
  readonly #options: Required<Omit<NamespaceAddressesOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #seen: SeenProcesses<Member>;
  #addresses: ReadonlyMap<number, readonly string[]> = new Map();
  #lookedMs = Number.NEGATIVE_INFINITY;
  #changed = false;
  #generation = 0;

  constructor(options: NamespaceAddressesOptions) {
    const { openFiles: open, clock } = options;
    this.#options = { everyMs: 5000, verifyMs: 60_000, ...options };
    this.#seen = new SeenProcesses<Member>((seen) => ({ ...seen, namespace: null }));
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what) => ({
        source: 'proc',
        code: 'ADDRESSES_STALLED',
        message: `${what}: where some containers are reached is not known.`,
        field: 'endpoint',
      }),
    });
  }

  /** By namespace, without loopback and link-local addresses. A namespace that is missing could not be read. */
  get addresses(): ReadonlyMap<number, readonly string[]> {
    return this.#addresses;
  }

  /** Rises when an address comes or goes. */
  get generation(): number {
    return this.#generation;
  }

  faults(): readonly Fault[] {
    return this.#files.faults();
  }

  /** Takes the processes whose namespaces count, the same list as long as they are the same, and begins a look where one is due. */
  update(processes: readonly ProcessIdentity[]): void {
    const { clock, everyMs } = this.#options;
    const now = clock.now();
    if (this.#seen.take(processes, now)) this.#changed = true;
    if (this.#changed || now - this.#lookedMs >= everyMs) void this.look();
  }

  /** One look; a call during a look resolves with it. Never rejects. */
  readonly look = oneAtATime(() => this.#look());

  close(): void {
    this.#files.close();
  }

  async #look(): Promise<void> {
    const { clock, everyMs, verifyMs } = this.#options;
    const now = clock.now();
    this.#changed = false;
    const due = this.#seen.dueAt(now, verifyMs);
    await this.#readNamespaces(due);
    const isDue = now - this.#lookedMs >= everyMs;
    if (isDue) this.#lookedMs = now;
    await this.#readAddresses((namespace) => isDue || !this.#addresses.has(namespace));
  }

  async #readNamespaces(due: readonly number[]): Promise<void> {
    const found = await this.#namespacesOf(due);
    for (const [i, pid] of due.entries()) {
      const namespace = found[i];
      const member = this.#seen.byPid.get(pid);
      if (namespace === undefined || member === undefined) continue;
      member.namespace = namespace;
      member.read = true;
    }
  }

  /** null: the process is gone, or /proc does not show its namespace; undefined: it hangs. */
  async #namespacesOf(pids: readonly number[]): Promise<readonly (number | null | undefined)[]> {
    if (pids.length === 0) return [];
    const paths = pids.map((pid) => join(this.#options.procRoot, String(pid), 'ns'));
    const found = await this.#files.links(paths, 'net:[');
    return found.map((links) => {
      if (links === ETIMEDOUT) return undefined;
      return typeof links === 'object' ? (inodesOf(links)[0] ?? null) : null;
    });
  }

  async #readAddresses(isDue: (namespace: number) => boolean): Promise<void> {
    const { procRoot } = this.#options;
    const readers = new Map<number, number>();
    for (const [pid, { namespace }] of this.#seen.byPid) if (namespace !== null) readers.set(namespace, pid);
    const due = [...readers].filter(([namespace]) => isDue(namespace));
    const paths = due.flatMap(([, pid]) =>
      ['net/fib_trie', 'net/if_inet6'].map((file) => join(procRoot, String(pid), file)),
    );
    const results = paths.length === 0 ? [] : await this.#files.read(paths, maxTableBytes);
    // A pid may have become another process's meanwhile: what was read counts where it is still in the namespace.
    const after = await this.#namespacesOf(due.map(([, pid]) => pid));
    const next = new Map([...this.#addresses].filter(([namespace]) => readers.has(namespace)));
    for (const [i, [namespace]] of due.entries()) {
      const [ipv4, ipv6] = results.slice(i * 2, i * 2 + 2);
      if (after[i] !== namespace || ipv4 === ETIMEDOUT || ipv6 === ETIMEDOUT) continue;
      // Without IPv6 there is no if_inet6. A table that was cut may lack an address.
      if (!(ipv4 instanceof Buffer) || ipv4.length === maxTableBytes) next.delete(namespace);
      else next.set(namespace, [...parseFibTrie(ipv4), ...(ipv6 instanceof Buffer ? parseIfInet6(ipv6) : [])]);
    }
    const text = (map: ReadonlyMap<number, readonly string[]>): string =>
      JSON.stringify([...map].sort(([a], [b]) => a - b));
    if (text(next) !== text(this.#addresses)) this.#generation += 1;
    this.#addresses = next;
  }
}
