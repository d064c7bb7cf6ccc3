import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withoutTrailing } from '../util/trim.js';

/** One line of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)). */
export interface Mount {
  /** The part of the file system that is mounted here: `/` is all of it. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** One line of /proc/<pid>/cgroup. v2 is hierarchy 0, without controllers. */
export interface Membership {
  readonly hierarchy: number;
  readonly controllers: readonly string[];
  readonly path: string;
}

export interface CgroupPlace {
  /**
   * `unified`: v2 alone. `hybrid`: v2 beside v1 hierarchies that hold controllers; what they hold is missing in
   * `controllers`. `none`: no v2 mount, see `reason`.
   */
  readonly kind: 'unified' | 'hybrid' | 'none';
  /** Where v2 is mounted; null where it is not. */
  readonly root: string | null;
  /** Controllers of the v2 hierarchy (`cgroup.controllers` at the root): `cpu`, `memory`, `io`, `pids`... */
  readonly controllers: readonly string[];
  /** Whether systemd runs the machine and so owns the tree (sd_booted(3)). */
  readonly systemd: 'system' | 'none';
  /** Our own cgroup as /proc/self/cgroup names it, from the root of our cgroup namespace. */
  readonly ownCgroup: string | null;
  /** Its directory under `root`; null where the mount does not show it. */
  readonly ownDirectory: string | null;
  /** Whether the mount shows only a part of the hierarchy (a container): other workers of the host are not to be seen. */
  readonly partial: boolean;
  /** The mount is read-only: no cgroup can be made, whatever our rights. */
  readonly readOnly: boolean;
  /** What is missing and how to fix it; null where all is there. */
  readonly reason: string | null;
}

/** The kernel writes space, tab, newline and backslash of paths as `\ooo` (fs/proc_namespace.c, mangle). */
export function unescapePath(text: string): string {
  if (!text.includes('\\')) return text;
  // Octal escapes name bytes; a path may hold any bytes, so they are put back before it is read as UTF-8.
  const bytes: number[] = [];
  const source = Buffer.from(text, 'utf8');
  for (let i = 0; i < source.length; i++) {
    const octal = source[i] === 0x5c ? /^[0-3][0-7]{2}/.exec(source.toString('latin1', i + 1, i + 4)) : null;
    if (octal) i += 3;
    bytes.push(octal ? Number.parseInt(octal[0], 8) : (source[i] as number));
  }
  return Buffer.from(bytes).toString('utf8');
}

/** Lines that are no mounts are left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const words = line.split(' ');
    // Optional fields (`shared:1`) end at a lone dash; there may be none.
    const dash = words.indexOf('-', 6);
    const type = words[dash + 1];
    if (dash < 0 || !type) continue;
    mounts.push({
      root: unescapePath(words[3] as string),
      mountPoint: unescapePath(words[4] as string),
      options: (words[5] as string).split(','),
      type,
      superOptions: (words[dash + 3] ?? '').split(','),
    });
  }
  return mounts;
}

/** Lines that are no memberships are left out. */
export function parseMemberships(text: string): readonly Membership[] {
  const memberships: Membership[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\d+):([^:]*):(\/.*)$/.exec(line);
    if (!match) continue;
    const [, hierarchy, controllers, path] = match as unknown as [string, string, string, string];
    memberships.push({
      hierarchy: Number(hierarchy),
      controllers: controllers === '' ? [] : controllers.split(','),
      // A process whose cgroup was removed (a zombie) still shows its name.
      path: path.replace(/ \(deleted\)$/, ''),
    });
  }
  return memberships;
}

/** The mounts that can be seen: of several on one mount point the last hides the others. */
export function visible(mounts: readonly Mount[]): readonly Mount[] {
  return mounts.filter((mount, i) => !mounts.slice(i + 1).some((later) => later.mountPoint === mount.mountPoint));
}

const usual = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/** The v2 mount to use: at the usual places first, and one that shows the whole hierarchy before one that does not. */
export function chooseMount(mounts: readonly Mount[]): Mount | null {
  const rank = ({ mountPoint, root }: Mount) =>
    (usual.includes(mountPoint) ? usual.indexOf(mountPoint) : usual.length) + (root === '/' ? 0 : 10);
  const candidates = visible(mounts).filter(({ type }) => type === 'cgroup2');
  return candidates.reduce<Mount | null>((best, mount) => (!best || rank(mount) < rank(best) ? mount : best), null);
}

