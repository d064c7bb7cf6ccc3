import { constants } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Listening } from '../../lib/workers/listening.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const { EACCES, EIO, ENOENT, EPERM, ESRCH } = constants.errno;
const [own, host, other] = [4_026_531_840, 4_026_531_841, 4_026_531_842];

interface FakeProcess {
  readonly pid: number;
  readonly startTicks: number;
  readonly cgroup?: string;
}

/** /proc as it is without sock_diag(7): the hive is in `own`, the first process in `host`. */
class Proc {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly listening: Listening;
  processes: readonly FakeProcess[] = [];
  waiting: ReadonlySet<number> = new Set();
  onUnix: ReadonlySet<number> = new Set();

  constructor() {
    const { clock, tree } = this;
    this.listening = new Listening({ procRoot: '/proc', clock, openFiles: () => tree.reader(clock) });
    onTestFinished(() => this.listening.close());
    tree.links.set('/proc/self/ns', [`net:[${own}]`]);
    tree.links.set('/proc/1/ns', [`net:[${host}]`]);
    this.table('self', {});
  }

  /** A process that holds sockets of a namespace, all of which are said by its table. */
  start(pid: number, namespace: number, sockets: Readonly<Record<number, number>> = {}): FakeProcess {
    const process = { pid, startTicks: pid };
    this.processes = [...this.processes, process];
    this.tree.links.set(`/proc/${pid}/ns`, [`pid:[7]`, `net:[${namespace}]`]);
    this.hold(pid, sockets);
    this.table(String(pid), sockets);
    return process;
  }

  hold(pid: number, sockets: Readonly<Record<number, number>>): void {
    const inodes = Object.keys(sockets).map((inode) => `socket:[${inode}]`);
    this.tree.links.set(`/proc/${pid}/fd`, ['/dev/null', ...inodes]);
  }

  /** Ports by inodes. */
  table(name: string, sockets: Readonly<Record<number, number>>): void {
    const rows = Object.entries(sockets).map(([inode, port]) => {
      const hex = port.toString(16).toUpperCase().padStart(4, '0');
      return `   0: 00000000:${hex} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0`;
    });
    this.tree.write(`/proc/${name}/net/tcp`, ['  sl  local_address rem_address   st', ...rows, ''].join('\n'));
  }

  /** One look, in which reads that hang are given up. */
  async look(afterMs = 5000): Promise<void> {
    await this.clock.advance(afterMs);
    this.update();
    const looking = this.listening.look();
    await this.clock.advance(3000);
    await looking;
  }

  update(): void {
    this.listening.update(this.processes, this.waiting, this.onUnix);
  }

  portsOf(process: FakeProcess): readonly number[] | null {
    return this.listening.of(process)?.sockets?.map(({ port }) => port) ?? null;
  }

