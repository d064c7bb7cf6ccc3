import { constants } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FileReader, FileResult } from '../../lib/io/file-reader.js';
import { type UsageColumn, usageColumns } from '../../lib/native/layout.js';
import { TreeReader } from '../../lib/sampling/tree-reader.js';
import { systemClock } from '../../lib/util/clock.js';
import { noTrees, type ProcessTree, type ProcessTrees } from '../../lib/workers/tree-workers.js';

const { ENOENT, ETIMEDOUT } = constants.errno;

type Use = Partial<Record<Exclude<UsageColumn, 'state' | 'error'>, number>> & { readonly state?: string };

/** Processes by pid: what they have used, or an errno. */
class Host {
  readonly processes = new Map<number, Use | number>();
  uptimeSeconds: number | null = 50;
  nowMs = 1000;
  /** How long a pass takes. */
  tookMs = 6;
  reads = 0;
  readonly #hasAddon: boolean;

  constructor(hasAddon: boolean) {
    this.#hasAddon = hasAddon;
  }

  open(): FileReader {
    return {
      read: async (paths: readonly string[]) => paths.map((path) => this.#file(path)),
      ...(this.#hasAddon ? { usage: async (paths: readonly string[]) => paths.map((path) => this.#row(path)) } : {}),
      runningMs: () => 0,
      runningAt: () => 0,
      close: () => undefined,
    } as unknown as FileReader;
  }

  #row(path: string): Float64Array | number {
    this.reads++;
    const use = this.processes.get(Number(path.split('/').at(-1)));
    if (use === undefined || typeof use === 'number') return use ?? ENOENT;
    const values: Readonly<Record<string, number>> = {
      ...{ residentPages: Number.NaN, readBytes: Number.NaN, writeBytes: Number.NaN },
      ...(use as object),
      state: (use.state ?? 'S').charCodeAt(0),
    };
    return Float64Array.from(usageColumns, (name) => values[name] ?? 0);
  }

  #file(path: string): FileResult {
    const [pid = '', name] = path.split('/').slice(-2);
    if (name === 'uptime')
      return this.uptimeSeconds === null ? ENOENT : Buffer.from(`${this.uptimeSeconds.toFixed(2)} 1.00\n`);
    const use = this.#hasAddon ? undefined : this.processes.get(Number(pid));
    if (use === undefined || typeof use === 'number') return use ?? ENOENT;
    const { parentPid = 0, startTicks = 0, cpuTicks = 0, waitedCpuTicks = 0, residentPages, readBytes } = use;
    if (name === 'stat') {
      const tail = Array.from({ length: 30 }, () => '0');
      tail[9] = String(cpuTicks);
      tail[11] = String(waitedCpuTicks);
      tail[17] = String(startTicks);
      return Buffer.from(`${pid} (x) ${use.state ?? 'S'} ${parentPid} ${tail.join(' ')}\n`);
    }
    if (name === 'statm') return residentPages === undefined ? ENOENT : Buffer.from(`9 ${residentPages} 1 1 0 1 0\n`);
    if (readBytes === undefined) return ENOENT;
    return Buffer.from(`read_bytes: ${readBytes}\nwrite_bytes: ${use.writeBytes ?? 0}\n`);
  }
}

const tree = (key: string, ...members: readonly (readonly [pid: number, startTicks: number])[]): ProcessTree => ({
  ...{ key, group: 'processes', instance: key, record: null },
  members: members.map(([pid, startTicks]) => ({ pid, startTicks })),
});
const treesOf = (...trees: readonly ProcessTree[]): ProcessTrees => ({
  ...noTrees,
  trees,
  outer: new Map(trees.map(({ key }) => [key, null])),
});
/** `b` is inside of `a`, and listed before it. */
const nested = (a: ProcessTree, b: ProcessTree): ProcessTrees => ({
  ...treesOf(b, a),
  outer: new Map([
    ['a', null],
    ['b', 'a'],
  ]),
});

function reading(hasAddon: boolean, trees: ProcessTrees) {
  const host = new Host(hasAddon);
  let now = trees;
  let looks = 0;
  const reader = new TreeReader({
    procRoot: '/proc',
    openFiles: () => host.open(),
    clock: {
      ...systemClock,
      now: () => {
        looks++;
        return host.nowMs + (looks % 2 === 0 ? host.tookMs : 0);
      },
    },
    clockTicks: 100,
    pageSize: 4096,
    trees: () => now,
  });
  onTestFinished(() => reader.close());
  return {
    host,
    reader,
    become: (next: ProcessTrees) => {
      now = next;
    },
    read: async (key = 'a') => {
      looks = 0;
      await reader.read();
      return reader.latest()?.rows.get(key);
    },
  };
}