/** Controllers that v1 hierarchies hold. */
function version1Controllers(mounts: readonly Mount[]): readonly string[] {
  const flags = new Set(['rw', 'ro', 'xattr', 'noprefix', 'clone_children', 'none', 'cpuset_v2_mode', '']);
  return visible(mounts)
    .filter(({ type }) => type === 'cgroup')
    .flatMap(({ superOptions }) => superOptions)
    .filter((word) => !flags.has(word) && !word.includes('='));
}

/** Directory of the cgroup `path` under a mount; null where the mount does not show it. */
export function directoryOf(mount: Pick<Mount, 'root' | 'mountPoint'>, path: string): string | null {
  // `/../x` is outside of our cgroup namespace.
  if (path.split('/').includes('..')) return null;
  const root = mount.root === '/' ? '' : mount.root;
  if (path !== root && !path.startsWith(`${root}/`)) return null;
  return join(mount.mountPoint, withoutTrailing(path.slice(root.length), '/'));
}

export interface PlaceInput {
  readonly mountinfo: string;
  readonly cgroup: string;
  /** Content of `cgroup.controllers` below a v2 root; null where it can't be read. */
  readonly controllersAt: (root: string) => string | null;
  readonly systemdBooted: boolean;
}

/** Where cgroups are, from what the kernel says. Pure. */
export function place(input: PlaceInput): CgroupPlace {
  const mounts = parseMountinfo(input.mountinfo);
  const mount = chooseMount(mounts);
  const held = version1Controllers(mounts);
  const systemd = input.systemdBooted ? 'system' : 'none';
  const ownCgroup = parseMemberships(input.cgroup).find(({ hierarchy }) => hierarchy === 0)?.path ?? null;
  if (!mount) {
    const reason =
      held.length > 0
        ? 'Only cgroup v1 is mounted. Boot with systemd.unified_cgroup_hierarchy=1, or mount v2 beside it: mount -t cgroup2 none /sys/fs/cgroup/unified'
        : 'No cgroup v2 file system is mounted. Mount it: mount -t cgroup2 none /sys/fs/cgroup';
    const nowhere = { root: null, controllers: [], ownDirectory: null, partial: false, readOnly: false };
    return { kind: 'none', systemd, ownCgroup, reason, ...nowhere };
  }
  const text = input.controllersAt(mount.mountPoint);
  const kind = held.length > 0 ? 'hybrid' : 'unified';
  return {
    kind,
    root: mount.mountPoint,
    controllers: text === null ? [] : text.split(/\s+/).filter(Boolean),
    systemd,
    ownCgroup,
    ownDirectory: ownCgroup === null ? null : directoryOf(mount, ownCgroup),
    partial: mount.root !== '/',
    readOnly: mount.options.includes('ro') || mount.superOptions.includes('ro'),
    reason: text === null ? `${mount.mountPoint}/cgroup.controllers could not be read.` : missing(kind, text, held),
  };
}

function missing(kind: 'unified' | 'hybrid', text: string, held: readonly string[]): string | null {
  const there = new Set(text.split(/\s+/));
  const lacking = ['cpu', 'memory', 'io', 'pids'].filter((name) => !there.has(name));
  if (lacking.length === 0) return null;
  const what = `The v2 hierarchy lacks the controllers ${lacking.join(', ')}`;
  if (kind === 'unified') return `${what}: the kernel or the container's host does not give them.`;
  return `${what}: v1 holds ${held.join(', ')}. Boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all).`;
}

export interface LocateOptions {
  readonly procRoot?: string;
  /** sd_booted(3) looks here. */
  readonly systemdDirectory?: string;
}

const readOrNull = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
};

/** Where cgroups are on this machine. Reads four small files that nothing can block; never throws. */
export function locateCgroups(options: LocateOptions = {}): CgroupPlace {
  const { procRoot = '/proc', systemdDirectory = '/run/systemd/system' } = options;
  return place({
    mountinfo: readOrNull(join(procRoot, 'self/mountinfo')) ?? '',
    cgroup: readOrNull(join(procRoot, 'self/cgroup')) ?? '',
    controllersAt: (root) => readOrNull(join(root, 'cgroup.controllers')),
    systemdBooted: existsSync(systemdDirectory),
  });
}

/** A proc file system in which users are kept from seeing the processes of others (proc(5), hidepid). */
export const hidesProcesses = ({ type, options, superOptions }: Mount): boolean =>
  type === 'proc' &&
  [...options, ...superOptions].some((option) => option.startsWith('hidepid=') && !/=(?:0|off)$/.test(option));
