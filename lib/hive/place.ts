import { readFile } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';
import type { CgroupPlace } from '../sampling/create.js';

interface Mount {
  readonly point: string;
  /** What of the hierarchy is mounted there: not `/` where a part of it was bound into a container. */
  readonly root: string;
}

/** mountinfo writes blank, tab, newline and backslash in octal. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The first cgroup2 mount of a mountinfo (proc(5): id, parent, device, root, mount point, ... - type). */
export function parseUnifiedMount(mountinfo: string): Mount | null {
  for (const line of mountinfo.split('\n')) {
    const [left, right] = line.split(' - ');
    const fields = left?.split(' ') ?? [];
    if (right?.startsWith('cgroup2 ') && fields[3] !== undefined && fields[4] !== undefined) {
      return { root: unescape(fields[3]), point: unescape(fields[4]) };
    }
  }
  return null;
}

/**
 * Where cgroups are watched: `root` where it is given (any directory that looks like a tree of cgroups), else the v2
 * mount. Says which controllers are not on v2, so that their figures have to come from /proc.
 */
export async function findPlace(
  root: string | undefined,
  procRoot: string,
): Promise<CgroupPlace | { readonly root: null; readonly reason: string }> {
  const mount = parseUnifiedMount(await readFile(join(procRoot, 'self/mountinfo'), 'utf8').catch(() => ''));
  const at = root ?? mount?.point;
  if (at === undefined) {
    return {
      root: null,
      reason:
        process.platform === 'linux'
          ? 'No cgroup v2 hierarchy is mounted here; mount one (mount -t cgroup2 none /sys/fs/cgroup), or boot with systemd.unified_cgroup_hierarchy=1.'
          : `${process.platform} has no cgroups; workers are watched on Linux only.`,
    };
  }
  const controllers = await readFile(join(at, 'cgroup.controllers'), 'utf8').catch(() => null);
  if (controllers === null && !(await readFile(join(at, 'cgroup.procs')).catch(() => null))) {
    return { root: null, reason: `${at} is no cgroup v2 directory: it has no cgroup.procs; give another with --root.` };
  }
  const offered = new Set((controllers ?? '').trim().split(/\s+/));
  const below = mount === null ? '' : relative(mount.point, at);
  const inside = below !== '' && !below.startsWith('..') && !isAbsolute(below);
  const mounted = mount === null || mount.root === '/' || mount.root.startsWith('/..') ? '' : mount.root;
  return {
    root: at,
    prefix: `${mounted}${inside ? `/${below}` : ''}`,
    missing: { memory: !offered.has('memory'), io: !offered.has('io') },
  };
}
