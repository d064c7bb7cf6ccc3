import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { systemValues } from '../../lib/cgroup/system-values.js';
import { rowFlags, type WorkerColumn, type WorkerFile } from '../../lib/native/layout.js';
import { passBoth, readers, type Tree, temporary, writeTree } from './reader-pair.js';

const unknown = Number.NaN;

interface Fixture {
  readonly hazard: string;
  readonly tree: Tree;
  readonly columns: Partial<Record<WorkerColumn, number>>;
  readonly errors?: Partial<Record<WorkerFile, number>>;
}

const whole: Tree = {
  'cpu.stat':
    'usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 10\nnr_throttled 3\nthrottled_usec 4500\nnr_bursts 0\nburst_usec 0\n',
  'memory.current': '25769803776\n',
  'memory.stat':
    'anon 1048576\nfile 20971520\nkernel 4096\nnew_in_the_middle 7\ninactive_anon 1\ninactive_file 8388608\n',
  'memory.peak': '25769803777\n',
  'memory.events': 'low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n',
  'io.stat': '252:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n',
  'pids.current': '7\n',
  'cgroup.procs': '',
  'cpu.max': '200000 100000\n',
  'memory.max': '25769803776\n',
  'cpu.pressure':
    'some avg10=12.34 avg60=1.00 avg300=0.10 total=987654\nfull avg10=99.00 avg60=99.00 avg300=99.00 total=1\n',
  'memory.pressure': 'some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n',
  'io.pressure': 'some avg10=100.00 avg60=0.50 avg300=0.00 total=18446744073709551615\n',
  'cgroup.events': 'populated 1\nfrozen 0\n',
};

