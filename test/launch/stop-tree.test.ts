import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stopTree, type TreeHandle } from '../../lib/launch/stop-tree.js';

interface Fighter {
  readonly pid: number;
  readonly startTicks: number;
  /** Ends at SIGTERM. */
  readonly polite: boolean;
  /** It, or another one that does, has a child at each look and for each signal, until it is stopped. */
  readonly forks: boolean;
  /** Waits in the kernel: no signal reaches it. */
  readonly wedged: boolean;
  /** It may not be signalled. */
  readonly foreign: boolean;
  stopped: boolean;
}

const pidsMax = 100;

/** A tree on a clock of its own; `lookMs` is what one scan takes. */
class Tree implements TreeHandle {
  readonly alive = new Map<number, Fighter>();
  readonly sent: NodeJS.Signals[] = [];
  #pid = 100;
  #ms = 0;
  readonly #lookMs: number;

  constructor(fighters: readonly Partial<Fighter>[], lookMs = 5) {
    this.#lookMs = lookMs;
    for (const each of fighters) this.#add(each);
  }

  readonly nowMs = (): number => this.#ms;
  readonly delay = async (ms: number): Promise<void> => void this.#pass(ms);
  readonly scan = async () => {
    const seen = [...this.alive.values()];
    this.#pass(this.#lookMs);
    return seen;
  };
  readonly signal: TreeHandle['signal'] = ({ pid }, signal) => {
    this.sent.push(signal);
    const fighter = this.alive.get(pid);
    if (fighter?.foreign) throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    if (fighter === undefined || fighter.wedged) return;
    if (signal === 'SIGSTOP') fighter.stopped = true;
    if (signal === 'SIGKILL' || (signal === 'SIGTERM' && fighter.polite)) this.alive.delete(pid);
    this.#fork();
  };

  #pass(ms: number): void {
    this.#ms += ms;
    this.#fork();
  }

  /** One that is not stopped has a child, unless the container has no pids left. */
  #fork(): void {
    const forking = [...this.alive.values()].find(({ forks, stopped }) => forks && !stopped);
    if (forking !== undefined && this.alive.size < pidsMax) this.#add({ forks: true });
  }

  #add(fighter: Partial<Fighter>): void {
    this.#pid += 1;
    const defaults = { polite: false, forks: false, wedged: false, foreign: false, stopped: false };
    this.alive.set(this.#pid, { ...defaults, ...fighter, pid: this.#pid, startTicks: this.#pid });
  }
}

const limits = { signal: 'SIGTERM', graceMs: 100, killMs: 1000 } as const;

describe('a tree of processes that is stopped', () => {
  it('ends by the signal alone where all obey it', async () => {
    const tree = new Tree([{ polite: true }, { polite: true }]);
    expect(await stopTree(tree, limits)).toEqual({ signalled: 2, killed: false, left: [] });
    expect(tree.sent).toEqual(['SIGTERM', 'SIGTERM']);
  });

  it('is killed after the grace where some do not', async () => {
    const tree = new Tree([{ polite: true }, {}]);
    expect(await stopTree(tree, limits)).toEqual({ signalled: 2, killed: true, left: [] });
    expect(tree.nowMs()).toBeGreaterThanOrEqual(100);
  });

  it('is left alone where it has ended already', async () => {
    expect(await stopTree(new Tree([]), limits)).toEqual({ signalled: 0, killed: false, left: [] });
  });

  it('names what outlives SIGKILL, in time', async () => {
    const tree = new Tree([{ wedged: true }, {}]);
    expect((await stopTree(tree, limits)).left).toMatchObject([{ wedged: true }]);
    expect(tree.nowMs()).toBeLessThan(1200);
  });

  it('whatever is in it, nothing is left but what no signal reaches, and it ends in time', async () => {
    const fighter = fc.record({ polite: fc.boolean(), wedged: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(fighter, { maxLength: 12 }), fc.integer({ min: 1, max: 50 }), async (all, lookMs) => {
        const tree = new Tree(all, lookMs);
        await stopTree(tree, limits);
        expect([...tree.alive.values()].filter(({ wedged }) => !wedged)).toEqual([]);
        expect(tree.nowMs()).toBeLessThanOrEqual(limits.graceMs + limits.killMs + 4 * (lookMs + 10));
      }),
    );
  });

  it('ends all but a process of another user, and says that', async () => {
    const tree = new Tree([{ foreign: true }, {}, { forks: true }]);
    await expect(stopTree(tree, limits)).rejects.toMatchObject({ code: 'EPERM' });
    expect([...tree.alive.values()]).toMatchObject([{ foreign: true }]);
    expect(tree.nowMs()).toBeLessThan(1200);
  });

  it('is refused at once where all of it is of another user', async () => {
    const tree = new Tree([{ foreign: true }, { foreign: true }]);
    await expect(stopTree(tree, limits)).rejects.toMatchObject({ code: 'EPERM' });
    expect(tree.nowMs()).toBeLessThan(limits.graceMs);
  });

  it('loses no race against processes that fork while they are swept', async () => {
    const tree = new Tree([{ forks: true }, { forks: true }], 1);
    expect((await stopTree(tree, limits)).left).toEqual([]);
    expect(tree.alive.size).toBe(0);
    expect(tree.sent.indexOf('SIGKILL')).toBeGreaterThan(tree.sent.lastIndexOf('SIGSTOP'));
  });
});
