import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onInterruption } from './interruption.js';

/*
 * What tests make outside of their own process is named with the pid of that process, so that a later run can tell what
 * was left behind by one that was killed: `hivepulse-test-<pid>-<n>` (cgroups), `hivepulse-<pid>-<n>` (network
 * namespaces), `hivepulse-<kind>-<pid>-<random>` (temporary directories, and what is mounted in them).
 */

/** In the environment of every process that a test starts: the pid of the test's own process. */
export const ownerVariable = 'HIVEPULSE_TEST_OWNER';

const cgroupName = /^hivepulse-test-(\d+)(?:-\d+)?$/;
const namespaceName = /^hivepulse-(\d+)-\d+$/;
const directoryName = /^hivepulse-[a-z-]+-(\d+)-[A-Za-z0-9]{6}$/;

/** In memory, where the system has that: no other program's writes hold up what is read there. */
export const memoryDirectory = (): string => {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return tmpdir();
  }
};

/** A directory that is removed by whoever made it, at the latest when this process is interrupted. */
export function temporaryDirectory(kind = 'test', below = tmpdir()): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(below, `hivepulse-${kind}-${process.pid}-`));
  const remove = (): void => {
    forget();
    removeDirectory(path);
  };
  const forget = onInterruption(remove);
  return { path, remove };
}

function isDead(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

const list = (path: string): readonly string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

/** Gives the thread to the others for a moment: there is nothing to wait on while a signal is handled. */
const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

function cgroupsBelow(path: string): readonly string[] {
  const children = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap(({ name }) => cgroupsBelow(join(path, name))), path];
}

/** Kills all in a cgroup, of v1 or v2, and removes it with all below it, without a pause for the event loop. */
export function removeCgroupNow(root: string, deadlineMs = 2000): boolean {
  const end = performance.now() + deadlineMs;
  for (;;) {
    if (!existsSync(root)) return true;
    try {
      for (const path of cgroupsBelow(root)) {
        for (const pid of readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').map(Number)) {
          if (pid > 0) process.kill(pid, 'SIGKILL');
        }
        // Frozen processes of v1 do not even die.
        if (existsSync(join(path, 'freezer.state'))) writeFileSync(join(path, 'freezer.state'), 'THAWED');
      }
      for (const path of cgroupsBelow(root)) rmdirSync(path);
    } catch {
      // busy for as long as its processes take to end
    }
    if (performance.now() >= end) return !existsSync(root);
    pause(10);
  }
}

export const removeNamespace = (name: string): boolean => spawnSync('ip', ['netns', 'del', name]).status === 0;

/** Where a mount point is octal-escaped (proc_mounts(5)). */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

interface Mount {
  readonly path: string;
  readonly type: string;
}
const mounts = (): readonly Mount[] =>
  (existsSync('/proc/self/mounts') ? readFileSync('/proc/self/mounts', 'utf8') : '')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '))
    .map(([, path = '', type = '']) => ({ path: unescaped(path), type }));

/** Removes a directory and what is mounted in it, never through a mount into what that shows. */
function removeDirectory(path: string): boolean {
  const inside = () => mounts().filter((mount) => mount.path === path || mount.path.startsWith(`${path}/`));
  for (const mount of inside().reverse()) spawnSync('umount', ['-l', mount.path]);
  if (inside().length > 0) return false;
  // A process that is ending may still put a last file into it.
  rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  return true;
}

/** Processes whose owner is gone; they may hold what is swept after them. */
function orphans(): readonly number[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const owner = new RegExp(`(?:^|\\0)${ownerVariable}=(\\d+)\\0`).exec(
          readFileSync(`/proc/${name}/environ`, 'latin1'),
        );
        return owner !== null && isDead(Number(owner[1]));
      } catch {
        return false; // ended, or of somebody else
      }
    })
    .map(Number);
}

/** Removes what test processes that are dead have left behind, and says what. What belongs to a living one stays. */
export function sweep(): readonly string[] {
  if (process.platform !== 'linux') return [];
  const swept: string[] = [];
  const deadOwner = (pattern: RegExp, name: string): boolean => {
    const pid = pattern.exec(name)?.[1];
    return pid !== undefined && isDead(Number(pid));
  };
  for (const pid of orphans()) {
    try {
      process.kill(pid, 'SIGKILL');
      swept.push(`process ${pid}`);
    } catch {
      // it has ended
    }
  }
  const given = process.env.HIVEPULSE_TEST_CGROUP;
  const trees = mounts()
    .filter(({ type }) => type === 'cgroup' || type === 'cgroup2')
    .map(({ path }) => path);
  for (const tree of new Set(given ? [...trees, given] : trees)) {
    for (const name of list(tree).filter((each) => deadOwner(cgroupName, each))) {
      if (removeCgroupNow(join(tree, name))) swept.push(`cgroup ${join(tree, name)}`);
    }
  }
  for (const name of list('/run/netns').filter((each) => deadOwner(namespaceName, each))) {
    if (removeNamespace(name)) swept.push(`network namespace ${name}`);
  }
  const temporary = [...new Set([tmpdir(), memoryDirectory()])];
  const directories = temporary.flatMap((below) => list(below).map((name) => ({ name, path: join(below, name) })));
  for (const { path } of directories.filter(({ name }) => deadOwner(directoryName, name))) {
    try {
      if (removeDirectory(path)) swept.push(`directory ${path}`);
    } catch {
      // not ours to remove
    }
  }
  return swept;
}
