import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { FakeReader } from '../io/fake-files.js';
import { prepared } from './memory-proc.js';

const { EIO } = constants.errno;

describe('process table', () => {
  it('knows cgroup, command line and engine of each process, and forgets those that ended', async () => {
    const { host, table } = prepared();
    host.process({ pid: 10, argv: ['vllm', 'serve', 'a/b'], cgroup: '/x' });
    host.process({ pid: 11, argv: ['sleep', '9'], cgroup: '/y' });
    await table.scan();
    expect(table.get(10)).toMatchObject({ cgroup: '/x', engine: 'vllm', startTicks: 900_000 });
    expect(table.find(10, 1)).toBeNull();
    host.end(11);
    host.process({ pid: 12, argv: ['a'], cgroup: '/y' });
    await table.scan();
    expect(table.get(11)).toBeNull();
    expect(table.get(12)).not.toBeNull();
  });

  it('looks at one variable of an environment, where it is asked to, and at no environment else', async () => {
    const environ = 'HOME=/root\0MARK=run-1\0TOKEN=secret\0';
    const { host, table, opened } = prepared();
    host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    host.write('10/environ', environ);
    await table.scan();
    expect(table.get(10)?.marker).toBeNull();
    expect(opened[0]?.asked.filter((path) => path.endsWith('environ'))).toEqual([]);

    const marked = prepared({ markerVariable: 'MARK' });
    marked.table.readMarkers();
    marked.host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    marked.host.process({ pid: 11, argv: ['a'], cgroup: '/x' });
    marked.host.write('10/environ', environ);
    await marked.table.scan();
    expect(marked.table.get(10)?.marker).toBe('run-1');
    expect(marked.table.get(11)?.marker).toBeNull();
    expect(JSON.stringify([...marked.table.all()])).not.toContain('secret');
  });

  it('reads a settled process no more, and lists /proc only where a process was born', async () => {
    const { host, table, clock, opened } = prepared({ settleMs: 1000, verifyMs: 30_000 });
    for (let pid = 10; pid < 20; pid += 1) host.process({ pid, argv: ['a'], cgroup: '/x' });
    await table.scan();
    await clock.advance(5000);
    const files = opened[0] as FakeReader;
    files.asked.length = 0;
    await table.scan();
    expect(files.asked.map((path) => path.slice(host.procRoot.length))).toEqual(['/loadavg']);
    host.process({ pid: 20, argv: ['b'], cgroup: '/x' });
    files.asked.length = 0;
    await table.scan();
    expect(files.asked.filter((path) => path.endsWith('/stat'))).toEqual([`${host.procRoot}/20/stat`]);
  });

  it('a launcher that execs, or is moved, is seen as what it becomes', async () => {
    const { host, table, clock } = prepared({ settleMs: 10_000 });
    host.process({ pid: 10, argv: ['hivepulse-launch', 'x'], cgroup: '/session' });
    await table.scan();
    await clock.advance(2000);
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/worker' });
    await table.scan();
    expect(table.get(10)).toMatchObject({ cgroup: '/worker', engine: 'vllm' });
  });

  it('a shell that execs much later is noticed by the slow look at all', async () => {
    const { host, table, clock } = prepared({ settleMs: 1000, verifyMs: 30_000 });
    host.process({ pid: 10, argv: ['sh', 'start.sh'], cgroup: '/w' });
    await table.scan();
    await clock.advance(31_000);
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/w' });
    await table.scan();
    expect(table.get(10)?.engine).toBe('vllm');
  });

  it('pid reuse: the start time tells', async () => {
    const { host, table, clock } = prepared({ settleMs: 1000, verifyMs: 10_000 });
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/w', startTicks: 5 });
    await table.scan();
    await clock.advance(20_000);
    host.process({ pid: 10, argv: ['sleep', '1'], cgroup: '/v', startTicks: 99 });
    await table.scan();
    expect(table.find(10, 5)).toBeNull();
    expect(table.find(10, 99)).toMatchObject({ argv: ['sleep', '1'], engine: null });
  });

  it('a zombie is no engine any more, but what it was stays known', async () => {
    const { host, table } = prepared();
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/w' });
    await table.scan();
    host.process({ pid: 10, argv: [], cgroup: '/w (deleted)', state: 'Z' });
    await table.scan();
    expect(table.get(10)).toMatchObject({ argv: ['vllm', 'serve', 'm'], engine: null, cgroup: null });
  });

  it('paths are told from the watched root, and what lies outside has none', async () => {
    const { host, table } = prepared({ cgroupPrefix: '/ours' });
    host.process({ pid: 10, argv: ['a'], cgroup: '/ours/w' });
    host.process({ pid: 11, argv: ['a'], cgroup: '/ours' });
    host.process({ pid: 12, argv: ['a'], cgroup: '/oursnot/w' });
    await table.scan();
    expect([10, 11, 12].map((pid) => table.get(pid)?.cgroup)).toEqual(['/w', '/', null]);
  });

  it('a file that hangs costs what it says of its process: named in time, not asked for again, and read when it returns', async () => {
    const { host, table, opened, clock } = prepared();
    for (let pid = 10; pid < 20; pid += 1) host.process({ pid, argv: ['vllm', 'serve', `m${pid}`], cgroup: '/w' });
    host.hang('/14/cmdline');
    host.hang('/16/stat');
    const scan = table.scan();
    await clock.advance(1001);
    expect(table.stalled).toBe(true);
    expect(table.faults()).not.toEqual([]);
    await clock.advance(8000);
    await scan;
    expect([...table.all()].map(({ pid }) => pid).sort()).toEqual([10, 11, 12, 13, 14, 15, 17, 18, 19]);
    expect(table.get(14)).toMatchObject({ argv: [], cgroup: '/w', engine: null });
    expect(table.faults().map(({ code, message }) => [code, message.split(' ')[1]])).toEqual([
      ['PROCESS_WEDGED', `${host.procRoot}/14/cmdline`],
      ['PROCESS_WEDGED', `${host.procRoot}/16/stat`],
    ]);
    const readers = opened.length;
    host.process({ pid: 30, argv: ['b'], cgroup: '/w' });
    await table.scan();
    expect(table.get(30)).not.toBeNull();
    expect(opened.length).toBe(readers);

    host.tree.hangs.clear();
    await clock.advance(0);
    expect(table.faults()).toEqual([]);
    expect(table.stalled).toBe(false);
    await table.scan();
    expect(table.get(14)).toMatchObject({ argv: ['vllm', 'serve', 'm14'], engine: 'vllm' });
    expect(table.get(16)).toMatchObject({ engine: 'vllm' });
    expect(opened.filter(({ closed }) => !closed)).toHaveLength(1);
  });

  it('where too many files hang the faults say so, and every scan returns', async () => {
    const { host, table, opened, clock } = prepared();
    for (let pid = 10; pid < 40; pid += 1) {
      host.process({ pid, argv: ['a'], cgroup: '/w' });
      host.hang(`/${pid}/cmdline`);
    }
    const scan = table.scan();
    await clock.advance(30_000);
    await scan;
    await table.scan();
    expect(opened).toHaveLength(9);
    expect(table.faults()).toContainEqual(
      expect.objectContaining({ message: expect.stringMatching(/^9 readers hang/) }),
    );
    host.tree.hangs.clear();
    await clock.advance(0);
    await table.scan();
    expect([...table.all()]).toHaveLength(30);
    expect(table.faults()).toEqual([]);
    expect(opened.filter(({ closed }) => !closed)).toHaveLength(1);
  });
});

