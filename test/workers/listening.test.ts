import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Listening } from '../../lib/workers/listening.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const namespace = 4_026_531_840;

interface FakeSocket {
  readonly inode: number;
  readonly port: number;
  readonly cgroup: number;
}

/** Sockets as the kernel says them: with the cgroup in which each was made, or by /proc without it. */
class World {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly held = new Map<number, FakeSocket[]>();
  readonly cgroups = new Map<number, number>();
  readonly strangers: FakeSocket[] = [];
  readonly listening: Listening;
  readonly #hasIds: boolean;
  #inodes = 100;
  #list: readonly { pid: number; startTicks: number; cgroup: string | null }[] = [];
  waiting: ReadonlySet<number> = new Set();

  constructor(hasIds = true) {
    this.#hasIds = hasIds;
    const { clock } = this;
    this.listening = new Listening({ procRoot: '/proc', clock, openFiles: () => this.tree.reader(clock) });
  }

  socket(port: number, cgroup: number): FakeSocket {
    this.#inodes += 1;
    return { inode: this.#inodes, port, cgroup };
  }

  start(pid: number, cgroup: number, name: string | null = `/${cgroup}`): void {
    this.held.set(pid, []);
    this.cgroups.set(pid, cgroup);
    this.#list = [...this.#list, { pid, startTicks: pid, cgroup: name }];
  }

  end(pid: number): void {
    this.held.delete(pid);
    this.#list = this.#list.filter((process) => process.pid !== pid);
  }

  #sockets(): readonly FakeSocket[] {
    return [...new Set([...this.held.values()].flat().concat(this.strangers))];
  }

  #write(): void {
    const { tree } = this;
    tree.links.clear();
    for (const name of ['self', '1', ...this.held.keys()]) tree.links.set(`/proc/${name}/ns`, [`net:[${namespace}]`]);
    for (const [pid, sockets] of this.held)
      tree.links.set(
        `/proc/${pid}/fd`,
        sockets.map(({ inode }) => `socket:[${inode}]`),
      );
    if (this.#hasIds) tree.dumps.set('/proc/self/ns/net', this.#dump());
    else tree.write('/proc/self/net/tcp', this.#table());
  }

  #dump(): Buffer {
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(BigInt(namespace));
    const rows = this.#sockets().map(({ inode, port, cgroup }) => {
      const row = Buffer.alloc(80);
      row[0] = 2;
      row[1] = 10;
      row.writeUInt16BE(port, 4);
      row.writeUInt32LE(inode, 68);
      row.writeBigUInt64LE(BigInt(cgroup), 72);
      return row;
    });
    return Buffer.concat([head, ...rows]);
  }

  #table(): string {
    const rows = this.#sockets().map(({ inode, port }) => {
      const hex = port.toString(16).toUpperCase().padStart(4, '0');
      return `   0: 00000000:${hex} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0`;
    });
    return ['  sl  local_address rem_address   st', ...rows, ''].join('\n');
  }

  async look(afterMs = 5000): Promise<void> {
    this.#write();
    await this.clock.advance(afterMs);
    this.listening.update(this.#list, this.waiting);
    await this.listening.look();
    await settle();
  }

  inodesOf(pid: number): readonly number[] | null {
    const found = this.listening.of({ pid, startTicks: pid })?.sockets;
    return found?.map(({ inode }) => inode).sort((a, b) => a - b) ?? null;
  }

  /** Sockets that it is said to hold and nobody does. One that was handed on and closed is known when all descriptors are read. */
  inventedOf(pid: number): readonly number[] {
    const held = new Set([...this.held.values()].flat().map(({ inode }) => inode));
    return (this.inodesOf(pid) ?? []).filter((inode) => !held.has(inode));
  }

  truthOf(pid: number): readonly number[] {
    return (this.held.get(pid) ?? []).map(({ inode }) => inode).sort((a, b) => a - b);
  }

  /** What may change what is known of where a process serves: its sockets, and who else listens on their ports. */
  viewOf(pid: number): string {
    const own = this.listening.of({ pid, startTicks: pid })?.sockets ?? null;
    const ports = new Set(own?.map(({ port }) => port));
    const all = this.listening.inNamespace(namespace).filter(({ port }) => ports.has(port));
    return JSON.stringify([own, all.sort((a, b) => a.inode - b.inode)]);
  }

  /** Processes whose descriptors were read since the last call. */
  #asked = 0;
  readOf(): readonly string[] {
    const all = this.tree.asked().filter((path) => path.endsWith('/fd'));
    const read = all.slice(this.#asked);
    this.#asked = all.length;
    return read;
  }
}

type Step =
  | { readonly do: 'start'; readonly cgroup: number }
  | { readonly do: 'end' | 'close' | 'inherit'; readonly of: number }
  | { readonly do: 'open'; readonly of: number; readonly port: number }
  | { readonly do: 'stranger'; readonly cgroup: number; readonly port: number }
  | { readonly do: 'strangerEnds' | 'quiet' };

const few = fc.nat(9);
const port = fc.constantFrom(80, 81, 82);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('start' as const), cgroup: fc.constantFrom(1, 2, 3) }),
  fc.record({ do: fc.constantFrom('end' as const, 'close' as const, 'inherit' as const), of: few }),
  fc.record({ do: fc.constant('open' as const), of: few, port }),
  // Some are in cgroups of workers: what is no process of theirs may be there too.
  fc.record({ do: fc.constant('stranger' as const), cgroup: fc.constantFrom(1, 8, 9), port }),
  fc.record({ do: fc.constantFrom('strangerEnds' as const, 'quiet' as const) }),
);

