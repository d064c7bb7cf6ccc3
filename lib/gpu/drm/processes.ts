import { constants } from 'node:os';
import { join } from 'node:path';
import type { PidInodes } from '../../io/file-reader.js';
import { GuardedReader, type OpenFiles } from '../../io/guarded.js';
import type { DrmClient, DrmClientResult } from '../../native/drm-clients.js';
import { type GpuReason, gpuReason } from '../reasons.js';
import { EngineMeter, type EngineUse } from './engine-meter.js';
import { parseFdinfo } from './fdinfo.js';

/** Inode of the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h). */
const initialPidNamespace = 'pid:[4026531836]';

const { EACCES, EPERM, ENOENT, ESRCH, ETIMEDOUT } = constants.errno;

/** A process with a GPU open: its clients on that GPU, each counted once on the host. */
export interface DrmHolder {
  readonly pid: number;
  readonly clients: readonly { readonly client: DrmClient; readonly use: EngineUse | null }[];
}

export interface DrmHolders {
  /** By driver and PCI address: `deviceKey`. */
  readonly byDevice: ReadonlyMap<string, readonly DrmHolder[]>;
  /** Why some processes may be missing; null: all that there are were looked at. */
  readonly incomplete: GpuReason | null;
}

interface Descriptor {
  readonly path: string;
  /** Which client it was of when it was found: `DrmShape.key`. */
  readonly client: string;
}

type Unseen = 'hidden' | 'stuck' | 'crowded';

interface Found {
  readonly pid: number;
  readonly client: DrmClient;
}

interface Looked {
  /** Another process has the same pid where this is another. */
  readonly inode: number;
  /** Descriptors on a GPU, one for each client. */
  descriptors: readonly Descriptor[];
  /** Names of its descriptors below /dev/dri, and how many they are. */
  readonly names: string;
  readonly count: number;
  /** A descriptor is not what it was. */
  changed: boolean;
  readonly firstPass: number;
  /** Pass of the next look. */
  readonly next: number;
}

const noDescriptors: readonly Descriptor[] = [];

/** All descriptors that are read in a pass: the same from pass to pass as long as no process has others. */
interface Asked {
  readonly paths: readonly string[];
  /** `among`: all those of its process. */
  readonly of: readonly (Descriptor & { readonly pid: number; readonly among: readonly Descriptor[] })[];
}

/** Names of a process's descriptors of GPUs, or an errno. */
interface Look {
  readonly pid: number;
  readonly names: readonly string[] | number;
}

/** A descriptor of which it is not known yet, or not any more, what it is of. */
interface Unknown {
  readonly pid: number;
  readonly path: string;
}

/**
 * A process is looked at again after a quarter of its age, in passes within these bounds: it opens its GPUs when it is
 * young, and to list its descriptors is the costliest part of a pass. One whose descriptors changed is at the next pass.
 */
const [soonest, latest] = [2, 20];
/** A process with more descriptors of GPUs is left out; where all together have more, those that have most. */
const maxDescriptors = { ofOne: 4096, inAll: 16_384 };
const maxFdinfoBytes = 8192;

const hiddenReason = gpuReason(
  'noPermission',
  'descriptors of other users may not be read: run the hive as root or with CAP_SYS_PTRACE',
);
const namespacedReason = gpuReason(
  'noPermission',
  'only processes of this container are seen: give it the pids of the host',
);
const crowdedReason = gpuReason('timeout', 'processes have more descriptors of GPUs than are looked at');
const stuckReason = gpuReason('timeout', 'descriptors of a process cannot be read: it gives no answer');

export const deviceKey = ({ driver, pdev }: { readonly driver: string; readonly pdev: string }): string =>
  `${driver} ${pdev}`;

export interface DrmProcessesOptions {
  readonly procRoot: string;
  readonly now: () => number;
  /** A scan that began within so many ms is that of whoever asks meanwhile. */
  readonly sharedMs?: number;
  readonly open?: OpenFiles | undefined;
  readonly descriptors?: typeof maxDescriptors;
}

