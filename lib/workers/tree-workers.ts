/** Finds the workers that have no cgroup of their own: trees of processes below an engine, or below what holds a GPU. */
import {
  emptyForest,
  type Forest,
  growForest,
  identityKey,
  type ProcessIdentity,
  type TreeRoot,
} from './process-forest.js';
import type { KnownProcess, ProcessTable } from './process-table.js';
import { isRecentLaunch, type RecordsRead, type WorkerRecord } from './records.js';

/** A worker that is a tree of processes. */
export interface ProcessTree {
  /** Stands where a worker with a cgroup has its path, and is never one: paths begin with `/`. */
  readonly key: string;
  readonly group: string;
  readonly instance: string;
  /** Of `run`; null of one that was found. */
  readonly record: WorkerRecord | null;
  /** Parents come before their children; zombies included. */
  readonly members: readonly ProcessIdentity[];
}

/** All trees, and which one is around which. */
export interface ProcessTrees {
  readonly trees: readonly ProcessTree[];
  readonly outer: Forest['outer'];
  /** Tree of a process by its `identityKey`. */
  readonly treeOf: ReadonlyMap<string, string>;
}

export const noTrees: ProcessTrees = { trees: [], outer: new Map(), treeOf: new Map() };

interface NamedRoot extends TreeRoot, Pick<ProcessTree, 'group' | 'instance' | 'record'> {}

interface TreeWorkersOptions {
  readonly processes: Pick<ProcessTable, 'all' | 'get' | 'find' | 'generation' | 'readMarkers'>;
}

/** Variable in the environment of a worker without a cgroup, by which what descends from it is known. */
export const markerVariable = 'HIVEPULSE_WORKER_MARK';

/** The group of workers that were found as trees of processes. */
const treeGroup = 'processes';

const keyOf = ({ pid, startTicks }: ProcessIdentity): string => `processes:${pid}:${startTicks}`;

/** `vllm-4711`. Names that processes give themselves may hold any bytes. */
function nameOf({ engine, comm, pid }: KnownProcess): string {
  const plain = (engine ?? comm).replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/\.{2,}/g, '.');
  return `${/^[A-Za-z0-9]/.test(plain) ? plain : `process${plain}`}-${pid}`;
}

export class TreeWorkers {
  readonly #options: TreeWorkersOptions;
  /** Processes that were seen to hold a GPU, by `identityKey`. */
  readonly #holders = new Map<string, ProcessIdentity>();
  #holdersSeen = 0;
  #roots: readonly NamedRoot[] = [];
  #forest: Forest = emptyForest;
  #trees: ProcessTrees = noTrees;
  #madeOf = '';

  constructor(options: TreeWorkersOptions) {
    this.#options = options;
  }

  /** Rises with each process that is seen to hold a GPU and was not before. */
  get holdersSeen(): number {
    return this.#holdersSeen;
  }

  /** There is no tree, and of what runs only an engine could become one. */
  get isEmpty(): boolean {
    return this.#roots.length === 0 && this.#holders.size === 0;
  }

