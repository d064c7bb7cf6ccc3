import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from '../util/errors.js';

/** ENOENT: opened after the cgroup was removed; ENODEV: removed while the file was open. */
const isGone = (error: unknown) => {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENODEV';
};

/** Writes to a cgroup file. Never creates it: a file that is not there means that the controller is not. */
export async function writeControl(path: string, value: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY);
  try {
    await file.write(value);
  } finally {
    await file.close();
  }
}

/** Whether a process lives in the cgroup or below; null where the cgroup is gone. Zombies do not count. */
export async function isPopulated(dir: string): Promise<boolean | null> {
  try {
    return /^populated 1$/m.test(await readFile(join(dir, 'cgroup.events'), 'utf8'));
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** A cgroup directory's inode, or null where it is gone. */
export async function inodeOf(dir: string): Promise<number | null> {
  try {
    return (await stat(dir)).ino;
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

async function children(dir: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(dir, entry.name));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Process ids in the cgroup and below it. A threaded cgroup answers EOPNOTSUPP: its processes show in its domain above. */
export async function processesIn(dir: string): Promise<readonly number[]> {
  const pids = new Set<number>();
  const visit = async (path: string): Promise<void> => {
    try {
      for (const line of (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n')) {
        if (Number(line) > 1) pids.add(Number(line)); // 0: a process of another pid namespace; 1 is never a worker's
      }
    } catch (error) {
      if (!isGone(error) && systemCode(error) !== 'EOPNOTSUPP' && systemCode(error) !== 'ENOTSUP') throw error;
    }
    for (const child of await children(path)) await visit(child);
  };
  await visit(dir);
  return [...pids];
}

/** Signals every process in the cgroup and below; one that is gone meanwhile is no error. Returns how many got it. */
export async function signalAll(dir: string, signal: NodeJS.Signals): Promise<number> {
  let reached = 0;
  for (const pid of await processesIn(dir)) {
    try {
      process.kill(pid, signal);
      reached += 1;
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error;
    }
  }
  return reached;
}

/** Kills all at once through cgroup.kill (Linux 5.14); before that process by process, as often as forks demand. */
export async function killAll(dir: string): Promise<void> {
  try {
    await writeControl(join(dir, 'cgroup.kill'), '1');
  } catch (error) {
    if (systemCode(error) === 'ENODEV') return;
    if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'EOPNOTSUPP') throw error;
    await signalAll(dir, 'SIGKILL');
  }
}

/** Waits until no process is left in the cgroup. False: `deadlineMs` passed first. */
export async function waitEmpty(dir: string, deadlineMs: number, each?: () => Promise<void>): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
    if ((await isPopulated(dir)) !== true) return true;
    if (performance.now() >= end) return false;
    await delay(Math.max(1, Math.min(pause, end - performance.now())));
    await each?.();
  }
}

/**
 * Removes an empty cgroup with all below it. The kernel answers EBUSY for a moment after the last process ended, so that
 * is tried again until `deadlineMs`. False: it still holds processes. A cgroup that is gone is removed.
 */
export async function removeTree(dir: string, deadlineMs = 2000): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
    try {
      for (const child of await children(dir)) await removeTree(child, 0);
      await rmdir(dir);
      return true;
    } catch (error) {
      if (isGone(error)) return true;
      const code = systemCode(error);
      if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
      if (performance.now() >= end) return false;
    }
    await delay(pause);
  }
}

/** Removes `dir` and its parents up to, but without, `root`, as far as they are empty. */
export async function removeEmptyParents(dir: string, root: string): Promise<void> {
  for (let path = dir; path.startsWith(`${root}/`); path = path.slice(0, path.lastIndexOf('/'))) {
    try {
      await rmdir(path);
    } catch (error) {
      if (!isGone(error)) return; // in use by others
    }
  }
}

/** Makes a directory; true where it was not there before. */
export async function makeCgroup(dir: string): Promise<boolean> {
  try {
    await mkdir(dir);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

const words = async (path: string): Promise<readonly string[]> => {
  try {
    return (await readFile(path, 'utf8')).split(/\s+/).filter(Boolean);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
};

/** Whether processes live in the cgroup itself. The root of the hierarchy, which alone has no cgroup.type, may hold them. */
async function holdsProcesses(dir: string): Promise<boolean> {
  return (await words(join(dir, 'cgroup.type'))).length > 0 && (await words(join(dir, 'cgroup.procs'))).length > 0;
}

/**
 * Enables controllers for the children of each directory, from the root down. Returns why a controller could not be
 * enabled, by its name. A directory that holds processes itself hands on none (no-internal-process rule): nothing is
 * moved out of it.
 */
export async function enableControllers(
  path: readonly string[],
  controllers: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const missing = new Map<string, string>();
  for (const dir of path) {
    const [available, enabled] = [
      await words(join(dir, 'cgroup.controllers')),
      await words(join(dir, 'cgroup.subtree_control')),
    ];
    const wanted = controllers.filter((name) => !missing.has(name) && !enabled.includes(name));
    // Handing on cpu or pids would turn it into a threaded domain, whose children take no processes.
    const inhabited = wanted.length > 0 && (await holdsProcesses(dir));
    for (const controller of wanted) {
      if (inhabited) {
        missing.set(
          controller,
          `${dir} holds processes itself, so it can hand on no controllers; move them into a child of it`,
        );
        continue;
      }
      if (!available.includes(controller)) {
        missing.set(controller, `the ${controller} controller is not available in ${dir}`);
        continue;
      }
      try {
        await writeControl(join(dir, 'cgroup.subtree_control'), `+${controller}`);
      } catch (error) {
        const code = systemCode(error);
        missing.set(
          controller,
          `the ${controller} controller could not be enabled in ${dir} (${code ?? String(error)})`,
        );
      }
    }
  }
  return missing;
}
