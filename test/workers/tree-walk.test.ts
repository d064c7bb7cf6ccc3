import { describe, expect, it } from 'vitest';
import { countDescendants, countPath, walkTree } from '../../lib/workers/tree-walk.js';
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
