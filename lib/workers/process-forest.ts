/**
 * Which processes belong to a worker that has no cgroup of its own: its root and all that descend from it by birth. Pure.
 *
 * Each piece of evidence proves descent, so a process is never taken for a worker's that is not. What descends and left no
 * evidence is not held: one that lost its parents between two scans, in a session whose leader was never seen, without
 * the marker. In one container a root that is pid 1 gets all orphans, also those that others sent in.
 */

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTicks: number;
}

/** A process as one scan of /proc saw it, zombies included. */
export interface TreeProcess extends ProcessIdentity {
  /** Its parent now: the kernel gives orphans to the next subreaper above, else to pid 1. */
  readonly parentPid: number;
  readonly session: number;
  /** Value of the marker variable in its environment; null where there is none or it can't be read. */
  readonly marker: string | null;
}

/** Where a tree begins. It may have ended: what descends from it lives on as long as the caller names it. */
export interface TreeRoot extends ProcessIdentity {
  /** Name of the tree. */
  readonly key: string;
  /** What its launcher set in its environment, known to nobody else; null where it was not launched by us. */
  readonly marker: string | null;
  /** A subreaper that waits for this worker alone and has no other children; null where there is none. */
  readonly reaper: ProcessIdentity | null;
}

/**
 * How it is known that a process belongs to a tree. `session`: a session has only descendants of the process that began it
 * (setsid(2)), unlike a process group, into which a shell puts a whole pipeline. `kept`: an earlier scan knew it.
 */
export type Evidence = 'root' | 'parent' | 'reaper' | 'marker' | 'session' | 'kept';

export interface Member {
  readonly tree: string;
  readonly by: Evidence;
}

export interface Forest {
  /** By `identityKey`; parents come before their children. */
  readonly members: ReadonlyMap<string, Member>;
  /** Trees by the sessions that a member began. */
  readonly sessions: ReadonlyMap<number, string>;
  /** The tree around each tree (`run` inside of a worker); null where there is none. */
  readonly outer: ReadonlyMap<string, string | null>;
}

export const emptyForest: Forest = { members: new Map(), sessions: new Map(), outer: new Map() };

export const identityKey = ({ pid, startTicks }: ProcessIdentity): string => `${pid}/${startTicks}`;

/** The forest after a scan. A process is in the innermost tree for which there is evidence. */
export function growForest(before: Forest, processes: Iterable<TreeProcess>, roots: readonly TreeRoot[]): Forest {
  return new Growth(before, processes, roots).forest();
}

class Growth {
  readonly #before: Forest;
  readonly #processes = new Map<number, TreeProcess>();
  readonly #roots: readonly TreeRoot[];
  readonly #byKey: ReadonlyMap<string, TreeRoot>;
  readonly #byIdentity: ReadonlyMap<string, TreeRoot>;
  readonly #byMarker: ReadonlyMap<string, TreeRoot>;
  readonly #byReaper: ReadonlyMap<string, TreeRoot>;
  readonly #outer = new Map<string, string | null>();
  /** null: of no tree. */
  readonly #found = new Map<TreeProcess, Member | null>();
  /** Sessions of `before` that are certainly the same, since a member of then is in them: their number was not given again. */
  readonly #sessions = new Map<number, string>();

