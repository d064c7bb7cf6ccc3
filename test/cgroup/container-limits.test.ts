import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ContainerLimits,
  type ContainerUse,
  containerPaths,
  containerPlace,
  countCpus,
  readContainer,
  usableCpus,
} from '../../lib/cgroup/container-limits.js';
import type { FileResult } from '../../lib/io/file-reader.js';

const v2 = (root = '/', options = 'ro') =>
  `30 23 0:26 ${root} /sys/fs/cgroup ${options},nosuid - cgroup2 cgroup ${options}`;
const v1 = (controllers: string, root = '/docker/ab') =>
  `40 31 0:30 ${root} /sys/fs/cgroup/${controllers} ro,nosuid - cgroup cgroup rw,${controllers}`;

type Files = Readonly<Record<string, string | number>>;

/** Limits and use that a machine with these files says. A number is an errno; what is not there is ENOENT. */
function read(mountinfo: string, initCgroup: string, files: Files): ContainerLimits & ContainerUse {
  const place = containerPlace(mountinfo, initCgroup);
  if (place === null) throw new Error('the cgroup of pid 1 is not to be seen');
  const contents = new Map<string, FileResult>();
  for (const path of containerPaths(place)) {
    const content = files[path.replace('/sys/fs/cgroup/', '')] ?? 2;
    contents.set(path, typeof content === 'number' ? content : Buffer.from(content));
  }
  return readContainer(place, contents);
}

function limits(mountinfo: string, initCgroup: string, files: Files): ContainerLimits {
  const { cpuQuota, cpusetCpus, memoryBytes, memoryAvailableBytes } = read(mountinfo, initCgroup, files);
  return { cpuQuota, cpusetCpus, memoryBytes, memoryAvailableBytes };
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

  it('are those at the top of what is shown where pid 1 is hidden', () => {
    expect(limits(v2('/kubepods/x'), '', { 'memory.max': '1048576\n' }).memoryBytes).toBe(1_048_576);
  });

  it('are not our own where pid 1 is in a cgroup that we cannot see: those of a sidecar would stand for the pod', () => {
    expect(containerPlace(v2(), '0::/../pause\n')).toBeNull();
  });

  it('are the lower of memory.max and memory.high', () => {
    const files = {
      'memory.max': 'max\n',
      'memory.high': `${gib}\n`,
      'memory.current': '0\n',
      'memory.stat': 'inactive_file 0\n',
    };
    expect(limits(v2(), '0::/\n', files)).toMatchObject({ memoryBytes: gib, memoryAvailableBytes: gib });
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

  it('are none where the kernel has no cgroups, and not known where it has and none are mounted', () => {
    expect(limits('', '', {})).toMatchObject({ cpuQuota: null, memoryBytes: null });
    for (const membership of ['0::/\n', '2:memory:/x\n1:cpu:/x\n3:cpuset:/x\n'])
      expect(limits('', membership, {})).toMatchObject({ cpuQuota: 'unreadable', memoryBytes: 'unreadable' });
    // Mounted before the cgroup namespace was made: what it shows is around our cgroup.
    expect(limits(v2('/..'), '0::/\n', { 'memory.max': 'max\n' }).memoryBytes).toBe('unreadable');
    // v1 holds the controller: that v2 is mounted does not make it one of v2.
    expect(limits(v2(), '2:memory:/x\n0::/\n', { 'memory.max': 'max\n' }).memoryBytes).toBe('unreadable');
  });
});

describe('what the container has used', () => {
  const used = 'usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 40\nnr_throttled 10\n';
  const pressure = 'some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n';

  it('is that of the cgroup that limits it most, on v2 with its pressure', () => {
    const found = read(v2(), '0::/pod/init.scope\n', {
      'cpu.max': 'max 100000\n',
      'cpu.stat': 'usage_usec 9\n',
      'pod/cpu.max': '200000 100000\n',
      'pod/cpu.stat': used,
      'pod/cpu.pressure': pressure,
      'pod/init.scope/cpu.max': 'max 100000\n',
      'pod/init.scope/cpu.stat': 'usage_usec 1\nnr_periods 0\nnr_throttled 0\n',
    });
    expect(found).toMatchObject({ cpuMicroseconds: 1_500_000, periods: 40, throttledPeriods: 10 });
    expect(found.pressure?.cpu).toEqual(Buffer.from(pressure));
    expect(found.pressure?.io).toBe(2);
  });

  it('is in nanoseconds on v1, in a hierarchy of its own, and v1 has no pressure', () => {
    const mounts = ['cpu', 'cpuacct', 'memory'].map((each) => v1(each)).join('\n');
    const found = read(`${mounts}\n${v2()}`, '4:memory:/docker/ab\n3:cpuacct:/docker/ab\n2:cpu:/docker/ab\n0::/\n', {
      'cpu/cpu.cfs_quota_us': '50000\n',
      'cpu/cpu.cfs_period_us': '100000\n',
      'cpu/cpu.stat': 'nr_periods 8\nnr_throttled 2\nthrottled_time 99\n',
      'cpuacct/cpuacct.usage': '2500000000\n',
      'cpu.pressure': pressure,
    });
    const use = { cpuMicroseconds: 2_500_000, periods: 8, throttledPeriods: 2, pressure: null };
    expect(found).toMatchObject({ cpuQuota: 0.5, ...use });
  });

  it('is not known where its files cannot be read', () => {
    const found = read(v2(), '0::/\n', { 'cpu.max': '50000 100000\n', 'cpu.stat': 13 });
    expect(found).toMatchObject({ cpuMicroseconds: null, periods: null, throttledPeriods: null });
  });
});

const digits = fc.nat(2 ** 31 - 1);
const anyFile = fc.oneof(
  fc.constant(2 as const),
  fc.constant(13 as const),
  fc.string({ maxLength: 40 }),
  digits.map((n) => `${n}\n`),
  fc.tuple(digits, fc.integer({ min: 0, max: 200_000 })).map(([quota, period]) => `${quota} ${period}\n`),
  fc.constant('max\n'),
  fc.constant('-1\n'),
  fc
    .tuple(digits, digits)
    .map(([a, b]) => `inactive_file ${a}\ntotal_inactive_file ${a}\nhierarchical_memory_limit ${b}\n`),
);

it('whatever files and mounts say, a limit is a number of at least 0, none, or not known', () => {
  const mountinfo = fc.oneof(fc.string(), fc.constantFrom(v2(), v1('memory'), `${v1('cpu')}\n${v2('/x')}`));
  const membership = fc.oneof(
    fc.string(),
    fc.constantFrom('0::/\n', '0::/a/b\n', '2:memory:/docker/ab/c\n1:cpu:/docker/ab\n'),
  );
  fc.assert(
    fc.property(mountinfo, membership, fc.array(anyFile, { minLength: 1 }), (mounts, init, files) => {
      const place = containerPlace(mounts, init);
      if (place === null) return;
      const contents = containerPaths(place).map((path, i): [string, FileResult] => {
        const content = files[i % files.length] as string | number;
        return [path, typeof content === 'number' ? content : Buffer.from(content)];
      });
      const { pressure: _pressure, ...found } = readContainer(place, new Map(contents));
      for (const value of Object.values(found))
        if (typeof value === 'number') expect(value).toBeGreaterThanOrEqual(0);
        else expect([null, 'unreadable']).toContain(value);
    }),
  );
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
