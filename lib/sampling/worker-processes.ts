import type { KnownProcess } from '../workers/process-table.js';
import type { WorkerRecord } from '../workers/records.js';
import type { ProcessTrees } from '../workers/tree-workers.js';
import { holderOf, workerAt } from './attribution.js';
import type { SamplerDeps } from './deps.js';
import type { StartClock } from './start-clock.js';
import type { Tracked } from './tracked.js';
import { describe, mainProcess, unreadProcess, type WorkerProcess } from './worker.js';

type Deps = Pick<SamplerDeps, 'processes' | 'showCommand'>;

export interface IdentifiedProcesses {
  readonly main: WorkerProcess | null;
  /** Number of processes of cgroups below the worker's own. */
  readonly nested: number;
  /** Command lines, main process first; [] where one is not known yet. */
  readonly commands: () => readonly (readonly string[])[];
}

/** The processes of each worker: main process, command lines, start, and how many /proc hides. */
export class WorkerProcesses {
  readonly #deps: Deps;
  readonly #clock: StartClock;
  #key: string | null = null;
  #trees: ProcessTrees | null = null;
  #groups: ReadonlyMap<string, readonly KnownProcess[]> = new Map();
  /** Processes of cgroups below a worker's own, by the worker's path. */
  #nested: ReadonlyMap<string, readonly WorkerProcess[]> = new Map();

  constructor(deps: Deps, clock: StartClock) {
    this.#deps = deps;
    this.#clock = clock;
  }

  /** Known processes by the path of their worker; the same map and lists as long as nothing about them changes. */
  get groups(): ReadonlyMap<string, readonly KnownProcess[]> {
    return this.#groups;
  }

  /** Finds the processes of all workers, and the newest process of the host. `trackings` changes when a worker comes or goes. */
  update(paths: Iterable<string>, trackings: number, trees: ProcessTrees): void {
    const { processes } = this.#deps;
    const key = `${processes.generation}/${trackings}`;
    if (this.#key === key && this.#trees === trees) return;
    this.#key = key;
    this.#trees = trees;
    const workers = new Map([...paths].map((path) => [path, path]));
    const groups = new Map<string, KnownProcess[]>();
    const nested = new Map<string, WorkerProcess[]>();
    let newest = Number.NEGATIVE_INFINITY;
    for (const process of processes.all()) {
      const { startTicks } = process;
      newest = Math.max(newest, startTicks);
      const holder = holderOf(process, trees);
      const worker = holder === null ? null : workerAt(holder, workers);
      if (worker === null) continue;
      push(groups, worker, process);
      if (holder !== worker) push(nested, worker, unreadProcess(process));
    }
    const before = this.#groups;
    const now = new Map([...groups].map(([path, group]) => [path, sameOf(before.get(path), group)]));
    // Processes come and go all the time, those of workers seldom.
    const isSame = now.size === before.size && [...now].every(([path, group]) => before.get(path) === group);
    if (!isSame) this.#groups = now;
    this.#nested = nested;
    this.#clock.seen(newest);
  }

  /** Identifies a worker by its own processes and those of cgroups below (crun puts them into `.../container`). */
  identify(tracked: Tracked, own: readonly WorkerProcess[], record: WorkerRecord | null): IdentifiedProcesses {
    const nested = this.#nestedOf(tracked.watched.path, own);
    const all = nested.length === 0 ? own : [...own, ...nested];
    const main = mainProcess(all, record);
    const commands = () => this.#commands(all, main);
    this.#describe(tracked, all, main);
    this.#setStart(tracked, main);
    this.#countHidden(tracked, own);
    return { main, nested: nested.length, commands };
  }

  /** Without those that the worker's own cgroup.procs lists too: the kernel lists threaded cgroups in their domain. */
  #nestedOf(path: string, own: readonly WorkerProcess[]): readonly WorkerProcess[] {
    const below = this.#nested.get(path) ?? [];
    if (below.length === 0) return below;
    const listed = new Set(own.map(({ pid }) => pid));
    return below.filter(({ pid }) => !listed.has(pid));
  }

  /** Looks at command lines only when the set of processes, or what is known of them, has changed. */
  #describe(tracked: Tracked, all: readonly WorkerProcess[], main: WorkerProcess | null): void {
    const { processes } = this.#deps;
    let same = tracked.described !== null && all.length === tracked.identity.length;
    for (let i = 0; i < all.length; i++) {
      const { pid, startTicks } = all[i]!;
      const known = processes.find(pid, startTicks);
      if (known === null) processes.want(pid);
      same &&= known === tracked.identity[i];
    }
    if (same) return;
    tracked.identity = all.map(({ pid, startTicks }) => processes.find(pid, startTicks));
    const known = ordered(all, main).map(({ pid, startTicks }) => processes.find(pid, startTicks));
    tracked.described = describe(
      known.filter((process) => process !== null),
      this.#deps.showCommand,
    );
  }

  #commands(all: readonly WorkerProcess[], main: WorkerProcess | null): readonly (readonly string[])[] {
    return ordered(all, main).map(({ pid, startTicks }) => this.#deps.processes.find(pid, startTicks)?.argv ?? []);
  }

  #setStart(tracked: Tracked, main: WorkerProcess | null): void {
    tracked.uptimeSeconds = main === null ? null : this.#clock.uptimeSeconds(main.startTicks);
    if (main === null) tracked.main = null;
    if (main === null || Number.isNaN(main.startTicks)) return;
    const { bootWallMs } = this.#clock;
    const { pid, startTicks } = main;
    const before = tracked.main;
    if (before?.bootWallMs === bootWallMs && before.pid === pid && before.startTicks === startTicks) {
      // Nothing has changed, or its start was not known before.
      if (before.startedAt !== null || tracked.uptimeSeconds === null) return;
    }
    tracked.main = {
      key: `${pid}/${startTicks}`,
      pid,
      startTicks,
      bootWallMs,
      startedAt: tracked.uptimeSeconds === null ? null : this.#clock.startedAt(startTicks),
    };
    tracked.run ??= { pid, incarnation: tracked.main.key };
  }

  /** A process that ended during a pass is not in the next cgroup.procs; one that is there again lives and is hidden. */
  #countHidden(tracked: Tracked, own: readonly WorkerProcess[]): void {
    const before = tracked.unread;
    tracked.hidden = 0;
    if (before.size === 0 && !own.some(({ startTicks }) => Number.isNaN(startTicks))) return;
    const unread = own.filter(({ startTicks }) => Number.isNaN(startTicks)).map(({ pid }) => pid);
    tracked.hidden = unread.filter((pid) => before.has(pid) && this.#deps.processes.denied(pid)).length;
    tracked.unread = new Set(unread);
  }
}

const ordered = (all: readonly WorkerProcess[], main: WorkerProcess | null): readonly WorkerProcess[] =>
  main === null ? all : [main, ...all.filter((process) => process !== main)];

function push<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const sameOf = <T>(before: readonly T[] | undefined, now: readonly T[]): readonly T[] =>
  before?.length === now.length && before.every((each, i) => each === now[i]) ? before : now;