  constructor(before: Forest, processes: Iterable<TreeProcess>, roots: readonly TreeRoot[]) {
    this.#before = before;
    this.#roots = [...roots].sort((a, b) => a.startTicks - b.startTicks || a.pid - b.pid);
    this.#byKey = new Map(roots.map((root) => [root.key, root]));
    this.#byIdentity = new Map(roots.map((root) => [identityKey(root), root]));
    this.#byMarker = unambiguous(roots, ({ marker }) => marker);
    this.#byReaper = unambiguous(roots, ({ reaper }) => reaper && identityKey(reaper));
    for (const process of processes) {
      this.#processes.set(process.pid, process);
      const tree = before.sessions.get(process.session);
      if (tree !== undefined && before.members.has(identityKey(process)) && this.#byKey.has(tree))
        this.#sessions.set(process.session, tree);
    }
  }

  forest(): Forest {
    // How deep a tree lies must be known before it is chosen: as it was, and of living roots anew, of which the outer ones are the older.
    for (const { key } of this.#roots) this.#outer.set(key, this.#before.outer.get(key) ?? null);
    for (const { pid, startTicks } of this.#roots) {
      const process = this.#processes.get(pid);
      if (process?.startTicks === startTicks) this.#resolve(process);
    }
    const members = new Map<string, Member>();
    const sessions = new Map(this.#sessions);
    for (const process of this.#processes.values()) this.#resolve(process);
    // In the order in which they were resolved.
    for (const [process, found] of this.#found) {
      if (found === null) continue;
      members.set(identityKey(process), found);
      if (process.pid === process.session) sessions.set(process.session, found.tree);
    }
    return { members, sessions, outer: this.#outer };
  }

  /** Without recursion: whoever forks a chain of thousands must not end the hive. */
  #resolve(process: TreeProcess): void {
    const pending = [process];
    const entered = new Set<TreeProcess>();
    for (let at = pending.at(-1); at !== undefined; at = pending.at(-1)) {
      // Entered before: what it depends on is known, or depends on it in a circle, as only a torn scan can say.
      const open = entered.has(at) ? [] : this.#dependencies(at).filter((each) => !this.#found.has(each));
      entered.add(at);
      pending.push(...open.filter((each) => !entered.has(each)));
      if (pending.at(-1) !== at) continue;
      pending.pop();
      if (!this.#found.has(at)) this.#found.set(at, this.#place(at));
    }
  }

  #dependencies(process: TreeProcess): readonly TreeProcess[] {
    return [this.#elder(process.parentPid, process), this.#elder(process.session, process)].filter(
      (each) => each !== null,
    );
  }

  /** The process with this pid, unless it is younger: then the number was given again during the scan. */
  #elder(pid: number, process: TreeProcess): TreeProcess | null {
    const found = this.#processes.get(pid);
    return found === undefined || found === process || found.startTicks > process.startTicks ? null : found;
  }

  #place(process: TreeProcess): Member | null {
    const root = this.#byIdentity.get(identityKey(process));
    const around = this.#innermost(this.#candidates(process).filter(({ tree }) => tree !== root?.key));
    if (root === undefined) return around;
    this.#outer.set(root.key, around?.tree ?? null);
    return { tree: root.key, by: 'root' };
  }

  *#evidence(process: TreeProcess): Iterable<Member | null | undefined> {
    const parent = this.#elder(process.parentPid, process);
    if (parent !== null) {
      const held = this.#found.get(parent);
      yield held && { tree: held.tree, by: 'parent' };
      const reaped = this.#byReaper.get(identityKey(parent));
      yield reaped && { tree: reaped.key, by: 'reaper' };
    }
    const marked = process.marker === null ? undefined : this.#byMarker.get(process.marker);
    yield marked && marked.startTicks <= process.startTicks ? { tree: marked.key, by: 'marker' } : null;
    const leader = this.#elder(process.session, process);
    const begun = (leader && this.#found.get(leader)?.tree) ?? this.#sessions.get(process.session);
    yield begun === undefined ? null : { tree: begun, by: 'session' };
    const kept = this.#before.members.get(identityKey(process))?.tree;
    yield kept !== undefined && this.#byKey.has(kept) ? { tree: kept, by: 'kept' } : null;
  }

  #candidates(process: TreeProcess): Member[] {
    return [...this.#evidence(process)].filter((each) => each != null);
  }

  /** All are of trees on the one line of birth of the process, so the deepest of them is its own. */
  #innermost(candidates: readonly Member[]): Member | null {
    let best: Member | null = null;
    for (const each of candidates) if (best === null || this.#depth(each.tree) > this.#depth(best.tree)) best = each;
    return best;
  }

  #depth(tree: string): number {
    let depth = 0;
    let at = this.#outer.get(tree);
    for (; at != null && depth < this.#byKey.size; at = this.#outer.get(at)) depth += 1;
    return depth;
  }
}

/** Roots by what only one of them has; what several have proves nothing. */
function unambiguous(roots: readonly TreeRoot[], of: (root: TreeRoot) => string | null): ReadonlyMap<string, TreeRoot> {
  const found = new Map<string, TreeRoot | null>();
  for (const root of roots) {
    const value = of(root);
    if (value !== null) found.set(value, found.has(value) ? null : root);
  }
  return new Map([...found].filter((entry): entry is [string, TreeRoot] => entry[1] !== null));
}
