import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pid as possible } from '../contract/fields/plausible.js';

/** Whether a number can be the pid of a process of this host: 1 to its pid_max. */
export type PidCheck = (pid: number) => boolean;

/** Whether an entry of /proc is a process. */
export const isPidName = (name: string): boolean => /^[1-9][0-9]*$/.test(name);

/** An administrator may raise it while we run, ms. */
const rereadMs = 1000;

/**
 * Judges pids by the kernel's pid_max. It is read at the first pid, and again where a pid lies above what was read; where it
 * can't be read, the most that any kernel allows counts.
 */
export function pidCheck(read: () => number, now: () => number = () => performance.now()): PidCheck {
  let max = 0;
  let readAtMs = Number.NEGATIVE_INFINITY;
  const reread = () => {
    readAtMs = now();
    try {
      const value = read();
      max = Number.isInteger(value) && value >= possible.least && value <= possible.most ? value : possible.most;
    } catch {
      max = possible.most; // no /proc, or another system
    }
  };
  return (pid) => {
    if (!Number.isInteger(pid) || pid < possible.least || pid > possible.most) return false;
    if (pid > max && now() - readAtMs >= rereadMs) reread();
    return pid <= max;
  };
}

const checks = new Map<string, PidCheck>();

/** Of the host whose /proc is at `procRoot`. */
export function pidsOf(procRoot = '/proc'): PidCheck {
  let found = checks.get(procRoot);
  if (found === undefined) {
    found = pidCheck(() => Number(readFileSync(join(procRoot, 'sys/kernel/pid_max'), 'latin1')));
    checks.set(procRoot, found);
  }
  return found;
}
