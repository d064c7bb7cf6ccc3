import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { ThreadedCgroups } from '../../lib/workers/threaded.js';

const treeOf = () => ({ paths: [], unreadable: [], descendants: null });

/** Types of cgroups in memory; a file of which nothing is said is not there. */
function cgroups(types: Readonly<Record<string, string>>) {
  const current: Record<string, string> = { ...types };
  const asked: string[] = [];
  const read = async (paths: readonly string[]) => {
    asked.push(...paths);
    return paths.map((path) => {
      const type = /^\/cg(.*)\/cgroup\.type$/.exec(path)?.[1];
      const found = type === undefined ? undefined : current[type];
      return found === undefined ? constants.errno.ENOENT : Buffer.from(`${found}\n`);
    });
  };
  return { current, asked, threaded: new ThreadedCgroups({ read }) };
}

it('what runs in a threaded cgroup is counted to the domain above it, however far that is', async () => {
  const { asked, threaded } = cgroups({
    '/a': 'domain threaded',
    '/a/t': 'threaded',
    '/a/t/u': 'threaded',
    '/b': 'domain',
  });
  await threaded.read('/cg', treeOf(), ['/a/t/u', '/b', '/a/t/u', '/gone', '/', '']);
  expect(['/a/t/u', '/a/t', '/a', '/b', '/gone', '/'].map((path) => threaded.domainOf(path))).toEqual([
    ...['/a', '/a', '/a', '/b', '/gone', '/'],
  ]);
  expect(asked).toEqual(['/a/t/u', '/b', '/gone', '/a/t', '/a'].map((path) => `/cg${path}/cgroup.type`));
});

it('what runs in one right below the root is counted to the root', async () => {
  const { asked, threaded } = cgroups({ '/t': 'threaded' });
  await threaded.read('/cg', treeOf(), ['/t']);
  expect(threaded.domainOf('/t')).toBe('/');
  expect(asked).toEqual(['/cg/t/cgroup.type']);
});

it('each is asked once for a tree, and again for the next: a cgroup may become threaded', async () => {
  const { asked, current, threaded } = cgroups({ '/a': 'domain', '/a/t': 'domain', '/a/u': 'threaded' });
  const tree = treeOf();
  await threaded.read('/cg', tree, ['/a/t']);
  current['/a/t'] = 'threaded';
  await threaded.read('/cg', tree, ['/a/t', '/a/u', '/a']);
  await threaded.read('/cg', tree, ['/a/u']);
  expect(threaded.domainOf('/a/t')).toBe('/a/t');
  expect(asked).toEqual(['/a/t', '/a/u', '/a'].map((path) => `/cg${path}/cgroup.type`));
  await threaded.read('/cg', treeOf(), ['/a/t']);
  expect(threaded.domainOf('/a/t')).toBe('/a');
  // What is no longer asked for is not known.
  expect(threaded.domainOf('/a/u')).toBe('/a/u');
});
