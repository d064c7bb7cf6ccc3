import { constants } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseFdinfo } from '../../../lib/gpu/drm/fdinfo.js';
import { type DrmHolders, DrmProcesses, type DrmProcessesOptions, deviceKey } from '../../../lib/gpu/drm/processes.js';
import type { FileReader, PidInodes } from '../../../lib/io/file-reader.js';
import { fdinfo } from './fake-host.js';

const { EACCES, EIO, ENOENT, EPERM, ESRCH, ETIMEDOUT } = constants.errno;
const at = '0000:63:00.0';
const device = deviceKey({ driver: 'xe', pdev: at });

/** Descriptors by number: the text of a client, or an errno. */
type Descriptors = Readonly<Record<number, string | number>>;
const client = (id: number, pdev = at): string => fdinfo({ driver: 'xe', pdev, id });

/** A /proc in memory, and a walk over it in each pass. */
class Proc {
  readonly processes = new Map<number, { readonly inode: number; descriptors: Descriptors | number }>();
  namespace = 'pid:[4026531836]';
  /** Why the list of processes cannot be had. */
  unlisted: number | null = null;
  nowMs = 0;
  /** Pids whose descriptors were listed, and paths that were read, in the last pass. */
  looked: number[] = [];
  readonly read: string[] = [];
  /** Called before the files of a pass are read. */
  meanwhile: () => void = () => undefined;
  walks = 0;
  /** The order in which descriptors are listed is another. */
  isReversed = false;
  /** As with the addon, which parses them itself. */
  readonly parses: boolean;
  #inodes: PidInodes = new Map();
  #lastInode = 70;
  readonly #isOwnClock: boolean;
  readonly #scanner: DrmProcesses;