/** Finds the processes that have GPUs of any driver open, by their descriptors. One for all vendors: /proc is walked once. */
export class DrmProcesses {
  readonly #files: GuardedReader;
  readonly #procRoot: string;
  readonly #listed: readonly [string];
  readonly #now: () => number;
  readonly #sharedMs: number;
  readonly #most: typeof maxDescriptors;
  readonly #meter = new EngineMeter();
  readonly #processes = new Map<number, Looked>();
  /** By the pass in which they are looked at again. */
  readonly #due = new Map<number, number[]>();
  /** To be looked at in the next pass. */
  readonly #soon = new Set<number>();
  readonly #unseenPids = new Map<number, Unseen>();
  /** Descriptors of all processes. */
  #count = 0;
  #asked: Asked | null = null;
  #inodes: PidInodes = new Map();
  #scan: { readonly beganMs: number; readonly holders: Promise<DrmHolders> } | null = null;
  #pass = 0;
  #ownNamespace: boolean | null = null;

  constructor({ procRoot, now, sharedMs = 0, open, descriptors = maxDescriptors }: DrmProcessesOptions) {
    this.#most = descriptors;
    const message = (what: string) => `${what}: a driver does not answer for the process`;
    // Each process of a host may hang.
    this.#files = new GuardedReader({
      open,
      maxAbandoned: 16,
      fault: (what) => ({ source: 'gpu', code: 'TIMEOUT', message: message(what) }),
    });
    this.#procRoot = procRoot;
    this.#listed = Object.freeze([procRoot]);
    this.#now = now;
    this.#sharedMs = sharedMs;
  }

  /** Rejects only after `close`. */
  scan(): Promise<DrmHolders> {
    const now = this.#now();
    if (this.#scan !== null && now - this.#scan.beganMs <= this.#sharedMs) return this.#scan.holders;
    this.#scan = { beganMs: now, holders: this.#walk() };
    return this.#scan.holders;
  }

  close(): void {
    this.#files.close();
  }

  /** What is known of processes is read while the list of them is, and those that are due are looked at. */
  async #walk(): Promise<DrmHolders> {
    this.#pass += 1;
    this.#ownNamespace ??= await this.#isNamespaced();
    const due = this.#takeDue();
    this.#asked ??= this.#allDescriptors();
    const asked = this.#asked;
    const [[inodes], names, clients] = await Promise.all([
      this.#files.pids(this.#listed),
      due.length > 0 ? this.#linkNames(due) : [],
      asked.paths.length > 0 ? this.#clients(asked.paths) : [],
    ]);
    if (inodes === undefined || typeof inodes === 'number') {
      for (const pid of due) this.#soon.add(pid);
      return { byDevice: new Map(), incomplete: inodes === ETIMEDOUT ? stuckReason : hiddenReason };
    }
    const unknown = this.#takeInodes(inodes);
    const looks = due.map((pid, i) => ({ pid, names: names[i] ?? ENOENT })).filter(({ pid }) => inodes.has(pid));
    const others = due.length === 0 ? unknown : unknown.filter((pid) => !due.includes(pid));
    if (others.length > 0) {
      const found = await this.#linkNames(others);
      looks.push(...others.map((pid, i) => ({ pid, names: found[i] ?? ENOENT })));
    }
    const unread = this.#look(inodes, looks);
    const found = this.#read(asked, clients);
    if (unread.length > 0) {
      found.push(...(await this.#find(unread)));
      found.sort((a, b) => a.pid - b.pid);
    }
    return this.#fold(found);
  }

  /** Whether this /proc shows the processes of one container alone. */
  async #isNamespaced(): Promise<boolean> {
    const [links] = await this.#files.links([join(this.#procRoot, 'self/ns')], 'pid:[');
    return typeof links === 'object' && links.length > 0 && !links.includes(initialPidNamespace);
  }

  /** Those that are known, and are to be looked at in this pass. */
  #takeDue(): readonly number[] {
    const due = new Set(this.#soon);
    this.#soon.clear();
    for (const [pass, pids] of this.#due) {
      if (pass > this.#pass) continue;
      this.#due.delete(pass);
      for (const pid of pids)
        if ((this.#processes.get(pid)?.next ?? Number.POSITIVE_INFINITY) <= this.#pass) due.add(pid);
    }
    return [...due];
  }

  /** Forgets processes that have ended; gives those that are not known yet. */
  #takeInodes(inodes: PidInodes): readonly number[] {
    // A reader gives the same list where nothing has changed.
    if (inodes === this.#inodes) return [];
    this.#inodes = inodes;
    for (const [pid, { inode }] of this.#processes) if (inodes.get(pid) !== inode) this.#forget(pid);
    return [...inodes.keys()].filter((pid) => !this.#processes.has(pid));
  }

  #linkNames(pids: readonly number[]): Promise<readonly (readonly string[] | number)[]> {
    return this.#files.linkNames(
      pids.map((pid) => this.#path(pid, 'fd')),
      '/dev/dri/',
    );
  }

  /**
   * Which processes have a GPU open; gives those of their descriptors that are not read in each pass. Of one that was of no client,
   * or a second one of a client, the name may have been given to another since the last look.
   */
  #look(inodes: PidInodes, looks: readonly Look[]): readonly Unknown[] {
    const unread: Unknown[] = [];
    if (looks.length === 0) return unread;
    const most = this.#mostOfOne(new Map(looks.map(({ pid, names }) => [pid, lengthOf(names)])));
    for (const { pid, names: found } of looks) {
      const inode = inodes.get(pid) as number;
      if (typeof found === 'number') {
        this.#unseen(pid, inode, found);
        continue;
      }
      if (found.length > most) {
        this.#looked(pid, { inode, names: '', count: 0 }, noDescriptors, 'crowded');
        continue;
      }
      const sorted = [...found].sort();
      const all = sorted.join(' ');
      const earlier = this.#processes.get(pid);
      const same = earlier !== undefined && !earlier.changed && earlier.names === all;
      const known = same ? earlier.descriptors : noDescriptors;
      this.#looked(pid, { inode, names: all, count: sorted.length }, known);
      const isRead = new Set(known.map(({ path }) => path));
      const paths = sorted.map((name) => this.#path(pid, 'fdinfo', name));
      unread.push(...paths.filter((path) => !isRead.has(path)).map((path) => ({ pid, path })));
    }
    return unread;
  }

  /** How many descriptors a process that is looked at now may have, so that all have no more than may be. */
  #mostOfOne(counts: ReadonlyMap<number, number>): number {
    let inAll = this.#count;
    for (const pid of counts.keys()) inAll -= this.#processes.get(pid)?.count ?? 0;
    let most = this.#most.ofOne;
    const sorted = [...counts.values()].filter((count) => count > 0 && count <= most).sort((a, b) => a - b);
    for (const count of sorted) {
      inAll += count;
      // Of those that have as many some may have had room; who has fewer had.
      if (inAll > this.#most.inAll) most = Math.min(most, count - 1);
    }
    return most;
  }

  #looked(
    pid: number,
    found: Pick<Looked, 'inode' | 'names' | 'count'>,
    descriptors: readonly Descriptor[],
    unseen: Unseen | null = null,
  ): void {
    const earlier = this.#processes.get(pid);
    const firstPass = earlier?.firstPass ?? this.#pass;
    const pause = Math.min(latest, Math.max(soonest, Math.ceil((this.#pass - firstPass) / 4)));
    // Those that were found in one pass are not all looked at in one.
    const next = this.#pass + pause + (pid % pause);
    const { inode, names, count } = found;
    this.#processes.set(pid, { inode, names, count, descriptors, changed: false, firstPass, next });
    const due = this.#due.get(next) ?? [];
    this.#due.set(next, due);
    due.push(pid);
    this.#count += count - (earlier?.count ?? 0);
    if (descriptors !== (earlier?.descriptors ?? noDescriptors)) this.#asked = null;
    if (unseen === null) this.#unseenPids.delete(pid);
    else this.#unseenPids.set(pid, unseen);
  }

  #forget(pid: number): void {
    const known = this.#processes.get(pid);
    this.#count -= known?.count ?? 0;
    if (known?.descriptors !== noDescriptors) this.#asked = null;
    this.#processes.delete(pid);
    this.#unseenPids.delete(pid);
  }

  #unseen(pid: number, inode: number, errno: number): void {
    if (!isGone(errno)) {
      this.#looked(pid, { inode, names: '', count: 0 }, noDescriptors, unseenBy(errno));
      return;
    }
    this.#forget(pid);
    // It may stand in the list of processes for longer.
    this.#soon.add(pid);
  }

  /** Which of these descriptors are of clients, and of which: one for each. */
  async #find(asked: readonly Unknown[]): Promise<readonly Found[]> {
    const clients = await this.#clients(asked.map(({ path }) => path));
    const known = new Map<number, { seen: Set<string>; descriptors: Descriptor[] }>();
    const found: Found[] = [];
    for (const [i, { pid, path }] of asked.entries()) {
      const client = clients[i] ?? null;
      const looked = this.#processes.get(pid);
      if (looked === undefined || client === null || client === ENOENT) continue;
      if (typeof client === 'number') {
        this.#unseen(pid, looked.inode, client);
        continue;
      }
      const { key } = client.shape;
      const { descriptors } = looked;
      const own = known.get(pid) ?? {
        seen: new Set(descriptors.map(({ client }) => client)),
        descriptors: [...descriptors],
      };
      known.set(pid, own);
      // One that was duplicated says the same.
      if (own.seen.has(key)) continue;
      own.seen.add(key);
      own.descriptors.push({ path, client: key });
      looked.descriptors = own.descriptors;
      this.#asked = null;
      found.push({ pid, client });
    }
    // Not of one that has ended, or refused another, meanwhile.
    return found.filter(({ pid }) => this.#processes.get(pid)?.descriptors === known.get(pid)?.descriptors);
  }

  /** The addon parses them where there is one. */
  async #clients(paths: readonly string[]): Promise<readonly DrmClientResult[]> {
    const parsed = await this.#files.drmClients(paths, maxFdinfoBytes);
    if (parsed !== null) return parsed;
    const texts = await this.#files.readKept(paths, maxFdinfoBytes);
    return texts.map((text) => (typeof text === 'number' ? text : parseFdinfo(text)));
  }

  #allDescriptors(): Asked {
    const of = [...this.#processes]
      .filter(([, { descriptors }]) => descriptors.length > 0)
      .sort(([a], [b]) => a - b)
      .flatMap(([pid, { descriptors }]) =>
        descriptors.map(({ path, client }) => ({ path, client, pid, among: descriptors })),
      );
    return { paths: Object.freeze(of.map(({ path }) => path)), of };
  }

  /** What known descriptors gave, of processes that are what they were. */
  #read({ of }: Asked, clients: readonly DrmClientResult[]): Found[] {
    const found: Found[] = [];
    for (let i = 0; i < of.length; i++) {
      const { pid, client: known, among } = of[i] as Asked['of'][number];
      const looked = this.#processes.get(pid);
      if (looked?.descriptors !== among) continue;
      const client = clients[i] ?? null;
      const isClient = client !== null && typeof client !== 'number';
      if (isClient) found.push({ pid, client });
      if (isClient && client.shape.key === known) continue;
      looked.changed = true;
      this.#soon.add(pid);
      // What it holds is not known from now on, rather than nothing until the next look.
      if (typeof client === 'number' && !isGone(client)) this.#unseenPids.set(pid, unseenBy(client));
    }
    return found;
  }

  /** A client that several processes have open is that of the one with the lowest pid: the others inherited it. */
  #fold(found: readonly Found[]): DrmHolders {
    const atMs = this.#now();
    const byDevice = new Map<string, { pid: number; clients: DrmHolder['clients'][number][] }[]>();
    const counted = new Set<string>();
    this.#meter.begin();
    for (const { pid, client } of found) {
      const { key, device } = client.shape;
      if (counted.has(key)) continue;
      counted.add(key);
      let holders = byDevice.get(device);
      if (holders === undefined) {
        holders = [];
        byDevice.set(device, holders);
      }
      const each = { client, use: this.#meter.measure(client, atMs) };
      // In the order of pids.
      const last = holders.at(-1);
      if (last?.pid === pid) last.clients.push(each);
      else holders.push({ pid, clients: [each] });
    }
    return { byDevice, incomplete: this.#incomplete() };
  }

  #incomplete(): GpuReason | null {
    const unseen = new Set(this.#unseenPids.values());
    if (unseen.has('stuck')) return stuckReason;
    if (unseen.has('hidden')) return hiddenReason;
    if (unseen.has('crowded')) return crowdedReason;
    return this.#ownNamespace ? namespacedReason : null;
  }

  #path(pid: number, ...rest: readonly string[]): string {
    return [this.#procRoot, pid, ...rest].join('/');
  }
}

const lengthOf = (names: readonly string[] | number | undefined): number => (Array.isArray(names) ? names.length : 0);

const isGone = (errno: number): boolean => errno === ENOENT || errno === ESRCH;
const isRefusal = (errno: number): boolean => errno === EACCES || errno === EPERM;
const unseenBy = (errno: number): 'hidden' | 'stuck' => (isRefusal(errno) ? 'hidden' : 'stuck');
