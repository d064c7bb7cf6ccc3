/**
 * Counters of a tree of processes (CPU, I/O) that never step back, also where processes end between two readings.
 *
 * When a process is waited for, the kernel adds what it used to its parent (`cutime` and `cstime` for CPU; /proc/<pid>/io
 * has no second figure, and grows by it). What is new in there is counted but for what was counted of those that ended
 * while they lived. So nothing is counted twice. What a process used in its last moments is missing where nobody in the
 * tree waited for it: where the parent ignores SIGCHLD, or where it was an orphan.
 *
 * Readings of a pass must be in an order in which parents come before their children: a child that ends between the two is
 * then in neither, instead of in both. Only what has changed is counted again: most processes have used nothing since the last
 * pass.
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
  readonly reading: UsageReading;
}

interface Ended extends CountedProcess {
  /** Its tree and those around it: a tree may end with its last process. */
  readonly around: readonly string[];
  /** A pass has looked for who waited for it. That may have been read before it ended: the next one sees what it inherits. */
  isOld: boolean;
}

/** What is new since the pass before. */
export interface TreeChanges {
  /** Processes that are new or whose reading, tree or parent is another. */
  readonly changed: Iterable<CountedProcess>;
  /** By identity: processes that have ended. */
  readonly ended: Iterable<string>;
  /** Trees that have processes now. */
  readonly trees: Iterable<string>;
  /** When the pass began, clock ticks since boot. */
  readonly atTicks: number;
  /** The tree around each tree, whose processes may wait for those of the inner one. */
  readonly outer: ReadonlyMap<string, string | null>;
}

export interface TreeTotal {
  /** What the tree has used since it was first read. */
  used: number;
  /** When the first pass over it began, clock ticks since boot: what started later has used all of it since. */
  readonly sinceTicks: number;
}

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

/** One counter of all trees. */
export class TreeCounter {
  readonly #living = new Map<string, CountedProcess>();
  /** Those that ended in this pass or the last and have been inherited by nobody yet. */
  readonly #ended = new Map<string, Ended>();
  #totals = new Map<string, TreeTotal>();
  #growths = new Map<string, Growth>();
  #outer: TreeChanges['outer'] = new Map();

  /** Of each tree, as long as it has processes. */
  get totals(): ReadonlyMap<string, TreeTotal> {
    return this.#totals;
  }

  /** Counts a pass. */
  update({ changed, ended, trees, atTicks, outer }: TreeChanges): void {
    this.#growths = new Map();
    for (const identity of ended) {
      const process = this.#living.get(identity);
      if (process === undefined) continue;
      this.#living.delete(identity);
      const around = [...treesAround(process.tree, outer.has(process.tree) ? outer : this.#outer)];
      this.#ended.set(identity, { ...process, around, isOld: false });
    }
    for (const process of changed) this.#grow(process, atTicks);
    for (const [identity, process] of this.#ended) {
      if (this.#isInherited(process) || process.isOld) this.#ended.delete(identity);
      else process.isOld = true;
    }
    this.#outer = outer;
    const before = this.#totals;
    this.#totals = new Map();
    for (const tree of trees) {
      const total = before.get(tree) ?? { used: 0, sinceTicks: atTicks };
      const growth = this.#growths.get(tree);
      if (growth !== undefined) total.used += growth.own + Math.max(0, growth.inherited - growth.ended);
      this.#totals.set(tree, total);
    }
  }

  #grow(process: CountedProcess, atTicks: number): void {
    const { identity, tree, startTicks, reading } = process;
    // One that could not be read in the last pass was taken to have ended.
    const last = this.#living.get(identity) ?? this.#ended.get(identity);
    this.#ended.delete(identity);
    this.#living.set(identity, process);
    // What it used before the tree was first read is not counted.
    const isNew = startTicks > (this.#totals.get(tree)?.sinceTicks ?? atTicks);
    const from = last?.reading ?? (isNew ? nothing : reading);
    // Until now it was of the tree in which it was read before.
    const growth = this.#growthOf(last?.tree ?? tree);
    growth.own += Math.max(0, reading.own - from.own);
    const inherited = Math.max(0, reading.inherited - from.inherited);
    growth.inherited += inherited;
    growth.largest = Math.max(growth.largest, inherited);
  }

  /** Whether what an ended process has used is in what others of its tree, or of one around it, inherited. */
  #isInherited({ around, parentTree, reading }: Ended): boolean {
    // Nobody will wait for it. If it could not be read for once, it is counted on.
    if (parentTree === null) return false;
    const used = reading.own + reading.inherited;
    let inherited = false;
    for (const each of around) {
      const growth = this.#growths.get(each);
      // Nobody who inherited less has waited for it.
      if (growth === undefined || used > growth.largest) continue;
      growth.ended += used;
      inherited = true;
    }
    return inherited;
  }

  #growthOf(tree: string): Growth {
    const growth = this.#growths.get(tree) ?? { own: 0, inherited: 0, largest: 0, ended: 0 };
    this.#growths.set(tree, growth);
    return growth;
  }
}

/** The tree and all around it. */
export function* treesAround(tree: string, outer: ReadonlyMap<string, string | null>): Iterable<string> {
  const seen = new Set<string>();
  for (let at: string | null = tree; at !== null && !seen.has(at); at = outer.get(at) ?? null) {
    seen.add(at);
    yield at;
  }
}
