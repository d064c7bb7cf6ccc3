/**
 * Limits of the container that we run in, and what it has used of its CPUs, from cgroup v1, v2 or both. Pure.
 *
 * They are those of the cgroup of pid 1 of our pid namespace and of all above it that we can see: every process of the
 * container is bound by them. Our own cgroup would be wrong where only the service of the hive is limited.
 */
import { join } from 'node:path';
import type { FileResult } from '../io/file-reader.js';
import { chooseMount, directoryOf, type Mount, parseMemberships, parseMountinfo, visible } from './locate.js';
import { keyed, parseCpuMax, parseKeyed, parseLimit, parseSingle } from './parse.js';

/** Pressure is no controller: v2 has it, whichever hierarchy holds the others. */
const kinds = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pressure'] as const;
type Kind = (typeof kinds)[number];

/** Where the files of one kind are. */
export interface ControllerPlace {
  readonly version: 1 | 2;
  /** The cgroup of pid 1 and those above it, innermost first, as far as the mount shows them. */
  readonly directories: readonly string[];
}

/** null: there is no such controller. `unmounted`: no mount shows the cgroup of it that pid 1 is in. */
export type ContainerPlace = { readonly [K in Kind]: ControllerPlace | 'unmounted' | null };

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

/** What the container has used since it was made. */
export interface ContainerUse {
  readonly cpuMicroseconds: number | null;
  /** Periods of its quota, and those in which it was throttled. */
  readonly periods: number | null;
  readonly throttledPeriods: number | null;
  /** Contents of its pressure files; null where its cgroup has none: v1. */
  readonly pressure: { readonly [K in PressureKind]: FileResult } | null;
}

const pressureKinds = ['cpu', 'memory', 'io'] as const;
type PressureKind = (typeof pressureKinds)[number];

/**
 * Where the limits are, from our mountinfo and the /proc/1/cgroup that we see. null: pid 1 is in a cgroup outside of our
 * namespace (a container that shares the pids of its pod), so that our own limits are not those of what we watch.
 */
export function containerPlace(mountinfo: string, initCgroup: string): ContainerPlace | null {
  const mounts = parseMountinfo(mountinfo);
  const memberships = parseMemberships(initCgroup);
  if (memberships.some(({ path }) => path.startsWith('/../'))) return null;
  const unified = chooseMount(mounts);
  const place = (kind: Kind): ContainerPlace[Kind] => {
    const own = memberships.find(({ controllers }) => controllers.includes(kind));
    const mount =
      visible(mounts).find(({ type, superOptions }) => type === 'cgroup' && superOptions.includes(kind)) ??
      (own === undefined ? unified : null);
    const member = mount?.type === 'cgroup' ? own : (own ?? memberships.find(({ hierarchy }) => hierarchy === 0));
    // A mount of `/..` shows what is above our namespace, where nobody can say which cgroup is ours.
    if (mount === null || mount.root.startsWith('/..')) return member === undefined ? null : 'unmounted';
    return { version: mount.type === 'cgroup' ? 1 : 2, directories: directoriesAbove(mount, member?.path ?? null) };
  };
  return Object.fromEntries(kinds.map((kind) => [kind, place(kind)])) as ContainerPlace;
}

/** Of a cgroup that the mount does not show (pid 1 is hidden), the top of the mount is all that is known above it. */
function directoriesAbove(mount: Mount, path: string | null): readonly string[] {
  const { mountPoint } = mount;
  const directory = path === null ? null : directoryOf(mount, path);
  const inner = (directory ?? mountPoint).slice(mountPoint.length).split('/').filter(Boolean);
  return Array.from({ length: inner.length + 1 }, (_unused, i) =>
    join(mountPoint, ...inner.slice(0, inner.length - i)),
  );
}

const files = {
  cpu: { 1: ['cpu.cfs_quota_us', 'cpu.cfs_period_us', 'cpu.stat'], 2: ['cpu.max', 'cpu.stat'] },
  cpuacct: { 1: ['cpuacct.usage'], 2: ['cpu.stat'] },
  cpuset: { 1: ['cpuset.effective_cpus', 'cpuset.cpus'], 2: ['cpuset.cpus.effective'] },
  memory: {
    1: ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'memory.stat'],
    2: ['memory.max', 'memory.high', 'memory.current', 'memory.stat'],
  },
  pressure: { 1: [], 2: pressureKinds.map((kind) => `${kind}.pressure`) },
} as const;

/** All files that `readContainer` needs. */
export function containerPaths(place: ContainerPlace): readonly string[] {
  const paths = kinds.flatMap((kind) => {
    const found = place[kind];
    if (found === null || found === 'unmounted') return [];
    return found.directories.flatMap((each) => files[kind][found.version].map((file) => join(each, file)));
  });
  return [...new Set(paths)];
}

type Contents = (directory: string, file: string) => FileResult;

/** Limits and use, from the contents of `containerPaths`. */
export function readContainer(
  place: ContainerPlace,
  contents: ReadonlyMap<string, FileResult>,
): ContainerLimits & ContainerUse {
  const at: Contents = (directory, file) => contents.get(join(directory, file)) ?? ENOENT;
  const quotas = eachLimit(place.cpu, (directory, version) =>
    version === 2
      ? quotaOf(at(directory, 'cpu.max'))
      : quotaOf1(at(directory, 'cpu.cfs_quota_us'), at(directory, 'cpu.cfs_period_us')),
  );
  const memory = eachLimit(place.memory, (directory, version) => memoryLimit(at, directory, version));
  const available = eachLimit(place.memory, (directory, version) => memoryLeft(at, directory, version));
  const depth = depthOf(quotas) ?? depthOf(memory);
  return {
    cpuQuota: least(quotas),
    cpusetCpus: cpusetOf(place.cpuset, at),
    memoryBytes: least(memory),
    // Each one counts: without what is used under one limit, less may be left than under another.
    memoryAvailableBytes: available.includes('unreadable') ? 'unreadable' : least(available),
    ...useAt(place, at, depth),
  };
}

