import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { BlockDevices, stacksOf, unpackStacks } from '../../lib/cgroup/block-devices.js';
import { parseIoStat } from '../../lib/cgroup/parse.js';
import { ManualClock } from '../harness/manual-clock.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost, PlainFiles } from '../sampling/fake-host.js';
import { passBoth, readers, writeTree } from './reader-pair.js';

const device = (major: number, minor: number): number => major * 2 ** 20 + minor;
const [sda, sdb, md, dm, nvme] = [device(8, 0), device(8, 16), device(9, 0), device(253, 0), device(259, 0)];

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-io-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A file system on dm over md over a partition of sda and sdb, and nvme beside it. */
function fakeSys(root: string): void {
  const link = (number: string, to: string) => symlinkSync(join(root, to), join(root, 'dev/block', number));
  const block = (path: string, number: string, below: readonly string[] = [], partition = false): void => {
    mkdirSync(join(root, path, partition ? 'holders' : 'slaves'), { recursive: true });
    writeFileSync(join(root, path, 'dev'), `${number}\n`);
    if (partition) writeFileSync(join(root, path, 'partition'), '1\n');
    for (const each of below)
      symlinkSync(join(root, each), join(root, path, 'slaves', each.split('/').pop() as string));
    link(number, path);
  };
  mkdirSync(join(root, 'dev/block'), { recursive: true });
  block('block/sda', '8:0');
  block('block/sda/sda1', '8:1', [], true);
  block('block/sdb', '8:16');
  // Its parent directory has a `dev` as well, of a character device.
  block('nvme/nvme0', '241:0');
  block('nvme/nvme0/nvme0n1', '259:0');
  block('virtual/md0', '9:0', ['block/sda/sda1', 'block/sdb']);
  block('virtual/dm-0', '253:0', ['virtual/md0']);
}

const line = (number: string, value: number): string =>
  `${number} rbytes=${value} wbytes=${value} rios=${value} wios=${value}\n`;

test('stacked I/O is counted at the top, unrelated devices are summed, by both readers', () => {
  const directory = temporary();
  const stacks = stacksOf(
    new Map([
      [sda, []],
      [sdb, []],
      [md, [sda, sdb]],
      [dm, [md]],
      [nvme, []],
    ]),
  );
  const table = Float64Array.from([...stacks].flatMap(([number, above]) => [number, above.length, ...above]));
  expect(unpackStacks(table)).toEqual(stacks);
  const pair = readers();
  for (const reader of [pair.native, pair.files]) {
    reader.add(directory);
    reader.setBlockDevices(table);
  }
  const [fs, raid, diskA, diskB, other] = [
    line('253:0', 100),
    line('9:0', 101),
    line('8:0', 60),
    line('8:16', 50),
    line('259:0', 1000),
  ] as [string, string, string, string, string];
  const cases: readonly (readonly [string, number, number])[] = [
    [fs + raid + diskA + diskB, 100, 4],
    [diskA + diskB + raid + fs + other, 1100, 5],
    [raid + diskA + diskB, 101, 3],
    [diskA + diskB, 110, 2],
    [fs + diskA, 100, 2],
    // Bare devices in the line of one that has counters.
    [`7:0 7:1 ${fs}${diskA}`, 100, 2],
    [line('259:600000', 9), 9, 1],
    [`${fs}garbage\n${diskA.replace('60', 'x')}${other}`, 1100, 2],
  ];
  for (const [text, sum, devices] of cases) {
    writeTree(directory, { 'io.stat': text });
    expect(passBoth(pair)[0]?.columns, text).toMatchObject({ ioReadBytes: sum, ioWrites: sum, ioDevices: devices });
  }
  // Of a device that is not known nobody can say whether it is on top of another one.
  writeTree(directory, { 'io.stat': fs + line('7:3', 5) });
  expect(passBoth(pair)[0]?.columns).toMatchObject({ ioReadBytes: Number.NaN, ioUnknownDevice: device(7, 3) });
  writeTree(directory, { 'io.stat': line('7:3', 5) });
  expect(passBoth(pair)[0]?.columns).toMatchObject({ ioReadBytes: 5, ioUnknownDevice: Number.NaN });
});