describe('what changes of processes', () => {
  const vllm = { argv: ['vllm', 'serve', 'm'], cgroup: '/w' };

  it('is counted, and of engines by themselves; a process that is as it was stays the same object', async () => {
    const { host, table } = prepared();
    const counted = async (change: () => void): Promise<readonly number[]> => {
      const before = [table.generation, table.engineGeneration];
      change();
      await table.scan();
      return [table.generation, table.engineGeneration].map((now, i) => now - before[i]!);
    };
    const end = (pid: number) => () => host.end(pid);
    const put = (pid: number, over: object) => () => host.process({ pid, argv: ['a', 'b'], cgroup: '/x', ...over });
    expect(await counted(put(10, {}))).toEqual([1, 0]);
    const before = table.get(10);
    expect(await counted(put(10, {}))).toEqual([0, 0]);
    expect(table.find(10, 900_000)).toBe(before);
    expect(await counted(put(10, { argv: ['a', 'c'] }))).toEqual([1, 0]);
    expect(table.get(10)).not.toBe(before);
    expect(await counted(put(10, { argv: ['a'] }))).toEqual([1, 0]);
    expect(await counted(put(10, { argv: ['a'], cgroup: '/y' }))).toEqual([1, 0]);
    expect(await counted(put(10, { argv: ['a'], cgroup: '/y', parentPid: 7 }))).toEqual([1, 0]);
    expect(await counted(put(11, vllm))).toEqual([1, 1]);
    expect(await counted(put(11, vllm))).toEqual([0, 0]);
    expect([...table.engines()].map(({ pid }) => pid)).toEqual([11]);
    expect(await counted(put(11, { ...vllm, state: 'Z' }))).toEqual([1, 1]);
    expect([...table.engines()]).toEqual([]);
    expect(await counted(put(11, { ...vllm, state: 'X' }))).toEqual([0, 0]);
    expect(await counted(put(11, vllm))).toEqual([1, 1]);
    expect(await counted(end(11))).toEqual([1, 1]);
    expect(await counted(end(10))).toEqual([1, 0]);
    expect([...table.all()]).toEqual([]);
  });

  it('one of which somebody else knows is read, and one that is not shown is denied until it is due again', async () => {
    const { host, table, clock, opened } = prepared({ settleMs: 100, verifyMs: 60_000 });
    host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    await table.scan();
    table.want(77);
    expect(table.denied(77)).toBe(false);
    await table.scan();
    expect([table.denied(77), table.denied(10)]).toEqual([true, false]);
    await clock.advance(99);
    await table.scan();
    expect(table.denied(77)).toBe(true);
    const files = opened[0] as FakeReader;
    files.asked.length = 0;
    await clock.advance(1);
    await table.scan();
    // Nobody has asked for it anew, and the other is settled.
    expect([table.denied(77), files.asked]).toEqual([false, [`${host.procRoot}/loadavg`]]);
    table.want(77);
    await table.scan();
    expect(table.denied(77)).toBe(true);
    host.process({ pid: 77, argv: ['b'], cgroup: '/y' });
    await table.scan();
    expect([table.denied(77), table.get(77)?.cgroup]).toEqual([false, '/y']);
  });

  it('is looked for at each process as often as it is due, however many there are', async () => {
    const { host, table, clock, opened } = prepared({ settleMs: 20, verifyMs: 100 });
    for (let pid = 100; pid < 149; pid++) host.process({ pid, argv: [`a${pid}`], cgroup: '/x' });
    const files = () => opened[0] as FakeReader;
    const read = async (ms: number): Promise<number> => {
      await clock.advance(ms);
      files().asked.length = 0;
      await table.scan();
      return files().asked.filter((path) => path.endsWith('/stat')).length;
    };
    await table.scan();
    expect([...table.all()].map(({ pid, argv }) => `${pid} ${argv}`)).toEqual(
      Array.from({ length: 49 }, (_, i) => `${100 + i} a${100 + i}`),
    );
    expect(await read(19)).toBe(49);
    expect(await read(1)).toBe(0);
    expect(await read(79)).toBe(0);
    expect(await read(1)).toBe(49);
    expect(await read(99)).toBe(0);
    expect(await read(1)).toBe(49);
  });

  it('markers are looked at from when somebody asks for them on, of all that there are', async () => {
    const { host, table, clock, opened } = prepared({ settleMs: 1000, markerVariable: 'MARK' });
    host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    host.write('10/environ', 'MARK=one\0');
    await table.scan();
    expect(table.get(10)?.marker).toBeNull();
    await clock.advance(2000);
    table.readMarkers();
    await table.scan();
    expect(table.get(10)?.marker).toBe('one');
    await clock.advance(2000);
    const files = opened[0] as FakeReader;
    files.asked.length = 0;
    table.readMarkers();
    await table.scan();
    expect(files.asked).toEqual([`${host.procRoot}/loadavg`]);
    host.write('10/environ', 'MARK=two\0');
    table.want(10);
    await table.scan();
    expect(table.get(10)?.marker).toBe('two');
  });

  it.each([
    ['cgroup', { cgroup: '/w' }],
    ['cmdline', { argv: ['vllm', 'serve', 'm'], engine: 'vllm' }],
    ['environ', { marker: 'one' }],
    ['stat', { startTicks: 900_000, parentPid: 1 }],
  ])('what %s said before holds while its read hangs', async (name, known) => {
    const { host, table, clock } = prepared({ markerVariable: 'MARK' });
    table.readMarkers();
    host.process({ pid: 10, ...vllm });
    host.write('10/environ', 'MARK=one\0');
    await table.scan();
    expect(table.get(10)).toMatchObject(known);
    host.hang(`/10/${name}`);
    const scan = table.scan();
    await clock.advance(9000);
    await scan;
    expect(table.stalled).toBe(true);
    expect(table.get(10)).toMatchObject(known);
  });

  it('a process of which nothing can be read but that it is there has no cgroup, no words and no marker', async () => {
    const { host, table } = prepared({ markerVariable: 'MARK' });
    table.readMarkers();
    host.process({ pid: 10, ...vllm });
    for (const name of ['cgroup', 'cmdline']) host.drop(`10/${name}`);
    await table.scan();
    expect(table.get(10)).toMatchObject({ cgroup: null, argv: [], marker: null, engine: null });
  });

  it('a /proc that cannot be listed is named, and what was known stays', async () => {
    const { host, table, clock } = prepared({ settleMs: 1000, verifyMs: 5000 });
    host.process({ pid: 10, ...vllm });
    await table.scan();
    expect(table.faults()).toEqual([]);
    host.tree.listErrors.set(host.procRoot, EIO);
    await clock.advance(6000);
    await table.scan();
    expect(table.faults()).toMatchObject([
      {
        source: 'proc',
        code: 'PROC_UNREADABLE',
        message: expect.stringContaining(`${host.procRoot} cannot be listed`),
      },
    ]);
    expect(table.get(10)?.engine).toBe('vllm');
    host.tree.listErrors.clear();
    await table.scan();
    expect(table.faults()).toEqual([]);
  });

  it('a listing of /proc that hangs is a fault of its own', async () => {
    const { host, table, clock } = prepared();
    host.process({ pid: 10, ...vllm });
    host.hang('');
    const scan = table.scan();
    await clock.advance(9000);
    await scan;
    expect(table.faults().map(({ code }) => code)).toEqual(['PROC_STALLED']);
  });
});

