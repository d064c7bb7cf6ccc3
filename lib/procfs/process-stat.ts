import { readFile } from 'node:fs/promises';
import { type ProcessStat, parseEnvironmentVariable, parseProcessCgroup, parseProcessStat } from './parse.js';

const readOrNull = (path: string): Promise<Buffer | null> => readFile(path).catch(() => null);

/** /proc/<pid>/stat of a process; null where it is gone. */
export async function processStat(pid: number, procRoot = '/proc'): Promise<ProcessStat | null> {
  const bytes = await readOrNull(`${procRoot}/${pid}/stat`);
  return bytes && parseProcessStat(bytes);
}

/** Whether exactly this process lives; a zombie does not. Where /proc is missing, whether some process has the pid. */
export async function processLives(pid: number, startTicks: number | null, procRoot = '/proc'): Promise<boolean> {
  if (startTicks === null) {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }
  const found = await processStat(pid, procRoot);
  return found !== null && found.startTicks === startTicks && found.state !== 'Z' && found.state !== 'X';
}

/** Path of the process's v2 cgroup within its hierarchy (`/hivepulse.slice/...`), or null where it is gone or has none. */
export async function processCgroup(pid: number, procRoot = '/proc'): Promise<string | null> {
  const bytes = await readOrNull(`${procRoot}/${pid}/cgroup`);
  return bytes && parseProcessCgroup(bytes);
}

/**
 * One variable of the environment with which the process was started; null where it has none, or it can't be read. Undefined where
 * the file is empty: there is no environment, or execve(2) has not set it yet (`environ_read` of fs/proc/base.c).
 */
export async function processVariable(
  pid: number,
  name: string,
  procRoot = '/proc',
): Promise<string | null | undefined> {
  const bytes = await readOrNull(`${procRoot}/${pid}/environ`);
  if (bytes === null) return null;
  return bytes.length === 0 ? undefined : parseEnvironmentVariable(bytes, name);
}
