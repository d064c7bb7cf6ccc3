import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { prepared } from './memory-proc.js';

const { EACCES, EIO, EPERM, ESRCH } = constants.errno;

it('a hang is of one process or of all of /proc, whatever the length of its number, and says so', async () => {
  const { host, table, clock } = prepared();
  const hung = ['7/stat', '42/cgroup', '123/cmdline'].map((path) => `${host.procRoot}/${path}`);
  for (const pid of [7, 42, 123]) host.process({ pid, argv: ['a'], cgroup: '/w' });
  for (const path of hung) host.tree.hangs.add(path);
  const scan = table.scan();
  await clock.advance(20_000);
  await scan;
  expect(table.faults().map(({ source, code, message }) => [source, code, message.split(' ')[1]])).toEqual(
    hung.map((path) => ['proc', 'PROCESS_WEDGED', path]),
  );
  host.tree.hangs.clear();
  await clock.advance(0);
  host.hang('/loadavg');
  const next = table.scan();
  await clock.advance(9000);
  await next;
  expect(table.faults()).toMatchObject([{ source: 'proc', code: 'PROC_STALLED' }]);
});

it.each([
  ['ESRCH', ESRCH, true],
  ['EPERM', EPERM, true],
  ['EACCES', EACCES, true],
  ['EIO', EIO, false],
] as const)(
  '%s: whether /proc hides a process is what it says, and no other failure',
  async (_name, errno, isDenied) => {
    const { host, table } = prepared();
    host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/w' });
    await table.scan();
    host.tree.errors.set('/proc/10/stat', errno);
    await table.scan();
    expect([table.get(10), table.denied(10), [...table.engines()]]).toEqual([null, isDenied, []]);
    host.tree.errors.clear();
    table.want(10);
    await table.scan();
    expect([table.get(10)?.engine, table.denied(10)]).toEqual(['vllm', false]);
  },
);

it('finds what starts also where the kernel does not say which pid was the last', async () => {
  const { host, table } = prepared();
  for (const pid of [10, 11]) {
    host.process({ pid, argv: ['a'], cgroup: '/w' });
    host.drop('loadavg');
    await table.scan();
    expect(table.get(pid)?.argv).toEqual(['a']);
  }
});

it('takes nothing for a process whose number no process can have', async () => {
  const { host, table, opened } = prepared();
  host.process({ pid: 4_194_305, argv: ['a'], cgroup: '/w' });
  host.process({ pid: 10, argv: ['a'], cgroup: '/w' });
  await table.scan();
  expect([...table.all()].map(({ pid }) => pid)).toEqual([10]);
  expect(opened.flatMap(({ asked }) => asked).filter((path) => path.includes('4194305'))).toEqual([]);
});

it('reads no environment where no variable is named', async () => {
  const { host, table, opened } = prepared();
  table.readMarkers();
  host.process({ pid: 10, argv: ['a'], cgroup: '/w' });
  await table.scan();
  expect(opened.flatMap(({ asked }) => asked).filter((path) => path.endsWith('environ'))).toEqual([]);
});

it('knows a process of which a file hangs at its first look', async () => {
  const { host, table, clock } = prepared({ markerVariable: 'MARK', cgroupPrefix: '/ours' });
  table.readMarkers();
  host.process({ pid: 10, argv: ['vllm', 'serve', 'm'], cgroup: '/ours/w' });
  host.process({ pid: 11, argv: ['vllm', 'serve', 'm'], cgroup: '/ours/w' });
  host.drop('11/cgroup');
  host.hang('/10/environ');
  const scan = table.scan();
  await clock.advance(9000);
  await scan;
  expect(table.get(10)).toMatchObject({ engine: 'vllm', cgroup: '/w', marker: null });
  expect(table.get(11)).toMatchObject({ engine: 'vllm', cgroup: null, marker: null });
});
