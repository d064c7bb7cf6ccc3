import type { WorkerList, WorkerView } from '../../lib/contract/api.js';
import { cgroupSuite, createCgroupTree } from '../harness/cgroups.js';
import { type Daemon, getJson, type Harness } from '../harness/harness.js';
import type { Managed } from '../harness/processes.js';
import { waitFor } from '../harness/wait.js';

export { cgroupSuite };

/** A host of a test: a cgroup root and a runtime directory of its own, so that nothing else on the machine is seen. */
export interface TestHost {
  /** Arguments for `hive` and `up`. */
  readonly watchArgs: readonly string[];
  /** Starts a worker of this host. */
  worker(group: string, instance: string, command: readonly string[], args?: readonly string[]): Managed;
}

export async function createHost(harness: Harness): Promise<TestHost> {
  const tree = await createCgroupTree();
  harness.defer(() => tree.dispose());
  const place = ['--root', tree.root, '--runtime-dir', harness.directory()];
  return {
    watchArgs: [...place, '--no-auto', '--gpu', 'none'],
    worker: (group, instance, command, args = []) =>
      harness.worker(group, instance, command, { args: [...place, ...args] }),
  };
}

export async function workersOf(queen: Daemon, query = ''): Promise<readonly WorkerView[]> {
  return (await getJson<WorkerList>(`${queen.url}/v1/workers${query}`)).items;
}

/** Waits until the queen knows the worker and `accept` takes it. */
export function workerSeen(
  queen: Daemon,
  id: string,
  accept: (worker: WorkerView) => boolean = () => true,
): Promise<WorkerView> {
  return waitFor(async () => (await workersOf(queen)).find((worker) => worker.id === id && accept(worker)), {
    timeoutMs: 30_000,
    what: `the worker ${id} at the queen`,
  });
}

export function workerGone(queen: Daemon, id: string): Promise<boolean> {
  return waitFor(async () => !(await workersOf(queen)).some((worker) => worker.id === id), {
    timeoutMs: 30_000,
    what: `the worker ${id} to be gone from the queen`,
  });
}

/** A process that burns one core. */
export const busy = [process.execPath, '-e', 'for(;;);'] as const;
/** A process that waits for ever. */
export const sleeping = [process.execPath, '-e', 'setInterval(() => {}, 1 << 30)'] as const;
