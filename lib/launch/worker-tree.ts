/** The processes of a launched worker that has no cgroup, found in /proc. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
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
}

/** Looks of one caller after another: each keeps what it knew of the tree. */
export class WorkerTree implements TreeHandle {
  readonly #root: TreeRoot;
  readonly #procRoot: string;
  readonly #markers = new Map<string, string | null>();
  #forest: Forest = emptyForest;

  constructor(root: Omit<TreeRoot, 'key' | 'reaper'>, procRoot = '/proc') {
    this.#root = { ...root, key: 'worker', reaper: null };
    this.#procRoot = procRoot;
  }

  readonly delay = delay;
  readonly nowMs = (): number => performance.now();

  readonly scan = async (): Promise<readonly ProcessIdentity[]> => {
    const pids = (await readdir(this.#procRoot)).filter(isPidName);
    const found = (await Promise.all(pids.map((pid) => this.#read(Number(pid))))).filter((each) => each !== null);
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

  async #read(pid: number): Promise<Seen | null> {
    const stat = await processStat(pid, this.#procRoot);
    if (stat === null) return null;
    const identity = identityKey(stat);
    let marker = this.#markers.get(identity);
    if (marker === undefined) {
      marker = await processVariable(pid, markerVariable, this.#procRoot);
      this.#markers.set(identity, marker);
    }
    const { parentPid, session, startTicks, state } = stat;
    return { pid, startTicks, parentPid, session, marker, zombie: state === 'Z' || state === 'X' };
  }
}
