import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { NativeFileReader, openFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import type { Binding } from '../../lib/native/binding.js';
import { usageColumns } from '../../lib/native/layout.js';

const { EACCES, ENOENT } = constants.errno;

/** The addon's side: what was submitted, and answers when a test wants. */
class Addon {
  readonly submitted: { readonly work: string; readonly paths: unknown; readonly argument: unknown }[] = [];
  readonly alive: boolean[] = [];
  closes = 0;
  #finished: unknown[] = [];
  #wake = (): void => undefined;

  readonly binding = {
    BlockingFiles: ((addon: Addon) =>
      class {
        constructor(wake: () => void) {
          addon.#wake = wake;
        }
        submit(work: string, paths: unknown, argument?: unknown): number {
          return addon.submitted.push({ work, paths: Buffer.isBuffer(paths) ? String(paths) : paths, argument });
        }
        take(): readonly unknown[] {
          return addon.#finished.splice(0);
        }
        runningMs = () => 71;
        runningAt = () => 3;
        keepAlive = (yes: boolean) => addon.alive.push(yes);
        close = () => addon.closes++;
      })(this),
  } as unknown as Binding;

  /** The batch `id` has ended. */
  answer(id: number, answer: unknown, text?: string): void {
    this.#finished.push(id, answer, text);
  }
  wake(): void {
    this.#wake();
  }
  /** Of packed numbers and texts. */
  async packed<T>(asked: Promise<T>, numbers: readonly number[], text?: string): Promise<T> {
    await Promise.resolve();
    this.answer(this.submitted.length, Float64Array.from(numbers), text);
    this.wake();
    return await asked;
  }
}

const opened = () => {
  const addon = new Addon();
  return { addon, reader: new NativeFileReader(addon.binding) };
};

describe('what the addon packed', () => {
  it('files: a text of so many letters, or an errno', async () => {
    const { addon, reader } = opened();
    const asked = reader.readKept(['/a', '/b', '/c', '/d'], 99);
    expect(await addon.packed(asked, [2, -EACCES, 0, 3], 'x\u00e9end')).toEqual(['x\u00e9', EACCES, '', 'end']);
    expect(addon.submitted).toEqual([{ work: 'readKept', paths: '/a\n/b\n/c\n/d', argument: 99 }]);
    expect(await addon.packed(reader.readKept([], 9), [])).toEqual([]);
  });

  it('devices: so many files of each', async () => {
    const { addon, reader } = opened();
    const found = await addon.packed(reader.readAwake(['/d0', '/d1', '/d2'], 7), [2, 6, -ENOENT, 1, 1, 0], 'activez');
    expect(found).toEqual([['active', ENOENT], ['z'], []]);
    expect(addon.submitted[0]).toEqual({ work: 'readAwake', paths: '/d0\n/d1\n/d2', argument: 7 });
  });

  it('lists: names and whether they are directories, or an errno', async () => {
    const { addon, reader } = opened();
    const found = await addon.packed(reader.list(['/a', '/b', '/c']), [0, 2, 3, 1, 1, 0, ENOENT, 0, 0, 0], 'onet');
    expect(found).toEqual([
      [
        { name: 'one', isDirectory: true },
        { name: 't', isDirectory: false },
      ],
      ENOENT,
      [],
    ]);
    expect(addon.submitted[0]).toEqual({ work: 'list', paths: ['/a', '/b', '/c'], argument: undefined });
  });

  it('links, in bytes of any kind', async () => {
    const { addon, reader } = opened();
    const links = await addon.packed(reader.links(['/a', '/b'], 'so'), [0, 2, 3, 2, EACCES, 0], 'caf\u00c3\u00a9');
    expect(links).toEqual([['caf', '\u00e9'], EACCES]);
    expect(addon.submitted[0]).toEqual({ work: 'links', paths: ['/a', '/b'], argument: 'so' });
    const names = await addon.packed(reader.linkNames(['/a'], '/dev/dri/'), [0, 2, 1, 2], '3\u00ff1');
    expect(names).toEqual([['3', '\udcff1']]);
    expect(addon.submitted[1]).toEqual({ work: 'linkNames', paths: '/a', argument: '/dev/dri/' });
  });

  it('processes: pids with their inodes, or an errno', async () => {
    const { addon, reader } = opened();
    const found = await addon.packed(reader.pids(['/proc', '/none', '/empty']), [0, 2, 7, 70, 8, 80, ENOENT, 0, 0, 0]);
    expect(found).toEqual([
      new Map([
        [7, 70],
        [8, 80],
      ]),
      ENOENT,
      new Map(),
    ]);
    expect(addon.submitted[0]).toMatchObject({ work: 'pids', paths: '/proc' + '\n/none\n/empty' });
  });

  it('clients of GPUs, whose names are taken from the answer before where they are the same', async () => {
    const { addon, reader } = opened();
    const paths = Object.freeze(['/1', '/2', '/3']);
    const row = [0, 0, EACCES, 0, 0, 1, 0, 0, 0];
    const ask = () => addon.packed(reader.drmClients(paths, 64), row, 'xe\n0000:63:00.0\n9');
    const [none, refused, first] = await ask();
    expect([none, refused]).toEqual([null, EACCES]);
    expect(addon.submitted[0]).toEqual({ work: 'drmClients', paths: '/1\n/2\n/3', argument: 64 });
    const shape = (each: unknown) => (each as { shape: object }).shape;
    expect(shape((await ask())[2])).toBe(shape(first));
    const loose = () => addon.packed(reader.drmClients(['/1', '/2', '/3'], 64), row, 'xe\n0000:63:00.0\n9');
    expect(shape((await loose())[2])).not.toBe(shape((await loose())[2]));
  });

  it('use: a row for each process, or its errno', async () => {
    const { addon, reader } = opened();
    const row = (error: number, value: number) => usageColumns.map((name) => (name === 'error' ? error : value));
    const asked = reader.usage(['/p/11', '/p/12', '/q/13']);
    const found = await addon.packed(asked, [...row(0, 5), ...row(ENOENT, 6), ...row(0, 7)]);
    expect(found).toEqual([Float64Array.from(row(0, 5)), ENOENT, Float64Array.from(row(0, 7))]);
    expect(addon.submitted[0]).toEqual({ work: 'usage', paths: '/p', argument: Int32Array.of(11, 12, 0) });
    expect(await addon.packed(reader.usage([]), [])).toEqual([]);
    expect(addon.submitted[1]).toMatchObject({ paths: '', argument: new Int32Array(0) });
  });

  it('statuses of servers', async () => {
    const { addon, reader } = opened();
    expect(await addon.packed(reader.statuses(['::1 80 GET'], 250), [204, 0])).toEqual([204, 0]);
    expect(addon.submitted[0]).toEqual({ work: 'statuses', paths: ['::1 80 GET'], argument: 250 });
  });
});

describe('answers of the addon', () => {
  it('are those of the batch that they name, in whichever order', async () => {
    const { addon, reader } = opened();
    const [one, two, three] = [reader.read(['/1'], 5), reader.listening(['/ns']), reader.pids(['/p'])];
    const texts = [Buffer.from('one')];
    addon.answer(3, Float64Array.of(EACCES, 0));
    addon.answer(1, texts);
    addon.wake();
    expect(await one).toBe(texts);
    expect(await three).toEqual([EACCES]);
    addon.answer(2, [ENOENT]);
    addon.wake();
    expect(await two).toEqual([ENOENT]);
    expect(addon.submitted.map(({ work, argument }) => [work, argument])).toEqual([
      ['read', 5],
      ['sockets', undefined],
      ['pids', undefined],
    ]);
    expect(addon.alive).toEqual([true, false]);
    expect([reader.runningMs(), reader.runningAt()]).toEqual([71, 3]);
  });

  it('are the same objects where paths are frozen and nothing has changed', async () => {
    const { addon, reader } = opened();
    const frozen = Object.freeze(['/a']);
    const list = (paths: readonly string[], name: string, isDirectory = 0) =>
      addon.packed(reader.list(paths), [0, 1, name.length, isDirectory], name);
    const first = await list(frozen, 'one');
    expect(await list(frozen, 'one')).toBe(first);
    expect(await list(frozen, 'two')).not.toBe(first);
    expect(await list(frozen, 'two', 1)).toEqual([[{ name: 'two', isDirectory: true }]]);
    const longer = await addon.packed(reader.list(frozen), [0, 1, 3, 1, 0, 0], 'two');
    expect(longer).toHaveLength(2);
    const loose = ['/a'];
    expect(await list(loose, 'one')).not.toBe(await list(loose, 'one'));
  });

  it('paths that stay what they are are made into bytes once, and others each time', async () => {
    const { addon, reader } = opened();
    const strange = Object.freeze(['/\udcff']);
    const asked = async (paths: readonly string[]) => {
      await addon.packed(reader.list(paths), []);
      return addon.submitted.at(-1)?.paths as readonly Buffer[];
    };
    const before = await asked(strange);
    expect(before).toEqual([Buffer.from('/\xff', 'latin1')]);
    expect(await asked(strange)).toBe(before);
    const changing = ['/a'];
    expect(await asked(changing)).toEqual(['/a']);
    changing.push('/b');
    expect(await asked(changing)).toEqual(['/a', '/b']);
    const text = async (paths: readonly string[]) => {
      await addon.packed(reader.pids(paths), []);
      return addon.submitted.at(-1)?.paths;
    };
    expect([await text(changing), changing.push('/c'), await text(changing)]).toEqual(['/a\n/b', 3, '/a\n/b\n/c']);
    const steady = Object.freeze(['/x', '/y']);
    expect([await text(steady), await text(steady)]).toEqual(['/x\n/y', '/x\n/y']);
  });

  it('closed it rejects what is outstanding and what comes, and closes once', async () => {
    const { addon, reader } = opened();
    const outstanding = expect(reader.read(['/1'], 5)).rejects.toMatchObject({ code: 'CLOSED' });
    await Promise.resolve();
    reader.close();
    reader.close();
    await outstanding;
    await expect(reader.read(['/1'], 5)).rejects.toMatchObject({ code: 'CLOSED' });
    expect([addon.closes, addon.submitted.length]).toEqual([1, 1]);
  });
});

it('without the addon a thread of Node reads', () => {
  const { addon } = opened();
  expect(openFileReader(() => ({ binding: addon.binding }) as never)).toBeInstanceOf(NativeFileReader);
  const reader = openFileReader(() => ({ binding: undefined, reason: 'none' }));
  expect(reader).toBeInstanceOf(WorkerFileReader);
  expect([reader.runningMs(), reader.runningAt()]).toEqual([0, 0]);
  reader.close();
});