  /** A process of no worker was seen to hold a GPU. */
  holdsGpu(pid: number): void {
    const process = this.#options.processes.get(pid);
    if (process === null) return;
    const key = identityKey(process);
    if (!this.#holders.has(key)) this.#holdersSeen += 1;
    this.#holders.set(key, process);
  }

  /**
   * The trees after a scan of processes. `isShared`: whether a process of this cgroup has none of its own; null: only
   * launched workers are watched.
   */
  update(
    isShared: ((cgroup: string | null) => boolean) | null,
    situation: string,
    records: Pick<RecordsRead, 'running' | 'launching'>,
  ): ProcessTrees {
    const { processes } = this.#options;
    const launched = records.running.flatMap(rootOf);
    // What is new while a worker is launched may be that worker, whose record is about to be written.
    const isLaunching = records.launching.some(({ sinceMs }) => isRecentLaunch(sinceMs));
    for (const [identity, { pid, startTicks }] of this.#holders)
      if (processes.find(pid, startTicks) === null) this.#holders.delete(identity);
    const madeOf = [
      processes.generation,
      situation,
      ...this.#holders.keys(),
      isLaunching,
      ...launched.map(({ record }) => `${identityKey(record)} ${record.exit?.at}`),
    ].join(' ');
    if (madeOf === this.#madeOf) return this.#trees;
    this.#madeOf = madeOf;
    const candidates = isShared === null || isLaunching ? [] : this.#candidates(isShared);
    if (candidates.length === 0 && launched.length === 0 && this.#roots.length === 0) {
      this.#trees = noTrees;
      return noTrees;
    }
    if (launched.length > 0) processes.readMarkers();
    const all = [...processes.all()];
    const isLaunched = new Set(launched.map(({ key }) => key));
    const known = [...this.#roots.filter(({ key }) => !isLaunched.has(key)), ...launched];
    let forest = growForest(this.#forest, all, known);
    const living = new Set([...forest.members.values()].map(({ tree }) => tree));
    let roots = known.filter(({ key }) => living.has(key));
    for (const process of candidates) {
      if (forest.members.has(identityKey(process))) continue;
      const { pid, startTicks } = process;
      const named = { group: treeGroup, instance: nameOf(process), record: null };
      roots = [...roots, { key: keyOf(process), pid, startTicks, marker: null, reaper: null, ...named }];
      // Again for each: what descends from it is not another worker.
      forest = growForest(forest, all, roots);
    }
    this.#roots = roots;
    this.#forest = forest;
    this.#trees = treesOf(roots, forest);
    return this.#trees;
  }

  /** Engines and GPU holders that have no cgroup of their own, the oldest first; one below another is part of it. */
  #candidates(isShared: (cgroup: string | null) => boolean): readonly KnownProcess[] {
    const { processes } = this.#options;
    const found: KnownProcess[] = [];
    for (const process of processes.all()) {
      const { engine, cgroup } = process;
      if ((engine !== null || this.#holders.has(identityKey(process))) && isShared(cgroup)) found.push(process);
    }
    if (found.length < 2) return found;
    const pids = new Set(found.map(({ pid }) => pid));
    const isTop = (process: KnownProcess): boolean => {
      const seen = new Set([process.pid]);
      for (let at = process.parentPid; !seen.has(at); at = processes.get(at)?.parentPid ?? 0) {
        if (pids.has(at)) return false;
        seen.add(at);
      }
      return true;
    };
    return found.filter(isTop).sort((a, b) => a.startTicks - b.startTicks);
  }
}

/** Where the tree of a launched worker without a cgroup begins; none of another worker. */
function rootOf(record: WorkerRecord): readonly (NamedRoot & { readonly record: WorkerRecord & ProcessIdentity })[] {
  const { cgroup, pid, startTicks, marker, group, instance } = record;
  if (cgroup !== null || startTicks === null || marker === undefined) return [];
  const identity = { pid, startTicks };
  return [
    { key: keyOf(identity), ...identity, marker, reaper: null, group, instance, record: { ...record, startTicks } },
  ];
}

function treesOf(roots: readonly NamedRoot[], { members, outer }: Forest): ProcessTrees {
  const lists = new Map<string, ProcessIdentity[]>(roots.map(({ key }) => [key, []]));
  const treeOf = new Map<string, string>();
  for (const [identity, { tree }] of members) {
    const [pid = 0, startTicks = 0] = identity.split('/').map(Number);
    lists.get(tree)?.push({ pid, startTicks });
    treeOf.set(identity, tree);
  }
  const trees = roots.map(({ key, group, instance, record }) => ({
    key,
    group,
    instance,
    record,
    members: lists.get(key) ?? [],
  }));
  return { trees, outer, treeOf };
}
