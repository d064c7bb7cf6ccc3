import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  emptyForest,
  type Forest,
  growForest,
  identityKey,
  type TreeProcess,
  type TreeRoot,
} from '../../lib/workers/process-forest.js';
import { portion } from '../harness/draws.js';
import { birthLine, histories, ModelHost, type ModelProcess } from './process-history.js';

const process = (pid: number, parentPid: number, more: Partial<TreeProcess> = {}): TreeProcess => ({
  pid,
  startTicks: pid,
  parentPid,
  session: 1,
  marker: null,
  ...more,
});
const root = (pid: number, more: Partial<TreeRoot> = {}): TreeRoot => ({
  key: `root ${pid}`,
  pid,
  startTicks: pid,
  marker: null,
  reaper: null,
  ...more,
});
const treeOf = (forest: Forest, { pid, startTicks }: TreeProcess) => forest.members.get(`${pid}/${startTicks}`)?.tree;
const heldBy = (forest: Forest) =>
  Object.fromEntries([...forest.members].map(([identity, { by }]) => [Number.parseInt(identity, 10), by]));

describe('what a tree holds', () => {
  it('its root and all below it, and nothing beside it', () => {
    const all = [process(1, 0), process(5, 1), process(6, 5), process(7, 6), process(8, 1)];
    expect(heldBy(growForest(emptyForest, all, [root(5)]))).toEqual({ 5: 'root', 6: 'parent', 7: 'parent' });
  });

  it('what lost its parents while it was known', () => {
    const first = growForest(emptyForest, [process(1, 0), process(5, 1), process(6, 5)], [root(5)]);
    const orphaned = growForest(first, [process(1, 0), process(6, 1)], [root(5)]);
    expect(heldBy(orphaned)).toEqual({ 6: 'kept' });
    // Its children too, and what is started when the root is long gone.
    expect(heldBy(growForest(orphaned, [process(6, 1), process(9, 6)], [root(5)]))).toEqual({ 6: 'kept', 9: 'parent' });
  });

  it('a daemon of which nothing was seen but the marker that it inherited', () => {
    const all = [process(1, 0), process(5, 1, { marker: 'x' }), process(9, 1, { marker: 'x', session: 8 })];
    expect(heldBy(growForest(emptyForest, all, [root(5, { marker: 'x' })]))).toEqual({ 5: 'root', 9: 'marker' });
  });

  it('a daemon that emptied its environment, where its launcher takes in orphans', () => {
    const all = [process(1, 0), process(4, 1), process(5, 4), process(9, 4, { session: 8 })];
    const launched = root(5, { marker: 'x', reaper: { pid: 4, startTicks: 4 } });
    expect(heldBy(growForest(emptyForest, all, [launched]))).toEqual({ 5: 'root', 9: 'reaper' });
  });

  it('a daemon in the session that a member began, also after that one ended', () => {
    const led = [process(5, 1), process(6, 5, { session: 6 }), process(7, 1, { session: 6 })];
    const first = growForest(emptyForest, led, [root(5)]);
    expect(heldBy(first)).toEqual({ 5: 'root', 6: 'parent', 7: 'session' });
    const later = growForest(first, [process(7, 1, { session: 6 }), process(8, 1, { session: 6 })], [root(5)]);
    expect(heldBy(later)).toEqual({ 7: 'session', 8: 'session' });
  });

  it('not the session or the group of the shell from which it was started', () => {
    const all = [process(3, 1, { session: 3 }), process(5, 3, { session: 3 }), process(6, 3, { session: 3 })];
    expect(heldBy(growForest(emptyForest, all, [root(5)]))).toEqual({ 5: 'root' });
  });

  it('not a process that has the number of its root, of a member or of a session again', () => {
    const first = growForest(emptyForest, [process(5, 1), process(6, 5, { session: 6 })], [root(5)]);
    const again = [
      process(5, 1, { startTicks: 90, session: 5 }),
      process(6, 5, { startTicks: 91, session: 6 }),
      process(7, 6, { startTicks: 92, session: 6 }),
    ];
    expect(heldBy(growForest(first, again, [root(5)]))).toEqual({});
  });

  it('not a child that is older than the process which has the number of its parent now', () => {
    const torn = [process(5, 1, { startTicks: 50 }), process(6, 5, { startTicks: 40 })];
    expect(heldBy(growForest(emptyForest, torn, [root(5, { startTicks: 50 })]))).toEqual({ 5: 'root' });
  });

  it('not what is older than the root whose marker it has', () => {
    const all = [process(1, 0), process(4, 1, { marker: 'x' }), process(5, 1), process(9, 1, { marker: 'x' })];
    const held = heldBy(growForest(emptyForest, all, [root(5, { marker: 'x' })]));
    expect(held).toEqual({ 5: 'root', 9: 'marker' });
  });

  it('not what it held before, once nobody names it any more', () => {
    const all = [process(1, 0), process(5, 1), process(6, 5)];
    const first = growForest(emptyForest, all, [root(5)]);
    const without = growForest(first, all, []);
    expect([without.members.size, without.sessions.size, without.outer.size]).toEqual([0, 0, 0]);
    expect(heldBy(growForest(first, all, [root(6)]))).toEqual({ 6: 'root' });
  });

  it('not what has a marker that two roots claim', () => {
    const all = [process(5, 1), process(6, 1), process(9, 1, { marker: 'x' })];
    const roots = [root(5, { marker: 'x' }), root(6, { marker: 'x' })];
    expect(heldBy(growForest(emptyForest, all, roots))).toEqual({ 5: 'root', 6: 'root' });
  });
});

