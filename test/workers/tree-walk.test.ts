import { describe, expect, it } from 'vitest';
import type { DirectoryEntry } from '../../lib/io/file-reader.js';
import { ETIMEDOUT } from '../../lib/io/guarded.js';
import {
  type CgroupTree,
  countDescendants,
  countPath,
  parentOf,
  parseDescendants,
  walkTree,
} from '../../lib/workers/tree-walk.js';
import { FakeHost, PlainFiles } from '../sampling/fake-host.js';

const stat = (count: number) => `nr_descendants ${count}\nnr_dying_descendants 0\n`;

describe('walking the cgroup tree', () => {
  it('finds all, parents first, where cgroup.stat is missing', async () => {
    const host = new FakeHost();
    for (const path of ['/a/b/c', '/a/d', '/e']) host.write(`cgroup${path}/cgroup.procs`, '');
    const tree = await walkTree(new PlainFiles(), host.cgroupRoot);
    expect([...tree.paths].sort()).toEqual(['/a', '/a/b', '/a/b/c', '/a/d', '/e']);
    expect(tree.paths.indexOf('/a')).toBeLessThan(tree.paths.indexOf('/a/b'));
    expect(tree).toMatchObject({ unreadable: [], descendants: null });
  });

  it('does not list what cgroup.stat calls a leaf', async () => {
    const host = new FakeHost();
    host.write('cgroup/cgroup.stat', stat(2));
    host.write('cgroup/inner/cgroup.stat', stat(1));
    host.write('cgroup/inner/leaf/cgroup.stat', stat(0));
    host.write('cgroup/inner/leaf/hidden/cgroup.procs', '');
    const tree = await walkTree(new PlainFiles(), host.cgroupRoot);
    expect(tree.paths).toEqual(['/inner', '/inner/leaf']);
    expect(await countDescendants(new PlainFiles(), countPath(host.cgroupRoot))).toBe(2);
  });

  it('a root that is not there is unreadable, not empty', async () => {
    const tree = await walkTree(new PlainFiles(), '/nonexistent/cgroup');
    expect(tree.unreadable).toEqual([{ path: '/', errno: 2 }]);
  });
});

describe('what a walk meets on its way', () => {
  type Read = (paths: readonly string[]) => Promise<(Buffer | number)[]>;
  /** What it keeps open it reads as text. */
  const withKept = <F extends { readonly read: Read }>(files: F) => ({
    ...files,
    readKept: async (paths: readonly string[]) =>
      (await files.read(paths)).map((content) => (typeof content === 'number' ? content : content.toString('latin1'))),
  });
  const directory = (...names: string[]): DirectoryEntry[] => names.map((name) => ({ name, isDirectory: true }));
  /** Directories by path below `/r`: their entries, or the errno of listing them. */
  const filesOf = (
    tree: Readonly<Record<string, readonly DirectoryEntry[] | number>>,
    stats: Record<string, string> = {},
  ) => {
    const asked: string[] = [];
    const below = (path: string) => path.slice('/r'.length);
    const files = {
      read: async (paths: readonly string[]) =>
        paths.map((path) => {
          const content = stats[below(path).replace(/\/cgroup\.stat$/, '')];
          return content === undefined ? 2 : Buffer.from(content);
        }),
      list: async (paths: readonly string[]) => {
        asked.push(...paths.map(below));
        return paths.map((path) => tree[below(path)] ?? 2);
      },
    };
    return { files: withKept(files), asked };
  };
  const walk = (tree: Parameters<typeof filesOf>[0], previous: CgroupTree | null = null) =>
    walkTree(filesOf(tree).files, '/r', previous);
  const before: CgroupTree = {
    paths: ['/a', '/a/x', '/a/x/y', '/ab', '/ab/z', '/b/a/', '/b'],
    unreadable: [],
    descendants: 7,
  };

  it.each([2, 19])('a cgroup that vanished (errno %d) is none, and nothing of it is kept', async (errno) => {
    expect(await walk({ '': directory('a', 'b'), '/a': errno, '/b': [] }, before)).toMatchObject({
      ...{ paths: ['/a', '/b'], unreadable: [] },
    });
    expect((await walk({ '': errno }, before)).unreadable).toEqual([{ path: '/', errno }]);
  });

  it('one that may not be listed is named, and nothing of it is kept', async () => {
    expect(await walk({ '': directory('a', 'b'), '/a': 13, '/b': [] }, before)).toMatchObject({
      ...{ paths: ['/a', '/b'], unreadable: [{ path: '/a', errno: 13 }] },
    });
  });

  it('of one whose listing hangs all is kept that was below it', async () => {
    const tree = { '': directory('a', 'ab'), '/a': ETIMEDOUT, '/ab': [] };
    const unreadable = [{ path: '/a', errno: ETIMEDOUT }];
    expect(await walk(tree, before)).toMatchObject({ paths: ['/a', '/ab', '/a/x', '/a/x/y'], unreadable });
    expect(await walk(tree)).toMatchObject({ paths: ['/a', '/ab'], unreadable });
  });

  it('only directories are cgroups', async () => {
    const entries = [...directory('a'), { name: 'cgroup.procs', isDirectory: false }];
    expect((await walk({ '': entries, '/a': [] })).paths).toEqual(['/a']);
  });

  it('ends at a depth of 24, and asks nothing of an empty level', async () => {
    const deep: Record<string, readonly DirectoryEntry[]> = {};
    for (let depth = 0; depth < 40; depth++) deep['/d'.repeat(depth)] = directory('d');
    const { files, asked } = filesOf(deep);
    expect((await walkTree(files, '/r')).paths).toHaveLength(24);
    expect(asked).toHaveLength(24);
    let reads = 0;
    const read = async (paths: readonly string[]) => {
      reads += 1;
      return paths.map(() => 2);
    };
    await walkTree(withKept({ read, list: async () => [[]] }), '/r');
    // The count, and the one level that there is.
    expect(reads).toBe(2);
  });

  it('ends at 50,000 cgroups, and says so', async () => {
    const many = (count: number) => ({ '': directory(...Array.from({ length: count }, (_, i) => `c${i}`)) });
    const whole = await walk({ ...many(49_999), '/c0': directory('x') });
    expect([whole.paths.length, whole.unreadable]).toEqual([50_000, []]);
    const cut = await walk({ ...many(50_001), '/c0': directory('x') });
    expect([cut.paths.length, cut.unreadable]).toEqual([50_001, [{ path: '/', errno: 0 }]]);
  });

  it('counts cgroups by the line that says so', () => {
    const text = (content: string) => parseDescendants(Buffer.from(content));
    expect([text(stat(12)), text('nr_dying_descendants 3\nnr_descendants 140\n')]).toEqual([12, 140]);
    expect([
      text('nr_dying_descendants 3\n'),
      text('xnr_descendants 3\n'),
      text('nr_descendants 3 x\n'),
      text(''),
    ]).toEqual([...[null, null, null, null]]);
    expect(parseDescendants(2)).toBeNull();
    expect(['/a/b', '/a'].map(parentOf)).toEqual(['/a', '']);
  });
});
