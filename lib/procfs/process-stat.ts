import { readFile } from 'node:fs/promises';

/**
 * State letter and start time (clock ticks since boot) of a process from /proc/<pid>/stat, or null where it is gone.
 * The name in parentheses may hold any byte, `)` and newline included, so the line is cut at the last `)`.
 */
export async function processStat(
  pid: number,
  procRoot = '/proc',
): Promise<{ readonly state: string; readonly startTicks: number } | null> {
  let text: string;
  try {
    text = await readFile(`${procRoot}/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTicks = Number(fields[19]);
  return fields[0] && Number.isSafeInteger(startTicks) && startTicks >= 0 ? { state: fields[0], startTicks } : null;
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
  try {
    const text = await readFile(`${procRoot}/${pid}/cgroup`, 'utf8');
    return /^0::(\/.*)$/m.exec(text)?.[1] ?? null;
  } catch {
    return null;
  }
}