  constructor(options: Partial<DrmProcessesOptions> = {}, parses = false) {
    this.parses = parses;
    this.#isOwnClock = options.sharedMs === undefined;
    this.#scanner = new DrmProcesses({
      procRoot: '/proc',
      now: () => this.nowMs,
      open: () => this.#reader(),
      ...options,
    });
    onTestFinished(() => this.#scanner.close());
  }

  has(pid: number, descriptors: Descriptors | number, inode = ++this.#lastInode): this {
    this.processes.set(pid, { inode, descriptors });
    return this;
  }
  become(pid: number, descriptors: Descriptors | number): void {
    this.has(pid, descriptors, this.processes.get(pid)?.inode);
  }

  async scan(): Promise<DrmHolders> {
    this.looked = [];
    this.read.length = 0;
    return await this.#scanner.scan();
  }
  /** Pids with the ids of their clients on the card, and why it is incomplete. */
  async pass(of = device): Promise<readonly [Readonly<Record<number, number>>, string | null]> {
    if (this.#isOwnClock) this.nowMs += 1000;
    const { byDevice, incomplete } = await this.scan();
    const holders = (byDevice.get(of) ?? []).map(({ pid, clients }) => [pid, clients.length] as const);
    expect(holders.map(([pid]) => pid)).toEqual(holders.map(([pid]) => pid).sort((a, b) => a - b));
    return [Object.fromEntries(holders), incomplete?.text ?? null];
  }

  #reader(): FileReader {
    const each = async <T>(paths: readonly string[], one: (path: string) => T) => paths.map(one);
    return {
      pids: (paths: readonly string[]) => each(paths, () => this.#list()),
      links: (paths: readonly string[], prefix: string) =>
        each(paths, (path) =>
          path === '/proc/self/ns' ? [this.namespace].filter((link) => link.startsWith(prefix)) : ENOENT,
        ),
      linkNames: (paths: readonly string[], prefix: string) =>
        each(paths, (path) => {
          const pid = Number(/^\/proc\/(\d+)\/fd$/.exec(path)?.[1]);
          if (prefix !== '/dev/dri/') return ENOENT;
          this.looked.push(pid);
          const descriptors = this.processes.get(pid)?.descriptors ?? ENOENT;
          if (typeof descriptors === 'number') return descriptors;
          return this.isReversed ? Object.keys(descriptors).reverse() : Object.keys(descriptors);
        }),
      readKept: async (paths: readonly string[]) => {
        this.meanwhile();
        return each(paths, (path) => (this.parses ? ENOENT : this.#file(path)));
      },
      ...(this.parses
        ? {
            drmClients: (paths: readonly string[]) =>
              each(paths, (path) => {
                const text = this.#file(path);
                return typeof text === 'number' ? text : parseFdinfo(text);
              }),
          }
        : {}),
      runningMs: () => 0,
      runningAt: () => 0,
      close: () => undefined,
    } as unknown as FileReader;
  }

  #file(path: string): string | number {
    this.read.push(path);
    const [, , pid, , name] = path.split('/');
    const descriptors = this.processes.get(Number(pid))?.descriptors ?? ENOENT;
    return typeof descriptors === 'number' ? descriptors : (descriptors[Number(name)] ?? ENOENT);
  }

  /** The same list where nothing has changed, as the real ones give it. */
  #list(): PidInodes | number {
    this.walks++;
    if (this.unlisted !== null) return this.unlisted;
    const now = new Map([...this.processes].map(([pid, { inode }]) => [pid, inode]));
    const before = [...this.#inodes].join(' ');
    if ([...now].join(' ') !== before) this.#inodes = now;
    return this.#inodes;
  }
}

describe('which processes hold a card', () => {
  it('those that have a client of it open, in the order of their pids', async () => {
    const proc = new Proc()
      .has(900, { 4: client(1) })
      .has(41, { 7: client(2), 9: client(3), 12: 'pos:\t0\n' })
      .has(55, {})
      .has(56, { 3: 'pos:\t0\n' });
    expect(await proc.pass()).toEqual([{ 41: 2, 900: 1 }, null]);
    const { byDevice } = await proc.scan();
    expect([...byDevice.keys()]).toEqual([device]);
    const [first] = byDevice.get(device) ?? [];
    expect(first?.clients.map(({ client: each }) => each.shape.key).length).toBe(2);
  });

  it('of several cards each has its own', async () => {
    const other = '0000:9c:00.0';
    const proc = new Proc().has(41, { 3: client(2), 4: client(2, other) }).has(42, { 3: client(5, other) });
    expect(await proc.pass()).toEqual([{ 41: 1 }, null]);
    expect(await proc.pass(deviceKey({ driver: 'xe', pdev: other }))).toEqual([{ 41: 1, 42: 1 }, null]);
  });

  it('a client that several have is that of the one with the lowest pid, also where it was found last', async () => {
    const proc = new Proc().has(70, { 3: client(2), 5: client(2), 6: client(8) });
    expect(await proc.pass()).toEqual([{ 70: 2 }, null]);
    expect(await proc.pass()).toEqual([{ 70: 2 }, null]);
    proc.has(60, { 3: client(2) });
    expect(await proc.pass()).toEqual([{ 60: 1, 70: 1 }, null]);
    expect(await proc.pass()).toEqual([{ 60: 1, 70: 1 }, null]);
  });

  it('one descriptor of each client is read again, and no file of a process without one', async () => {
    const proc = new Proc().has(70, { 3: client(2), 5: client(2), 6: client(8) }).has(71, { 3: 'pos:\t0\n' });
    await proc.pass();
    expect(proc.read).toHaveLength(4);
    await proc.pass();
    expect(proc.read).toEqual(['/proc/70/fdinfo/3', '/proc/70/fdinfo/6']);
    const none = new Proc().has(71, {});
    await none.pass();
    await none.pass();
    expect(none.read).toEqual([]);
  });

  it('one that has ended, or whose pid another has, holds nothing any more', async () => {
    const proc = new Proc().has(41, { 3: client(2) }).has(42, { 3: client(3) });
    await proc.pass();
    proc.processes.delete(41);
    expect(await proc.pass()).toEqual([{ 42: 1 }, null]);
    proc.has(42, {});
    expect(await proc.pass()).toEqual([{}, null]);
    expect(proc.looked).toEqual([42]);
    proc.has(41, { 3: client(9) });
    expect(await proc.pass()).toEqual([{ 41: 1 }, null]);
  });

  it.each([
    ['is of another client', client(7), { 41: 1 }],
    ['is of no client', 'pos:\t0\n', {}],
    ['is closed', undefined, {}],
  ])('a descriptor that %s is seen, and its process looked at in the next pass', async (_what, text, held) => {
    const proc = new Proc().has(41, { 3: client(2) });
    await proc.pass();
    proc.become(41, text === undefined ? {} : { 3: text });
    expect(await proc.pass()).toEqual([held, null]);
    expect(await proc.pass()).toEqual([held, null]);
    expect(proc.looked).toEqual([41]);
    expect(await proc.pass()).toEqual([held, null]);
    expect(proc.looked).toEqual([]);
  });

  it('the addon parses them where there is one', async () => {
    const proc = new Proc({}, true).has(41, { 3: client(2), 4: 'pos:\t0\n' });
    expect(await proc.pass()).toEqual([{ 41: 1 }, null]);
    expect(await proc.pass()).toEqual([{ 41: 1 }, null]);
  });

  it('no file is read any more of one that has ended, or has closed its GPUs', async () => {
    const proc = new Proc()
      .has(40, { 3: client(1) })
      .has(41, { 3: client(2) })
      .has(42, { 3: client(3) });
    await proc.pass();
    proc.processes.delete(41);
    proc.become(42, {});
    await proc.pass();
    await proc.pass();
    expect(proc.looked).toContain(42);
    await proc.pass();
    expect(proc.read).toEqual(['/proc/40/fdinfo/3']);
  });

  it.each([
    [ENOENT, { 41: 1, 42: 1 }],
    [ESRCH, { 42: 1 }],
  ])('a first descriptor that gives %i', async (errno, held) => {
    const proc = new Proc().has(41, { 3: errno, 4: client(3) }).has(42, { 3: client(5) });
    expect(await proc.pass()).toEqual([held, null]);
  });
});

describe('when processes are looked at again', () => {
  it('after two passes at the soonest, twenty at the latest, and not all in one', async () => {
    const proc = new Proc().has(400, {}).has(401, {});
    const seen = new Map<number, number[]>([
      [400, []],
      [401, []],
    ]);
    for (let pass = 1; pass <= 260; pass++) {
      await proc.pass();
      for (const pid of proc.looked) seen.get(pid)?.push(pass);
    }
    const pauses = (pid: number) => {
      const passes = seen.get(pid) ?? [];
      return passes.slice(1).map((pass, i) => pass - (passes[i] ?? 0));
    };
    expect(seen.get(400)?.[0]).toBe(1);
    expect(pauses(400).slice(0, 6)).toEqual([2, 2, 2, 2, 2, 4]);
    expect(pauses(401).slice(0, 4)).toEqual([3, 3, 3, 5]);
    expect(pauses(400).at(-1)).toBe(20);
    expect(Math.max(...pauses(401))).toBeLessThan(40);
    expect(pauses(401).at(-1)).toBe(20 + (401 % 20));
  });

  it('a GPU that it opens is found then', async () => {
    const proc = new Proc().has(400, {});
    await proc.pass();
    proc.become(400, { 3: client(2) });
    expect(await proc.pass()).toEqual([{}, null]);
    expect(await proc.pass()).toEqual([{ 400: 1 }, null]);
    proc.become(400, { 3: client(2), 4: client(3) });
    expect(await proc.pass()).toEqual([{ 400: 1 }, null]);
    expect(await proc.pass()).toEqual([{ 400: 2 }, null]);
  });

  it('of one whose descriptors have the names of before those are read that are of no client that is known', async () => {
    const proc = new Proc().has(400, { 3: client(2), 4: client(2), 5: 'pos:\t0\n' });
    await proc.pass();
    await proc.pass();
    proc.isReversed = true;
    expect(await proc.pass()).toEqual([{ 400: 1 }, null]);
    expect(proc.looked).toEqual([400]);
    expect(proc.read.map((path) => path.at(-1))).toEqual(['3', '4', '5']);
    expect(await proc.pass()).toEqual([{ 400: 1 }, null]);
    expect(proc.read.map((path) => path.at(-1))).toEqual(['3']);
  });

  it('a client is found at once by another descriptor of it where the first is gone at a look', async () => {
    const proc = new Proc().has(400, { 3: client(2), 4: client(2) });
    await proc.pass();
    await proc.pass();
    proc.become(400, { 4: client(2) });
    expect(await proc.pass()).toEqual([{ 400: 1 }, null]);
    expect(proc.looked).toEqual([400]);
  });

  it.each([
    ['was closed before it was read', ENOENT],
    ['was of no client', 'pos:\t0\n'],
    ['was a second one of a client', client(2)],
  ])('a descriptor that %s is found where its name is given to another', async (_what, before) => {
    const proc = new Proc().has(400, { 3: client(2), 4: before });
    await proc.pass();
    proc.become(400, { 3: client(2), 4: client(3) });
    await proc.pass();
    for (let pass = 0; pass < 4; pass++) expect(await proc.pass()).toEqual([{ 400: 2 }, null]);
    expect(proc.read).toHaveLength(2);
    proc.become(400, { 3: client(5), 4: client(3) });
    expect(await proc.pass()).toEqual([{ 400: 2 }, null]);
    expect(await proc.pass()).toEqual([{ 400: 2 }, null]);
  });
});

describe('why some processes may be missing', () => {
  const hidden = 'may not be read';
  const stuck = 'it gives no answer';

  it.each([
    [EACCES, hidden],
    [EPERM, hidden],
    [EIO, stuck],
    [ETIMEDOUT, stuck],
    [ENOENT, null],
    [ESRCH, null],
  ] as const)('one whose descriptors give %i', async (errno, why) => {
    const proc = new Proc().has(41, errno).has(42, { 3: client(2) });
    const [held, incomplete] = await proc.pass();
    expect(held).toEqual({ 42: 1 });
    if (why === null) expect(incomplete).toBeNull();
    else expect(incomplete).toContain(why);
    proc.become(41, { 3: client(9) });
    await proc.pass();
    for (let pass = 0; pass < 4; pass++) await proc.pass();
    expect(await proc.pass()).toEqual([{ 41: 1, 42: 1 }, null]);
    proc.become(41, errno);
    await proc.pass();
    proc.processes.delete(41);
    expect(await proc.pass()).toEqual([{ 42: 1 }, null]);
  });

  it.each([
    [EACCES, hidden],
    [ETIMEDOUT, stuck],
  ] as const)('a descriptor that gives %i, first or later', async (errno, why) => {
    const proc = new Proc().has(41, { 3: client(2), 4: errno });
    expect(await proc.pass()).toEqual([{}, expect.stringContaining(why)]);
    const later = new Proc().has(41, { 3: client(2), 4: client(3) });
    await later.pass();
    later.become(41, { 3: client(2), 4: errno });
    expect(await later.pass()).toEqual([{ 41: 1 }, expect.stringContaining(why)]);
    expect((await later.pass())[1]).toContain(why);
    later.become(41, { 3: client(2), 4: client(3) });
    for (let pass = 0; pass < 4; pass++) await later.pass();
    expect(await later.pass()).toEqual([{ 41: 2 }, null]);
  });

  it.each([ENOENT, ESRCH])('one that ends while it is read hides nothing (%i)', async (errno) => {
    const proc = new Proc().has(41, { 3: client(2) }).has(42, { 3: client(3) });
    proc.meanwhile = () => proc.become(41, errno);
    expect(await proc.pass()).toEqual([{ 42: 1 }, null]);
    const later = new Proc().has(41, { 3: client(2) });
    await later.pass();
    later.become(41, errno);
    expect(await later.pass()).toEqual([{}, null]);
  });

  it('one that cannot be read says more than one that may not be, and that more than a crowd', async () => {
    const most = { ofOne: 1, inAll: 99 };
    const proc = new Proc({ descriptors: most })
      .has(41, EIO)
      .has(42, EACCES)
      .has(43, { 3: client(2), 4: client(3) });
    expect((await proc.pass())[1]).toContain(stuck);
    proc.processes.delete(41);
    expect((await proc.pass())[1]).toContain(hidden);
    proc.processes.delete(42);
    expect((await proc.pass())[1]).toContain('more descriptors');
    proc.processes.delete(43);
    expect((await proc.pass())[1]).toBeNull();
  });

  it.each([
    ['pid:[4026531836]', null],
    ['pid:[4026532999]', 'of this container'],
    ['net:[4026532999]', null],
  ])('where the namespace of the hive is %s', async (namespace, why) => {
    const proc = new Proc().has(41, { 3: client(2) });
    proc.namespace = namespace;
    const [held, incomplete] = await proc.pass();
    expect(held).toEqual({ 41: 1 });
    if (why === null) expect(incomplete).toBeNull();
    else expect(incomplete).toContain(why);
    proc.namespace = 'pid:[4026531836]';
    expect((await proc.pass())[1]).toBe(incomplete);
  });

  it.each([
    [ETIMEDOUT, stuck],
    [EACCES, hidden],
  ] as const)(
    'where processes cannot be listed (%i) nothing is known, and what was due is looked at then',
    async (errno, why) => {
      const proc = new Proc().has(41, { 3: client(2) });
      await proc.pass();
      await proc.pass();
      proc.unlisted = errno;
      expect(await proc.pass()).toEqual([{}, expect.stringContaining(why)]);
      expect(await proc.pass()).toEqual([{}, expect.stringContaining(why)]);
      proc.unlisted = null;
      proc.become(41, { 3: client(2), 4: client(3) });
      expect(await proc.pass()).toEqual([{ 41: 2 }, null]);
    },
  );
});

describe('more descriptors than are looked at', () => {
  const many = (count: number, from: number): Descriptors =>
    Object.fromEntries(Array.from({ length: count }, (_unused, i) => [i + 3, client(from + i)]));

  it('of one process are left out, and no fewer', async () => {
    const proc = new Proc({ descriptors: { ofOne: 3, inAll: 99 } }).has(41, many(3, 100)).has(42, many(4, 200));
    expect(await proc.pass()).toEqual([{ 41: 3 }, expect.stringContaining('more descriptors')]);
    proc.become(42, many(2, 200));
    for (let pass = 0; pass < 4; pass++) await proc.pass();
    expect(await proc.pass()).toEqual([{ 41: 3, 42: 2 }, null]);
  });

  it('of all processes are those of who has most', async () => {
    const options = { descriptors: { ofOne: 9, inAll: 6 } };
    const whole = new Proc(options).has(41, many(3, 100)).has(42, many(3, 200)).has(43, {});
    expect(await whole.pass()).toEqual([{ 41: 3, 42: 3 }, null]);
    whole.has(44, many(1, 300));
    expect(await whole.pass()).toEqual([{ 41: 3, 42: 3 }, expect.stringContaining('more descriptors')]);
    const equal = new Proc({ descriptors: { ofOne: 3, inAll: 4 } }).has(41, many(3, 100)).has(42, many(3, 200));
    expect((await equal.pass())[0]).toEqual({});
    const part = new Proc(options).has(41, many(4, 100)).has(42, many(3, 200)).has(43, many(2, 300));
    expect((await part.pass())[0]).toEqual({ 42: 3, 43: 2 });
    part.processes.delete(42);
    for (let pass = 0; pass < 8; pass++) await part.pass();
    expect(await part.pass()).toEqual([{ 41: 4, 43: 2 }, null]);
  });
});

describe('one walk for all who ask', () => {
  it('within the time that is shared, and another after it', async () => {
    const proc = new Proc({ sharedMs: 300 }).has(41, { 3: client(2) });
    proc.nowMs = 1000;
    await proc.pass();
    proc.nowMs = 1300;
    await proc.pass();
    expect(proc.walks).toBe(1);
    proc.nowMs = 1301;
    await proc.pass();
    expect(proc.walks).toBe(2);
  });

  it('where none is said, of the same moment', async () => {
    const proc = new Proc().has(41, { 3: client(2) });
    await Promise.all([proc.scan(), proc.scan()]);
    expect(proc.walks).toBe(1);
    proc.nowMs = 1;
    await proc.scan();
    expect(proc.walks).toBe(2);
  });
});
