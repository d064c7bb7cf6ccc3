import { describe, expect, it } from 'vitest';
import { type SeenProcess, SeenProcesses } from '../../lib/workers/seen-processes.js';
import {
  changesBetween,
  type NamespaceSocket,
  SocketMakers,
  tableIn,
  tableOf,
} from '../../lib/workers/socket-tables.js';

const socket = (inode: number, port: number, namespace = 1, cgroup: number | null = null): NamespaceSocket => ({
  ...{ inode, port, namespace, cgroup, address: '0.0.0.0' },
});
const table = (...sockets: readonly NamespaceSocket[]) => new Map(sockets.map((each) => [each.inode, each]));

describe('what differs between two reads of sockets', () => {
  const [a, b, c] = [socket(11, 80), socket(12, 81), socket(13, 82, 2)];

  it('is what came, and the ports at which something came or went, in their namespace', () => {
    const changes = changesBetween(new Map([[1, table(a)]]), new Map([[1, table(b)]]));
    expect(changes?.came).toEqual([b]);
    const touched = [a, b, socket(99, 80), socket(99, 82), socket(99, 80, 2)].map((each) => changes?.touches(each));
    expect(touched).toEqual([true, true, true, false, false]);
    expect([1, 2].map((namespace) => changes?.isNew(namespace))).toEqual([false, false]);
  });

  it('is nothing where all are the same, read once or twice', () => {
    const one = table(a, b);
    expect(changesBetween(new Map([[1, one]]), new Map([[1, one]]))).toBeNull();
    expect(changesBetween(new Map([[1, one]]), new Map([[1, table(a, b)]]))).toBeNull();
    expect(changesBetween(new Map(), new Map())).toBeNull();
  });

  it('is a namespace that is in one of them alone, also where nothing listens there', () => {
    const both = [
      new Map([[1, table(a)]]),
      new Map([
        [1, table(a)],
        [2, table()],
      ]),
    ] as const;
    for (const [before, now] of [both, both.toReversed() as unknown as typeof both]) {
      const changes = changesBetween(before, now);
      expect([changes?.came, changes?.isNew(2), changes?.isNew(1)]).toEqual([[], true, false]);
    }
    expect(changesBetween(new Map(), new Map([[2, table(c)]]))?.came).toEqual([c]);
  });

  it('is read of both tables of a namespace, or of the one that is there', () => {
    const line = (inode: number, hex: string) =>
      Buffer.from(`  sl\n 0: ${hex}:0050 00000000:0000 0A 0:0 00:0 0 0 0 ${inode} 1 0\n`);
    const [tcp, tcp6] = [line(5, '0100007F'), line(6, '0'.repeat(32))];
    expect([...tableOf(7, tcp, tcp6).values()]).toMatchObject([
      { inode: 5, namespace: 7, address: '127.0.0.1' },
      { inode: 6, namespace: 7, address: '::' },
    ]);
    expect([...tableOf(7, tcp, 2).keys()]).toEqual([5]);
    expect([...tableIn(9, [socket(1, 80)])]).toEqual([[1, socket(1, 80, 9)]]);
  });
});

describe('who may hold a socket', () => {
  it('is who held one that was made in the same cgroup; nobody knows it where the kernel does not say the cgroup', () => {
    const makers = new SocketMakers();
    makers.note(socket(1, 80, 1, 5), '/a');
    makers.note(socket(2, 81, 1, 5), '/b');
    makers.note(socket(3, 82), '/c');
    const of = (cgroup: number | null) => makers.holdersOf(socket(9, 90, 1, cgroup));
    expect([...(of(5) ?? [])]).toEqual(['/a', '/b']);
    expect([of(6), of(null)]).toEqual([null, null]);
  });

  it('is learned when all descriptors were read: what nobody holds is made by strangers, as long as there are no others', () => {
    const makers = new SocketMakers();
    makers.note(socket(1, 80, 1, 4), '/old');
    const [held, strange, mixed, unsaid] = [
      socket(1, 80, 1, 5),
      socket(2, 81, 1, 6),
      socket(3, 82, 1, 5),
      socket(4, 83),
    ];
    makers.learn(new Map([[1, table(held, strange, mixed, unsaid)]]), new Map([[1, '/a']]));
    const of = (cgroup: number) => {
      const holders = makers.holdersOf(socket(9, 90, 1, cgroup));
      return holders === null ? null : [...holders];
    };
    expect([of(5), of(6), of(4)]).toEqual([['/a'], [], null]);
    // The order in which they stand makes no difference.
    makers.learn(new Map([[1, table(mixed, held)]]), new Map([[1, '/a']]));
    expect(of(5)).toEqual(['/a']);
    makers.learn(new Map([[1, table(held, strange)]]), new Map([[1, '/a']]));
    makers.forgetStrangers();
    expect([of(5), of(6)]).toEqual([['/a'], null]);
  });
});

