import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  directoryOf,
  locateCgroups,
  type PlaceInput,
  parseMemberships,
  parseMountinfo,
  place,
  unescapePath,
} from '../../lib/cgroup/locate.js';
import { anyLetter } from '../harness/any-letter.js';

const all = 'cpuset cpu io memory hugetlb pids rdma misc\n';

const given = (input: Partial<PlaceInput>): PlaceInput => ({
  mountinfo: '',
  cgroup: '',
  controllersAt: () => all,
  systemdBooted: false,
  ...input,
});

const unified = `23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
28 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
34 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`;

const hybrid = `31 23 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:15 - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:16 - cgroup cgroup rw,cpu,cpuacct
`;

describe('where cgroups are', () => {
  test('unified, with systemd', () => {
    const found = place(
      given({ mountinfo: unified, cgroup: '0::/user.slice/user-1000.slice/session-2.scope\n', systemdBooted: true }),
    );
    expect(found).toEqual({
      kind: 'unified',
      root: '/sys/fs/cgroup',
      controllers: ['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids', 'rdma', 'misc'],
      systemd: 'system',
      ownCgroup: '/user.slice/user-1000.slice/session-2.scope',
      ownDirectory: '/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope',
      partial: false,
      readOnly: false,
      reason: null,
    });
  });

  test('hybrid: v2 without the controllers that v1 holds; our v1 paths are not taken for the v2 one', () => {
    const cgroup =
      '11:memory:/memory.slice/service.scope\n1:name=systemd:/init.scope\n0::/system.slice/service.scope\n';
    const found = place(given({ mountinfo: hybrid, cgroup, controllersAt: () => 'hugetlb\n' }));
    expect(found).toMatchObject({
      kind: 'hybrid',
      root: '/sys/fs/cgroup/unified',
      controllers: ['hugetlb'],
      ownCgroup: '/system.slice/service.scope',
      ownDirectory: '/sys/fs/cgroup/unified/system.slice/service.scope',
    });
    expect(found.reason).toMatch(/lacks the controllers cpu, memory, io, pids: v1 holds memory, cpu, cpuacct/);
    expect(found.reason).toMatch(/systemd\.unified_cgroup_hierarchy=1/);
  });

  test('a private cgroup namespace: our own cgroup is the root', () => {
    const mountinfo = '700 699 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n';
    expect(place(given({ mountinfo, cgroup: '0::/\n' }))).toMatchObject({
      kind: 'unified',
      ownCgroup: '/',
      ownDirectory: '/sys/fs/cgroup',
      partial: false,
      readOnly: true,
    });
  });

  test('the host’s namespace, but only a container’s part of the tree mounted', () => {
    const mountinfo = '700 699 0:29 /docker/3f0a /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n';
    expect(place(given({ mountinfo, cgroup: '0::/docker/3f0a/sub\n' }))).toMatchObject({
      partial: true,
      ownDirectory: '/sys/fs/cgroup/sub',
    });
    expect(place(given({ mountinfo, cgroup: '0::/docker/3f0abc\n' })).ownDirectory).toBeNull();
  });

  test('outside of our namespace: no directory', () => {
    expect(directoryOf({ root: '/', mountPoint: '/c' }, '/../other')).toBeNull();
  });

  test('none: what is missing and how to fix it', () => {
    const bare = place(given({ mountinfo: unified.split('\n').slice(0, 2).join('\n') }));
    expect(bare).toMatchObject({ kind: 'none', root: null, controllers: [], ownDirectory: null });
    expect(bare.reason).toMatch(/mount -t cgroup2 none \/sys\/fs\/cgroup/);
    const old = place(
      given({
        mountinfo: hybrid
          .split('\n')
          .filter((line) => !line.includes('cgroup2'))
          .join('\n'),
      }),
    );
    expect(old.reason).toMatch(/Only cgroup v1/);
  });

  test('several v2 mounts: the usual place, the whole tree, the one on top', () => {
    const line = (root: string, mountPoint: string, type = 'cgroup2') =>
      `1 1 0:1 ${root} ${mountPoint} rw - ${type} x rw\n`;
    const rootOf = (...lines: string[]) => place(given({ mountinfo: lines.join('') })).root;
    expect(rootOf(line('/', '/run/cilium/cgroupv2'), line('/', '/sys/fs/cgroup'))).toBe('/sys/fs/cgroup');
    expect(rootOf(line('/part', '/sys/fs/cgroup'), line('/', '/mnt/all'))).toBe('/mnt/all');
    expect(rootOf(line('/', '/sys/fs/cgroup'), line('/', '/sys/fs/cgroup', 'tmpfs'))).toBeNull();
    expect(rootOf(line('/', '/sys/fs/cgroup', 'tmpfs'), line('/', '/sys/fs/cgroup'))).toBe('/sys/fs/cgroup');
  });

  test('controllers that cannot be read are unknown, and said so', () => {
    const found = place(given({ mountinfo: unified, controllersAt: () => null }));
    expect(found).toMatchObject({ kind: 'unified', controllers: [] });
    expect(found.reason).toMatch(/cgroup\.controllers could not be read/);
  });

  test('this machine', () => {
    const found = locateCgroups();
    expect(found.kind === 'none').toBe(found.root === null);
    expect(found.ownCgroup).toMatch(/^\//);
    expect(locateCgroups({ procRoot: '/nowhere', systemdDirectory: '/' })).toMatchObject({
      kind: 'none',
      systemd: 'system',
    });
  });
});

describe('parsers', () => {
  test('optional fields of mountinfo: none, one, several; a mount point that is a dash', () => {
    const mounts = parseMountinfo(
      '1 2 0:3 / /a rw - t s rw\n1 2 0:3 / /b rw shared:1 - t s rw\n1 2 0:3 / /c rw shared:1 master:2 - t s ro\n1 2 0:3 / - rw - t s rw\n',
    );
    expect(mounts.map(({ mountPoint }) => mountPoint)).toEqual(['/a', '/b', '/c', '-']);
    expect(mounts[2]?.superOptions).toEqual(['ro']);
  });

  test('a removed cgroup (a zombie’s) and a path with colons', () => {
    expect(parseMemberships('0::/bench0 (deleted)\n1:name=a:/x:y\nnonsense\n')).toEqual([
      { hierarchy: 0, controllers: [], path: '/bench0' },
      { hierarchy: 1, controllers: ['name=a'], path: '/x:y' },
    ]);
  });

  /** As the kernel's mangle() does it. */
  const mangle = (path: string) =>
    path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const path = fc.string({ unit: anyLetter, minLength: 1 }).map((text) => `/${Buffer.from(text).toString('utf8')}`);

  test('an escaped path is the path again', () => {
    expect(unescapePath('/mnt/my\\040disk\\134x')).toBe('/mnt/my disk\\x');
    fc.assert(
      fc.property(path, (text) => {
        expect(unescapePath(mangle(text))).toBe(text);
      }),
    );
  });

  test('mountinfo that was written is read back, whatever the paths', () => {
    const mount = fc.record({
      root: path,
      mountPoint: path,
      tags: fc.array(fc.constantFrom('shared:1', 'master:2', 'unbindable')),
    });
    fc.assert(
      fc.property(fc.array(mount), (mounts) => {
        const text = mounts.map(
          ({ root, mountPoint, tags }, i) =>
            `${[i, 1, '0:1', mangle(root), mangle(mountPoint), 'rw,relatime', ...tags, '-', 'cgroup2', 'none', 'rw'].join(' ')}\n`,
        );
        const parsed = parseMountinfo(text.join(''));
        expect(parsed.map(({ root, mountPoint }) => ({ root, mountPoint }))).toEqual(
          mounts.map(({ root, mountPoint }) => ({ root, mountPoint })),
        );
      }),
    );
  });

  test('any text is read without an error', () => {
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom('-', ' ', '\n', '/', 'cgroup2', '0::', 'rw')).map((a) => a.join('')),
    );
    fc.assert(
      fc.property(text, text, text, fc.boolean(), (mountinfo, cgroup, controllers, systemdBooted) => {
        const found = place({ mountinfo, cgroup, controllersAt: () => controllers, systemdBooted });
        expect(found.root === null).toBe(found.kind === 'none');
      }),
    );
  });
});
