import { constants } from 'node:os';
import { join } from 'node:path';
import type { GuardedReader } from '../../io/guarded.js';
import { isPidName } from '../../procfs/pids.js';
import { type GpuReason, gpuReason } from '../reasons.js';
import { EngineMeter, type EngineUse } from './engine-meter.js';
import { type DrmClient, parseFdinfo } from './fdinfo.js';

/** Inode of the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h). */
const initialPidNamespace = 'pid:[4026531836]';

const { EACCES, EPERM, ENOENT, ESRCH, ETIMEDOUT } = constants.errno;

/** A process with a GPU open: its clients on that GPU, each counted once on the host. */
export interface DrmHolder {
  readonly pid: number;
  readonly clients: readonly { readonly client: DrmClient; readonly use: EngineUse | null }[];
}

export interface DrmHolders {
  /** By PCI address. */
  readonly byDevice: ReadonlyMap<string, readonly DrmHolder[]>;
  /** Why some processes may be missing; null: all that there are were looked at. */
  readonly incomplete: GpuReason | null;
}

interface Descriptor {
  readonly path: string;
  /** The newest reading: a client that does nothing says the same again and again. */
  text: Buffer;
  client: DrmClient;
}

interface Looked {
  /** Descriptors on a GPU, one for each client. */
  descriptors: readonly Descriptor[];
  /** What its descriptors below /dev/dri lead to. */
  links: string;
  unseen: 'hidden' | 'stuck' | null;
  /** A descriptor is not what it was. */
  changed: boolean;
  readonly firstPass: number;
  /** Pass of the next look. */
  next: number;
}

/**
 * A process is looked at again after a quarter of its age, in passes within these bounds: it opens its GPUs when it is
 * young, and to list its descriptors is the costliest part of a pass. One whose descriptors changed is at the next pass.
 */
const [soonest, latest] = [2, 20];
/** A process with more descriptors is taken for one that cannot be read. */
const maxDescriptors = 16_384;
const maxFdinfoBytes = 8192;

const hiddenReason = gpuReason(
  'noPermission',
  'descriptors of other users may not be read: run the hive as root or with CAP_SYS_PTRACE',
);
const namespacedReason = gpuReason(
  'noPermission',
  'only processes of this container are seen: give it the pids of the host',
);
const stuckReason = gpuReason('timeout', 'descriptors of a process cannot be read: it gives no answer');

/** Finds the processes that have GPUs of some drivers open, by their descriptors. */
export class DrmProcesses {
  readonly #files: Pick<GuardedReader, 'read' | 'list' | 'links'>;
  readonly #procRoot: string;
  readonly #drivers: readonly string[];
  readonly #now: () => number;
  readonly #meter = new EngineMeter();
  readonly #processes = new Map<number, Looked>();
  #pass = 0;
  #ownNamespace: boolean | null = null;

  constructor(options: {
    readonly files: Pick<GuardedReader, 'read' | 'list' | 'links'>;
    readonly procRoot: string;
    readonly drivers: readonly string[];
    readonly now: () => number;
  }) {
    this.#files = options.files;
    this.#procRoot = options.procRoot;
    this.#drivers = options.drivers;
    this.#now = options.now;
  }

  async scan(): Promise<DrmHolders> {
    this.#pass += 1;
    this.#ownNamespace ??= await this.#isNamespaced();
    const [entries] = await this.#files.list([this.#procRoot]);
    if (entries === undefined || typeof entries === 'number')
      return { byDevice: new Map(), incomplete: entries === ETIMEDOUT ? stuckReason : hiddenReason };
    const pids = entries.flatMap(({ name }) => (isPidName(name) ? [Number(name)] : []));
    this.#forget(new Set(pids));
    await this.#look(pids.filter((pid) => this.#isDue(pid)));
    return this.#fold(await this.#read());
  }