function take(world: World, each: Step, pid: number): void {
  const pids = [...world.held.keys()];
  const chosen = 'of' in each && pids.length > 0 ? (pids[each.of % pids.length] as number) : null;
  const sockets = chosen === null ? [] : (world.held.get(chosen) as FakeSocket[]);
  if (each.do === 'start') world.start(pid, each.cgroup);
  else if (each.do === 'stranger') world.strangers.push(world.socket(each.port, each.cgroup));
  else if (each.do === 'strangerEnds') world.strangers.shift();
  else if (chosen === null) return;
  else if (each.do === 'end') world.end(chosen);
  else if (each.do === 'close') sockets.pop();
  else if (each.do === 'open') sockets.push(world.socket(each.port, world.cgroups.get(chosen) as number));
  else if (each.do === 'inherit') {
    world.start(pid, world.cgroups.get(chosen) as number);
    world.held.set(pid, [...sockets]);
  }
}

describe.each([
  ['with the cgroups in which they were made', true],
  ['as /proc says them', false],
])('sockets that listen, %s', (_title, hasIds) => {
  it('are known of whoever holds them, and only what changes about a process is said to have changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        const world = new World(hasIds);
        const { listening } = world;
        const views = new Map<number, string>();
        const check = (): void => {
          for (const pid of world.held.keys()) {
            const view = world.viewOf(pid);
            const before = views.get(pid);
            const isChanged = listening.changedIn([{ pid, startTicks: pid }]) > seen;
            if (before !== undefined && before !== view) expect(isChanged).toBe(true);
            if (isChanged) expect(listening.generation).toBeGreaterThan(seen);
            views.set(pid, view);
            expect(world.inventedOf(pid)).toEqual([]);
          }
        };
        let seen = 0;
        for (const [i, each] of steps.entries()) {
          take(world, each, 10 + i);
          seen = listening.generation;
          await world.look();
          check();
        }
        seen = listening.generation;
        await world.look(600_000);
        check();
        for (const pid of world.held.keys()) expect(world.inodesOf(pid)).toEqual(world.truthOf(pid));
        listening.close();
      }),
    );
  });
});

async function settled(): Promise<World> {
  const world = new World();
  for (const pid of [11, 12]) {
    world.start(pid, 1);
    world.held.get(pid)?.push(world.socket(8000 + pid, 1));
  }
  world.start(21, 2);
  world.held.get(21)?.push(world.socket(8021, 2));
  world.strangers.push(world.socket(22, 8));
  for (let i = 0; i < 4; i += 1) await world.look();
  world.readOf();
  return world;
}

describe('sockets of strangers', () => {
  it('that come and go where others of theirs are known cost no look at any process, and change nothing about one', async () => {
    const world = await settled();
    const { generation } = world.listening;
    for (let i = 0; i < 30; i += 1) {
      world.strangers.push(world.socket(30_000 + i, 8));
      if (i % 3 === 0) world.strangers.shift();
      await world.look();
    }
    expect(world.readOf()).toEqual([]);
    expect(world.listening.generation).toBe(generation);
    // On the port of a worker it changes that one, and no other.
    world.strangers.push(world.socket(8021, 8));
    await world.look();
    expect(world.readOf()).toEqual([]);
    const changed = (pid: number) => world.listening.changedIn([{ pid, startTicks: pid }]) > generation;
    expect([11, 12, 21].map(changed)).toEqual([false, false, true]);
    world.listening.close();
  });

  it('in a cgroup that is not known are looked for once, within a minute', async () => {
    const world = await settled();
    for (let i = 0; i < 30; i += 1) {
      world.strangers.push(world.socket(30_000 + i, 9));
      await world.look();
    }
    expect(world.readOf()).toHaveLength(3);
    world.listening.close();
  });

  it('may be in any cgroup once processes are in another', async () => {
    const world = await settled();
    world.start(31, 8);
    for (let i = 0; i < 4; i += 1) await world.look();
    world.readOf();
    world.held.get(31)?.push(world.socket(8031, 8));
    await world.look();
    await world.look(60_000);
    expect(world.inodesOf(31)).toEqual(world.truthOf(31));
    world.listening.close();
  });
});