const readers = [
  ['the addon', true],
  ['files', false],
] as const;

describe.each(readers)('trees of processes by %s', (_by, hasAddon) => {
  it('are a row each, and a part of it for each process', async () => {
    const { host, read, reader } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 200]), tree('b', [13, 300])));
    host.processes.set(11, { startTicks: 100, cpuTicks: 900, residentPages: 3, readBytes: 10, writeBytes: 20 });
    host.processes.set(12, { startTicks: 200, parentPid: 11, residentPages: 5, readBytes: 1, writeBytes: 2 });
    host.processes.set(13, { startTicks: 300, residentPages: 7, readBytes: 4, writeBytes: 4 });
    expect(reader.latest()).toBeNull();
    const first = await read();
    expect(reader.latest()).toMatchObject({ startedMs: 1000, durationMs: 6 });
    expect(first?.processes).toEqual([
      { pid: 11, startTicks: 100, residentBytes: 3 * 4096, ioReadBytes: 10, ioWriteBytes: 20 },
      { pid: 12, startTicks: 200, residentBytes: 5 * 4096, ioReadBytes: 1, ioWriteBytes: 2 },
    ]);
    expect(first?.row).toMatchObject({
      ...{ usageUsec: 0, ioReadBytes: 0, ioWriteBytes: 0, ioDevices: 1, flags: 0, monotonicMs: 1003 },
      ...{ populated: 1, processCount: 2, processOffset: 0, memoryCurrentBytes: Number.NaN },
    });
    host.processes.set(11, { startTicks: 100, cpuTicks: 925, residentPages: 3, readBytes: 17, writeBytes: 20 });
    host.processes.set(12, {
      ...{ startTicks: 200, parentPid: 11, cpuTicks: 5, residentPages: 6, readBytes: 1, writeBytes: 32 },
    });
    const second = await read();
    expect(second?.row).toMatchObject({ usageUsec: 300_000, ioReadBytes: 7, ioWriteBytes: 30 });
    expect(second?.processes[1]).toMatchObject({ residentBytes: 6 * 4096, ioWriteBytes: 32 });
    expect(reader.latest()?.rows.get('b')?.row).toMatchObject({ usageUsec: 0, processCount: 1 });
    const third = await read();
    expect(third?.row).toMatchObject({ usageUsec: 300_000, ioReadBytes: 7, ioWriteBytes: 30 });
    expect(third?.processes).toEqual(second?.processes);
  });

  it.each([
    ['cpuTicks', { cpuTicks: 8 }, { usageUsec: 10_000 }, {}],
    ['waitedCpuTicks', { waitedCpuTicks: 4 }, { usageUsec: 40_000 }, {}],
    ['residentPages', { residentPages: 9 }, {}, { residentBytes: 9 * 4096 }],
    ['readBytes', { readBytes: 33 }, { ioReadBytes: 3 }, { ioReadBytes: 33 }],
    ['writeBytes', { writeBytes: 44 }, { ioWriteBytes: 4 }, { ioWriteBytes: 44 }],
  ])('what alone has changed is seen: %s', async (_what, change, row, part) => {
    const { host, read } = reading(hasAddon, treesOf(tree('a', [11, 100])));
    const use = { startTicks: 100, cpuTicks: 7, residentPages: 8, readBytes: 30, writeBytes: 40 };
    host.processes.set(11, use);
    await read();
    host.processes.set(11, { ...use, ...change });
    const after = await read();
    expect(after?.row).toMatchObject({ usageUsec: 0, ioReadBytes: 0, ioWriteBytes: 0, ...row });
    expect(after?.processes[0]).toMatchObject({ residentBytes: 8 * 4096, ioReadBytes: 30, ioWriteBytes: 40, ...part });
  });

  it('a process without I/O or memory that may be read is counted without', async () => {
    const { host, read } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100, residentPages: 2, readBytes: 5, writeBytes: 5 });
    host.processes.set(12, { startTicks: 110, cpuTicks: 1 });
    await read();
    host.processes.set(12, { startTicks: 110, cpuTicks: 4 });
    const found = await read();
    expect(found?.row).toMatchObject({ ioReadBytes: Number.NaN, ioWriteBytes: Number.NaN, usageUsec: 30_000 });
    expect(found?.row.ioDevices).toBeNaN();
    expect(found?.processes[1]).toMatchObject({ residentBytes: Number.NaN, ioReadBytes: Number.NaN });
  });
});