  /** Whether this /proc shows the processes of one container alone. */
  async #isNamespaced(): Promise<boolean> {
    const [links] = await this.#files.links([join(this.#procRoot, 'self/ns')], 'pid:[');
    return typeof links === 'object' && links.length > 0 && !links.includes(initialPidNamespace);
  }

  #forget(alive: ReadonlySet<number>): void {
    for (const pid of this.#processes.keys()) if (!alive.has(pid)) this.#processes.delete(pid);
  }

  #isDue(pid: number): boolean {
    const looked = this.#processes.get(pid);
    return looked === undefined || looked.changed || this.#pass >= looked.next;
  }

  #looked(pid: number, found: Pick<Looked, 'links' | 'unseen'>): void {
    const firstPass = this.#processes.get(pid)?.firstPass ?? this.#pass;
    const pause = Math.min(latest, Math.max(soonest, Math.ceil((this.#pass - firstPass) / 4)));
    // Those that were found in one pass are not all looked at in one.
    const next = this.#pass + pause + (pid % pause);
    this.#processes.set(pid, { descriptors: [], changed: false, firstPass, next, ...found });
  }

  /** Which of these processes have a GPU open, and through which descriptors where that has changed. */
  async #look(pids: readonly number[]): Promise<void> {
    const links = await this.#files.links(
      pids.map((pid) => this.#path(pid, 'fd')),
      '/dev/dri/',
    );
    const moved: number[] = [];
    for (const [i, pid] of pids.entries()) {
      const found = links[i] ?? ENOENT;
      const earlier = this.#processes.get(pid);
      if (typeof found === 'number') {
        this.#unseen(pid, found);
        continue;
      }
      const text = [...found].sort().join('\n');
      const same = earlier?.links === text && earlier.unseen === null && !earlier.changed;
      const descriptors = same ? earlier.descriptors : [];
      this.#looked(pid, { links: text, unseen: null });
      if (same) this.#keep(pid, descriptors);
      else if (text !== '') moved.push(pid);
    }
    await this.#find(moved);
  }

  async #find(pids: readonly number[]): Promise<void> {
    const lists = await this.#files.list(pids.map((pid) => this.#path(pid, 'fdinfo')));
    const asked: { pid: number; name: string }[] = [];
    for (const [i, pid] of pids.entries()) {
      const entries = lists[i] ?? ENOENT;
      if (typeof entries === 'number') this.#unseen(pid, entries);
      else if (entries.length > maxDescriptors) this.#unseen(pid, ETIMEDOUT);
      else for (const { name } of entries) asked.push({ pid, name });
    }
    const texts = await this.#files.read(
      asked.map(({ pid, name }) => this.#path(pid, 'fdinfo', name)),
      maxFdinfoBytes,
    );
    const found = new Set<string>();
    for (const [i, { pid, name }] of asked.entries()) {
      const text = texts[i] ?? ENOENT;
      const looked = this.#processes.get(pid);
      if (looked === undefined) continue;
      if (typeof text === 'number') {
        if (text !== ENOENT) this.#unseen(pid, text);
        continue;
      }
      const client = this.#clientOf(text);
      const key = client === null ? '' : `${pid} ${client.pdev} ${client.id}`;
      // One that was duplicated says the same.
      if (client === null || found.has(key)) continue;
      found.add(key);
      this.#keep(pid, [...looked.descriptors, { path: this.#path(pid, 'fdinfo', name), text, client }]);
    }
  }

  #keep(pid: number, descriptors: readonly Descriptor[]): void {
    const looked = this.#processes.get(pid);
    if (looked !== undefined) looked.descriptors = descriptors;
  }

  #unseen(pid: number, errno: number): void {
    if (errno === ENOENT || errno === ESRCH) {
      this.#processes.delete(pid);
      return;
    }
    const unseen = errno === EACCES || errno === EPERM ? 'hidden' : 'stuck';
    this.#looked(pid, { links: '', unseen });
  }

  /** Reads the descriptors that are known. */
  async #read(): Promise<readonly { readonly pid: number; readonly client: DrmClient }[]> {
    const asked = [...this.#processes]
      .filter(([, { descriptors }]) => descriptors.length > 0)
      .sort(([a], [b]) => a - b)
      .flatMap(([pid, looked]) => looked.descriptors.map((descriptor) => ({ pid, looked, descriptor })));
    const texts = await this.#files.read(
      asked.map(({ descriptor }) => descriptor.path),
      maxFdinfoBytes,
    );
    const found: { readonly pid: number; readonly client: DrmClient }[] = [];
    for (const [i, { pid, looked, descriptor }] of asked.entries()) {
      const text = texts[i] ?? ENOENT;
      if (typeof text === 'number') {
        looked.changed = true;
        continue;
      }
      const client = text.equals(descriptor.text) ? descriptor.client : this.#clientOf(text);
      if (client?.pdev !== descriptor.client.pdev || client.id !== descriptor.client.id) looked.changed = true;
      if (client === null) continue;
      descriptor.text = text;
      descriptor.client = client;
      found.push({ pid, client });
    }
    return found;
  }

  #clientOf(text: Buffer): DrmClient | null {
    const client = parseFdinfo(text.toString('latin1'));
    return client !== null && this.#drivers.includes(client.driver) ? client : null;
  }

  /** A client that several processes have open is that of the one with the lowest pid: the others inherited it. */
  #fold(found: readonly { readonly pid: number; readonly client: DrmClient }[]): DrmHolders {
    const atMs = this.#now();
    const byDevice = new Map<string, Map<number, DrmHolder['clients'][number][]>>();
    const counted = new Set<string>();
    this.#meter.begin();
    for (const { pid, client } of found) {
      const key = `${client.pdev} ${client.id}`;
      if (counted.has(key)) continue;
      counted.add(key);
      const holders = byDevice.get(client.pdev) ?? new Map<number, DrmHolder['clients'][number][]>();
      byDevice.set(client.pdev, holders);
      const clients = holders.get(pid) ?? [];
      holders.set(pid, clients);
      clients.push({ client, use: this.#meter.measure(key, client, atMs) });
    }
    return {
      byDevice: new Map(
        [...byDevice].map(([pdev, holders]) => [pdev, [...holders].map(([pid, clients]) => ({ pid, clients }))]),
      ),
      incomplete: this.#incomplete(),
    };
  }

  #incomplete(): GpuReason | null {
    const unseen = new Set([...this.#processes.values()].map((looked) => looked.unseen));
    if (unseen.has('stuck')) return stuckReason;
    if (unseen.has('hidden')) return hiddenReason;
    return this.#ownNamespace ? namespacedReason : null;
  }

  #path(pid: number, ...rest: readonly string[]): string {
    return [this.#procRoot, pid, ...rest].join('/');
  }
}