const fixtures: readonly Fixture[] = [
  {
    hazard: 'all files of a worker, with keys that newer kernels added',
    tree: whole,
    columns: {
      flags: 0,
      usageUsec: 123456,
      userUsec: 100000,
      systemUsec: 23456,
      nrPeriods: 10,
      nrThrottled: 3,
      throttledUsec: 4500,
      cpuQuotaUsec: 200000,
      cpuPeriodUsec: 100000,
      memoryCurrentBytes: 25769803776,
      memoryPeakBytes: 25769803777,
      memoryMaxBytes: 25769803776,
      anonBytes: 1048576,
      inactiveFileBytes: 8388608,
      oom: 2,
      oomKill: 1,
      ioReadBytes: 4096,
      ioWriteBytes: 8192,
      ioReads: 1,
      ioWrites: 2,
      ioDevices: 1,
      pidsCurrent: 7,
      populated: 1,
      cpuSomeAvg10: 12.34,
      cpuSomeTotalUsec: 987654,
      memorySomeTotalUsec: 5,
      ioSomeAvg10: 100,
      ioSomeTotalUsec: 2 ** 64,
      processCount: 0,
    },
  },
  {
    hazard: 'the cpu controller is off: usage is known, throttling is not',
    tree: { 'cpu.stat': 'usage_usec 5\nuser_usec 3\nsystem_usec 2\nnice_usec 0' },
    columns: {
      flags: 0,
      usageUsec: 5,
      systemUsec: 2,
      nrPeriods: unknown,
      throttledUsec: unknown,
      memoryMaxBytes: unknown,
    },
    errors: { 'cpu.stat': 0, 'memory.current': 2, 'cgroup.procs': 2, 'cpu.pressure': 2 },
  },
  {
    hazard: 'no limit is infinity, not a number',
    tree: { 'cpu.max': 'max 100000\n', 'memory.max': 'max\n' },
    columns: { flags: 0, cpuQuotaUsec: Infinity, cpuPeriodUsec: 100000, memoryMaxBytes: Infinity },
  },
  {
    hazard: 'a bare device line without newline is not 0: the series would rewind',
    tree: { 'io.stat': '252:0 ' },
    columns: { flags: 0, ioReadBytes: unknown, ioWriteBytes: unknown, ioReads: unknown, ioDevices: 0 },
    errors: { 'io.stat': 0 },
  },
  {
    hazard: 'bare devices beside full ones are not counted',
    tree: { 'io.stat': '7:0 \n252:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:0\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n' },
    columns: { ioReadBytes: 11, ioWriteBytes: 22, ioReads: 4, ioWrites: 6, ioDevices: 2 },
  },
  {
    hazard: 'bare devices in the same line as a full one',
    tree: { 'io.stat': '7:0 7:1 252:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n' },
    columns: { ioReadBytes: 10, ioWrites: 2, ioDevices: 1 },
  },
  {
    hazard: 'counters by name: others before and between, missing dbytes, a float',
    tree: { 'io.stat': '252:0 cost.vrate=100.00 cost.usage=7 wbytes=20 rbytes=10 wios=2 rios=1\n' },
    columns: { flags: 0, ioReadBytes: 10, ioWriteBytes: 20, ioReads: 1, ioWrites: 2, ioDevices: 1 },
    errors: { 'io.stat': 0 },
  },
  {
    hazard: 'a device that lacks a counter makes its sum unknown',
    tree: { 'io.stat': '252:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:0 rbytes=1 wby' },
    columns: { ioReadBytes: 11, ioWriteBytes: unknown, ioReads: unknown, ioDevices: 2 },
  },
  {
    hazard: 'a line that does not begin with a device is left out, and no other',
    tree: {
      'io.stat':
        'total rbytes=7 wbytes=7 rios=7 wios=7\n\n 8:0 rbytes=9\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n8: rbytes=9\n',
    },
    columns: { flags: 0, ioReadBytes: 1, ioWriteBytes: 2, ioReads: 3, ioWrites: 4, ioDevices: 1 },
    errors: { 'io.stat': 0 },
  },
  {
    hazard: 'a line with a counter that is no number is left out, and no other',
    tree: { 'io.stat': '8:0 rbytes=x wbytes=7 rios=7 wios=7\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n' },
    columns: { flags: rowFlags.partial, ioReadBytes: 1, ioWriteBytes: 2, ioReads: 3, ioWrites: 4, ioDevices: 1 },
    errors: { 'io.stat': -1 },
  },
  {
    hazard: 'an empty io.stat is a worker that never read or wrote',
    tree: { 'io.stat': '' },
    columns: { flags: 0, ioReadBytes: 0, ioWriteBytes: 0, ioDevices: 0 },
  },
  {
    hazard: 'oom counts at the ancestor whose limit hit, oom_kill at the victim',
    tree: { 'memory.events': 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 3\n' },
    columns: { oom: 0, oomKill: 3 },
  },
  {
    hazard: 'the largest number is rounded to the nearest double, a larger one is none',
    tree: {
      'memory.current': '18446744073709551615\n',
      'memory.peak': '18446744073709551616\n',
      'pids.current': '9007199254740993',
    },
    columns: { flags: rowFlags.partial, memoryCurrentBytes: 2 ** 64, memoryPeakBytes: unknown, pidsCurrent: 2 ** 53 },
    errors: { 'memory.current': 0, 'memory.peak': -1, 'pids.current': 0 },
  },
  {
    hazard: 'torn files cost the value, not the row',
    tree: {
      ...whole,
      'cpu.stat': 'usage_usec 12\nuser_usec ',
      'memory.current': '',
      'cpu.max': 'max',
      'memory.max': 'ma',
    },
    columns: {
      flags: rowFlags.partial,
      usageUsec: 12,
      userUsec: unknown,
      systemUsec: unknown,
      memoryCurrentBytes: unknown,
      cpuQuotaUsec: Infinity,
      cpuPeriodUsec: unknown,
      memoryMaxBytes: unknown,
      pidsCurrent: 7,
    },
    errors: { 'cpu.stat': -1, 'memory.current': -1, 'cpu.max': -1, 'memory.max': -1, 'io.stat': 0 },
  },
  {
    hazard: 'empty keyed files say nothing',
    tree: { 'cpu.stat': '', 'memory.stat': '', 'memory.events': '', 'cpu.pressure': '', 'cgroup.events': '' },
    columns: {
      flags: 0,
      usageUsec: unknown,
      anonBytes: unknown,
      oomKill: unknown,
      cpuSomeAvg10: unknown,
      populated: unknown,
    },
    errors: { 'cpu.stat': 0, 'cpu.pressure': 0 },
  },
  {
    hazard: 'a pressure file that knows only full',
    tree: { 'io.pressure': 'full avg10=1.00 avg60=0.00 avg300=0.00 total=4\n' },
    columns: { flags: 0, ioSomeAvg10: unknown, ioSomeTotalUsec: unknown },
  },
];

describe('fixture trees, both readers', () => {
  test.each(fixtures)('$hazard', ({ tree, columns, errors }) => {
    const directory = temporary();
    writeTree(directory, tree);
    const pair = readers({ procRoot: join(directory, 'proc') });
    for (const reader of [pair.native, pair.files]) expect(reader.add(directory)).toBe(0);
    const [row] = passBoth(pair);
    expect(row?.columns).toMatchObject(columns);
    expect(row?.errors).toMatchObject(errors ?? {});
  });

  test('cgroup.procs is unordered and repeats; processes of another pid namespace show as 0', () => {
    const directory = temporary();
    writeTree(directory, {
      'cgroup.procs': '30\n7\n0\n30\n12\n7\n',
      'proc/7/stat':
        '7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4242 2 3 18446744073709551615 1 1 0 0 0 0 0 0 0\n',
      'proc/7/statm': '1000 250 50 1 0 100 0\n',
      'proc/7/io':
        'rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 3\n',
      'proc/12/stat': '12 ((tb) 1 2 3 4 5 6) R 1 7) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99 0 0\n',
      'proc/30/stat': Buffer.concat([
        Buffer.from('30 (a) R (b '),
        Buffer.from([0xe8, 0xa1]),
        Buffer.from(') R 15019 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77'),
      ]),
    });
    const pair = readers({ procRoot: join(directory, 'proc'), processMemory: true, processIo: true });
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    const [row] = passBoth(pair);
    const rest = { residentBytes: unknown, ioReadBytes: unknown, ioWriteBytes: unknown };
    expect(row?.processes).toEqual([
      {
        pid: 7,
        startTicks: 4242,
        residentBytes: 250 * systemValues().pageSize,
        ioReadBytes: 4096,
        ioWriteBytes: 8192,
      },
      { pid: 12, startTicks: 99, ...rest },
      { pid: 30, startTicks: 77, ...rest },
    ]);
  });

  test('a pid that left and came back has its start time read again; one that stayed has not', () => {
    const directory = temporary();
    const stat = (ticks: number) => `5 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${ticks} 0\n`;
    const pair = readers({ procRoot: join(directory, 'proc') });
    const startTicks = (procs: string, ticks: number) => {
      writeTree(directory, { 'cgroup.procs': procs, 'proc/5/stat': stat(ticks) });
      return passBoth(pair)[0]?.processes.map((process) => process.startTicks);
    };
    writeTree(directory, { 'cgroup.procs': '' });
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    expect(startTicks('5\n', 100)).toEqual([100]);
    expect(startTicks('5\n', 200)).toEqual([100]);
    expect(startTicks('', 200)).toEqual([]);
    expect(startTicks('5\n', 200)).toEqual([200]);
  });

  test('a list longer than the buffer is read whole', () => {
    const directory = temporary();
    const pids = Array.from({ length: 5000 }, (_, i) => 3_000_000 + i);
    writeTree(directory, { 'cgroup.procs': `${pids.toReversed().join('\n')}\n` });
    const pair = readers({ procRoot: join(directory, 'proc') });
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    const [row] = passBoth(pair);
    expect(row?.processes.map(({ pid }) => pid)).toEqual(pids);
  });

  test('a record longer than the buffer is read whole', () => {
    const directory = temporary();
    const devices = Array.from({ length: 2000 }, (_, i) => `8:${i} rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n`);
    writeTree(directory, { 'io.stat': devices.join('') });
    const pair = readers();
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    expect(passBoth(pair)[0]?.columns).toMatchObject({ ioDevices: 2000, ioWrites: 8000 });
  });

  test('errors are a table per file: absent, a directory, a loop, no number', () => {
    const directory = temporary();
    writeTree(directory, { 'memory.current': 'x\n', 'cgroup.procs': '1\nx\n' });
    mkdirSync(join(directory, 'cpu.stat'));
    symlinkSync('io.stat', join(directory, 'io.stat'));
    const pair = readers();
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    for (let i = 0; i < 3; i++) {
      const [row] = passBoth(pair);
      expect(row?.errors).toMatchObject({
        'cpu.stat': 21,
        'io.stat': 40,
        'memory.peak': 2,
        'memory.current': -1,
        'cgroup.procs': -1,
      });
      expect(row?.columns).toMatchObject({ flags: rowFlags.partial, processCount: 1 });
    }
  });

  test('slots: a path that does not exist, a file in place of a directory, a freed slot, its reuse', () => {
    const directory = temporary();
    writeTree(directory, { 'a/cpu.stat': 'usage_usec 1\n', 'b/cpu.stat': 'usage_usec 2\n' });
    const pair = readers();
    for (const reader of [pair.native, pair.files]) {
      expect(['a', 'missing', 'a/cpu.stat', 'b'].map((name) => reader.add(join(directory, name)))).toEqual([
        0, 1, 2, 3,
      ]);
    }
    const gone = { flags: rowFlags.removed, usageUsec: unknown };
    expect(passBoth(pair).map(({ columns }) => columns)).toMatchObject([
      { usageUsec: 1 },
      gone,
      gone,
      { usageUsec: 2 },
    ]);
    for (const reader of [pair.native, pair.files]) {
      reader.remove(0);
      reader.remove(0);
      reader.remove(99);
    }
    expect(passBoth(pair)[0]?.columns).toMatchObject(gone);
    for (const reader of [pair.native, pair.files]) expect(reader.add(join(directory, 'b'))).toBe(0);
    expect(passBoth(pair)[0]?.columns).toMatchObject({ flags: 0, usageUsec: 2 });
  });

  test('memory.stat is read each n-th pass, spread by slot, and repeated between', () => {
    const directory = temporary();
    const pair = readers({ memoryStatEvery: 3 });
    for (const name of ['a', 'b']) {
      writeTree(directory, { [`${name}/memory.stat`]: 'anon 0\n' });
      for (const reader of [pair.native, pair.files]) reader.add(join(directory, name));
    }
    const seen = Array.from({ length: 7 }, (_, i) => {
      writeTree(directory, { 'a/memory.stat': `anon ${i}\n`, 'b/memory.stat': `anon ${i}\n` });
      return passBoth(pair).map(({ columns }) => columns.anonBytes);
    });
    expect(seen).toEqual([
      [0, 0],
      [0, 0],
      [0, 2],
      [3, 2],
      [3, 2],
      [3, 5],
      [6, 5],
    ]);
  });

  test('a file that comes later (its controller was enabled) is found after 60 passes, not sought in each', () => {
    const directory = temporary();
    writeTree(directory, { 'cpu.stat': 'usage_usec 1\n' });
    const pair = readers();
    for (const reader of [pair.native, pair.files]) reader.add(directory);
    passBoth(pair);
    writeTree(directory, { 'memory.current': '5\n' });
    const seen = Array.from({ length: 61 }, () => passBoth(pair)[0]?.columns.memoryCurrentBytes);
    expect(seen.indexOf(5)).toBe(59);
  });

  test('descriptors over the bound: files are opened, read and closed, and the row says so', () => {
    const directory = temporary();
    const pair = readers({ maxDescriptors: 15 });
    for (const name of ['a', 'b']) {
      writeTree(join(directory, name), whole);
      for (const reader of [pair.native, pair.files]) reader.add(join(directory, name));
    }
    for (let i = 0; i < 3; i++) {
      const rows = passBoth(pair);
      expect(rows.map(({ columns }) => columns.flags)).toEqual([0, rowFlags.uncached]);
      expect(rows[1]?.columns).toMatchObject({ usageUsec: 123456, cpuQuotaUsec: 200000 });
    }
  });
});
