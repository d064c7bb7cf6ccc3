import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CountedProcess, TreeCounter, type TreeTotal } from '../../lib/sampling/tree-counters.js';
import { emptyForest, type Forest, growForest, identityKey } from '../../lib/workers/process-forest.js';
import { portion } from '../harness/draws.js';
import { birthLine, histories, ModelHost, type ModelProcess, type Step } from '../workers/process-history.js';

/** As one pass read it; a reading that is null: it lives and could not be read. */
type ReadProcess = Omit<CountedProcess, 'reading'> & { readonly reading: CountedProcess['reading'] | null };
type Totals = ReadonlyMap<string, TreeTotal>;

const isRead = (process: ReadProcess): process is CountedProcess => process.reading !== null;

/** Counts whole passes, of which the counter gets what has changed. */
class Passes {
  readonly #counter = new TreeCounter();
  #last: ReadonlyMap<string, ReadProcess> = new Map();

  count(processes: readonly ReadProcess[], atTicks: number, outer: ReadonlyMap<string, string | null>): Totals {
    const now = new Map(processes.map((each) => [each.identity, each]));
    this.#counter.update({
      changed: processes.filter(isRead).filter((each) => !isDeepStrictEqual(each, this.#last.get(each.identity))),
      ended: [...this.#last.keys()].filter((identity) => !now.has(identity)),
      trees: new Set(processes.map(({ tree }) => tree)),
      atTicks,
      outer,
    });
    this.#last = now;
    return new Map([...this.#counter.totals].map(([tree, total]) => [tree, { ...total }]));
  }
}

const counted = (pid: number, own: number, inherited: number, more: Partial<ReadProcess> = {}): ReadProcess => ({
  identity: `${pid}/${pid}`,
  startTicks: pid,
  tree: 'a',
  parentTree: 'a',
  reading: { own, inherited },
  ...more,
});
const flat = new Map([['a', null]]);
/** What tree `a` has used after each pass; a pass begins at ticks 100, 200... */
const used = (...passes: readonly (readonly ReadProcess[])[]) => {
  const counter = new Passes();
  return passes.map((pass, i) => counter.count(pass, (i + 1) * 100, flat).get('a')?.used);
};

describe('what a tree has used', () => {
  it('begins at 0, whatever its processes used before, and grows by what each uses', () => {
    expect(used([counted(5, 900, 50), counted(6, 70, 0)], [counted(5, 903, 50), counted(6, 75, 0)])).toEqual([0, 8]);
  });

  it('holds a child that began and ended between two passes', () => {
    expect(used([counted(5, 9, 0)], [counted(5, 9, 40)])).toEqual([0, 40]);
  });

  it('holds a child that ended once, with its last moments', () => {
    expect(used([counted(5, 9, 0), counted(6, 30, 2)], [counted(5, 9, 37)])).toEqual([0, 5]);
  });

  it('holds all of a process that began after the first pass, also where a later one was the first to find it', () => {
    const first = [counted(5, 9, 0)];
    expect(used(first, first, [...first, counted(150, 60, 0)])).toEqual([0, 0, 60]);
  });

  it('does not fall where nobody waited for a child', () => {
    expect(used([counted(5, 9, 0), counted(6, 30, 0)], [counted(5, 10, 0)])).toEqual([0, 1]);
  });

  it('goes on from the last reading where a process could not be read for a while', () => {
    const unread = counted(6, 0, 0, { reading: null });
    const root = counted(5, 9, 0);
    expect(used([root, counted(6, 30, 0)], [root, unread], [root, counted(6, 37, 0)])).toEqual([0, 0, 7]);
  });

  it('holds the I/O of a child once, where the parent has one figure for both', () => {
    expect(used([counted(5, 0, 100), counted(6, 0, 4000)], [counted(5, 0, 4500)])).toEqual([0, 400]);
  });

  it('holds a child once that ended in a pass after its parent was read', () => {
    const child = counted(6, 30, 0);
    expect(used([counted(5, 9, 0), child], [counted(5, 9, 0)], [counted(5, 9, 31)])).toEqual([0, 0, 1]);
  });

  it('holds what is inherited beside a child that nobody can have waited for', () => {
    expect(used([counted(5, 9, 0), counted(6, 3000, 0)], [counted(5, 9, 25)])).toEqual([0, 25]);
  });

  it('leaves out an orphan of which the tree hears nothing', () => {
    const orphan = counted(6, 30, 0, { parentTree: null });
    expect(used([counted(5, 9, 0), orphan], [counted(5, 9, 25)])).toEqual([0, 25]);
    expect(used([counted(5, 9, 0), orphan], [counted(5, 9, 44)])).toEqual([0, 44]);
  });

  it('goes on from the last reading of one that nobody waits for as well', () => {
    const root = (own: number) => counted(5, own, 0, { parentTree: null });
    const beside = counted(7, 0, 0);
    expect(used([root(30), beside], [beside], [root(41), beside])).toEqual([0, 0, 11]);
    expect(used([root(30), beside], [beside], [beside], [root(41), beside])).toEqual([0, 0, 0, 0]);
  });

  it('holds all of what is inherited long after a child ended for which nobody waited', () => {
    const child = counted(6, 30, 0);
    const parent = counted(5, 9, 0);
    expect(used([parent, child], [parent], [parent], [counted(5, 9, 47)])).toEqual([0, 0, 0, 47]);
  });

  it.each<[string, [string, string | null][], number]>([
    [
      'around it',
      [
        ['b', 'a'],
        ['a', null],
      ],
      8,
    ],
    [
      'around that',
      [
        ['b', 'c'],
        ['c', 'a'],
        ['a', null],
      ],
      8,
    ],
    [
      'beside it',
      [
        ['b', null],
        ['a', null],
      ],
      58,
    ],
    [
      'of which each is around the other',
      [
        ['b', 'a'],
        ['a', 'b'],
      ],
      8,
    ],
  ])('holds a child of a tree %s once', (_where, outer, expected) => {
    const counter = new Passes();
    const around = new Map(outer);
    const inner = counted(6, 50, 0, { tree: 'b', parentTree: 'a' });
    counter.count([counted(5, 9, 0), inner], 100, around);
    expect(counter.count([counted(5, 9, 58)], 200, around).get('a')?.used).toBe(expected);
    const other = new Passes();
    other.count([counted(5, 9, 0), inner], 100, around);
    // Its tree has ended with it, and nobody says any more what was around it.
    const left = other.count([counted(5, 9, 0)], 200, flat).get('a')?.used;
    expect([left, other.count([counted(5, 9, 58)], 300, flat).get('a')?.used]).toEqual([0, expected]);
  });
});

const known = (host: ModelHost, each: ModelProcess, key: string): boolean =>
  [...birthLine(each)].some((one) => identityKey(one) === key) && host.roots.some((root) => root.key === key);
/** What was burned by all that descend from a root, trees inside included. */
const burned = (host: ModelHost, key: string): number =>
  host.work.reduce((sum, { by, ticks }) => (known(host, by, key) ? sum + ticks : sum), 0);

/** A tree and all around it. */
function* around(tree: string, { outer }: Forest): Iterable<string> {
  for (let at: string | null = tree; at !== null; at = outer.get(at) ?? null) yield at;
}

interface Pass {
  readonly host: ModelHost;
  readonly forest: Forest;
  readonly before: Totals;
  readonly totals: Totals;
  /** Trees read for the first time at this pass or before, and what each had burned when that pass began. */
  readonly burnedBefore: ReadonlyMap<string, number>;
}

/** Runs a history: each scan is followed by a pass over the members, between whose readings steps may come. */
function run(history: readonly Step[], check: (pass: Pass) => void, host = new ModelHost()): void {
  const steps = [...history];
  let forest = emptyForest;
  const counter = new Passes();
  let totals: Totals = new Map();
  const burnedBefore = new Map<string, number>();
  /** Trees that were read, as themselves or around another, whatever is around what by now. */
  const read = new Set<string>();
  const markRead = () => {
    for (const tree of totals.keys()) for (const each of around(tree, forest)) read.add(each);
  };
  for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
    host.step(step);
    if (step.kind !== 'scan') continue;
    forest = growForest(forest, host.alive.values(), host.roots);
    const atTicks = host.ticks;
    markRead();
    for (const { key } of host.roots) if (!read.has(key)) burnedBefore.set(key, burned(host, key));
    const processes: CountedProcess[] = [];
    for (const [identity, { tree }] of forest.members) {
      const process = host.alive.get(Number.parseInt(identity, 10));
      if (process !== undefined && identityKey(process) === identity) {
        const { startTicks, cpuTicks, waitedTicks } = process;
        const parent = host.alive.get(process.parentPid);
        const parentTree = (parent && forest.members.get(identityKey(parent))?.tree) ?? null;
        const reading = { own: cpuTicks, inherited: waitedTicks };
        processes.push({ identity, tree, startTicks, parentTree, reading });
      }
      // What ends while its tree is first read was never read: what it used before cannot be left out of what it leaves.
      const isFirst = [...forest.members.values()].some((member) => !totals.has(member.tree));
      if (step.slow && !isFirst && steps[0] !== undefined && steps[0].kind !== 'scan') host.step(steps.shift() as Step);
    }
    const before = totals;
    totals = counter.count(processes, atTicks, forest.outer);
    markRead();
    check({ host, forest, before, totals, burnedBefore });
  }
}

const everyPass = (check: (pass: Pass) => void): void =>
  fc.assert(
    fc.property(histories, (history) => run(history, check)),
    { numRuns: portion(300) },
  );

describe('for any history of processes, also where they fork and end while a pass reads them', () => {
  it('no counter steps back', () => {
    everyPass(({ before, totals }) => {
      for (const [tree, { used }] of totals) expect(used).toBeGreaterThanOrEqual(before.get(tree)?.used ?? 0);
    });
  });

  it('nothing is counted twice: a tree with all inside of it never has more than they burned', () => {
    everyPass(({ host, forest, totals, burnedBefore }) => {
      const sums = new Map<string, number>();
      for (const [tree, { used }] of totals)
        for (const each of around(tree, forest)) sums.set(each, (sums.get(each) ?? 0) + used);
      for (const [tree, sum] of sums)
        expect(sum).toBeLessThanOrEqual(burned(host, tree) - (burnedBefore.get(tree) ?? 0));
    });
  });

  it('nothing is missed where every process that ends is waited for and none is orphaned', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('fork', 'burn', 'end', 'pass'), fc.nat(99)), {
      maxLength: 150,
      size: 'max',
    });
    fc.assert(
      fc.property(steps, (history) => {
        const host = new ModelHost(64);
        host.step({ kind: 'launch', who: 0 });
        const root = host.alive.get(host.roots[0]?.pid as number) as ModelProcess;
        let forest = emptyForest;
        const counter = new Passes();
        const pass = () => {
          forest = growForest(forest, host.alive.values(), host.roots);
          const readings = [...forest.members].map(([identity, { tree }]): CountedProcess => {
            const { startTicks, cpuTicks, waitedTicks } = host.alive.get(Number.parseInt(identity, 10)) as ModelProcess;
            return { identity, tree, startTicks, parentTree: tree, reading: { own: cpuTicks, inherited: waitedTicks } };
          });
          const totals = counter.count(readings, host.ticks, forest.outer);
          host.tick();
          return totals.get(identityKey(root))?.used;
        };
        pass();
        for (const [what, who] of [...history, ['pass', 0] as const]) {
          const members = host.running().filter((each) => [...birthLine(each)].includes(root));
          const process = members[who % members.length] as ModelProcess;
          const isLeaf = !host.running().some(({ parentPid }) => parentPid === process.pid);
          if (what === 'fork') host.fork(process);
          else if (what === 'burn') host.burn(process, who);
          else if (what === 'pass') expect(pass()).toBe(burned(host, identityKey(root)));
          else if (isLeaf && process !== root) {
            host.exit(process);
            host.waitForAll(host.alive.get(process.parentPid) as ModelProcess);
          }
        }
      }),
      { numRuns: portion(200) },
    );
  });
});
