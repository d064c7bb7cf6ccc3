/** The processes of a launched worker that has no cgroup, found in /proc. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessStat } from '../procfs/parse.js';
import { isPidName } from '../procfs/pids.js';
import { processStat, processVariable } from '../procfs/process-stat.js';
import { systemCode } from '../util/errors.js';
import {
  emptyForest,
  type Forest,
  growForest,
  identityKey,
  type ProcessIdentity,
  type TreeProcess,
  type TreeRoot,
} from '../workers/process-forest.js';
import { markerVariable } from '../workers/tree-workers.js';
import type { TreeHandle } from './stop-tree.js';

interface Seen extends TreeProcess {
  readonly zombie: boolean;
  /** Its environment may come: it starts a program just now. */
  readonly isStarting: boolean;
}

/** How long an execve takes at most; what has no environment after that has none. */
const startMs = 200;
const pollMs = 5;
/** Parent of all threads of the kernel, which have no environment. */
const kthreadd = 2;

/** Looks of one caller after another: each keeps what it knew of the tree. */
export class WorkerTree implements TreeHandle {
  readonly #root: TreeRoot;
  readonly #procRoot: string;
  readonly #markers = new Map<string, string | null>();
  /** When processes were first seen without an environment. */
  readonly #emptySinceMs = new Map<string, number>();
  #forest: Forest = emptyForest;

  constructor(root: Omit<TreeRoot, 'key' | 'reaper'>, procRoot = '/proc') {
    this.#root = { ...root, key: 'worker', reaper: null };
    this.#procRoot = procRoot;
  }

  readonly delay = delay;
  readonly nowMs = (): number => performance.now();

  readonly scan = async (): Promise<readonly ProcessIdentity[]> => {
    let found = await this.#readAll();
    // What starts a program has no mark until it has: it would be missed, and live on.
    const untilMs = this.nowMs() + startMs;
    while (found.some(({ isStarting }) => isStarting) && this.nowMs() < untilMs) {
      await this.delay(pollMs);
      found = await this.#readAll();
    }
    this.#forest = growForest(this.#forest, found, [this.#root]);
    return found.filter((each) => !each.zombie && this.#forest.members.has(identityKey(each)));
  };

  readonly signal = (target: ProcessIdentity, signal: NodeJS.Signals): void => {
    try {
      process.kill(target.pid, signal);
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error;
    }
  };

  async #readAll(): Promise<readonly Seen[]> {
    const pids = (await readdir(this.#procRoot)).filter(isPidName);
    return (await Promise.all(pids.map((pid) => this.#read(Number(pid))))).filter((each) => each !== null);
  }

  async #read(pid: number): Promise<Seen | null> {
    const stat = await processStat(pid, this.#procRoot);
    if (stat === null) return null;
    const identity = identityKey(stat);
    const marker = this.#markers.get(identity) ?? (await processVariable(pid, markerVariable, this.#procRoot));
    if (marker !== undefined) this.#markers.set(identity, marker);
    const { parentPid, session, startTicks, state } = stat;
    const zombie = state === 'Z' || state === 'X';
    const isStarting = marker === undefined && !zombie && this.#isStarting(stat, identity);
    return { pid, startTicks, parentPid, session, marker: marker ?? null, zombie, isStarting };
  }

  #isStarting({ pid, parentPid, startTicks }: ProcessStat, identity: string): boolean {
    // What is older than the tree is none of it.
    if (pid === kthreadd || parentPid === kthreadd || startTicks < (this.#root.startTicks ?? 0)) return false;
    const sinceMs = this.#emptySinceMs.get(identity) ?? this.nowMs();
    this.#emptySinceMs.set(identity, sinceMs);
    return this.nowMs() - sinceMs < startMs;
  }
}
