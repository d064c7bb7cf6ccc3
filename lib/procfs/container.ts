import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ContainerPlace,
  type ContainerUse,
  containerPaths,
  containerPlace,
  readContainer,
  usableCpus,
} from '../cgroup/container-limits.js';
import type { Fault, HostSample } from '../contract/heartbeat.js';
import type { FileResult } from '../io/file-reader.js';
import { parsePressure } from './parse.js';
import { round2 } from './round.js';

/** The container around the processes of a /proc. `place` null: it is not known what limits them. */
export interface Container {
  readonly place: ContainerPlace | null;
  readonly paths: readonly string[];
}

export interface NamespaceSigns {
  /** Target of /proc/self/ns/pid. */
  readonly namespace: string | null;
  /** Content of /proc/2/stat. */
  readonly secondProcess: string | null;
  /** Content of /proc/sys/kernel/osrelease. */
  readonly release: string | null;
}

/** PROC_PID_INIT_INO (include/linux/proc_ns.h): the pid namespace that the kernel starts with. */
const firstNamespace = 'pid:[4026531836]';
/** PF_KTHREAD (include/linux/sched.h). */
const kernelThread = 0x0020_0000;

/** Whether a /proc shows a part of the machine's processes. WSL 2 puts a whole system into a namespace of its own. */
export function isContainer({ namespace, secondProcess, release }: NamespaceSigns): boolean {
  if (namespace === null || namespace === firstNamespace || /microsoft/i.test(release ?? '')) return false;
  // The machine's own /proc, seen from a container: the kernel's threads are in its first namespace alone.
  const flags = /^2 \(.*\) . \d+ \d+ \d+ \d+ -?\d+ (\d+) /s.exec(secondProcess ?? '')?.[1];
  return flags === undefined || Math.floor(Number(flags) / kernelThread) % 2 === 0;
}

const readOrNull = (read: () => string): string | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

/** The container around the processes of `procRoot`; null where that is the machine's. Reads files that nothing can block. */
export function findContainer(procRoot: string): Container | null {
  const read = (file: string) => readOrNull(() => readFileSync(join(procRoot, file), 'latin1'));
  const signs = {
    namespace: readOrNull(() => readlinkSync(join(procRoot, 'self/ns/pid'))),
    secondProcess: read('2/stat'),
    release: read('sys/kernel/osrelease'),
  };
  return isContainer(signs) ? containerOf(read('self/mountinfo') ?? '', read('1/cgroup') ?? '') : null;
}

export function containerOf(mountinfo: string, initCgroup: string): Container {
  const place = containerPlace(mountinfo, initCgroup);
  return { place, paths: place === null ? [] : containerPaths(place) };
}

/** What rates of the container are made of. */
export type ContainerCounters = Pick<ContainerUse, 'cpuMicroseconds' | 'periods' | 'throttledPeriods'> & {
  readonly atMs: number;
};

const fault = (code: string, field: string, message: string): Fault => ({ source: 'cgroup', code, field, message });

/**
 * The container as the host, from the sample of the machine around it and the contents of the container's files. Where it
 * has no limit, what it has is the machine's.
 */
