import { readFile } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';
import { chooseMount, hidesProcesses, locateCgroups, parseMountinfo } from '../cgroup/locate.js';
import { openReader, type ReaderChoice } from '../cgroup/reader.js';
import { systemValues } from '../cgroup/system-values.js';
import { findContainer } from '../procfs/container.js';
import type { HostReaders } from './create.js';

export interface MachineOptions {
  readonly root?: string | undefined;
  readonly procRoot?: string | undefined;
  readonly reader?: ReaderChoice | undefined;
}

/** The readers of this machine. Throws UNSUPPORTED_PLATFORM where `reader` is `native` and it does not load. */
export async function openMachine(options: MachineOptions = {}): Promise<HostReaders> {
  const procRoot = options.procRoot ?? '/proc';
  return {
    place: await findCgroupRoot(options.root, procRoot),
    openReader: ({ memory, io }) =>
      openReader(options.reader ?? 'auto', { procRoot, processMemory: memory, processIo: io }),
    clockTicks: systemValues().clockTicksPerSecond,
    container: process.platform === 'linux' ? findContainer(procRoot) : null,
    hidesProcesses: (await mountsOf(procRoot)).some((mount) => mount.mountPoint === procRoot && hidesProcesses(mount)),
  };
}

const mountsOf = async (procRoot: string) =>
  parseMountinfo(await readFile(join(procRoot, 'self/mountinfo'), 'utf8').catch(() => ''));

/** The cgroup root to watch: `root` where it is given (any directory that looks like a tree of cgroups), else the v2 mount. */
async function findCgroupRoot(root: string | undefined, procRoot: string): Promise<HostReaders['place']> {
  const located = locateCgroups({ procRoot });
  const at = root ?? located.root;
  if (at === null) {
    const reason =
      process.platform === 'linux'
        ? located.reason
        : `${process.platform} has no cgroups; workers are watched on Linux.`;
    return { root: null, reason: reason ?? 'No cgroup v2 file system is mounted.' };
  }
  const controllers = await readFile(join(at, 'cgroup.controllers'), 'utf8').catch(() => null);
  if (controllers === null && (await readFile(join(at, 'cgroup.procs')).catch(() => null)) === null) {
    return { root: null, reason: `${at} is no cgroup v2 directory: it has no cgroup.procs; give another with --root.` };
  }
  const offered = new Set((controllers ?? '').trim().split(/\s+/));
  const mount = chooseMount(await mountsOf(procRoot));
  const below = mount === null ? '' : relative(mount.mountPoint, at);
  const inside = below !== '' && !below.startsWith('..') && !isAbsolute(below);
  // Paths in /proc begin at the root of our cgroup namespace; a mount of `/..` shows what is above it.
  const above = mount === null || mount.root === '/' || mount.root.startsWith('/..') ? '' : mount.root;
  return {
    root: at,
    prefix: `${above}${inside ? `/${below}` : ''}`,
    missing: { memory: !offered.has('memory'), io: !offered.has('io') },
  };
}
