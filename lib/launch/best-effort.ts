/**
 * What can be done for limits where no cgroup holds them: affinity, nice, I/O priority and RLIMIT_DATA, which each process
 * of the worker has from its first one. Pure.
 */
import { formatBytes } from '../present/units.js';
import {
  formatCpuList,
  type LimitName,
  type Limits,
  limitFlags,
  type NotApplied,
  notApplied,
  parseCpuList,
} from './limits.js';

/** Set before the command runs; null: not asked for. */
export interface ProcessBounds {
  /** CPUs that it may run on: `0-3,8`. */
  readonly cpus: string | null;
  readonly nice: number | null;
  /** Level of the best-effort class, 0 to 7: the lowest priority that is still served. */
  readonly ioPriority: number | null;
  /** RLIMIT_DATA: private memory of one process that it can write, touched or not. */
  readonly dataBytes: number | null;
}

export type BoundName = keyof ProcessBounds;

/** CPUs, by number. */
type Cpus = readonly number[];

interface Part {
  readonly bound: BoundName;
  /** What it does. */
  readonly says: string;
}

/** What is done for one limit. */
interface Effort {
  readonly name: LimitName;
  readonly parts: readonly Part[];
  /** Why it does not hold where none of the parts does. */
  readonly reason: string;
}

/** Bounds that hold. */
export function holding(bounds: ProcessBounds, held: ReadonlySet<BoundName>): ProcessBounds {
  const { cpus, nice, ioPriority, dataBytes } = bounds;
  return {
    cpus: held.has('cpus') ? cpus : null,
    nice: held.has('nice') ? nice : null,
    ioPriority: held.has('ioPriority') ? ioPriority : null,
    dataBytes: held.has('dataBytes') ? dataBytes : null,
  };
}

export interface Efforts {
  readonly bounds: ProcessBounds;
  /** The limits that do not hold by themselves here. */
  readonly names: readonly LimitName[];
  /** What became of them, given the bounds that the kernel took. */
  readonly notes: (held: ReadonlySet<BoundName>) => readonly NotApplied[];
}

const noCgroup = 'no cgroup can be made here';
const lowestIoPriority = 7;

/**
 * What to do for `limits`. `allowed`: CPUs that the worker may have; `taken`: those that other workers were given, once for
 * each, so that not all of them share the first.
 */
export function effortsFor(limits: Limits, allowed: Cpus, taken: readonly Cpus[] = []): Efforts {
  const named =
    limits.cpuset === null ? null : (parseCpuList(limits.cpuset)?.filter((cpu) => allowed.includes(cpu)) ?? []);
  const share = shareOf(limits.cpu, named !== null && named.length > 0 ? named : allowed, taken);
  const cpus = share?.cpus ?? named;
  const bounds: ProcessBounds = {
    cpus: cpus === null || cpus.length === 0 ? null : formatCpuList(cpus),
    nice: share?.nice ?? null,
    ioPriority: limits.io.some(({ values }) => Object.values(values).some(Number.isFinite)) ? lowestIoPriority : null,
    dataBytes: finite(limits.memoryBytes),
  };
  const efforts = [
    share === null ? null : cpuEffort(bounds),
    limits.cpuset === null ? null : cpusetEffort(limits.cpuset, named ?? []),
    bounds.dataBytes === null ? null : memoryEffort(bounds.dataBytes),
    finite(limits.memoryHighBytes) === null ? null : nothing('memoryHigh'),
    finite(limits.swapBytes) === null ? null : nothing('swap'),
    bounds.ioPriority === null ? null : ioEffort(bounds.ioPriority),
    finite(limits.pids) === null
      ? null
      : nothing('pids', 'without a cgroup only all processes of a user can be counted together'),
    limits.oomGroup ? nothing('oomGroup') : null,
  ].filter((each) => each !== null);
  return {
    bounds,
    names: efforts.map(({ name }) => name),
    notes: (held) => efforts.map((effort) => noteOf(effort, held)),
  };
}

const finite = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? value : null);

interface CpuShare {
  /** null: all that there are. */
  readonly cpus: Cpus | null;
  readonly nice: number | null;
}

/** null: it is not limited, or has no more than that anyway. */
function shareOf(cpu: Limits['cpu'], from: Cpus, taken: readonly Cpus[]): CpuShare | null {
  const cores = cpu === null ? Number.POSITIVE_INFINITY : cpu.quotaUsec / cpu.periodUsec;
  if (cores >= from.length) return null;
  const count = Math.ceil(cores);
  const nice = niceFor(cores / count);
  return { cpus: count < from.length ? leastTaken(from, count, taken) : null, nice: nice > 0 ? nice : null };
}

/**
 * The nice value at which a busy process gets this share of a CPU beside one other: each step is a quarter more or less
 * weight (sched(7)).
 */
function niceFor(fraction: number): number {
  return Math.min(19, Math.max(0, Math.round(Math.log((1 - fraction) / fraction) / Math.log(1.25))));
}

function leastTaken(from: Cpus, count: number, taken: readonly Cpus[]): Cpus {
  const times = (cpu: number): number => taken.filter((cpus) => cpus.includes(cpu)).length;
  const free = from.map((cpu) => ({ cpu, times: times(cpu) })).sort((a, b) => a.times - b.times || a.cpu - b.cpu);
  return free
    .slice(0, count)
    .map(({ cpu }) => cpu)
    .sort((a, b) => a - b);
}

const byAffinity = (cpus: string): Part => ({
  bound: 'cpus',
  says: `its processes run on CPUs ${cpus} (affinity), which they may change`,
});

function cpuEffort({ cpus, nice }: ProcessBounds): Effort {
  const parts: Part[] = [];
  if (cpus !== null) parts.push(byAffinity(cpus));
  if (nice !== null) parts.push({ bound: 'nice', says: `they give way to others (nice ${nice})` });
  return { name: 'cpu', parts, reason: `${noCgroup}, and affinity holds whole CPUs alone` };
}

function cpusetEffort(asked: string, named: Cpus): Effort {
  if (named.length === 0) return { name: 'cpuset', parts: [], reason: 'none of these CPUs is allowed here' };
  const cpus = formatCpuList(named);
  const part = byAffinity(cpus);
  const others = cpus === asked ? part.says : `${part.says}; others of ${asked} are not allowed here`;
  return { name: 'cpuset', parts: [{ ...part, says: others }], reason: noCgroup };
}

const memoryEffort = (bytes: number): Effort => ({
  name: 'memory',
  parts: [
    {
      bound: 'dataBytes',
      says: `each of its processes by itself gets at most ${formatBytes(bytes)} of private memory (RLIMIT_DATA); more is refused to it, and nothing is killed`,
    },
  ],
  reason: noCgroup,
});

const ioEffort = (level: number): Effort => ({
  name: 'io',
  parts: [
    {
      bound: 'ioPriority',
      says: `its requests come after those of others (I/O priority ${level}) where the disk's scheduler heeds it (BFQ)`,
    },
  ],
  reason: noCgroup,
});

const nothing = (name: LimitName, reason = noCgroup): Effort => ({ name, parts: [], reason });

function noteOf({ name, parts, reason }: Effort, held: ReadonlySet<BoundName>): NotApplied {
  const inForce = parts.filter(({ bound }) => held.has(bound));
  if (inForce.length === 0) return notApplied(name, reason);
  const how = inForce.map(({ says }) => says).join('; ');
  return { name, code: 'LIMIT_IN_PART', message: `${limitFlags[name]} holds in part: ${how}` };
}