describe.each(readers)('processes of trees that end or hang, by %s', (_by, hasAddon) => {
  it.each(['Z', 'X'])('one that is over (%s) is no process of the row, and what it used counts', async (state) => {
    const { host, read } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 110, parentPid: 11, cpuTicks: 10 });
    await read();
    host.processes.set(12, { startTicks: 110, parentPid: 11, cpuTicks: 10, state });
    const ended = await read();
    expect(ended?.processes.map(({ pid }) => pid)).toEqual([11]);
    expect(ended?.row).toMatchObject({ processCount: 1, populated: 1, usageUsec: 0 });
    host.processes.set(11, { startTicks: 100, waitedCpuTicks: 13 });
    host.processes.delete(12);
    expect((await read())?.row).toMatchObject({ usageUsec: 30_000 });
  });

  it('one that has ended, or whose pid another one has by now, is gone; a tree of none is empty', async () => {
    const { host, read, reader } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100, cpuTicks: 4 });
    host.processes.set(12, { startTicks: 110 });
    await read();
    host.processes.set(12, { startTicks: 999, cpuTicks: 5000 });
    const one = await read();
    expect(one?.processes.map(({ pid }) => pid)).toEqual([11]);
    expect(one?.row.usageUsec).toBe(0);
    host.processes.delete(11);
    const none = await read();
    expect(none?.processes).toEqual([]);
    expect(none?.row).toMatchObject({ populated: 0, processCount: 0 });
    expect(reader.faults()).toEqual([]);
  });

  it('one that could not be read in a pass is counted on from what it said before', async () => {
    const { host, read } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 110, parentPid: 11, cpuTicks: 70 });
    await read();
    host.processes.set(12, ENOENT);
    expect((await read())?.processes).toHaveLength(1);
    host.processes.set(12, { startTicks: 110, parentPid: 11, cpuTicks: 75 });
    const found = await read();
    expect(found?.processes).toHaveLength(2);
    expect(found?.row.usageUsec).toBe(50_000);
  });

  it('one that hangs is there, and nothing of it is known', async () => {
    const { host, read } = reading(hasAddon, treesOf(tree('a', [11, 100])));
    host.processes.set(11, { startTicks: 100, cpuTicks: 3, residentPages: 1, readBytes: 1, writeBytes: 1 });
    await read();
    host.processes.set(11, ETIMEDOUT);
    const hanging = await read();
    expect(hanging?.processes).toEqual([
      { pid: 11, startTicks: 100, residentBytes: Number.NaN, ioReadBytes: Number.NaN, ioWriteBytes: Number.NaN },
    ]);
    expect(hanging?.row).toMatchObject({ populated: 1, processCount: 1, ioReadBytes: Number.NaN });
    host.processes.set(11, { startTicks: 100, cpuTicks: 9, residentPages: 1, readBytes: 1, writeBytes: 1 });
    expect((await read())?.row).toMatchObject({ usageUsec: 60_000, ioReadBytes: 0 });
  });
});

