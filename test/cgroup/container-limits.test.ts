import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  containerLimits,
  containerPlace,
  countCpus,
  limitPaths,
  usableCpus,
} from '../../lib/cgroup/container-limits.js';
import type { FileResult } from '../../lib/io/file-reader.js';

const v2 = (root = '/', options = 'ro') =>
  `30 23 0:26 ${root} /sys/fs/cgroup ${options},nosuid - cgroup2 cgroup ${options}`;
const v1 = (controllers: string, root = '/docker/ab') =>
  `40 31 0:30 ${root} /sys/fs/cgroup/${controllers} ro,nosuid - cgroup cgroup rw,${controllers}`;

/** The limits that a machine with these files says. A number is an errno; what is not there is ENOENT. */
function limits(mountinfo: string, initCgroup: string, files: Readonly<Record<string, string | number>>) {
  const place = containerPlace(mountinfo, initCgroup);
  const contents = new Map<string, FileResult>();
  for (const path of limitPaths(place)) {
    const content = files[path.replace('/sys/fs/cgroup/', '')] ?? 2;
    contents.set(path, typeof content === 'number' ? content : Buffer.from(content));
  }
  return containerLimits(place, contents);
}

const gib = 2 ** 30;

describe('the limits of the container', () => {
  it('are those of v2 at the top of its own namespace, read-only or not', () => {
    const found = limits(v2(), '0::/\n', {
      'cpu.max': '800000 100000\n',
      'cpuset.cpus.effective': '0-15,32-47\n',
      'memory.max': `${32 * gib}\n`,
      'memory.current': `${10 * gib}\n`,
      'memory.stat': `anon 1\ninactive_file ${4 * gib}\n`,
    });
    expect(found).toEqual({
      cpuQuota: 8,
      cpusetCpus: 32,
      memoryBytes: 32 * gib,
      memoryAvailableBytes: 26 * gib,
    });
    expect(usableCpus(found)).toBe(8);
  });

  it('are those of v1 where the mount shows the cgroup of the container alone', () => {
    const mounts = ['cpu,cpuacct', 'cpuset', 'memory'].map((each) => v1(each)).join('\n');
    const init = '4:memory:/docker/ab\n3:cpuset:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/docker/ab\n';
    const found = limits(mounts, init, {
      'cpu,cpuacct/cpu.cfs_quota_us': '250000\n',
      'cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      'cpuset/cpuset.cpus': '3\n',
      'memory/memory.limit_in_bytes': '9223372036854771712\n',
      'memory/memory.usage_in_bytes': `${3 * gib}\n`,
      'memory/memory.stat': `inactive_file 5\nhierarchical_memory_limit ${8 * gib}\ntotal_inactive_file ${gib}\n`,
    });
    // The limit is one of an ancestor that is not shown.
    expect(found).toEqual({ cpuQuota: 2.5, cpusetCpus: 1, memoryBytes: 8 * gib, memoryAvailableBytes: 6 * gib });
    expect(usableCpus(found)).toBe(1);
  });

  it('are taken from whichever hierarchy holds the controller', () => {
    const mounts = `${v1('memory', '/')}\n31 23 0:27 / /sys/fs/cgroup/unified ro - cgroup2 cgroup ro`;
    const found = limits(mounts, '4:memory:/\n0::/\n', {
      'memory/memory.limit_in_bytes': `${gib}\n`,
      'unified/cpu.max': '50000 100000\n',
    });
    expect(found).toMatchObject({ cpuQuota: 0.5, memoryBytes: gib, memoryAvailableBytes: 'unreadable' });
  });

  it('are the least of all that lie around pid 1', () => {
    const found = limits(v2(), '0::/pod/init.scope\n', {
      'pod/init.scope/cpu.max': 'max 100000\n',
      'pod/cpu.max': '400000 100000\n',
      'cpu.max': '200000 100000\n',
      'pod/init.scope/memory.max': 'max\n',
      'pod/memory.max': `${4 * gib}\n`,
      'pod/memory.current': `${gib}\n`,
      'pod/memory.stat': 'inactive_file 0\n',
      'memory.max': `${6 * gib}\n`,
      'memory.current': `${5 * gib}\n`,
      'memory.stat': 'inactive_file 0\n',
      'pod/cpuset.cpus.effective': '0-1\n',
    });
    // Under the wider limit less is left.
    expect(found).toEqual({ cpuQuota: 2, cpusetCpus: 2, memoryBytes: 4 * gib, memoryAvailableBytes: gib });
  });

  it('are none on a plain host, whatever limits the service of the hive has', () => {
    const service = 'system.slice/hivepulse.service';
    const found = limits(v2('/', 'rw'), '0::/init.scope\n', {
      [`${service}/memory.max`]: '536870912\n',
      [`${service}/cpu.max`]: '50000 100000\n',
      'init.scope/cpu.max': 'max 100000\n',
      'init.scope/memory.max': 'max\n',
    });
    expect(found).toEqual({ cpuQuota: null, cpusetCpus: null, memoryBytes: null, memoryAvailableBytes: null });
  });

  it('are those at the top of what is shown where pid 1 is of another namespace, or hidden', () => {
    for (const init of ['0::/../../init.scope\n', ''])
      expect(limits(v2('/kubepods/x'), init, { 'memory.max': '1048576\n' }).memoryBytes).toBe(1_048_576);
  });

  it('are not known where a file cannot be read or is torn, and never none', () => {
    const unread = limits(v2(), '0::/\n', { 'cpu.max': 13, 'memory.max': 'm', 'cpuset.cpus.effective': '3-1\n' });
    expect(unread).toEqual({
      cpuQuota: 'unreadable',
      cpusetCpus: 'unreadable',
      memoryBytes: 'unreadable',
      memoryAvailableBytes: 'unreadable',
    });
  });

  it('are none where no cgroups are mounted', () => {
    expect(limits('', '', {})).toMatchObject({ cpuQuota: null, memoryBytes: null });
  });
});

it('a list of CPUs counts each once, whatever its ranges', () => {
  const ranges = fc.array(fc.tuple(fc.nat(200), fc.nat(20)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(ranges, (all) => {
      const list = all.map(([first, more]) => (more === 0 ? `${first}` : `${first}-${first + more}`)).join(',');
      const cpus = new Set(all.flatMap(([first, more]) => Array.from({ length: more + 1 }, (_unused, i) => first + i)));
      expect(countCpus(list)).toBe(cpus.size);
    }),
  );
  for (const torn of ['', '-', '1-', '0-3,', 'a', '5-2', '0-999999']) expect(countCpus(torn), torn).toBeNull();
});
