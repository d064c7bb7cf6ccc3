import { afterEach, describe, expect, it } from 'vitest';
import { countDescendants, walkTree } from '../../lib/workers/tree-walk.js';
import { FakeMachine, PlainFiles } from '../sampling/fake-host.js';

const machines: FakeMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

function prepared(): FakeMachine {
  const machine = new FakeMachine();
  machines.push(machine);
  return machine;
}

const stat = (count: number) => `nr_descendants ${count}\nnr_dying_descendants 0\n`;

describe('walking the cgroup tree', () => {
  it('finds all, parents first, where cgroup.stat is missing', async () => {
    const machine = prepared();
    for (const path of ['/a/b/c', '/a/d', '/e']) machine.write(`cgroup${path}/cgroup.procs`, '');
    const tree = await walkTree(new PlainFiles(), machine.root);
    expect([...tree.paths].sort()).toEqual(['/a', '/a/b', '/a/b/c', '/a/d', '/e']);
    expect(tree.paths.indexOf('/a')).toBeLessThan(tree.paths.indexOf('/a/b'));
    expect(tree).toMatchObject({ unreadable: [], descendants: null });
  });

  it('does not list what cgroup.stat calls a leaf', async () => {
    const machine = prepared();
    machine.write('cgroup/cgroup.stat', stat(2));
    machine.write('cgroup/inner/cgroup.stat', stat(1));
    machine.write('cgroup/inner/leaf/cgroup.stat', stat(0));
    machine.write('cgroup/inner/leaf/hidden/cgroup.procs', '');
    const tree = await walkTree(new PlainFiles(), machine.root);
    expect(tree.paths).toEqual(['/inner', '/inner/leaf']);
    expect(await countDescendants(new PlainFiles(), machine.root)).toBe(2);
  });

  it('a root that is not there is unreadable, not empty', async () => {
    const tree = await walkTree(new PlainFiles(), '/nonexistent/cgroup');
    expect(tree.unreadable).toEqual([{ path: '/', errno: 2 }]);
  });
});
