import { describe, expect, it } from 'vitest';
import { type FileReader, filesOfDevice } from '../../lib/io/file-reader.js';
import { ETIMEDOUT, GuardedReader, GuardedTask, taskHungAfterMs } from '../../lib/io/guarded.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { MemoryTree } from './fake-files.js';

function prepared(options: { batchSize?: number; maxAbandoned?: number; open?: () => void } = {}) {
  const { open, ...rest } = options;
  const clock = new ManualClock();
  const tree = new MemoryTree();
  for (let i = 0; i < 40; i += 1) tree.write(`/d${i % 4}/f${i}`, `text ${i}`);
  const reader = new GuardedReader({
    open: () => {
      open?.();
      return tree.reader(clock);
    },
    clock,
    fault: (what, path) => ({ source: 'proc', code: path ?? 'NO_PATH', message: what }),
    ...rest,
  });
  const paths = [...tree.files.keys()];
  const read = async (some = paths) =>
    (await reader.read(some, 100)).map((result) => (typeof result === 'number' ? result : result.toString()));
  const codes = () => reader.faults().map(({ code }) => code);
  const openReaders = () => tree.readers.filter(({ closed }) => !closed).length;
  return { clock, tree, reader, paths, read, codes, openReaders };
}

const whole = Array.from({ length: 40 }, (_, i) => `text ${i}`);
const without = (...hung: readonly number[]) => whole.map((text, i) => (hung.includes(i) ? ETIMEDOUT : text));