/** CPUs that the container can use at once; null where it can use all. */
export const usableCpus = ({ cpuQuota, cpusetCpus }: ContainerLimits): Limit => least([cpuQuota, cpusetCpus]);

const ENOENT = 2;
/** cgroup v1 says "no limit" as the most pages that there can be, in bytes; v2 says `max`. */
const noLimit = 2 ** 62;

const eachLimit = (place: ContainerPlace[Kind], of: (directory: string, version: 1 | 2) => Limit): readonly Limit[] => {
  if (place === 'unmounted') return ['unreadable'];
  return place?.directories.map((each) => of(each, place.version)) ?? [];
};

/** The lowest; not known where none is known and some could not be read. */
function least(limits: readonly Limit[]): Limit {
  const known = limits.filter((each) => typeof each === 'number');
  if (known.length > 0) return Math.min(...known);
  return limits.includes('unreadable') ? 'unreadable' : null;
}

/** How many cgroups below the top of the mount the one is that limits most, the outermost of several; null: none limits. */
function depthOf(limits: readonly Limit[]): number | null {
  const lowest = least(limits);
  return typeof lowest === 'number' ? limits.length - 1 - limits.lastIndexOf(lowest) : null;
}

/** The cgroup `depth` below the top of its hierarchy, whose names may differ from those of the other; null: the innermost. */
function directoryAt(place: ContainerPlace[Kind], depth: number | null): string | null {
  if (place === null || place === 'unmounted') return null;
  const { directories } = place;
  return directories[Math.max(0, directories.length - 1 - (depth ?? directories.length))] ?? null;
}

function useAt(place: ContainerPlace, at: Contents, depth: number | null): ContainerUse {
  const count = (kind: Kind, file: string, key: string): number | null => {
    const directory = directoryAt(place[kind], depth);
    if (directory === null) return null;
    const counter = key === '' ? limit(at(directory, file), parseSingle) : value(at(directory, file), key);
    return typeof counter === 'number' ? counter : null;
  };
  const isVersion1 = place.cpuacct !== null && place.cpuacct !== 'unmounted' && place.cpuacct.version === 1;
  const nanoseconds = isVersion1 ? count('cpuacct', 'cpuacct.usage', '') : null;
  const pressure = directoryAt(place.pressure, depth);
  return {
    cpuMicroseconds: isVersion1
      ? nanoseconds === null
        ? null
        : nanoseconds / 1000
      : count('cpuacct', 'cpu.stat', 'usage_usec'),
    periods: count('cpu', 'cpu.stat', 'nr_periods'),
    throttledPeriods: count('cpu', 'cpu.stat', 'nr_throttled'),
    pressure:
      pressure === null || place.memory === null || place.memory === 'unmounted' || place.memory.version === 1
        ? null
        : (Object.fromEntries(pressureKinds.map((kind) => [kind, at(pressure, `${kind}.pressure`)])) as NonNullable<
            ContainerUse['pressure']
          >),
  };
}

/** Above `memory.high` a container is slowed down until it is below it, so that it is a limit to what fits. */
const memoryLimit = (at: Contents, directory: string, version: 1 | 2): Limit =>
  least(
    version === 2
      ? ['memory.max', 'memory.high'].map((file) => limit(at(directory, file), parseLimit))
      : [
          limit(at(directory, 'memory.limit_in_bytes'), parseSingle),
          // Also of ancestors that the mount does not show.
          value(at(directory, 'memory.stat'), 'hierarchical_memory_limit'),
        ],
  );

function memoryLeft(at: Contents, directory: string, version: 1 | 2): Limit {
  const most = memoryLimit(at, directory, version);
  if (most === null || most === 'unreadable') return most;
  const [usage, inactive] =
    version === 2
      ? (['memory.current', 'inactive_file'] as const)
      : (['memory.usage_in_bytes', 'total_inactive_file'] as const);
  const used = limit(at(directory, usage), parseSingle);
  const cache = value(at(directory, 'memory.stat'), inactive);
  if (typeof used !== 'number' || typeof cache !== 'number') return 'unreadable';
  return Math.max(0, most - Math.max(0, used - cache));
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
  return asLimit(content, period > 0 ? quota / period : Number.NaN);
}

/** v1 says -1 for none. */
function quotaOf1(quota: FileResult, period: FileResult): Limit {
  if (quota instanceof Buffer && /^-1\n?$/.test(quota.toString('latin1'))) return null;
  const [most, per] = [limit(quota, parseSingle), limit(period, parseSingle)];
  if (most === null) return null;
  return typeof most === 'number' && typeof per === 'number' && per > 0 ? most / per : 'unreadable';
}

/** Of the innermost cgroup for which the controller is on: what is above it has no fewer. */
function cpusetOf(place: ContainerPlace['cpuset'], at: Contents): Limit {
  if (place === null) return null;
  if (place === 'unmounted') return 'unreadable';
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