test('whatever lines are between, both readers agree, and only bad lines are lost', () => {
  const directory = temporary();
  const pair = readers();
  const counter = fc.nat(1e6);
  const good = fc.record({ number: fc.tuple(fc.nat(9), fc.nat(9)), value: counter });
  const garbage = fc.oneof(
    fc.string({ maxLength: 20 }).map((text) => `x${text.replace(/\n/g, '')}`),
    fc.constantFrom('', ' ', '8:', ':0', '8:0:1 rbytes=5', '8 rbytes=1 wbytes=1 rios=1 wios=1', '8:0', '-8:0 rbytes=1'),
    fc.constantFrom('8:0 rbytes= wbytes=1', '8:16 wbytes=1e3', '99999999:1 rbytes=1 wbytes=1 rios=1 wios=1'),
  );
  const lines = fc.array(fc.oneof(good, garbage), { maxLength: 8 });
  const below = fc.array(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9), fc.nat(9)), { maxLength: 6 });
  for (const reader of [pair.native, pair.files]) reader.add(directory);
  fc.assert(
    fc.property(lines, below, fc.boolean(), (all, pairs, known) => {
      const direct = new Map<number, number[]>();
      for (let major = 0; known && major < 10; major++)
        for (let minor = 0; minor < 10; minor++) direct.set(device(major, minor), []);
      for (const [a, b, c, d] of pairs) direct.set(device(a, b), [device(c, d)]);
      const table = Float64Array.from([...stacksOf(direct)].flatMap(([top, above]) => [top, above.length, ...above]));
      for (const reader of [pair.native, pair.files]) reader.setBlockDevices(table);
      const text = all.map((each) =>
        typeof each === 'string' ? `${each}\n` : line(each.number.join(':'), each.value),
      );
      writeTree(directory, { 'io.stat': text.join('') });
      const columns = passBoth(pair)[0]?.columns;
      const counted = all.filter((each) => typeof each !== 'string');
      expect(columns?.ioDevices).toBe(counted.length);
      // Without the bad lines the sums are the same; a file of nothing is no I/O, one of bad lines alone is not known.
      const bytes = Buffer.from(counted.map(({ number, value }) => line(number.join(':'), value)).join(''));
      const out = new Float64Array(6).fill(Number.NaN);
      parseIoStat(bytes, bytes.length, out, 0, unpackStacks(table));
      if (counted.length > 0 || all.length === 0) expect(columns?.ioReadBytes).toBe(out[0]);
      else expect(columns?.ioReadBytes).toBeNaN();
      expect(columns?.ioUnknownDevice).toBe(out[5]);
    }),
    { numRuns: 300 },
  );
});

function blockDevices(sysRoot: string) {
  const tables: Float64Array[] = [];
  const clock = new ManualClock();
  const devices = new BlockDevices({
    sysRoot,
    openFiles: () => new PlainFiles(clock),
    clock,
    onTable: (table) => void tables.push(table),
  });
  onTestFinished(() => devices.close());
  const read = async (unknown: number) => {
    const { length } = tables;
    devices.used(unknown);
    await clock.advance(1);
    return tables.length > length ? unpackStacks(tables.at(-1) as Float64Array) : null;
  };
  return { devices, clock, read };
}

test('sysfs: which devices are on top of which, partitions as their disks; read again for an unknown device alone', async () => {
  const root = temporary();
  fakeSys(root);
  const { read, devices, clock } = blockDevices(root);
  const stacks = await read(dm);
  const above = (number: number) => [...(stacks?.get(number) ?? [])].sort((a, b) => a - b);
  expect([sda, sdb, md, dm, nvme].map(above)).toEqual([[md, dm], [md, dm], [dm], [], []]);
  expect(await read(sda)).toBeNull();
  expect(await read(Number.NaN)).toBeNull();
  // Not in sysfs: it is on nothing, as far as anybody can say.
  expect((await read(device(7, 7)))?.get(device(7, 7))).toEqual([]);
  await clock.advance(60_000);
  expect(await read(Number.NaN)).not.toBeNull();
  expect(devices.faults()).toEqual([]);
});

test('sysfs that cannot be listed is a fault, and is tried again', async () => {
  const root = temporary();
  const { read, devices, clock } = blockDevices(root);
  expect(await read(dm)).toBeNull();
  expect(devices.faults()).toMatchObject([{ code: 'BLOCK_DEVICES_UNREADABLE' }]);
  fakeSys(root);
  expect(await read(dm)).toBeNull();
  await clock.advance(10_000);
  expect((await read(dm))?.get(md)).toEqual([dm]);
  expect(devices.faults()).toEqual([]);
});

test('a worker on a file system over dm over md over disks: its I/O once', async () => {
  const host = new FakeHost();
  fakeSys(join(host.dir, 'sys'));
  const text = (value: number) => line('253:0', value) + line('9:0', value) + line('8:0', value) + line('259:0', value);
  host.worker('/hivepulse.slice/g/a', { pid: 100, argv: ['x'] }, { 'io.stat': text(5) });
  const sampler = host.sampler({ sysRoot: join(host.dir, 'sys') });
  const read = () => sampler.counters().get('g/a')?.row.ioReadBytes;
  await waitFor(async () => (await sampler.sample()) && read() === 10, { what: 'the sum of two unrelated devices' });
});
