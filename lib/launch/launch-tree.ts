/** Workers where no cgroup can be made: each is the tree of processes below the one that is started. */
import { randomUUID } from 'node:crypto';
import { defaults } from '../contract/defaults.js';
import { workerEnvironment } from '../util/child-environment.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import type { WorkerRecord } from '../workers/records.js';
import { markerVariable } from '../workers/tree-workers.js';
import { type Efforts, effortsFor } from './best-effort.js';
import { allowedCpus, type CommandOptions } from './launcher.js';
import { type Limits, limitFlags, parseCpuList } from './limits.js';
import { describeLeft, type StopOptions, type Stopped } from './stop.js';
import { stopTree } from './stop-tree.js';
import { WorkerTree } from './worker-tree.js';

/** Why a worker has no cgroup: the place has none for it. What is wrong with a cgroup that was named is an error. */
export function placeProblem(error: unknown, root: string | undefined): HivepulseError | null {
  if (root !== undefined || !(error instanceof HivepulseError)) return null;
  return error.code === 'CGROUP_UNAVAILABLE' || error.code === 'CGROUP_PERMISSION_DENIED' ? error : null;
}

/** How the worker is to start where limits were asked for. */
export interface WithoutCgroup {
  readonly limits: Limits;
  readonly bestEffort?: boolean;
  /** CPUs that other workers were given in the same way, as lists. */
  readonly takenCpus?: readonly string[];
}

/** What is done for limits that need a cgroup. Throws the problem where some were asked for and not as far as it goes. */
export function effortsWithout(
  problem: HivepulseError,
  { limits, bestEffort = false, takenCpus = [] }: WithoutCgroup,
  allowed: readonly number[] = allowedCpus(),
): Efforts {
  const taken = takenCpus.map((list) => parseCpuList(list) ?? []);
  const efforts = effortsFor(limits, allowed, taken);
  if (efforts.names.length === 0 || bestEffort) return efforts;
  const asked = efforts.names.map((name) => limitFlags[name]).join(', ');
  throw new HivepulseError(
    problem.code,
    problem.subject,
    `${asked} cannot be enforced here; give --best-effort to start the worker all the same. ${problem.message}`,
    { cause: problem },
  );
}

/** What is started, with a mark by which all that descends from it is known. */
export function marked<T extends Pick<CommandOptions, 'env'>>(
  options: T,
): { readonly options: T; readonly marker: string } {
  const marker = randomUUID();
  return {
    marker,
    options: { ...options, env: { ...(options.env ?? workerEnvironment()), [markerVariable]: marker } },
  };
}

/** The processes of such a worker; null of a record that is not of one. */
export function treeOf(
  { cgroup, pid, startTicks, marker }: Pick<WorkerRecord, 'cgroup' | 'pid' | 'startTicks' | 'marker'>,
  procRoot?: string,
): WorkerTree | null {
  if (cgroup !== null || marker === undefined || startTicks === null) return null;
  return new WorkerTree({ pid, startTicks, marker }, procRoot);
}

/** Ends the whole tree. Throws STOP_TIMEOUT with the processes that outlived SIGKILL. */
export async function stopWorkerTree(tree: WorkerTree, id: string, options: StopOptions = {}): Promise<Stopped> {
  const { graceMs = defaults.stopGraceMs, signal = 'SIGTERM', killMs = 5000 } = options;
  try {
    const { signalled, killed, left } = await stopTree(tree, { graceMs, signal, killMs });
    if (left.length === 0) return { id, signalled, killed };
    throw await describeLeft(
      left.map(({ pid }) => pid),
      id,
    );
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    const message = `${id} cannot be stopped (EPERM): it belongs to another user; run as that user or as root.`;
    throw new HivepulseError('CGROUP_PERMISSION_DENIED', id, message, { cause: error });
  }
}