describe('a tree inside of another', () => {
  it('is its own, and what it leaves behind is still its own', () => {
    const outer = root(5);
    const inner = root(7, { marker: 'x', reaper: { pid: 6, startTicks: 6 } });
    const all = [process(5, 1), process(6, 5), process(7, 6, { marker: 'x' }), process(8, 7, { marker: 'x' })];
    const first = growForest(emptyForest, all, [outer, inner]);
    expect([...first.outer]).toEqual([
      ['root 5', null],
      ['root 7', 'root 5'],
    ]);
    expect(all.map((each) => treeOf(first, each))).toEqual(['root 5', 'root 5', 'root 7', 'root 7']);
    const left = [process(5, 1), process(6, 5), process(8, 6, { marker: 'x' }), process(9, 6)];
    const later = growForest(first, left, [outer, inner]);
    expect(left.map((each) => treeOf(later, each))).toEqual(['root 5', 'root 5', 'root 7', 'root 7']);
  });

  it('is known by what was held before where it lost its parents meanwhile', () => {
    const first = growForest(emptyForest, [process(1, 0), process(5, 1), process(6, 5)], [root(5)]);
    const later = growForest(first, [process(1, 0), process(5, 1), process(6, 1)], [root(5), root(6)]);
    expect(later.outer.get('root 6')).toBe('root 5');
  });

  it.each([
    ['older', { startTicks: 6 }, { startTicks: 7 }],
    ['of the same tick and with the lower pid', { startTicks: 6 }, { startTicks: 6 }],
  ])('is in the deepest of those around it, of which the outer one is %s, whatever their order', (_what, of6, of7) => {
    const roots = [root(7, of7), root(6, { ...of6, marker: 'x' }), root(5)];
    const all = [process(1, 0), process(5, 1), process(6, 5, of6), process(7, 5, { ...of7, marker: 'x' })];
    for (const order of [roots, roots.toReversed()])
      expect([...growForest(emptyForest, all, order).outer].sort()).toEqual([
        ['root 5', null],
        ['root 6', 'root 5'],
        ['root 7', 'root 6'],
      ]);
  });

  it('holds its own also where a process has the number of a root that ended', () => {
    const roots = [root(5), root(8, { startTicks: 5 }), root(6, { marker: 'x' })];
    const stranger = process(8, 5, { startTicks: 90, marker: 'x' });
    const forest = growForest(emptyForest, [process(1, 0), process(5, 1), process(6, 5), stranger], roots);
    expect(treeOf(forest, stranger)).toBe('root 6');
  });

  it('takes over what was of the outer one when it is recognized later', () => {
    const all = [process(5, 1), process(6, 5), process(7, 6)];
    const first = growForest(emptyForest, all, [root(5)]);
    const later = growForest(first, all, [root(5), root(6)]);
    expect(all.map((each) => treeOf(later, each))).toEqual(['root 5', 'root 6', 'root 6']);
  });
});