  readonly #asked = { count: 0 };
  /** What was read since the last call. */
  asked(): readonly string[] {
    const all = this.tree.asked();
    const since = all.slice(this.#asked.count);
    this.#asked.count = all.length;
    return since;
  }
}

describe('what is known of the sockets of a process', () => {
  it('is nothing before it was looked at, of another one, or of one with another start', async () => {
    const proc = new Proc();
    const { listening } = proc;
    const process = proc.start(11, other, { 101: 8000 });
    const nothing = () => [listening.of(process), listening.changedIn([process]), listening.denied(11)];
    expect(nothing()).toEqual([null, 0, false]);
    expect(listening.unixPathsOf(process)).toEqual([]);
    proc.update();
    expect(nothing()).toEqual([null, 0, false]);
    await proc.look();
    const socket = { inode: 101, port: 8000, address: '0.0.0.0', cgroup: null, namespace: other };
    expect(listening.of(process)).toEqual({ namespace: other, sockets: [socket] });
    expect(listening.inNamespace(own)).toEqual([]);
    expect(listening.of({ ...process, startTicks: 12 })).toBeNull();
    expect(listening.of({ pid: 12, startTicks: 12 })).toBeNull();
  });

  it.each([
    ['its namespace is refused', 'ns', EACCES, { namespace: Number.NaN, sockets: null }, true],
    ['it ended before its namespace was read', 'ns', ENOENT, { namespace: Number.NaN, sockets: null }, false],
    ['its descriptors are refused', 'fd', EPERM, { namespace: other, sockets: null }, true],
    ['its descriptors can not be read', 'fd', EIO, { namespace: other, sockets: null }, false],
    ['it ended before its descriptors were read', 'fd', ESRCH, { namespace: other, sockets: [] }, false],
    ['the table of its namespace is refused', 'net/tcp', EACCES, { namespace: other, sockets: null }, false],
  ] as const)('is null with its namespace where %s', async (_title, file, error, known, denied) => {
    const proc = new Proc();
    const process = proc.start(11, other, { 101: 8000 });
    proc.tree.errors.set(`/proc/11/${file}`, error);
    await proc.look();
    await proc.look();
    expect(proc.listening.of(process)).toEqual(known);
    expect(proc.listening.denied(11)).toBe(denied);
    expect(proc.listening.denied(12)).toBe(false);
  });

  it('is null while its namespace hangs, and is said to be so', async () => {
    const proc = new Proc();
    const process = proc.start(11, other, { 101: 8000 });
    proc.tree.hangs.add('/proc/11/ns');
    await proc.look();
    expect(proc.listening.of(process)).toEqual({ namespace: Number.NaN, sockets: null });
    const [fault, ...others] = proc.listening.faults();
    expect(fault).toMatchObject({ source: 'proc', code: 'SOCKETS_STALLED', field: 'endpoint' });
    expect(others).toEqual([]);
    proc.tree.hangs.clear();
    await proc.look();
    expect(proc.portsOf(process)).toEqual([8000]);
    expect(proc.listening.faults()).toEqual([]);
  });

  it('stays what it was while its namespace hangs that was known', async () => {
    const proc = new Proc();
    const process = proc.start(11, other, { 101: 8000 });
    await proc.look();
    proc.tree.hangs.add('/proc/11/ns');
    await proc.look();
    expect(proc.listening.of(process)).toMatchObject({ namespace: other, sockets: [{ port: 8000 }] });
  });

  it('is not known where it is in another namespace now, whose table is refused, while its descriptors hang', async () => {
    const proc = new Proc();
    const [process, second] = [proc.start(11, other, { 101: 8000 }), proc.start(12, host, { 102: 9000 })];
    await proc.look();
    proc.tree.links.set('/proc/11/ns', [`net:[${own + 9}]`]);
    proc.tree.errors.set('/proc/11/net/tcp', EACCES);
    proc.tree.hangs.add('/proc/11/fd');
    proc.table('12', {});
    await proc.look();
    expect(proc.listening.of(process)).toEqual({ namespace: own + 9, sockets: null });
    expect(proc.portsOf(second)).toEqual([]);
  });

  it('is what a socket is, not what has its number', async () => {
    const proc = new Proc();
    const process = proc.start(11, other, { 101: 8000 });
    proc.tree.links.set('/proc/11/fd', ['pipe:[101]', 'socket:[102]']);
    await proc.look();
    expect(proc.portsOf(process)).toEqual([]);
  });

  it('that is refused, or that ends meanwhile, costs what is known of no other', async () => {
    const proc = new Proc();
    const [refused, ends, last] = [
      proc.start(11, other, { 101: 8000 }),
      proc.start(12, other, { 101: 8000 }),
      proc.start(13, other, { 101: 8000 }),
    ];
    proc.tree.errors.set('/proc/11/fd', EACCES);
    for (let i = 0; i < 2; i += 1) {
      await proc.clock.advance(5000);
      proc.update();
      const looking = proc.listening.look();
      proc.listening.update([refused, last], proc.waiting);
      await proc.clock.advance(3000);
      await looking;
    }
    await proc.look();
    expect([proc.portsOf(refused), proc.portsOf(ends), proc.portsOf(last)]).toEqual([null, [8000], [8000]]);
    proc.table('11', { 101: 8001 });
    await proc.look();
    expect(proc.portsOf(last)).toEqual([8001]);
  });

  it('is as /proc says it where the kernel no longer says it itself, or says it of another namespace', async () => {
    const proc = new Proc();
    const process = proc.start(11, other, { 101: 8000 });
    const dump = Buffer.alloc(8);
    dump.writeBigUInt64LE(BigInt(other));
    proc.tree.dumps.set('/proc/11/ns/net', dump);
    await proc.look();
    expect(proc.portsOf(process)).toEqual([]);
    proc.tree.dumps.clear();
    await proc.look();
    expect(proc.portsOf(process)).toEqual([8000]);
    proc.tree.dumps.set('/proc/11/ns/net', Buffer.alloc(8));
    proc.table('11', { 101: 8001 });
    await proc.look();
    expect(proc.portsOf(process)).toEqual([8001]);
  });

  it('is asked of no reader once it is closed', async () => {
    const proc = new Proc();
    await proc.look();
    proc.listening.close();
    expect(proc.tree.readers.map(({ closed }) => closed)).toEqual([true]);
  });

  it('stays what it was while the table of its namespace hangs; those of others are read', async () => {
    const proc = new Proc();
    const [first, second] = [proc.start(11, host, { 101: 8000 }), proc.start(12, other, { 102: 9000 })];
    await proc.look();
    proc.tree.hangs.add('/proc/11/net/tcp');
    proc.table('12', {});
    await proc.look();
    expect([proc.portsOf(first), proc.portsOf(second)]).toEqual([[8000], []]);
    // One whose table never came is not said to hold none.
    const third = proc.start(13, own + 9, { 103: 7000 });
    proc.tree.hangs.add('/proc/13/net/tcp');
    await proc.look();
    expect(proc.listening.of(third)).toEqual({ namespace: own + 9, sockets: null });
    proc.tree.hangs.clear();
    await proc.look();
    expect(proc.portsOf(third)).toEqual([7000]);
    expect(proc.listening.changedIn([third])).toBe(proc.listening.generation);
    expect(proc.listening.changedIn([first])).toBeLessThan(proc.listening.generation);
  });

  it('is none once the table of its namespace can be read, which is said to have changed', async () => {
    const proc = new Proc();
    const process = proc.start(11, other);
    proc.tree.errors.set('/proc/11/net/tcp', EACCES);
    for (let i = 0; i < 4; i += 1) await proc.look();
    expect(proc.portsOf(process)).toBeNull();
    const { generation } = proc.listening;
    proc.tree.errors.clear();
    await proc.look();
    expect(proc.portsOf(process)).toEqual([]);
    expect(proc.listening.changedIn([process])).toBeGreaterThan(generation);
  });

  it('stays what it was while its descriptors hang, and all are read again within a minute', async () => {
    const proc = new Proc();
    const [first, second] = [proc.start(11, own, { 101: 8000 }), proc.start(12, own, { 102: 9000 })];
    proc.table('self', { 101: 8000, 102: 9000 });
    for (let i = 0; i < 4; i += 1) await proc.look();
    proc.tree.hangs.add('/proc/11/fd');
    await proc.look(600_000);
    expect([proc.portsOf(first), proc.portsOf(second)]).toEqual([[8000], [9000]]);
    proc.tree.hangs.clear();
    await settle();
    proc.asked();
    await proc.look(50_000);
    expect(proc.asked().filter((path) => path.endsWith('/fd'))).toEqual([]);
    await proc.look(10_000);
    expect(proc.asked().filter((path) => path.endsWith('/fd'))).toEqual(['/proc/11/fd', '/proc/12/fd']);
    await proc.look(60_000);
    expect(proc.asked().filter((path) => path.endsWith('/fd'))).toEqual([]);
  });
});

describe('the network namespaces', () => {
  it('of the hive and of the host are those of itself and of the first process, else its own', async () => {
    const proc = new Proc();
    const { listening } = proc;
    expect([listening.ownNamespace, listening.hostNamespace]).toEqual([null, null]);
    await proc.look();
    expect([listening.ownNamespace, listening.hostNamespace]).toEqual([own, host]);
    const beside = new Proc();
    beside.start(11, other);
    await beside.look();
    expect(beside.listening.hostNamespace).toBe(host);
    // The first process may be a worker's own.
    const inner = new Proc();
    inner.start(1, other);
    await inner.look();
    expect(inner.listening.hostNamespace).toBe(own);
    const refused = new Proc();
    refused.tree.errors.set('/proc/1/ns', EACCES);
    await refused.look();
    expect([refused.listening.ownNamespace, refused.listening.hostNamespace]).toEqual([own, own]);
  });

  it('of the hive may be known late: then all that is known of where processes serve has changed', async () => {
    const proc = new Proc();
    proc.tree.errors.set('/proc/self/ns', EACCES);
    const process = proc.start(11, other, { 101: 8000 });
    for (let i = 0; i < 4; i += 1) await proc.look();
    const { listening } = proc;
    expect([listening.ownNamespace, proc.portsOf(process)]).toEqual([null, [8000]]);
    const { generation } = listening;
    proc.asked();
    await proc.look();
    expect(listening.generation).toBe(generation);
    expect(proc.asked().filter((path) => path.endsWith('/tcp'))).toEqual(['/proc/11/net/tcp']);
    proc.tree.errors.clear();
    await proc.look();
    expect(listening.ownNamespace).toBe(own);
    expect(listening.changedIn([process])).toBeGreaterThan(generation);
    expect(listening.changedIn([{ pid: 12, startTicks: 12 }])).toBe(0);
  });

  it('of processes are read by one that is in them and has not ended', async () => {
    const proc = new Proc();
    const { listening } = proc;
    proc.start(11, host, { 101: 8000 });
    proc.start(12, host, { 101: 8000 });
    proc.start(13, other);
    await proc.look();
    expect(proc.asked().filter((path) => path.endsWith('/tcp'))).toEqual([
      '/proc/self/net/tcp',
      '/proc/11/net/tcp',
      '/proc/13/net/tcp',
    ]);
    expect([host, other, 5].map((namespace) => listening.processIn(namespace))).toEqual([11, 13, null]);
    expect(listening.inNamespace(host).map(({ inode }) => inode)).toEqual([101]);
    expect(listening.inNamespace(5)).toEqual([]);
    proc.tree.errors.set('/proc/11/ns', ENOENT);
    proc.processes = [...proc.processes];
    await proc.look(600_000);
    expect(listening.processIn(host)).toBe(12);
    await proc.look();
    proc.asked();
    await proc.look();
    expect(proc.asked().filter((path) => path.endsWith('/tcp'))).toEqual([
      '/proc/self/net/tcp',
      '/proc/12/net/tcp',
      '/proc/13/net/tcp',
    ]);
  });
});

describe('a look', () => {
  /** Whether an update so long after the last look looks. */
  async function looksAfter(proc: Proc, ms: number): Promise<boolean> {
    await proc.clock.advance(ms);
    proc.asked();
    proc.update();
    await settle();
    return proc.asked().length > 0;
  }

  it('is due at once at first and for a new process, then each 5 s, or each second while one is expected to listen', async () => {
    const proc = new Proc();
    expect(await looksAfter(proc, 0)).toBe(true);
    expect(await looksAfter(proc, 4999)).toBe(false);
    expect(await looksAfter(proc, 1)).toBe(true);
    proc.start(11, own);
    expect(await looksAfter(proc, 0)).toBe(true);
    expect(await looksAfter(proc, 1)).toBe(false);
    proc.waiting = new Set([11]);
    expect(await looksAfter(proc, 998)).toBe(false);
    expect(await looksAfter(proc, 1)).toBe(true);
    proc.waiting = new Set();
    expect(await looksAfter(proc, 4999)).toBe(false);
    expect(await looksAfter(proc, 1)).toBe(true);
  });

  it('at which nothing came reads the tables of the namespaces and nothing else', async () => {
    const proc = new Proc();
    proc.start(11, own, { 101: 8000 });
    proc.table('self', { 101: 8000 });
    for (let i = 0; i < 4; i += 1) await proc.look();
    const { generation } = proc.listening;
    proc.asked();
    await proc.look();
    expect(proc.asked()).toEqual(['/proc/self/ns/net', '/proc/self/net/tcp', '/proc/self/net/tcp6']);
    expect(proc.listening.generation).toBe(generation);
  });

  it('for Unix sockets reads only processes that are known with their namespaces', async () => {
    const proc = new Proc();
    proc.start(11, own);
    proc.start(12, own);
    proc.tree.errors.set('/proc/12/ns', ENOENT);
    proc.onUnix = new Set([11, 12, 13]);
    await proc.look();
    expect(proc.asked().filter((path) => path.endsWith('net/unix'))).toEqual(['/proc/11/net/unix']);
    await proc.look();
    expect(proc.asked().filter((path) => path.startsWith('/proc/12/fd')).length).toBeLessThan(2);
  });
});
