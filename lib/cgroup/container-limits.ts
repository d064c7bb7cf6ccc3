/**
 * Limits of the container that we run in: CPU quota, CPUs and memory, from cgroup v1, v2 or both. Pure.
 *
 * They are those of the cgroup of pid 1 of our pid namespace and of all above it that we can see: every process of the
 * container is bound by them. Our own cgroup would be wrong on a plain host, where only the service of the hive is limited.
 */
import { join } from 'node:path';
import type { FileResult } from '../io/file-reader.js';
import { chooseMount, directoryOf, type Mount, parseMemberships, parseMountinfo, visible } from './locate.js';
import { keyed, parseCpuMax, parseKeyed, parseLimit, parseSingle } from './parse.js';

type Controller = 'cpu' | 'cpuset' | 'memory';

/** Where one controller's files are. */
export interface ControllerPlace {
  readonly version: 1 | 2;
  /** The cgroup of pid 1 and those above it, innermost first, as far as the mount shows them. */
  readonly directories: readonly string[];
}

export type ContainerPlace = { readonly [K in Controller]: ControllerPlace | null };

/** null: none. `unreadable`: there may be one. */
export type Limit = number | null | 'unreadable';

export interface ContainerLimits {
  /** Quota in CPUs, such as 2.5. */
  readonly cpuQuota: Limit;
  /** CPUs on which its processes may run. */
  readonly cpusetCpus: Limit;
  readonly memoryBytes: Limit;
  /** What may still be used before a limit is met, inactive page cache included. */
  readonly memoryAvailableBytes: Limit;
}

/** Where the limits are, from our mountinfo and the /proc/1/cgroup that we see. */
export function containerPlace(mountinfo: string, initCgroup: string): ContainerPlace {
  const mounts = parseMountinfo(mountinfo);
  const memberships = parseMemberships(initCgroup);
  const unified = chooseMount(mounts);
  const place = (controller: Controller): ControllerPlace | null => {
    const own = visible(mounts).find(
      ({ type, superOptions }) => type === 'cgroup' && superOptions.includes(controller),
    );
    const mount = own ?? unified;
    if (mount === null) return null;
    const member = memberships.find(({ hierarchy, controllers }) =>
      own === undefined ? hierarchy === 0 : controllers.includes(controller),
    );
    return { version: own === undefined ? 2 : 1, directories: directoriesAbove(mount, member?.path ?? null) };
  };
  return { cpu: place('cpu'), cpuset: place('cpuset'), memory: place('memory') };
}

/** Of a cgroup that the mount does not show (another namespace's), the top of the mount is all that is known above it. */
function directoriesAbove(mount: Mount, path: string | null): readonly string[] {
  const { mountPoint } = mount;
  const directory = path === null ? null : directoryOf(mount, path);
  const inner = (directory ?? mountPoint).slice(mountPoint.length).split('/').filter(Boolean);
  return Array.from({ length: inner.length + 1 }, (_unused, i) =>
    join(mountPoint, ...inner.slice(0, inner.length - i)),
  );
}

const files = {
  cpu: { 1: ['cpu.cfs_quota_us', 'cpu.cfs_period_us'], 2: ['cpu.max'] },
  cpuset: { 1: ['cpuset.effective_cpus', 'cpuset.cpus'], 2: ['cpuset.cpus.effective'] },
  memory: {
    1: ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'memory.stat'],
    2: ['memory.max', 'memory.current', 'memory.stat'],
  },
} as const;

/** All files that `containerLimits` needs. */
export const limitPaths = (place: ContainerPlace): readonly string[] =>
  (['cpu', 'cpuset', 'memory'] as const).flatMap((controller) => {
    const found = place[controller];
    if (found === null) return [];
    return found.directories.flatMap((each) => files[controller][found.version].map((file) => join(each, file)));
  });

