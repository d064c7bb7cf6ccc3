import { identityKey, type ProcessIdentity } from '../workers/process-forest.js';

/** What ending a tree of processes needs of the machine. */
export interface TreeHandle {
  /** Those of the tree that live now, zombies left out. */
  readonly scan: () => Promise<readonly ProcessIdentity[]>;
  /** Signals exactly this process, and nothing where it has ended; throws where it may not be signalled. */
  readonly signal: (process: ProcessIdentity, signal: NodeJS.Signals) => void;
  readonly delay: (ms: number) => Promise<unknown>;
  readonly nowMs: () => number;
}

export interface TreeStop {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
  readonly killMs: number;
}

export interface TreeStopped {
  /** Processes that got the signal. */
  readonly signalled: number;
  readonly killed: boolean;
  /** What outlived SIGKILL. */
  readonly left: readonly ProcessIdentity[];
}

const pollMs = 10;

/**
 * Ends all processes of a tree without a cgroup: the signal to all, grace, then SIGKILL. Killed one by one, a tree that
 * forks faster than it is swept would never end. So all are stopped first (SIGSTOP, which nobody can catch), until a look
 * finds nobody new: what is stopped forks no more. Of a tree that forks faster than one look takes, the limit of pids ends
 * the race, since those that are stopped keep theirs.
 */
export async function stopTree(handle: TreeHandle, { signal, graceMs, killMs }: TreeStop): Promise<TreeStopped> {
  const signalled = signalEach(handle, await handle.scan(), signal);
  if ((await waitGone(handle, graceMs)).length === 0) return { signalled, killed: false, left: [] };
  const endMs = handle.nowMs() + killMs;
  await freeze(handle, endMs);
  // Also what came between the last look and the signal: each look is another sweep.
  for (;;) {
    const left = await handle.scan();
    if (left.length === 0 || handle.nowMs() >= endMs) return { signalled, killed: true, left };
    signalEach(handle, left, 'SIGKILL');
    await handle.delay(pollMs);
  }
}

/**
 * Signals each, and gives how many it reached. One that may not be signalled (a program of another user, by its set-user-id
 * bit) is no reason to leave the others; throws why where it is all that there is.
 */
function signalEach(handle: TreeHandle, targets: readonly ProcessIdentity[], signal: NodeJS.Signals): number {
  const refusals: unknown[] = [];
  for (const each of targets) {
    try {
      handle.signal(each, signal);
    } catch (error) {
      refusals.push(error);
    }
  }
  if (refusals.length > 0 && refusals.length === targets.length) throw refusals[0];
  return targets.length - refusals.length;
}

async function waitGone({ scan, delay, nowMs }: TreeHandle, forMs: number): Promise<readonly ProcessIdentity[]> {
  const endMs = nowMs() + forMs;
  for (;;) {
    const left = await scan();
    if (left.length === 0 || nowMs() >= endMs) return left;
    await delay(pollMs);
  }
}

/** Stops all, newcomers too, until there are none; half of the time at most, since a kill may end it as well. */
async function freeze(handle: TreeHandle, endMs: number): Promise<void> {
  const { scan, nowMs } = handle;
  const untilMs = (nowMs() + endMs) / 2;
  const stopped = new Set<string>();
  while (nowMs() < untilMs) {
    const all = await scan();
    if (all.every((each) => stopped.has(identityKey(each)))) return;
    // Those that are stopped are stopped again, which is nothing, so that a newcomer of another user is never all there is.
    signalEach(handle, all, 'SIGSTOP');
    for (const each of all) stopped.add(identityKey(each));
  }
}