it('a socket that a worker opens later is its own at the next look, and costs a look at the processes of its cgroup', async () => {
  const world = await settled();
  world.held.get(12)?.push(world.socket(9000, 1));
  await world.look();
  expect(world.inodesOf(12)).toEqual(world.truthOf(12));
  expect(world.readOf()).toEqual(['/proc/11/fd', '/proc/12/fd']);
  world.listening.close();
});

it('a process that is expected to listen is looked at whatever comes', async () => {
  const world = await settled();
  world.start(31, 3);
  for (let i = 0; i < 4; i += 1) await world.look();
  world.waiting = new Set([31]);
  world.held.get(31)?.push(world.socket(8031, 8));
  await world.look();
  expect(world.inodesOf(31)).toEqual(world.truthOf(31));
  world.listening.close();
});

describe('sockets of the workers themselves', () => {
  it('that are closed are gone at the next look, which costs no look at a process, and that is said to have changed', async () => {
    const world = await settled();
    const { generation } = world.listening;
    world.held.get(11)?.pop();
    await world.look();
    expect(world.inodesOf(11)).toEqual([]);
    expect(world.readOf()).toEqual([]);
    const changed = (pid: number) => world.listening.changedIn([{ pid, startTicks: pid }]) > generation;
    expect([11, 12, 21].map(changed)).toEqual([true, false, false]);
    // Its descriptors are not read yet: what was closed is not found, and that is no harm.
    world.held.get(12)?.pop();
    await world.look();
    expect(world.inodesOf(12)).toEqual([]);
    expect(changed(12)).toBe(true);
    world.listening.close();
  });

  it('are several of one process: who listens on the port of any of them changes it', async () => {
    const world = await settled();
    world.held.get(11)?.push(world.socket(9000, 1));
    await world.look();
    const { generation } = world.listening;
    world.strangers.push(world.socket(9000, 8));
    await world.look();
    expect(world.listening.changedIn([{ pid: 11, startTicks: 11 }])).toBeGreaterThan(generation);
    world.listening.close();
  });

  it('are found at once also after all have been looked at again', async () => {
    const world = await settled();
    await world.look(600_000);
    world.held.get(12)?.push(world.socket(9000, 1));
    await world.look();
    expect(world.inodesOf(12)).toEqual(world.truthOf(12));
    world.listening.close();
  });

  it('are found within a minute where they came with others that were found at once', async () => {
    const world = await settled();
    world.held.get(12)?.push(world.socket(9000, 1));
    world.held.get(21)?.push(world.socket(9001, 9));
    await world.look();
    expect([world.inodesOf(12), world.inodesOf(21)?.length]).toEqual([world.truthOf(12), 1]);
    await world.look(60_000);
    expect(world.inodesOf(21)).toEqual(world.truthOf(21));
    world.listening.close();
  });

  it('are found at once where another of theirs was made in a cgroup that is new', async () => {
    const world = await settled();
    world.start(31, 3);
    world.held.get(31)?.push(world.socket(8031, 3));
    for (let i = 0; i < 4; i += 1) await world.look();
    world.held.get(31)?.push(world.socket(8032, 3));
    await world.look();
    expect(world.inodesOf(31)).toEqual(world.truthOf(31));
    world.listening.close();
  });

  it('are looked for in a process that holds none yet, where another of its cgroup holds one', async () => {
    const world = await settled();
    world.start(13, 1);
    for (let i = 0; i < 4; i += 1) await world.look();
    world.readOf();
    world.held.get(13)?.push(world.socket(9000, 1));
    await world.look();
    expect(world.inodesOf(13)).toEqual(world.truthOf(13));
    expect(world.readOf()).toEqual(['/proc/11/fd', '/proc/12/fd', '/proc/13/fd']);
    world.listening.close();
  });

  it('are looked for in one process alone where its cgroup is not known', async () => {
    const world = new World();
    for (const pid of [11, 12]) world.start(pid, 1, null);
    world.held.get(11)?.push(world.socket(8011, 1));
    for (let i = 0; i < 4; i += 1) await world.look();
    world.readOf();
    world.held.get(11)?.push(world.socket(9000, 1));
    await world.look();
    expect(world.inodesOf(11)).toEqual(world.truthOf(11));
    expect(world.readOf()).toEqual(['/proc/11/fd']);
    world.listening.close();
  });
});

it('a process more in a cgroup of workers makes no stranger unknown', async () => {
  const world = await settled();
  world.start(13, 1);
  for (let i = 0; i < 4; i += 1) await world.look();
  world.readOf();
  world.strangers.push(world.socket(30_000, 8));
  await world.look();
  await world.look(60_000);
  expect(world.readOf()).toEqual([]);
  world.listening.close();
});