export function withinContainer(
  container: Container,
  machine: HostSample,
  contents: readonly FileResult[],
  previous: ContainerCounters | null,
  atMs: number,
): { readonly host: HostSample; readonly counters: ContainerCounters | null; readonly faults: readonly Fault[] } {
  if (container.place === null) {
    const host = { ...machine, container: shareOf(machine, 'unreadable', null, null) };
    const message =
      'The first process of this pid namespace is in a cgroup that is not to be seen here, such as that of a pod whose containers share their processes: what limits the processes is not known, and the machine is shown.';
    return { host, counters: null, faults: [fault('CONTAINER_LIMITS_UNKNOWN', 'host.container', message)] };
  }
  const read = readContainer(container.place, new Map(container.paths.map((path, i) => [path, contents[i] ?? 5])));
  const cpus = usableCpus(read);
  const faults: Fault[] = [];
  if ([cpus, read.memoryBytes, read.memoryAvailableBytes].includes('unreadable'))
    faults.push(
      fault(
        'CONTAINER_LIMITS_UNKNOWN',
        'host.container',
        'Files of cgroups that limit this container cannot be read: mount them into it, read-only is enough (/sys/fs/cgroup).',
      ),
    );
  const hasCpuLimit = typeof cpus === 'number' && cpus < machine.cpuCount;
  const hasLimit = hasCpuLimit || typeof read.memoryBytes === 'number';
  const counters = { ...read, atMs };
  const throttledPercent = hasCpuLimit ? throttledShare(previous, counters) : null;
  const memoryTotalBytes = lesser(read.memoryBytes, machine.memoryTotalBytes);
  const host: HostSample = {
    ...machine,
    cpuCount: hasCpuLimit ? Math.max(1, Math.ceil(cpus)) : machine.cpuCount,
    cpuPercent: hasCpuLimit ? cpuPercent(previous, counters) : machine.cpuPercent,
    memoryTotalBytes,
    memoryAvailableBytes:
      memoryTotalBytes === null ? null : lesser(read.memoryAvailableBytes, machine.memoryAvailableBytes),
    pressure: hasLimit ? pressureOf(read.pressure, machine.pressure, faults) : machine.pressure,
    container: shareOf(machine, cpus, memoryTotalBytes, throttledPercent),
  };
  return { host, counters, faults };
}

/** The container's limit, or what the machine has where it has none. */
function lesser(limit: number | null | 'unreadable', machine: number | null): number | null {
  if (limit === 'unreadable') return null;
  return limit === null || machine === null ? (limit ?? machine) : Math.min(limit, machine);
}

const shareOf = (
  machine: HostSample,
  cpus: number | null | 'unreadable',
  memoryBytes: number | null,
  throttledPercent: number | null,
): NonNullable<HostSample['container']> => ({
  cpus: cpus === 'unreadable' ? null : round2(Math.min(cpus ?? machine.cpuCount, machine.cpuCount)),
  memoryBytes,
  throttledPercent,
  machineCpuCount: machine.cpuCount,
  machineMemoryTotalBytes: machine.memoryTotalBytes,
  machineMemoryAvailableBytes: machine.memoryAvailableBytes,
});

/** 100 = one core; null without two readings, or where the counter went back. */
function cpuPercent(previous: ContainerCounters | null, current: ContainerCounters): number | null {
  if (previous?.cpuMicroseconds == null || current.cpuMicroseconds === null) return null;
  const used = current.cpuMicroseconds - previous.cpuMicroseconds;
  const elapsedMs = current.atMs - previous.atMs;
  return used < 0 || elapsedMs <= 0 ? null : round2(used / (elapsedMs * 10));
}

/** Share of the periods that ended since the last reading; an idle container starts none, and is not throttled. */
function throttledShare(previous: ContainerCounters | null, current: ContainerCounters): number | null {
  if (previous?.periods == null || previous.throttledPeriods === null) return null;
  if (current.periods === null || current.throttledPeriods === null) return null;
  const periods = current.periods - previous.periods;
  const throttled = current.throttledPeriods - previous.throttledPeriods;
  if (periods < 0 || throttled < 0) return null;
  return periods === 0 ? 0 : round2(Math.min(100, (throttled * 100) / periods));
}

function pressureOf(
  files: ContainerUse['pressure'],
  machine: HostSample['pressure'],
  faults: Fault[],
): HostSample['pressure'] {
  const known = (['cpu', 'memory', 'io'] as const).map((kind) => {
    const content = files?.[kind];
    return [kind, content instanceof Buffer ? parsePressure(content) : null] as const;
  });
  const wasKnown = Object.values(machine).some((value) => value !== null);
  if (wasKnown && known.some(([, value]) => value === null))
    faults.push(
      fault(
        'PRESSURE_UNAVAILABLE',
        'host.pressure',
        files === null
          ? "cgroup v1 keeps no pressure figures of this container, and the machine's are not its own: run the machine with cgroup v2."
          : "The kernel gives no pressure figures of this container's cgroup (cgroup.pressure is 0, or they cannot be read).",
      ),
    );
  return Object.fromEntries(known) as HostSample['pressure'];
}