describe('a guarded reader', () => {
  it('gives what the reader gives, in the order asked for, with one reader', async () => {
    const { clock, reader, read, tree } = prepared();
    expect(await read()).toEqual(whole);
    expect(await reader.list(['/d1', '/nowhere'])).toEqual([
      expect.arrayContaining([{ name: 'f1', isDirectory: false }]),
      2,
    ]);
    expect(await reader.read([], 10)).toEqual([]);
    expect(tree.readers).toHaveLength(1);
    expect(reader.stalled).toBe(false);
    expect(clock.timers).toBe(0);
  });

  it('says which file of a device hangs, for as long as it does', async () => {
    const { clock, tree, reader } = prepared();
    const stuck = filesOfDevice(['/d0/f0', '/d1/f1', '/d2/f2', '/d3/f3']);
    const well = filesOfDevice(['/d0/f4', '/d1/f5']);
    tree.hangs.add('/d2/f2');
    const first = reader.readAwake([stuck, well], 100);
    for (let ms = 0; ms < 4000; ms += 250) await clock.advance(250);
    expect(await first).toEqual([ETIMEDOUT, ['text 4', 'text 5']]);
    expect([stuck, well].map((device) => reader.hangingAt(device))).toEqual([2, null]);
    expect(await reader.readAwake([filesOfDevice(['/d0/f0', '/d1/f1', '/d3/f3']), stuck], 100)).toEqual([
      ['text 0', 'text 1', 'text 3'],
      ETIMEDOUT,
    ]);
    tree.hangs.release('/d2/f2');
    await settle();
    expect(reader.hangingAt(stuck)).toBeNull();
    expect(await reader.readAwake([stuck], 100)).toEqual([['text 0', 'text 1', 'text 2', 'text 3']]);
  });

  it('a read that hangs costs its path alone: named after a second, left out of later reads, read again when it returns', async () => {
    const { clock, tree, reader, paths, read, codes, openReaders } = prepared();
    tree.hangs.add('/d1/f21');
    const first = read();
    await clock.advance(1000);
    expect(codes()).toEqual([]);
    await clock.advance(1);
    expect(codes()).toEqual(['NO_PATH']);
    expect(reader.faults()[0]?.message).toMatch(/one of 39 paths read with it/);
    for (let ms = 0; ms < 2000; ms += 250) {
      await clock.advance(250);
      expect(reader.stalled, `${ms} ms later`).toBe(true);
      expect(codes(), `${ms} ms later`).not.toEqual([]);
    }
    expect(await first).toEqual(without(21));
    expect(codes()).toEqual(['/d1/f21']);
    expect(clock.timers).toBe(0);

    const readers = tree.readers.length;
    expect(await read()).toEqual(without(21));
    expect(await read(['/d1/f21'])).toEqual([ETIMEDOUT]);
    expect(tree.readers).toHaveLength(readers);
    expect(reader.recoveries).toBe(0);

    tree.hangs.clear();
    await settle();
    expect(codes()).toEqual([]);
    expect(reader.stalled).toBe(false);
    expect(reader.recoveries).toBeGreaterThan(0);
    expect(openReaders()).toBe(1);
    expect(await read(paths)).toEqual(whole);
  });

  it('a batch of one path costs one reader, and those that wait behind it are answered by the next', async () => {
    const { clock, tree, read } = prepared({ batchSize: 1 });
    tree.hangs.add('/d0/f0');
    const first = read();
    const second = read(['/d3/f3']);
    await clock.advance(1500);
    expect(await first).toEqual(without(0));
    expect(await second).toEqual(['text 3']);
    expect(tree.readers).toHaveLength(2);
  });

  it('a path that is read alone is named as soon as it is late', async () => {
    const { clock, tree, reader, read } = prepared();
    tree.hangs.add('/d0/f0');
    void read(['/d0/f0']);
    await clock.advance(1001);
    expect(reader.faults()).toEqual([{ source: 'proc', code: '/d0/f0', message: 'Reading /d0/f0 does not return' }]);
  });

  it('reads of the path that hangs wait behind it: alone they cost no other reader, with others they cost these nothing', async () => {
    const { clock, tree, read } = prepared();
    tree.hangs.add('/d0/f0');
    const waiting = [read(['/d0/f0']), read(['/d0/f0']), read(['/d0/f0', '/d1/f1', '/d2/f2'])];
    await clock.advance(1500);
    expect(tree.readers).toHaveLength(2);
    await clock.advance(5000);
    expect(await Promise.all(waiting)).toEqual([[ETIMEDOUT], [ETIMEDOUT], [ETIMEDOUT, 'text 1', 'text 2']]);
  });

  it('what an abandoned reader answers in the end is not what another one has still to read', async () => {
    const { clock, tree, read } = prepared({ batchSize: 1 });
    tree.hangs.add('/d0/f0');
    tree.hangs.add('/d2/f2');
    void read(['/d0/f0']);
    const second = read(['/d1/f1', '/d2/f2']);
    await clock.advance(1500);
    // The first reader goes on to what waited behind it, of which the other has read one half.
    tree.hangs.release('/d0/f0');
    await settle();
    tree.hangs.clear();
    expect(await second).toEqual(['text 1', 'text 2']);
  });

  it('at the bound everything gives ETIMEDOUT at once and the fault says so, until a reader returns', async () => {
    const { clock, tree, reader, read, openReaders } = prepared({ batchSize: 1, maxAbandoned: 2 });
    for (const path of ['/d0/f0', '/d1/f1', '/d2/f2']) tree.hangs.add(path);
    const first = read();
    await clock.advance(10_000);
    expect((await first).slice(0, 3)).toEqual([ETIMEDOUT, ETIMEDOUT, ETIMEDOUT]);
    expect(tree.readers).toHaveLength(3);
    expect(reader.faults().map(({ message }) => message)).toContainEqual(expect.stringMatching(/^3 readers hang/));
    expect(await read(['/d3/f3'])).toEqual([ETIMEDOUT]);
    tree.hangs.release('/d1/f1');
    await settle();
    expect(await read()).toEqual(without(0, 2));
    expect(openReaders()).toBe(3);
    expect(reader.faults()).toHaveLength(2);
    tree.hangs.clear();
    await settle();
    expect(await read()).toEqual(whole);
    expect(openReaders()).toBe(1);
  });

  it('eight readers are given up at most, beside the one that is in use', async () => {
    const { clock, tree, reader, paths, read } = prepared({ batchSize: 1 });
    for (const path of paths.slice(0, 9)) tree.hangs.add(path);
    const reading = read();
    await clock.advance(15_000);
    expect(tree.readers).toHaveLength(9);
    expect(reader.faults().map(({ message }) => message)).toContainEqual(expect.stringMatching(/^9 readers hang/));
    expect(await reading).toEqual(whole.map(() => ETIMEDOUT));
  });

  it('where the system gives no further thread it waits with the one it has', async () => {
    let opened = 0;
    const { clock, tree, reader, read } = prepared({
      open: () => {
        opened += 1;
        if (opened > 1) throw new Error('no thread');
      },
    });
    tree.hangs.add('/d0/f0');
    const first = read();
    await clock.advance(3000);
    expect(await first).toContain(ETIMEDOUT);
    expect(reader.stalled).toBe(true);
    tree.hangs.clear();
    await settle();
    expect(await read()).toEqual(whole);
  });

  it('a pause of the whole process is not taken for a read that hangs', async () => {
    const { clock, tree, read } = prepared();
    tree.hangs.add('/d0/f0');
    const first = read();
    await settle();
    // When it goes on the timer of the watch is due, and the answer waits to be delivered.
    tree.hangs.clear();
    clock.jump(5000);
    expect(await first).toEqual(whole);
    expect(tree.readers).toHaveLength(1);
  });

  it('close rejects who waits, closes every reader, and may be called twice', async () => {
    const { clock, tree, reader, read, openReaders } = prepared();
    tree.hangs.add('/d0/f0');
    const first = read();
    const failed = expect(first).rejects.toMatchObject({ code: 'CLOSED' });
    await clock.advance(1500);
    reader.close();
    reader.close();
    await failed;
    await expect(read()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(openReaders()).toBe(0);
  });

  it('once closed it opens no reader, whichever returns', async () => {
    const { clock, tree, reader, read, openReaders } = prepared({ batchSize: 1, maxAbandoned: 1 });
    for (const path of ['/d0/f0', '/d1/f1']) tree.hangs.add(path);
    await Promise.all([read(['/d0/f0']), read(['/d1/f1']), clock.advance(10_000)]);
    reader.close();
    tree.hangs.release('/d0/f0');
    await settle();
    expect([tree.readers.length, openReaders()]).toEqual([2, 0]);
  });

  it('a reader whose thread dies makes its paths unreadable, not the call', async () => {
    const { tree, read } = prepared();
    await read([]);
    tree.readers[0]?.close();
    expect(await read(['/d0/f0'])).toEqual([5]);
  });
});

describe('a guarded task', () => {
  it('is not waited for beyond some seconds, nor begun again before it has returned', async () => {
    const clock = new ManualClock();
    const waiting: ((value: string) => void)[] = [];
    const task = new GuardedTask(() => new Promise<string>((resolve) => waiting.push(resolve)), clock);
    const beganMs = clock.now();
    const first = task.run();
    await clock.advance(taskHungAfterMs + 500);
    expect(await first).toBeNull();
    expect(task.stalled).toBe(true);
    expect(await task.run()).toBeNull();
    expect(waiting).toHaveLength(1);
    waiting[0]?.('late');
    await settle();
    expect(task.stalled).toBe(false);
    expect(await task.run()).toEqual({ value: 'late', beganMs });
    expect(waiting).toHaveLength(1);
    const next = task.run();
    waiting[1]?.('in time');
    expect(await next).toEqual({ value: 'in time', beganMs: clock.now() });
    await clock.advance(10_000);
    expect(task.stalled).toBe(false);
  });

  it('is waited for three seconds, and a quarter of one for what may only wait to be delivered', async () => {
    const clock = new ManualClock();
    const task = new GuardedTask(() => new Promise<string>(() => undefined), clock);
    let answered = false;
    void task.run().then(() => {
      answered = true;
    });
    await clock.advance(3249);
    expect([answered, task.stalled]).toEqual([false, false]);
    await clock.advance(1);
    expect([answered, task.stalled]).toEqual([true, true]);
  });

  it('passes on an error, in time or late, and is begun again', async () => {
    const clock = new ManualClock();
    const waiting: ((reason: Error) => void)[] = [];
    const task = new GuardedTask(() => new Promise<string>((_, reject) => waiting.push(reject)), clock);
    const first = task.run();
    waiting[0]?.(new Error('first'));
    await expect(first).rejects.toThrow('first');
    const second = task.run();
    await clock.advance(taskHungAfterMs + 500);
    expect(await second).toBeNull();
    waiting[1]?.(new Error('second'));
    await settle();
    await expect(task.run()).rejects.toThrow('second');
    void task.run();
    expect(waiting).toHaveLength(3);
  });
});

describe('each call of a reader', () => {
  const calls = {
    read: [100],
    readKept: [200],
    readAwake: [300],
    list: [],
    pids: [],
    links: ['socket:['],
    linkNames: ['net:['],
    listening: [],
    usage: [],
    drmClients: [4096],
  } as const satisfies Partial<Record<keyof FileReader, readonly unknown[]>>;
  const names = Object.keys(calls) as (keyof typeof calls)[];

  /** A reader that answers each path with what it was asked, and what `more` says. */
  function guarded(more: Partial<FileReader> = {}) {
    const answer = (name: string) => async (paths: readonly string[], argument: unknown) =>
      paths.map((path) => `${name} ${path} ${argument}`);
    const reader = { ...Object.fromEntries(names.map((name) => [name, answer(name)])), runningMs: () => 0, ...more };
    return new GuardedReader({
      open: () => reader as unknown as FileReader,
      clock: new ManualClock(),
      fault: (message) => ({ source: 'proc', code: 'NONE', message }),
      batchSize: 1,
    });
  }

  it.each(names)('%s is passed on with its argument', async (name) => {
    const [argument] = calls[name];
    const call = guarded()[name] as (paths: readonly string[], argument: unknown) => Promise<unknown>;
    expect(await call.call(guarded(), ['/a', '/b'], argument)).toEqual(
      ['/a', '/b'].map((path) => `${name} ${path} ${argument}`),
    );
  });

  it('what only some readers can is null where this one cannot, and unreadable where it no longer can', async () => {
    const without = guarded({ usage: undefined, drmClients: undefined } as unknown as Partial<FileReader>);
    expect(await without.usage(['/a'])).toBeNull();
    expect(await without.drmClients(['/a'], 100)).toBeNull();
    const none = () => Promise.resolve(null);
    const losing = guarded({ usage: none, drmClients: none } as unknown as Partial<FileReader>);
    expect(await losing.usage(['/a', '/b'])).toEqual([5, 5]);
    expect(await losing.drmClients(['/a', '/b'], 100)).toEqual([5, 5]);
  });
});
