import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rowFlags } from '../../lib/native/layout.js';
import { cgroupSuite, cgroupTestBase } from '../harness/cgroups.js';
import { waitFor } from '../harness/wait.js';
import { LiveCgroups } from './live-cgroups.js';
import { decode, type Row, readers, timeless } from './reader-pair.js';

const place = cgroupTestBase();
const { title, skip } = cgroupSuite('live cgroups of this machine');
const hasPressure = existsSync('/proc/pressure/cpu');

describe.skipIf(skip)(title, () => {
  let cgroups: LiveCgroups;
  beforeEach(() => {
    cgroups = new LiveCgroups('base' in place ? place.base : '');
  });
  afterEach(() => cgroups.remove());

  /** Reads until the kernel's numbers hold still around the other reader's pass; then that one must say the same. */
  const settled = (pair: ReturnType<typeof readers>): Promise<readonly Row[]> =>
    waitFor(
      () => {
        const before = timeless(decode(pair.native.passSync()));
        const files = timeless(decode(pair.files.passSync()));
        const after = timeless(decode(pair.native.passSync()));
        if (JSON.stringify(before) !== JSON.stringify(after)) return null;
        expect(files).toEqual(after);
        return after;
      },
      { what: 'both readers to agree while nothing moves' },
    );

  test('empty, with processes, nested, and the root itself', async () => {
    const pair = readers({ processMemory: true, processIo: true });
    const paths = ['empty', 'busy', 'busy/inner'].map((name) => cgroups.make(name));
    const [first, second] = [await cgroups.sleeper(paths[1] as string), await cgroups.sleeper(paths[1] as string)];
    for (const reader of [pair.native, pair.files]) for (const path of paths) reader.add(path);
    const rows = await settled(pair);
    expect(rows.map(({ columns }) => columns.flags)).toEqual([0, 0, 0]);
    expect(rows.map(({ columns }) => columns.populated)).toEqual([0, 1, 0]);
    const busy = rows[1] as Row;
    expect(busy.processes.map(({ pid }) => pid)).toEqual([first.pid, second.pid].toSorted((a, b) => a - b));
    for (const process of busy.processes) {
      expect(process.startTicks).toBeGreaterThan(0);
      expect(process.residentBytes).toBeGreaterThan(0);
    }
    expect(new Set(rows.map(({ columns }) => columns.inode)).size).toBe(3);
    expect(busy.columns.usageUsec).toBeGreaterThanOrEqual(0);
  });

  test('a worker that vanishes is a flag on its row (ENODEV), and another cgroup of its name is not taken for it', async () => {
    const pair = readers();
    const path = cgroups.make('vanishing');
    const other = cgroups.make('other');
    for (const reader of [pair.native, pair.files]) for (const each of [path, other]) reader.add(each);
    await settled(pair);
    await cgroups.removeCgroup(path);
    const rows = await settled(pair);
    expect(rows.map(({ columns }) => columns.flags)).toEqual([rowFlags.removed, 0]);
    expect(rows[0]?.columns.usageUsec).toBeNaN();
    expect(rows[0]?.errors['cpu.stat']).toBe(19);
    cgroups.make('vanishing');
    expect((await settled(pair))[0]?.columns.flags).toBe(rowFlags.removed);
  });

  test('processes come and go', async () => {
    const pair = readers();
    const path = cgroups.make('moving');
    for (const reader of [pair.native, pair.files]) reader.add(path);
    const first = await cgroups.sleeper(path);
    const second = await cgroups.sleeper(path);
    expect((await settled(pair))[0]?.processes).toHaveLength(2);
    await cgroups.end(first);
    const row = (await settled(pair))[0] as Row;
    expect(row.processes.map(({ pid }) => pid)).toEqual([second.pid]);
  });

  test('a threaded cgroup: cgroup.procs answers EOPNOTSUPP, the rest is read', async () => {
    const pair = readers();
    const path = cgroups.make('threaded');
    writeFileSync(join(path, 'cgroup.type'), 'threaded');
    for (const reader of [pair.native, pair.files]) reader.add(path);
    const row = (await settled(pair))[0] as Row;
    expect(row.columns.flags).toBe(rowFlags.threaded);
    expect(row.errors['cgroup.procs']).toBe(95);
    expect(row.columns.processCount).toBeNaN();
    expect(row.columns.usageUsec).toBeGreaterThanOrEqual(0);
  });

  const name = 'a file taken away (cgroup.pressure=0) costs its value, not the worker';
  test.skipIf(!hasPressure)(hasPressure ? name : `${name} (skipped: this kernel has no /proc/pressure)`, async () => {
    const pair = readers();
    const path = cgroups.make('pressureless');
    for (const reader of [pair.native, pair.files]) reader.add(path);
    expect((await settled(pair))[0]?.columns.cpuSomeTotalUsec).toBeGreaterThanOrEqual(0);
    writeFileSync(join(path, 'cgroup.pressure'), '0');
    const row = (await settled(pair))[0] as Row;
    expect(row.columns.flags).toBe(0);
    expect(row.columns.cpuSomeTotalUsec).toBeNaN();
    expect(row.errors['cpu.pressure']).toBe(2);
    expect(row.columns.usageUsec).toBeGreaterThanOrEqual(0);
  });

  test('without kept descriptors: a vanished worker, and one that took its name, are told apart by inode', async () => {
    const pair = readers({ maxDescriptors: 0 });
    const path = cgroups.make('unkept');
    for (const reader of [pair.native, pair.files]) reader.add(path);
    expect((await settled(pair))[0]?.columns.flags).toBe(rowFlags.uncached);
    await cgroups.removeCgroup(path);
    cgroups.make('unkept');
    expect((await settled(pair))[0]?.columns.flags).toBe(rowFlags.removed);
  });
});
