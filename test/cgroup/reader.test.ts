import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openReader } from '../../lib/cgroup/reader.js';
import { parseAuxv, systemValues } from '../../lib/cgroup/system-values.js';
import { NativeFileReader, openFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import { type Binding, difference, loadBinding } from '../../lib/native/binding.js';
import type { RawReader } from '../../lib/native/layout.js';
import { cell } from '../../lib/native/layout.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { waitFor } from '../harness/wait.js';
import { binding, readers, temporary, writeTree } from './reader-pair.js';

const closed = expect.objectContaining({ name: 'HivepulseError', code: 'CLOSED' });

function fifo(directory: string, name: string): { readonly path: string; readonly release: () => void } {
  const path = join(directory, name);
  execFileSync('mkfifo', [path]);
  let held = true;
  const release = () => {
    if (held) closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    held = false;
  };
  onTestFinished(release);
  return { path, release };
}

describe.each(['native', 'files'] as const)('a reader that runs off the event loop: %s', (kind) => {
  const reader = (): RawReader => readers()[kind];

  test('next: a pass that began after the call, with all that was added before it', async () => {
    const directory = temporary();
    const subject = reader();
    let last = 0;
    for (let i = 0; i < 20; i++) {
      writeTree(join(directory, String(i)), { 'cpu.stat': `usage_usec ${i}\n` });
      const slot = subject.add(join(directory, String(i)));
      const pass = await subject.next();
      expect(cell(pass, slot, 'usageUsec')).toBe(i);
      expect(pass.sequence).toBeGreaterThan(last);
      last = pass.sequence;
    }
  });

  test('start: passes come by themselves; latest never waits, and its arrays are the caller’s', async () => {
    const directory = temporary();
    writeTree(directory, { 'cpu.stat': 'usage_usec 1\n' });
    const subject = reader();
    subject.add(directory);
    expect(subject.latest()).toBeNull();
    subject.start(5);
    const first = await waitFor(() => subject.latest());
    first.workers.fill(0);
    const later = await waitFor(() => {
      const pass = subject.latest();
      return pass && pass.sequence > first.sequence + 2 ? pass : null;
    });
    expect(cell(later, 0, 'usageUsec')).toBe(1);
    expect(later.startedMs).toBeGreaterThan(first.startedMs);
    expect(later.durationMs).toBeGreaterThan(0);
  });

  test('passSync beside a started reader', async () => {
    const directory = temporary();
    writeTree(directory, { 'cpu.stat': 'usage_usec 1\n' });
    const subject = reader();
    subject.add(directory);
    subject.start(1);
    for (let i = 0; i < 50; i++) expect(cell(subject.passSync(), 0, 'usageUsec')).toBe(1);
    expect(cell(await subject.next(), 0, 'usageUsec')).toBe(1);
  });

  test('next gives up by its signal; the others go on', async () => {
    const subject = reader();
    subject.add(temporary());
    const controller = new AbortController();
    subject.start(20);
    const given = subject.next(controller.signal);
    const waits = subject.next();
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    await expect(subject.next(controller.signal)).rejects.toThrow('enough');
    expect((await waits).sequence).toBeGreaterThan(0);
  });

  test('a wedged file shows in runningMs and holds up no call but its own pass; close rejects who waits', async () => {
    const directory = temporary();
    const { release } = fifo(directory, 'memory.current');
    const subject = reader();
    subject.add(directory);
    expect(subject.runningMs()).toBe(0);
    const waits = expect(subject.next()).rejects.toEqual(closed);
    await waitFor(() => subject.runningMs() > 20);
    subject.remove(subject.add(directory));
    expect(subject.latest()).toBeNull();
    subject.close();
    await waits;
    release();
  });

  test('closed: twice is fine, what comes after says CLOSED', async () => {
    const subject = reader();
    subject.add(temporary());
    subject.close();
    subject.close();
    subject.remove(0);
    expect(() => subject.add('/x')).toThrow(closed);
    expect(() => subject.passSync()).toThrow(closed);
    expect(() => subject.start(10)).toThrow(closed);
    await expect(subject.next()).rejects.toEqual(closed);
  });
});

describe.each([
  ['native', () => new NativeFileReader(binding())],
  ['worker thread', () => new WorkerFileReader()],
] as const)('files that may block: %s', (_, make) => {
  const open = () => {
    const files = make();
    onTestFinished(() => files.close());
    return files;
  };

  test('reads whole, cut at the bound, or the errno; in order', async () => {
    const directory = temporary();
    const long = Buffer.alloc(70_000, 'x');
    writeTree(directory, { a: 'first\n', empty: '', long, binary: Buffer.from([0, 255, 10]) });
    const names = ['long', 'a', 'missing', 'empty', 'binary', '.'];
    const paths = names.map((name) => join(directory, name));
    const files = open();
    expect(await files.read(paths, 1e6)).toEqual([
      long,
      Buffer.from('first\n'),
      2,
      Buffer.alloc(0),
      Buffer.from([0, 255, 10]),
      21,
    ]);
    expect(await files.read(paths.slice(0, 2), 3)).toEqual([Buffer.from('xxx'), Buffer.from('fir')]);
    expect(await files.read([], 10)).toEqual([]);
    const [status] = await files.read(['/proc/self/status'], 1e6);
    expect(String(status)).toContain('Name:');
    expect(files.runningMs()).toBe(0);
  });

  test('lists directories: what is one and what is not; a link is not followed', async () => {
    const directory = temporary();
    writeTree(directory, { file: '' });
    mkdirSync(join(directory, 'inner'));
    symlinkSync('inner', join(directory, 'link'));
    const [entries, missing, file] = await open().list([directory, join(directory, 'no'), join(directory, 'file')]);
    expect(
      [...(entries as [])].toSorted((a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)),
    ).toEqual([
      { name: 'file', isDirectory: false },
      { name: 'inner', isDirectory: true },
      { name: 'link', isDirectory: false },
    ]);
    expect([missing, file]).toEqual([2, 20]);
  });

  test('batches are answered in the order asked', async () => {
    const files = open();
    const order: number[] = [];
    await Promise.all([0, 1, 2, 3].map((i) => files.list(['/']).then(() => order.push(i))));
    expect(order).toEqual([0, 1, 2, 3]);
  });

  test('a batch that does not return: seen in runningMs, and close does not wait for it', async () => {
    const files = open();
    // Longer than this test can take.
    const waits = expect(files.read(Array(400_000).fill('/proc/self/status'), 10)).rejects.toEqual(closed);
    await waitFor(() => files.runningMs() > 20);
    files.close();
    files.close();
    await waits;
    await expect(files.read(['/'], 1)).rejects.toEqual(closed);
  });
});

describe('choice of reader', () => {
  const none = () => ({ reason: 'it was taken away' });

  test('auto takes the addon, and without it says why not', () => {
    const native = openReader('auto');
    const files = openReader('auto', {}, none);
    onTestFinished(() => [native, files].forEach(({ reader }) => void reader.close()));
    expect([native.reader.kind, native.reason]).toEqual(['native', null]);
    expect([files.reader.kind, files.reason]).toEqual(['files', 'it was taken away']);
    expect(openFileReader(none)).toBeInstanceOf(WorkerFileReader);
  });

  test('native without the addon is an error that names the reason', () => {
    expect(() => openReader('native', {}, none)).toThrow(HivepulseError);
    expect(() => openReader('native', {}, none)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_PLATFORM' }));
    expect(() => openReader('native', {}, none)).toThrow(/it was taken away/);
  });

  test('HIVEPULSE_NO_NATIVE=1 leaves the addon out', () => {
    process.env.HIVEPULSE_NO_NATIVE = '1';
    try {
      expect(loadBinding().reason).toMatch(/HIVEPULSE_NO_NATIVE/);
    } finally {
      delete process.env.HIVEPULSE_NO_NATIVE;
    }
    expect(loadBinding().binding).toBeDefined();
  });

  test('an addon with other columns is refused', () => {
    const good = binding();
    expect(difference(good)).toBeNull();
    const swapped = [...good.workerColumns];
    [swapped[3], swapped[4]] = [swapped[4] as string, swapped[3] as string];
    const foreign: readonly (readonly [Partial<Binding>, string])[] = [
      [{ ...good, workerColumns: swapped }, 'workerColumns[3] is userUsec, not usageUsec'],
      [
        { ...good, workerColumns: [...good.workerColumns, 'more'] },
        `workerColumns[${good.workerColumns.length}] is more, not there`,
      ],
      [{ ...good, workerFiles: good.workerFiles.slice(1) }, 'workerFiles[0] is memory.current, not cpu.stat'],
      [{ ...good, rowFlags: { ...good.rowFlags, removed: 2 } }, 'rowFlags.removed is 2'],
      [{}, 'workerColumns[0] is missing, not flags'],
    ];
    for (const [addon, said] of foreign) expect(difference(addon)).toBe(said);
  });

  test('page size and clock tick without the C library are those of the C library', () => {
    const { pageSize, clockTicksPerSecond } = binding();
    expect(systemValues()).toEqual({ pageSize, clockTicksPerSecond });
    expect(parseAuxv(Buffer.alloc(17))).toEqual({});
  });
});
