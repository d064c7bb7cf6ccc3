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
  const asked = await handle.scan();
  for (const each of asked) handle.signal(each, signal);
  const signalled = asked.length;
  if ((await waitGone(handle, graceMs)).length === 0) return { signalled, killed: false, left: [] };
  const endMs = handle.nowMs() + killMs;
  await freeze(handle, endMs);
  // Also what came between the last look and the signal: each look is another sweep.
  for (;;) {
    const left = await handle.scan();
    if (left.length === 0 || handle.nowMs() >= endMs) return { signalled, killed: true, left };
    for (const each of left) handle.signal(each, 'SIGKILL');
    await handle.delay(pollMs);
  }
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
async function freeze({ scan, signal, nowMs }: TreeHandle, endMs: number): Promise<void> {
  const untilMs = (nowMs() + endMs) / 2;
  const stopped = new Set<string>();
  while (nowMs() < untilMs) {
    const newcomers = (await scan()).filter((each) => !stopped.has(identityKey(each)));
    if (newcomers.length === 0) return;
    for (const each of newcomers) {
      stopped.add(identityKey(each));
      signal(each, 'SIGSTOP');
    }
  }
}