describe('processes that are looked at', () => {
  const of = () => new SeenProcesses<SeenProcess>((seen) => seen);
  const process = (pid: number, startTicks = 1) => ({ pid, startTicks });
  const readAll = (seen: SeenProcesses<SeenProcess>) => {
    for (const each of seen.byPid.values()) each.read = true;
  };

  it('are those of the list whose start is known; it says whether there are new ones', () => {
    const seen = of();
    const list = [process(1), process(2), process(3, Number.NaN)];
    expect([seen.take(list, 0), seen.take(list, 0), seen.take([...list], 0)]).toEqual([true, false, false]);
    expect([...seen.byPid.keys()]).toEqual([1, 2]);
    expect(seen.take([process(1), process(2, 9)], 5)).toBe(true);
    expect(seen.byPid.get(2)).toEqual({ startTicks: 9, seenMs: 5, read: false });
    expect(seen.take([process(2, 9)], 6)).toBe(false);
    expect([...seen.byPid.keys()]).toEqual([2]);
  });

  it('are due when they are new and for ten seconds, until they were read, and all of them now and then', () => {
    const seen = of();
    seen.take([process(1)], 0);
    expect([seen.verifiedMs, seen.dueAt(0, 60_000), seen.verifiedMs]).toEqual([Number.NEGATIVE_INFINITY, [1], 0]);
    readAll(seen);
    const list = [process(1), process(2)];
    seen.take(list, 9000);
    expect(seen.dueAt(9999, 60_000)).toEqual([1, 2]);
    expect(seen.dueAt(10_000, 60_000)).toEqual([2]);
    // One that could not be read is tried again, however old it is.
    expect(seen.dueAt(30_000, 60_000)).toEqual([2]);
    readAll(seen);
    expect(seen.dueAt(31_000, 60_000)).toEqual([]);
    expect(seen.dueAt(32_000, 60_000)).toEqual([]);
    expect(seen.dueAt(59_999, 60_000)).toEqual([]);
    expect([seen.dueAt(60_000, 60_000), seen.verifiedMs]).toEqual([[1, 2], 60_000]);
    expect(seen.dueAt(60_001, 60_000)).toEqual([]);
    expect(seen.dueAt(70_000, 10_000)).toEqual([1, 2]);
  });

  it('are due as long as they are young, also once they were read, and however late the first look after them is', () => {
    const seen = of();
    seen.take([process(1)], 0);
    expect(seen.dueAt(0, 60_000)).toEqual([1]);
    // Alone, and not read yet.
    expect(seen.dueAt(20_000, 60_000)).toEqual([1]);
    readAll(seen);
    expect([seen.dueAt(20_001, 60_000), seen.dueAt(20_002, 60_000)]).toEqual([[], []]);
    seen.take([process(1), process(2)], 21_000);
    expect(seen.dueAt(21_000, 60_000)).toEqual([2]);
    readAll(seen);
    expect([seen.dueAt(22_000, 60_000), seen.dueAt(23_000, 60_000), seen.dueAt(31_000, 60_000)]).toEqual([
      [2],
      [2],
      [],
    ]);
    seen.take([process(1), process(2), process(3)], 32_000);
    expect(seen.dueAt(50_000, 60_000)).toEqual([3]);
  });
});
