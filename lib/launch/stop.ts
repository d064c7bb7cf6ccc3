import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { defaults } from '../contract/defaults.js';
import { processLives, processStat } from '../procfs/process-stat.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { checkOptions, numberFrom, oneOf, type TableOf } from '../util/options.js';
import { isPopulated, killAll, processesIn, removeTree, signalAll, waitEmpty } from './cgroup-tree.js';

export interface StopOptions {
  /** Time between `signal` and SIGKILL in ms (default 10 s). Short: a worker may lose requests; long: stop takes longer. */
  readonly graceMs?: number;
  /** What asks it to end (default SIGTERM). */
  readonly signal?: NodeJS.Signals;
  /** How long SIGKILL may take in ms (default 5 s); a process in an uninterruptible wait outlives it. */
  readonly killMs?: number;
}

const milliseconds = numberFrom(0, 'a number of milliseconds');
const stopTable: TableOf<StopOptions> = {
  graceMs: milliseconds,
  signal: oneOf(Object.keys(constants.signals)),
  killMs: milliseconds,
};

/** @throws HivepulseError INVALID_OPTION */
export const checkStopOptions = (options: StopOptions): void => checkOptions('', options, stopTable);

export interface Stopped {
  readonly id: string;
  /** Processes that got the signal. */
  readonly signalled: number;
  /** Whether SIGKILL was needed. */
  readonly killed: boolean;
}

const settings = (options: StopOptions) => ({
  graceMs: options.graceMs ?? defaults.stopGraceMs,
  signal: options.signal ?? ('SIGTERM' as const),
  killMs: options.killMs ?? 5000,
});

/** Names what is left: a process in state D waits in the kernel (driver, NFS) and cannot be killed before that ends. */
async function describe(pids: readonly number[]): Promise<string> {
  const parts = await Promise.all(
    pids.slice(0, 8).map(async (pid) => {
      const name = await readFile(`/proc/${pid}/comm`, 'latin1').catch(() => '?');
      return `${pid} (${name.trim()}, state ${(await processStat(pid))?.state ?? '?'})`;
    }),
  );
  return parts.join(', ');
}

/**
 * Ends every process of a worker's cgroup, re-parented children included: the signal to all, grace, cgroup.kill, then
 * waits until the kernel says that it is empty. Where the tree is ours the cgroup is removed; a scope is removed by
 * systemd. Throws STOP_TIMEOUT with the processes that outlived SIGKILL.
 */
export async function stopCgroup(
  dir: string,
  id: string,
  owner: 'cgroup' | 'systemd' | 'systemdUser',
  options: StopOptions = {},
): Promise<Stopped> {
  const { graceMs, signal, killMs } = settings(options);
  try {
    const signalled = (await isPopulated(dir)) === true ? await signalAll(dir, signal) : 0;
    const killed = !(await waitEmpty(dir, graceMs));
    if (killed) {
      await killAll(dir);
      // Below Linux 5.14 a process may fork between two sweeps, so each look is another sweep.
      if (!(await waitEmpty(dir, killMs, () => killAll(dir)))) throw await timedOut(dir, id);
    }
    if (owner === 'cgroup' && !(await removeTree(dir))) throw await timedOut(dir, id);
    if (owner !== 'cgroup') await waitGone(dir);
    return { id, signalled, killed };
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EPERM' && code !== 'EACCES') throw error;
    const message = `${id} cannot be stopped (${code}): it belongs to another user; run as that user or as root.`;
    throw new HivepulseError('CGROUP_PERMISSION_DENIED', dir, message, { cause: error });
  }
}

const timedOut = async (dir: string, id: string): Promise<HivepulseError> => describeLeft(await processesIn(dir), id);

/** The error about processes that outlived SIGKILL. */
export async function describeLeft(pids: readonly number[], id: string): Promise<HivepulseError> {
  const left = await describe(pids);
  return new HivepulseError(
    'STOP_TIMEOUT',
    id,
    `${id} did not end after SIGKILL; still there: ${left}. State D waits in the kernel: see dmesg.`,
  );
}

/** systemd removes an empty scope's cgroup by itself, soon; not waiting for ever, since an empty one harms nobody. */
async function waitGone(dir: string): Promise<void> {
  const end = performance.now() + 2000;
  while ((await isPopulated(dir)) !== null && performance.now() < end) await delay(10);
}

/** A process to stop. Without a start time only a child of ours is certainly the process that is meant. */
export interface StopTarget {
  readonly pid: number;
  readonly startTicks: number | null;
  readonly child?: Pick<ChildProcess, 'pid' | 'exitCode' | 'signalCode'> | undefined;
}

/** Whether the target still lives. @throws HivepulseError PROCESS_UNVERIFIED where any process may have its pid now */
async function targetLives({ pid, startTicks, child }: StopTarget, id: string): Promise<boolean> {
  if (pid > 1 && startTicks !== null) return processLives(pid, startTicks);
  if (pid > 1 && child?.pid === pid) return child.exitCode === null && child.signalCode === null;
  throw new HivepulseError(
    'PROCESS_UNVERIFIED',
    id,
    `${id} is not stopped: its record names process ${pid} without the time at which it started, so another process may have that number now. Look at it, and end it with kill.`,
  );
}

/** The same for a worker without a cgroup: its process group, else its process. Signals nothing but the target. */
export async function stopProcess(target: StopTarget, id: string, options: StopOptions = {}): Promise<Stopped> {
  const { graceMs, signal, killMs } = settings(options);
  const send = (what: NodeJS.Signals): number => {
    for (const pid of [-target.pid, target.pid]) {
      try {
        process.kill(pid, what);
        return 1;
      } catch (error) {
        if (systemCode(error) !== 'ESRCH') throw error;
      }
    }
    return 0;
  };
  const ended = async (forMs: number): Promise<boolean> => {
    const end = performance.now() + forMs;
    while (await targetLives(target, id)) {
      if (performance.now() >= end) return false;
      await delay(10);
    }
    return true;
  };
  if (!(await targetLives(target, id))) return { id, signalled: 0, killed: false };
  const signalled = send(signal);
  if (await ended(graceMs)) return { id, signalled, killed: false };
  send('SIGKILL');
  if (!(await ended(killMs))) {
    throw new HivepulseError(
      'STOP_TIMEOUT',
      id,
      `${id} did not end after SIGKILL; still there: ${await describe([target.pid])}.`,
    );
  }
  return { id, signalled, killed: true };
}
