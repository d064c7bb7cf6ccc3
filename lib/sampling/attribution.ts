import type { WorkerGpu } from '../contract/heartbeat.js';
import type { GpuProcess } from '../gpu/reading.js';
import { identityKey } from '../workers/process-forest.js';
import type { KnownProcess } from '../workers/process-table.js';
import type { ProcessTrees } from '../workers/tree-workers.js';

export interface AttributionInput {
  readonly processes: readonly GpuProcess[];
  /** Worker id by the path of its cgroup (`/a/b`, relative to the cgroup root). */
  readonly workersByPath: ReadonlyMap<string, string>;
  /** cgroup path of a pid, or the key of its tree; null where neither is known (the process ended, or is hidden). */
  readonly pathOf: (pid: number) => string | null;
}

export interface Attribution {
  /** GPUs of each worker, one entry per GPU, in the order of the processes. */
  readonly byWorker: ReadonlyMap<string, readonly WorkerGpu[]>;
  /** Processes on each GPU. */
  readonly processCount: ReadonlyMap<string, number>;
  /** Memory of processes of no worker, by GPU; null where one of them does not report its own. */
  readonly unattributedBytes: ReadonlyMap<string, number | null>;
  /** GPU processes that belong to no worker, with their cgroups where known: candidates for adoption. */
  readonly unclaimed: ReadonlyMap<number, string | null>;
}

/** The worker whose cgroup holds `path`: itself, else its nearest ancestor that is one. */
export function workerAt(path: string, workersByPath: ReadonlyMap<string, string>): string | null {
  for (let at = path; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const id = workersByPath.get(at);
    if (id !== undefined) return id;
  }
  return null;
}

/** What holds a process: the key of its tree, else its cgroup; null where neither is known. */
export const holderOf = (process: KnownProcess, { treeOf }: Pick<ProcessTrees, 'treeOf'>): string | null =>
  (treeOf.size === 0 ? undefined : treeOf.get(identityKey(process))) ?? process.cgroup;

/** null where a part is not known. */
const plus = (sum: number | null, part: number | null): number | null =>
  sum === null || part === null ? null : sum + part;

/**
 * Gives each GPU process to the worker in whose cgroup it runs. Pure. Only for pids that mean the same to the driver
 * and to our /proc: see `sharesPidNamespace`.
 */
export function attribute(input: AttributionInput): Attribution {
  const byWorker = new Map<string, Map<string, WorkerGpu>>();
  const processCount = new Map<string, number>();
  const unattributedBytes = new Map<string, number | null>();
  const unclaimed = new Map<number, string | null>();
  for (const process of input.processes) {
    const { gpuUuid, memoryUsedBytes, utilizationPercent } = process;
    processCount.set(gpuUuid, (processCount.get(gpuUuid) ?? 0) + 1);
    const path = input.pathOf(process.pid);
    const worker = path === null ? null : workerAt(path, input.workersByPath);
    if (worker === null) {
      const sum = unattributedBytes.get(gpuUuid);
      unattributedBytes.set(gpuUuid, plus(sum === undefined ? 0 : sum, memoryUsedBytes));
      unclaimed.set(process.pid, path);
      continue;
    }
    const gpus = byWorker.get(worker) ?? new Map<string, WorkerGpu>();
    byWorker.set(worker, gpus);
    const held = gpus.get(gpuUuid);
    gpus.set(
      gpuUuid,
      held === undefined
        ? { uuid: gpuUuid, memoryUsedBytes, utilizationPercent }
        : {
            uuid: gpuUuid,
            memoryUsedBytes: plus(held.memoryUsedBytes, memoryUsedBytes),
            utilizationPercent: plus(held.utilizationPercent, utilizationPercent),
          },
    );
  }
  return {
    byWorker: new Map([...byWorker].map(([worker, gpus]) => [worker, [...gpus.values()]])),
    processCount,
    unattributedBytes,
    unclaimed,
  };
}

/** Inode of the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h). */
const initialPidNamespace = 'pid:[4026531836]';

/**
 * Whether the driver's pids are those of our /proc. The closed driver gives pids of the first namespace, newer open
 * modules those of the caller's; which is loaded cannot be found out. So only the first namespace is trusted.
 *
 * @param link what /proc/self/ns/pid points to; null where it can't be read.
 */
export const sharesPidNamespace = (link: string | null): boolean => link === initialPidNamespace;