describe.each(readers)('trees that change, by %s', (_by, hasAddon) => {
  it('a child of another tree is counted once, whichever tree is listed first', async () => {
    const { host, read, become, reader } = reading(hasAddon, nested(tree('a', [11, 100]), tree('b', [13, 130])));
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(13, { startTicks: 130, parentPid: 11, cpuTicks: 50 });
    await read();
    host.processes.set(11, { startTicks: 100, waitedCpuTicks: 58 });
    host.processes.delete(13);
    become(treesOf(tree('a', [11, 100])));
    expect((await read())?.row.usageUsec).toBe(80_000);
    expect([...(reader.latest()?.rows.keys() ?? [])]).toEqual(['a']);
  });

  it('one that came into another tree is counted there from then on', async () => {
    const apart = (a: readonly (readonly [number, number])[], b: readonly (readonly [number, number])[]) =>
      treesOf(tree('a', ...a), tree('b', ...b));
    const { host, read, become, reader } = reading(
      hasAddon,
      apart(
        [
          [11, 100],
          [12, 110],
        ],
        [[13, 130]],
      ),
    );
    for (const [pid, startTicks] of [
      [11, 100],
      [12, 110],
      [13, 130],
    ] as const)
      host.processes.set(pid, { startTicks });
    await read();
    become(
      apart(
        [[11, 100]],
        [
          [13, 130],
          [12, 110],
        ],
      ),
    );
    await read();
    host.processes.set(12, { startTicks: 110, cpuTicks: 9 });
    expect((await read())?.row.usageUsec).toBe(0);
    expect(reader.latest()?.rows.get('b')?.row).toMatchObject({ usageUsec: 90_000, processCount: 2 });
  });

  it('one that hangs while others come and go is counted on from what it said before', async () => {
    const { host, read, become, reader } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 110, cpuTicks: 60 });
    await read();
    host.processes.set(12, ETIMEDOUT);
    host.processes.set(15, { startTicks: 5500 });
    become(treesOf(tree('a', [11, 100], [12, 110], [15, 5500])));
    for (let passes = 0; passes < 3; passes++) expect((await read())?.processes).toHaveLength(3);
    host.processes.set(12, { startTicks: 110, cpuTicks: 66 });
    expect((await read())?.row.usageUsec).toBe(60_000);
    expect(reader.faults()).toEqual([]);
  });

  it('one that has the pid of one that ended is another', async () => {
    const { host, read, become } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 110])));
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 110, cpuTicks: 60 });
    await read();
    host.processes.set(12, { startTicks: 5600, cpuTicks: 61 });
    become(treesOf(tree('a', [11, 100], [12, 5600])));
    expect((await read())?.row.usageUsec).toBe(610_000);
  });

  it('one that begins in a tree that is known is counted from its start, and one that was there before is not', async () => {
    const { host, read, become } = reading(hasAddon, treesOf(tree('a', [11, 100])));
    host.processes.set(11, { startTicks: 100, cpuTicks: 1 });
    await read();
    host.processes.set(12, { startTicks: 5001, parentPid: 11, cpuTicks: 44 });
    host.processes.set(13, { startTicks: 4999, parentPid: 11, cpuTicks: 1000 });
    become(treesOf(tree('a', [11, 100], [12, 5001], [13, 4999])));
    expect((await read())?.row).toMatchObject({ usageUsec: 440_000, processCount: 3 });
  });

  it('where no uptime can be read the newest process says how late it is', async () => {
    const { host, read, become } = reading(hasAddon, treesOf(tree('a', [11, 100], [12, 700])));
    host.uptimeSeconds = null;
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 700 });
    await read();
    host.processes.set(13, { startTicks: 700, parentPid: 11, cpuTicks: 300 });
    host.processes.set(14, { startTicks: 701, parentPid: 11, cpuTicks: 20 });
    become(treesOf(tree('a', [11, 100], [12, 700], [13, 700], [14, 701])));
    expect((await read())?.row.usageUsec).toBe(200_000);
  });

  it('a child that ended is counted once, in the tree of its parent, and one that left its tree is not', async () => {
    const both = treesOf(tree('a', [11, 100], [12, 110]), tree('b', [13, 120]));
    const { host, read, become, reader } = reading(hasAddon, both);
    host.processes.set(11, { startTicks: 100 });
    host.processes.set(12, { startTicks: 110, parentPid: 11, cpuTicks: 50 });
    host.processes.set(13, { startTicks: 120 });
    await read();
    host.processes.set(11, { startTicks: 100, waitedCpuTicks: 58 });
    host.processes.delete(12);
    become(treesOf(tree('a', [11, 100]), tree('b', [13, 120])));
    expect((await read())?.row.usageUsec).toBe(80_000);
    expect(reader.latest()?.rows.get('b')?.row.usageUsec).toBe(0);
    become(treesOf(tree('b', [13, 120])));
    expect(await read()).toBeUndefined();
    expect([...(reader.latest()?.rows.keys() ?? [])]).toEqual(['b']);
    become(noTrees);
    await read();
    await read();
    expect(reader.latest()).toMatchObject({ rows: new Map(), durationMs: 0, startedMs: 1000 });
  });
});

describe('a pass over trees', () => {
  it('is shared by those who ask while it runs, and another follows it', async () => {
    const { host, reader } = reading(true, treesOf(tree('a', [11, 100])));
    host.processes.set(11, { startTicks: 100 });
    await Promise.all([reader.read(), reader.read()]);
    expect(host.reads).toBe(1);
    await reader.read();
    expect(host.reads).toBe(2);
  });

  it('reads nothing where there are none', async () => {
    const { host, reader } = reading(true, noTrees);
    await reader.read();
    expect(reader.latest()).toEqual({ startedMs: 1000, durationMs: 0, rows: new Map() });
    expect(host.reads).toBe(0);
  });

  it('has the same parts as the one before where a process says the same', async () => {
    const { host, read } = reading(true, treesOf(tree('a', [11, 100])));
    host.processes.set(11, { startTicks: 100, residentPages: 4 });
    const before = (await read())?.processes[0];
    const after = (await read())?.processes[0];
    expect(after).toBe(before);
    host.processes.set(11, { startTicks: 100, residentPages: 5 });
    expect((await read())?.processes[0]).not.toBe(before);
  });

  it('after it was closed is rejected', async () => {
    const { host, reader } = reading(true, treesOf(tree('a', [11, 100])));
    host.processes.set(11, { startTicks: 100 });
    reader.close();
    await expect(reader.read()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