it('a chain of 50,000 processes and a circle of parents, as only a torn scan can show, end no hive', () => {
  const chain = Array.from({ length: 50_000 }, (_unused, i) => process(50_000 - i, 49_999 - i, { startTicks: 1 }));
  const forest = growForest(emptyForest, chain, [root(1, { startTicks: 1 })]);
  expect(forest.members.size).toBe(50_000);
  const circle = [process(5, 6, { startTicks: 1 }), process(6, 5, { startTicks: 1 })];
  expect(growForest(emptyForest, circle, [root(9)]).members.size).toBe(0);
});

type Check = (host: ModelHost, forest: Forest, before: Forest) => void;

/** Runs histories and gives each scan to `check`. */
function everyScan(check: Check): void {
  fc.assert(
    fc.property(histories, (history) => {
      const host = new ModelHost();
      let forest = emptyForest;
      for (const step of [...history, { kind: 'scan', slow: false } as const]) {
        host.step(step);
        if (step.kind !== 'scan') continue;
        const before = forest;
        forest = growForest(before, host.alive.values(), host.roots);
        check(host, forest, before);
      }
    }),
    { numRuns: portion(200) },
  );
}

const rootsAbove = (each: ModelProcess, roots: readonly TreeRoot[]): string[] =>
  [...birthLine(each)].map(identityKey).filter((identity) => roots.some(({ key }) => key === identity));

describe('for any history of forks, ends, orphans, sessions, cleared environments and pids that are given again', () => {
  it('no process is taken for a tree from whose root it does not descend', () => {
    everyScan((host, forest) => {
      const alive = new Map([...host.alive.values()].map((each) => [identityKey(each), each]));
      for (const [identity, { tree }] of forest.members) {
        const member = alive.get(identity);
        expect(member && rootsAbove(member, host.roots)).toContain(tree);
      }
    });
  });

  it('all are held whose parents live, that have the marker, that were known, or whose session has a known leader', () => {
    everyScan((host, forest, before) => {
      for (const each of host.alive.values()) {
        const parent = host.alive.get(each.parentPid);
        const leader = host.alive.get(each.session);
        const above = rootsAbove(each, host.roots);
        const provable =
          above[0] === identityKey(each) ||
          (parent !== undefined && treeOf(forest, parent) !== undefined) ||
          host.roots.some(({ marker }) => marker !== null && marker === each.marker) ||
          before.members.has(identityKey(each)) ||
          (leader !== undefined && treeOf(forest, leader) !== undefined);
        if (provable) expect(treeOf(forest, each)).toBeDefined();
      }
    });
  });

  it('is the same in whatever order roots and processes come', () => {
    everyScan((host, forest, before) => {
      const backwards = growForest(before, [...host.alive.values()].reverse(), [...host.roots].reverse());
      expect(backwards.members).toEqual(forest.members);
      expect(backwards.outer).toEqual(forest.outer);
    });
  });

  it('parents stand before their children', () => {
    everyScan((host, forest) => {
      const order = new Map([...forest.members.keys()].map((identity, i) => [identity, i]));
      for (const each of host.alive.values()) {
        const parent = host.alive.get(each.parentPid);
        const [child = -1, above = -1] = [order.get(identityKey(each)), parent && order.get(identityKey(parent))];
        if (child >= 0) expect(above).toBeLessThan(child);
      }
    });
  });

  it('what nobody re-parented is in the innermost tree', () => {
    everyScan((host, forest) => {
      for (const each of host.alive.values()) {
        const line = [...birthLine(each)];
        const whole = line.every((one) => one.mother === null || one.parentPid === one.mother.pid);
        const living = line.every((one) => host.alive.get(one.pid) === one);
        if (whole && living) expect(treeOf(forest, each)).toBe(rootsAbove(each, host.roots)[0]);
      }
    });
  });

  it('what was launched is held to the last, daemons with an empty environment included', () => {
    everyScan((host, forest) => {
      for (const { key, reaper } of host.roots) {
        const launcher = reaper && host.alive.get(reaper.pid);
        if (!launcher || launcher.startTicks !== reaper.startTicks || launcher.zombie) continue;
        for (const each of host.alive.values())
          if (rootsAbove(each, host.roots).includes(key)) expect(treeOf(forest, each)).toBeDefined();
      }
    });
  });
});
