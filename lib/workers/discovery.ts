import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { ETIMEDOUT, GuardedReader, GuardedTask, type OpenFiles } from '../io/guarded.js';
import { printablePath } from '../util/byte-path.js';
import type { Clock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';
import type { ContainerNames } from './container-names.js';
import { WorkerDescriptions } from './describe-workers.js';
import { AncestorLimits } from './limits.js';
import type { ProcessTable } from './process-table.js';
import type { RecordsRead } from './records.js';
import { isShared, mayStillBeRead, type Selected, Selection, type SharingInput } from './selection.js';
import { ThreadedCgroups } from './threaded.js';
import { type CgroupTree, countDescendants, countPath, walkTree } from './tree-walk.js';
import { noTrees, type ProcessTree, type ProcessTrees, TreeWorkers } from './tree-workers.js';
import type { Watched, WatchSet } from './watched.js';

export interface DiscoveryOptions {
  /** cgroup v2 root, absolute; null where there is none: workers are trees of processes then. */
  readonly root: string | null;
  /** `--watch` patterns, compared with paths relative to the root. */
  readonly watch: readonly string[];
  /** Watch containers, engines and GPU holders too, not only launched workers and what `watch` matches. */
  readonly auto: boolean;
  readonly openFiles?: OpenFiles | undefined;
  readonly processes: ProcessTable;
  /** Pid of the hive itself in that table: what else runs in its cgroup has none of its own. null: not known. */
  readonly ownPid?: number | null;
  readonly names: ContainerNames;
  readonly records: () => Promise<RecordsRead>;
  readonly clock: Clock;
  /** How often /proc is scanned for new processes (default 2000). */
  readonly processesEveryMs?: number;
  /** How often the tree is walked although its number of cgroups is the same (default 10,000). */
  readonly walkEveryMs?: number;
  /** How often records of `run` are read although the tree did not change (default 1000). */
  readonly recordsEveryMs?: number;
  /** How long a cgroup stays watched after its last engine or GPU process was seen (default 30,000). */
  readonly keepMs?: number;
}

interface MadeOf extends SharingInput {
  readonly engines: number;
  readonly holders: number;
  readonly all: number;
}

/** Finds the cgroups that are workers: by the tree, by the processes in them, and by the records of `run`. */
export class Discovery {
  readonly #options: Required<Omit<DiscoveryOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #readRecords: GuardedTask<RecordsRead>;
  readonly #bornMs: number;
  #recoveries = 0;
  readonly #limits: AncestorLimits;
  readonly #threaded: ThreadedCgroups;
  readonly #selection: Selection;
  readonly #trees: TreeWorkers;
  readonly #descriptions: WorkerDescriptions;
  #tree: CgroupTree | null = null;
  #countPath: readonly string[] | null = null;
  #walkedMs = Number.NEGATIVE_INFINITY;
  #scannedMs = Number.NEGATIVE_INFINITY;
  #recordsMs = Number.NEGATIVE_INFINITY;
  #records: RecordsRead = { running: [], ended: [], launching: [], problems: [] };
  #recordsReadAtMs = Number.NEGATIVE_INFINITY;
  #set: Omit<WatchSet, 'recordsReadAtMs'> & { readonly trees: ProcessTrees } = {
    watched: [],
    trees: noTrees,
    complete: false,
    faults: [],
    ended: [],
  };
  /** What `#set` was made of, of processes; null before it was made. */
  #madeOf: MadeOf | null = null;
  /** The cgroups of `#set`. */
  #found: ReadonlyMap<string, Selected> = new Map();
  #running: Promise<void> | null = null;
  #again = false;

  constructor(options: DiscoveryOptions) {
    this.#options = {
      ownPid: null,
      processesEveryMs: 2000,
      recordsEveryMs: 1000,
      walkEveryMs: 10_000,
      keepMs: 30_000,
      ...options,
    };
    this.#bornMs = options.clock.now();
    const { openFiles: open, clock } = options;
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what) => ({
        source: 'cgroup',
        code: 'CGROUP_TREE_STALLED',
        message: `${what}: workers below it may not be seen.`,
      }),
    });
    this.#readRecords = new GuardedTask(options.records, clock);
    this.#limits = new AncestorLimits(this.#files);
    this.#descriptions = new WorkerDescriptions(options.names, this.#limits);
    this.#threaded = new ThreadedCgroups(this.#files);
    this.#selection = new Selection({ ...this.#options, threaded: this.#threaded });
    this.#trees = new TreeWorkers(this.#options);
  }

  /** The workers of the last scan that are trees of processes. */
  get trees(): ProcessTrees {
    return this.#set.trees;
  }

  /** What the last scan found, and what hangs now. */
  current(): WatchSet {
    const { processes, names } = this.#options;
    const { trees: _, ...set } = this.#set;
    const faults = [...set.faults, ...this.#files.faults(), ...processes.faults(), ...names.faults()];
    if (this.#readRecords.stalled) {
      faults.push({
        source: 'hive',
        code: 'RECORDS_STALLED',
        message:
          'Reading the records of workers does not return: labels, models, ports and exits of launched workers are not known.',
      });
    }
    const complete = set.complete && !this.#stalled;
    return { ...set, complete, faults, recordsReadAtMs: this.#recordsReadAtMs };
  }

  close(): void {
    this.#files.close();
  }

  /** Some read hangs without which workers may be missing. */
  get #stalled(): boolean {
    const { auto, processes } = this.#options;
    return this.#files.stalled || this.#readRecords.stalled || (auto && processes.stalled);
  }

  /** A GPU process was seen in this cgroup, which is no worker yet. It, or the process, becomes one at the next scan. */
  holdsGpu(path: string | null, pid: number | null): void {
    const { root, auto } = this.#options;
    const hasNone = path === null ? root === null : isShared(path, this.#sharing);
    if (!hasNone && path !== null) this.#selection.hold(path);
    else if (hasNone && auto && pid !== null) this.#trees.holdsGpu(pid);
  }

  /** Keeps all GPU holders watched: while the GPU reader does not answer, none can be seen. */
  keepHeld(): void {
    this.#selection.keepHeld();
  }

  /** A watched cgroup has vanished: the next scan walks, whatever the count says. */
  changed(): void {
    this.#walkedMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Looks for changes, and reads only what changed; with `force` everything. One scan at a time: a call during a scan
   * resolves with it, and a forced call makes another scan follow.
   */
  scan(force = false): Promise<void> {
    if (this.#running) {
      this.#again ||= force;
      return this.#running;
    }
    this.#running = (async () => {
      await this.#scan(force);
      while (this.#again) {
        this.#again = false;
        await this.#scan(true);
      }
    })().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #scan(force: boolean): Promise<void> {
    const { root, processes, clock, processesEveryMs, recordsEveryMs } = this.#options;
    const now = clock.now();
    const walked = root !== null && (await this.#walkIfDue(root, force, now));
    const scanned = force || now - this.#scannedMs >= processesEveryMs;
    if (scanned) {
      this.#scannedMs = now;
      await processes.scan();
    }
    let records = this.#records;
    if (walked || scanned || now - this.#recordsMs >= recordsEveryMs) {
      this.#recordsMs = now;
      const read = await this.#readRecords.run();
      if (read !== null) {
        records = read.value;
        this.#recordsReadAtMs = read.beganMs;
      }
    }
    const isSame = records === this.#records && !walked;
    if (isSame && (!scanned || (!force && this.#staysAs()))) {
      if (scanned && root !== null) await this.#nameContainers(root);
      return;
    }
    this.#records = records;
    this.#madeOf = this.#made();
    if (root === null) this.#updateWithoutCgroups();
    else if (this.#tree !== null) await this.#update(root, this.#tree, walked);
  }

  async #walkIfDue(root: string, force: boolean, now: number): Promise<boolean> {
    const files = this.#files;
    const { recoveries } = files;
    const due = force || now - this.#walkedMs >= this.#options.walkEveryMs || recoveries !== this.#recoveries;
    if (!due) {
      this.#countPath ??= countPath(root);
      const count = await countDescendants(files, this.#countPath);
      if (count !== null && count === this.#tree?.descendants) return false;
    }
    const tree = await walkTree(files, root, this.#tree);
    this.#walkedMs = now;
    this.#recoveries = recoveries;
    if (tree.paths.join('\0') !== this.#tree?.paths.join('\0')) this.#selection.setTree(tree);
    this.#tree = tree;
    return true;
  }

  /** What of the processes the workers were made of, where records and the tree of cgroups stay what they are. */
  #made(): MadeOf {
    const { processes } = this.#options;
    return {
      engines: processes.engineGeneration,
      holders: this.#trees.holdersSeen,
      // Whatever starts may belong to a tree.
      all: this.#trees.isEmpty ? 0 : processes.generation,
      ...this.#sharing,
    };
  }

  /** Whether another look at the same tree and records would find the same workers: most processes concern none. */
  #staysAs(): boolean {
    const { complete, faults } = this.#set;
    const before = this.#madeOf;
    if (before === null || !complete || faults.length > 0 || !this.#limits.rootKnown) return false;
    // Those that are launched or cannot be read are waited for only so long.
    if (this.#records.launching.length > 0 || this.#stalled || this.#recordsReadAtMs < this.#bornMs) return false;
    const now = this.#made();
    for (const key in now) if (now[key as keyof MadeOf] !== before[key as keyof MadeOf]) return false;
    return this.#selection.staysAs(now);
  }

  #recordFaults(): Fault[] {
    return this.#records.problems.map(({ path, message }) => ({
      source: 'hive',
      code: 'RECORD_UNREADABLE',
      message: `The worker record ${path}: ${message}.`,
    }));
  }

  /** What makes a cgroup one that workers share. */
  get #sharing() {
    const { ownPid, processes } = this.#options;
    const ownCgroup = ownPid === null ? null : (processes.get(ownPid)?.cgroup ?? null);
    return { rootAdoptable: this.#limits.rootIsInner, ownCgroup };
  }

  #updateWithoutCgroups(): void {
    const trees = this.#trees.update(this.#options.auto ? () => true : null, '', this.#records);
    this.#set = {
      watched: trees.trees.map(watchedTree),
      trees,
      complete: !this.#stalled,
      faults: this.#recordFaults(),
      ended: this.#records.ended,
    };
  }

  /** Trees of processes in cgroups that they share with others. */
  #findTrees(found: Map<string, Selected>): ProcessTrees {
    if (!this.#options.auto) return this.#trees.update(null, '', this.#records);
    const sharing = this.#sharing;
    const launched = (path: string): boolean => {
      const entry = found.get(path);
      return entry != null && (!('kind' in entry) || entry.kind === 'own');
    };
    const isOpen = (path: string): boolean => isShared(path, sharing) && !launched(path);
    const situation = `${sharing.ownCgroup} ${sharing.rootAdoptable} ${sharing.ownCgroup !== null && launched(sharing.ownCgroup)}`;
    const trees = this.#trees.update((path) => path !== null && isOpen(path), situation, this.#records);
    // The container around the hive is no worker where its workers are inside of it.
    if (trees.trees.length > 0 && sharing.ownCgroup !== null) found.delete(sharing.ownCgroup);
    return trees;
  }

  async #update(root: string, tree: CgroupTree, walked: boolean): Promise<void> {
    const faults = this.#recordFaults();
    for (const { path, errno } of tree.unreadable) {
      // The guarded reader has the fault of a listing that hangs.
      if (errno === ETIMEDOUT) continue;
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_UNREADABLE',
        message: `${printablePath(join(root, path))} cannot be listed (${errnoText(errno)}); workers below it are not seen.`,
      });
    }
    // What the root is decides who is a worker.
    if (!this.#limits.rootKnown) await this.#limits.read(root, []);
    await this.#threaded.read(root, tree, this.#selection.candidates(tree));
    const known = new Set(this.#set.watched.flatMap(({ path, scope }) => (scope === 'cgroup' ? [path] : [])));
    const sinceReadMs = this.#options.clock.now() - Math.max(this.#bornMs, this.#recordsReadAtMs);
    const input = {
      root,
      tree,
      records: this.#records,
      watched: known,
      ...this.#sharing,
      recordsUnread: (this.#recordsReadAtMs < this.#bornMs || this.#readRecords.stalled) && mayStillBeRead(sinceReadMs),
    };
    const found = this.#selection.select(input, faults);
    const trees = this.#findTrees(found);
    const same = known.size === found.size && [...found.keys()].every((path) => known.has(path));
    if (walked || !same) await this.#limits.read(root, [...found.keys()]);
    this.#found = found;
    this.#set = {
      watched: await this.#describe(root, found, trees),
      trees,
      complete: tree.unreadable.length === 0 && !this.#stalled,
      faults,
      ended: this.#records.ended,
    };
  }

  async #describe(
    root: string,
    found: ReadonlyMap<string, Selected>,
    { trees }: ProcessTrees,
  ): Promise<readonly Watched[]> {
    const described = await this.#descriptions.describe(root, found, this.#records.running);
    return trees.length === 0 ? described : [...described, ...trees.map(watchedTree)];
  }

  /** A container's name may come, or be another, while nothing else changes. */
  async #nameContainers(root: string): Promise<void> {
    const isContainer = (entry: Selected) => entry !== null && 'kind' in entry && entry.kind === 'container';
    if (![...this.#found.values()].some(isContainer)) return;
    this.#set = { ...this.#set, watched: await this.#describe(root, this.#found, this.#set.trees) };
  }
}

/** A worker that is a tree of processes. Limits of cgroups around it are not its own. */
const watchedTree = ({ key, group, instance, record }: ProcessTree): Watched => ({
  scope: 'processes',
  id: `${group}/${instance}`,
  group,
  instance,
  path: key,
  directory: null,
  origin: record === null ? 'adopted' : 'launched',
  name: null,
  record,
  ancestorMemoryBytes: null,
  ancestorCpuPercent: null,
});
