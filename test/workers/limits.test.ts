import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { FileResult } from '../../lib/io/file-reader.js';
import { ETIMEDOUT } from '../../lib/io/guarded.js';
import { AncestorLimits, finiteOrNull, least } from '../../lib/workers/limits.js';
import { checkWorkerId, parseWorkerId } from '../../lib/workers/worker-id.js';

const { ENOENT } = constants.errno;

/** Files of cgroups in memory, and what was asked for. */
function files(content: Readonly<Record<string, string | number>>) {
  const asked: string[] = [];
  const read = async (paths: readonly string[]): Promise<readonly FileResult[]> => {
    asked.push(...paths);
    return paths.map((path) => {
      const found = content[path] ?? ENOENT;
      return typeof found === 'number' ? found : Buffer.from(found);
    });
  };
  return { asked, limits: new AncestorLimits({ read }) };
}

describe('limits above a worker', () => {
  it('are the least of all that are above it, its own left out; each is read once', async () => {
    const { asked, limits } = files({
      '/cg/a/memory.max': '500\n',
      '/cg/a/cpu.max': '150000 100000\n',
      '/cg/a/b/memory.max': '700\n',
      '/cg/a/b/cpu.max': '50000 100000\n',
      '/cg/a/b/c/memory.max': '1\n',
      '/cg/x/memory.max': 'max\n',
      '/cg/x/cpu.max': 'max 100000\n',
    });
    await limits.read('/cg', ['/a/b/c', '/a/b/d', '/x/y', '/top']);
    const of = (path: string) => Object.values(limits.of(path));
    expect(of('/a/b/c')).toEqual([500, 50]);
    expect(of('/a/b')).toEqual([500, 150]);
    expect(of('/x/y')).toEqual([null, null]);
    expect(of('/top')).toEqual([null, null]);
    expect(of('/never/read')).toEqual([null, null]);
    expect(asked.sort()).toEqual([
      '/cg/a/b/cpu.max',
      '/cg/a/b/memory.max',
      '/cg/a/cpu.max',
      '/cg/a/memory.max',
      '/cg/cgroup.events',
      '/cg/x/cpu.max',
      '/cg/x/memory.max',
    ]);
  });

  it('the root is a container where it has what only an inner cgroup has; while that hangs, what was known counts', async () => {
    const content: Record<string, string | number> = { '/cg/cgroup.events': ETIMEDOUT };
    const { limits } = files(content);
    const known = async () => {
      await limits.read('/cg', []);
      return [limits.rootKnown, limits.rootIsInner];
    };
    expect([limits.rootKnown, limits.rootIsInner]).toEqual([false, false]);
    expect(await known()).toEqual([false, false]);
    content['/cg/cgroup.events'] = 'populated 1\n';
    expect(await known()).toEqual([true, true]);
    content['/cg/cgroup.events'] = ETIMEDOUT;
    expect(await known()).toEqual([true, true]);
    content['/cg/cgroup.events'] = ENOENT;
    expect(await known()).toEqual([true, false]);
  });

  it('of two the lower one counts, and none is no limit', () => {
    expect([least(1, 2), least(2, 1), least(null, 5), least(5, null), least(null, null)]).toEqual([1, 1, 5, 5, null]);
    expect([0, 7, Number.NaN, Number.POSITIVE_INFINITY].map(finiteOrNull)).toEqual([0, 7, null, null]);
  });
});

describe('the id of a worker', () => {
  const long = 'a'.repeat(128);
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['', /1 to 128/],
    ['-a', /1 to 128/],
    ['a b', /1 to 128/],
    [`${long}a`, /1 to 128/],
    ['a..b', /two dots/],
    ...['cgroup', 'cpu', 'cpuset', 'memory', 'io', 'pids', 'hugetlb', 'rdma', 'misc', 'irq', 'dmem', 'perf_event'].map(
      (name) => [`${name}.x`, /the kernel keeps names/] as const,
    ),
  ];

  it.each(refusals)('%j is neither a group nor an instance', (name, why) => {
    const refused = (flag: string) =>
      expect.objectContaining({ code: 'INVALID_OPTION', subject: flag, message: expect.stringMatching(why) });
    expect(() => checkWorkerId(name, 'a')).toThrow(refused('--group'));
    expect(() => checkWorkerId('a', name)).toThrow(refused('--instance'));
  });

  it.each(['a', long, 'a.b', 'memory', 'my.memory.x', 'A_b:c@d+e-f', '7'])('%s is allowed', (name) => {
    expect(parseWorkerId(`${name}/${name}`)).toEqual({ group: name, instance: name });
  });

  it.each(['', 'a', 'a/', '/b', 'a/b/c', 'a/b/'])('%j is none, which is said with an example', (id) => {
    const message = expect.stringContaining('such as llm/8080');
    expect(() => parseWorkerId(id)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', subject: 'worker', message }),
    );
  });

  it('is checked in its parts', () => {
    expect(() => parseWorkerId('a b/c')).toThrow(expect.objectContaining({ subject: '--group' }));
    expect(() => parseWorkerId('a/b c')).toThrow(expect.objectContaining({ subject: '--instance' }));
  });
});