/** The limits, from the contents of `limitPaths`. */
export function containerLimits(place: ContainerPlace, contents: ReadonlyMap<string, FileResult>): ContainerLimits {
  const at = (directory: string, file: string): FileResult => contents.get(join(directory, file)) ?? ENOENT;
  const over = (found: ControllerPlace | null, of: (directory: string, version: 1 | 2) => Limit): Limit =>
    least(found?.directories.map((each) => of(each, found.version)) ?? []);
  /** Here each one counts: without what is used under one limit, less may be left than under another. */
  const every: typeof over = (found, of) => {
    const limits = found?.directories.map((each) => of(each, found.version)) ?? [];
    return limits.includes('unreadable') ? 'unreadable' : least(limits);
  };
  const memoryLimit = (directory: string, version: 1 | 2): Limit =>
    version === 2
      ? limit(at(directory, 'memory.max'), parseLimit)
      : least([
          limit(at(directory, 'memory.limit_in_bytes'), parseSingle),
          // Also of ancestors that the mount does not show.
          value(at(directory, 'memory.stat'), 'hierarchical_memory_limit'),
        ]);
  return {
    cpuQuota: over(place.cpu, (directory, version) =>
      version === 2
        ? quotaOf(at(directory, 'cpu.max'))
        : quotaOf1(at(directory, 'cpu.cfs_quota_us'), at(directory, 'cpu.cfs_period_us')),
    ),
    cpusetCpus: cpusetOf(place.cpuset, at),
    memoryBytes: over(place.memory, memoryLimit),
    memoryAvailableBytes: every(place.memory, (directory, version) => {
      const most = memoryLimit(directory, version);
      if (most === null || most === 'unreadable') return most;
      const [usage, inactive] =
        version === 2 ? ['memory.current', 'inactive_file'] : ['memory.usage_in_bytes', 'total_inactive_file'];
      const used = limit(at(directory, usage as string), parseSingle);
      const cache = value(at(directory, 'memory.stat'), inactive as string);
      if (typeof used !== 'number' || typeof cache !== 'number') return 'unreadable';
      return Math.max(0, most - Math.max(0, used - cache));
    }),
  };
}

/** CPUs that the container can use at once; null where it can use all. */
export const usableCpus = ({ cpuQuota, cpusetCpus }: ContainerLimits): Limit => least([cpuQuota, cpusetCpus]);

const ENOENT = 2;
/** cgroup v1 says "no limit" as the most pages that there can be, in bytes; v2 says `max`. */
const noLimit = 2 ** 62;

/** The lowest; not known where none is known and some could not be read. */
function least(limits: readonly Limit[]): Limit {
  const known = limits.filter((each) => typeof each === 'number');
  if (known.length > 0) return Math.min(...known);
  return limits.includes('unreadable') ? 'unreadable' : null;
}

/** A file that is not there sets no limit: the host's first cgroup, or a controller that is not on here. */
const asLimit = (content: FileResult, number: number): Limit => {
  if (content === ENOENT) return null;
  if (Number.isNaN(number)) return 'unreadable';
  return number >= noLimit ? null : number;
};

type ParseNumber = (bytes: Buffer, end: number, out: Float64Array, at: number) => boolean;

function limit(content: FileResult, parse: ParseNumber): Limit {
  const cells = new Float64Array([Number.NaN]);
  if (content instanceof Buffer) parse(content, content.length, cells, 0);
  return asLimit(content, cells[0] as number);
}

function value(content: FileResult, key: string): Limit {
  const cells = new Float64Array([Number.NaN]);
  if (content instanceof Buffer) parseKeyed(content, content.length, [keyed(key, 0)], cells, 0);
  return asLimit(content, cells[0] as number);
}

function quotaOf(content: FileResult): Limit {
  const cells = new Float64Array([Number.NaN, Number.NaN]);
  if (content instanceof Buffer) parseCpuMax(content, content.length, cells, 0, 1);
  const [quota, period] = cells as unknown as [number, number];
  return asLimit(content, quota / period);
}

/** v1 says -1 for none. */
function quotaOf1(quota: FileResult, period: FileResult): Limit {
  if (quota instanceof Buffer && /^-1\n?$/.test(quota.toString('latin1'))) return null;
  const [most, per] = [limit(quota, parseSingle), limit(period, parseSingle)];
  return typeof most === 'number' && typeof per === 'number' && per > 0
    ? most / per
    : most === null
      ? null
      : 'unreadable';
}

/** Of the innermost cgroup for which the controller is on: what is above it has no fewer. */
function cpusetOf(place: ControllerPlace | null, at: (directory: string, file: string) => FileResult): Limit {
  if (place === null) return null;
  for (const directory of place.directories)
    for (const file of files.cpuset[place.version]) {
      const content = at(directory, file);
      if (content === ENOENT) continue;
      return content instanceof Buffer ? (countCpus(content.toString('latin1').trim()) ?? 'unreadable') : 'unreadable';
    }
  return null;
}

/** Number of CPUs in a list such as `0-3,8`; null where it is none. */
export function countCpus(list: string): number | null {
  const cpus = new Set<number>();
  for (const range of list.split(',')) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range);
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last > 65_535) return null;
    for (let cpu = first; cpu <= last; cpu += 1) cpus.add(cpu);
  }
  return cpus.size;
}
