import { describe, expect, it, onTestFinished } from 'vitest';
import { ProcessTable } from '../../lib/workers/process-table.js';
import { ManualClock } from '../harness/manual-clock.js';
import { FakeHost, PlainFiles } from '../sampling/fake-host.js';

function prepared(
  options: { settleMs?: number; verifyMs?: number; cgroupPrefix?: string; markerVariable?: string } = {},
) {
  const host = new FakeHost();
  const clock = new ManualClock();
  const opened: PlainFiles[] = [];
  const table = new ProcessTable({
    procRoot: host.procRoot,
    openFiles: () => {
      const files = new PlainFiles(clock);
      opened.push(files);
      return files;
    },
    clock,
    ...options,
  });
  onTestFinished(() => table.close());
  return { host, clock, opened, table };
}

describe('process table', () => {
  it('knows cgroup, command line and engine of each process, and forgets those that ended', async () => {
    const { host, table } = prepared();
    host.process({ pid: 10, argv: ['vllm', 'serve', 'a/b'], cgroup: '/x' });
    host.process({ pid: 11, argv: ['sleep', '9'], cgroup: '/y' });
    await table.scan();
    expect(table.get(10)).toMatchObject({ cgroup: '/x', engine: 'vllm', startTicks: 900_000 });
    expect(table.find(10, 1)).toBeNull();
    const { rmSync } = await import('node:fs');
    rmSync(`${host.procRoot}/11`, { recursive: true });
    host.process({ pid: 12, argv: ['a'], cgroup: '/y' });
    await table.scan();
    expect(table.get(11)).toBeNull();
    expect(table.get(12)).not.toBeNull();
  });

  it('looks at one variable of an environment, where it is asked to, and at no environment else', async () => {
    const environ = 'HOME=/root\0MARK=run-1\0TOKEN=secret\0';
    const { host, table, opened } = prepared();
    host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    host.write('proc/10/environ', environ);
    await table.scan();
    expect(table.get(10)?.marker).toBeNull();
    expect(opened[0]?.asked.filter((path) => path.endsWith('environ'))).toEqual([]);

    const marked = prepared({ markerVariable: 'MARK' });
    marked.table.readMarkers();
    marked.host.process({ pid: 10, argv: ['a'], cgroup: '/x' });
    marked.host.process({ pid: 11, argv: ['a'], cgroup: '/x' });
    marked.host.write('proc/10/environ', environ);
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
    const files = opened[0] as PlainFiles;
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
    PlainFiles.hangs.add(`${host.procRoot}/14/cmdline`);
    PlainFiles.hangs.add(`${host.procRoot}/16/stat`);
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

    PlainFiles.hangs.clear();
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
      PlainFiles.hangs.add(`${host.procRoot}/${pid}/cmdline`);
    }
    const scan = table.scan();
    await clock.advance(30_000);
    await scan;
    await table.scan();
    expect(opened).toHaveLength(9);
    expect(table.faults()).toContainEqual(
      expect.objectContaining({ message: expect.stringMatching(/^9 readers hang/) }),
    );
    PlainFiles.hangs.clear();
    await clock.advance(0);
    await table.scan();
    expect([...table.all()]).toHaveLength(30);
    expect(table.faults()).toEqual([]);
    expect(opened.filter(({ closed }) => !closed)).toHaveLength(1);
  });
});