describe('a process that has settled', () => {
  it('and then ended is forgotten once another is born', async () => {
    const { host, table, clock } = prepared({ settleMs: 1000, verifyMs: 1e9 });
    for (const pid of [10, 11]) host.process({ pid, argv: ['vllm', 'serve', 'm'], cgroup: '/w' });
    await table.scan();
    await clock.advance(5000);
    host.end(10);
    await table.scan();
    expect(table.get(10)).not.toBeNull();
    host.process({ pid: 12, argv: ['a'], cgroup: '/w' });
    const { engineGeneration } = table;
    await table.scan();
    expect([...table.all()].map(({ pid }) => pid)).toEqual([11, 12]);
    expect([...table.engines()].map(({ pid }) => pid)).toEqual([11]);
    expect(table.engineGeneration).toBe(engineGeneration + 1);
  });

  it('is looked at again in time however many are born meanwhile', async () => {
    const { host, table, clock } = prepared({ settleMs: 1000, verifyMs: 30_000 });
    host.process({ pid: 10, argv: ['sh', 'start.sh'], cgroup: '/w' });
    await table.scan();
    await clock.advance(5000);
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/w' });
    for (let pid = 20; pid < 24; pid += 1) {
      host.process({ pid, argv: ['a'], cgroup: '/w' });
      await table.scan();
      expect(table.get(10)?.engine).toBeNull();
      await clock.advance(6000);
    }
    await clock.advance(1000);
    await table.scan();
    expect(table.get(10)?.engine).toBe('vllm');
  });
});
