/**
 * Counters of a tree of processes (CPU, I/O) that never step back, also where processes end between two readings. Pure.
 *
 * When a process is waited for, the kernel adds what it used to its parent (`cutime` and `cstime` for CPU; /proc/<pid>/io
 * has no second figure, and grows by it). What is new in there is counted but for what was counted of those that ended
 * while they lived. So nothing is counted twice. What a process used in its last moments is missing where nobody in the
 * tree waited for it: where the parent ignores SIGCHLD, or where it was an orphan.
 *
 * Readings of a pass must be in an order in which parents come before their children: a child that ends between the two is
 * then in neither, instead of in both.
 */

/** What one process has used since it began. */
export interface UsageReading {
  /** By itself; 0 of a counter that can't say it apart. */
  readonly own: number;
  /** By children that it waited for, or by both together. */
  readonly inherited: number;
}

export interface CountedProcess {
  /** `identityKey` of it. */
  readonly identity: string;
  readonly tree: string;
  /** Clock ticks since boot. */
  readonly startTicks: number;
  /** Tree of its parent now; null: nobody in a tree will wait for it. */
  readonly parentTree: string | null;
  /** null: it lives and could not be read in this pass. */
  readonly reading: UsageReading | null;
}

interface Known extends CountedProcess {
  readonly reading: UsageReading;
  /** It ended in the last pass, after whoever waited for it was read: what that inherits is seen in the next one. */
  readonly ended?: true;
}

export interface TreeTotal {
  /** What the tree has used since it was first read. */
  readonly used: number;
  /** When the first pass over it began, clock ticks since boot: what started later has used all of it since. */
  readonly sinceTicks: number;
}

export interface TreeCounters {
  readonly processes: ReadonlyMap<string, Known>;
  /** As long as the tree has processes. */
  readonly totals: ReadonlyMap<string, TreeTotal>;
}

export const noCounters: TreeCounters = { processes: new Map(), totals: new Map() };

/** What was used since the pass before. */
interface Growth {
  own: number;
  inherited: number;
  /** The most that one process inherited. */
  largest: number;
  /** Counted earlier of processes that ended, and so part of `inherited`. */
  ended: number;
}

const nothing: UsageReading = { own: 0, inherited: 0 };

/**
 * The counters after a pass that began at `atTicks`. `outer`: the tree around each tree, whose processes may wait for those
 * of the inner one.
 */
export function countTrees(
  before: TreeCounters,
  processes: readonly CountedProcess[],
  atTicks: number,
  outer: ReadonlyMap<string, string | null>,
): TreeCounters {
  const growths = new Map<string, Growth>();
  const growthOf = (tree: string): Growth => {
    const growth = growths.get(tree) ?? { own: 0, inherited: 0, largest: 0, ended: 0 };
    growths.set(tree, growth);
    return growth;
  };
  const known = new Map<string, Known>();
  const living = new Set<string>();
  for (const process of processes) {
    const { identity, tree, startTicks, reading } = process;
    living.add(identity);
    const last = before.processes.get(identity);
    const now = reading ?? last?.reading;
    if (now === undefined) continue;
    known.set(identity, { ...process, reading: now });
    // What it used before the tree was first read is not counted.
    const isNew = startTicks > (before.totals.get(tree)?.sinceTicks ?? atTicks);
    const from = last?.reading ?? (isNew ? nothing : now);
    // Until now it was of the tree in which it was read before.
    const growth = growthOf(last?.tree ?? tree);
    growth.own += Math.max(0, now.own - from.own);
    const inherited = Math.max(0, now.inherited - from.inherited);
    growth.inherited += inherited;
    growth.largest = Math.max(growth.largest, inherited);
  }
  for (const process of before.processes.values()) {
    const { identity, tree, parentTree, reading, ended } = process;
    if (living.has(identity) || parentTree === null) continue;
    const used = reading.own + reading.inherited;
    let inherited = false;
    for (const each of treesAround(tree, outer)) {
      const growth = growthOf(each);
      // Nobody who inherited less has waited for it.
      if (used > growth.largest) continue;
      growth.ended += used;
      inherited = true;
    }
    if (!inherited && !ended) known.set(identity, { ...process, ended: true });
  }
  const totals = new Map<string, TreeTotal>();
  for (const tree of new Set(processes.map((process) => process.tree))) {
    const { own, inherited, ended } = growthOf(tree);
    const { used, sinceTicks } = before.totals.get(tree) ?? { used: 0, sinceTicks: atTicks };
    totals.set(tree, { used: used + own + Math.max(0, inherited - ended), sinceTicks });
  }
  return { processes: known, totals };
}

/** The tree and all around it. */
function* treesAround(tree: string, outer: ReadonlyMap<string, string | null>): Iterable<string> {
  const seen = new Set<string>();
  for (let at: string | null = tree; at !== null && !seen.has(at); at = outer.get(at) ?? null) {
    seen.add(at);
    yield at;
  }
}
