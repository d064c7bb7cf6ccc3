import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { locateCgroups } from '../../lib/cgroup/locate.js';
import { enableControllers, killAll, removeTree, waitEmpty } from '../../lib/launch/cgroup-tree.js';
import { onInterruption, undoWhenInterrupted } from './interruption.js';
import { removeCgroupNow } from './leftovers.js';

undoWhenInterrupted();

/** A cgroup in which a test may make others. */
export interface CgroupTestTree {
  /** Its absolute path; it holds no process and hands on every controller that is here. */
  readonly root: string;
  /** Controllers that its children have: empty where v1 holds them. */
  readonly controllers: readonly string[];
  /** Makes `root/name`, with parents, each handing on the controllers. */
  cgroup(name: string): Promise<string>;
  /** Kills what is left in it and removes it. */
  dispose(): Promise<void>;
}

let count = 0;

/**
 * Where tests may make cgroups, or why nowhere. `HIVEPULSE_TEST_CGROUP` names a delegated cgroup (where systemd owns the tree
 * and gave a scope, the setup of a run sets it); without it the v2 mount, unless systemd owns the tree.
 */
export function cgroupTestBase(): { readonly base: string } | { readonly reason: string } {
  const given = process.env.HIVEPULSE_TEST_CGROUP;
  if (given) return { base: given };
  if (process.platform !== 'linux') return { reason: 'cgroups are of Linux' };
  const place = locateCgroups();
  if (place.root === null) return { reason: place.reason ?? 'no cgroup v2' };
  if (place.systemd !== 'none')
    return { reason: 'systemd owns the tree and gave no scope; npm run test:cgroup runs it in a virtual machine' };
  if (place.readOnly) return { reason: 'the cgroup tree is mounted read-only' };
  if (process.getuid?.() !== 0) return { reason: 'making cgroups takes root here' };
  return { base: place.root };
}

/** What a suite that needs live cgroups says of itself: the reason stands in its title where it cannot run. */
export function cgroupSuite(title: string): { readonly title: string; readonly skip: boolean } {
  const found = cgroupTestBase();
  return 'reason' in found ? { title: `${title} (skipped: ${found.reason})`, skip: true } : { title, skip: false };
}

export async function createCgroupTree(): Promise<CgroupTestTree> {
  const found = cgroupTestBase();
  if ('reason' in found) throw new Error(`no cgroups for tests: ${found.reason}`);
  count += 1;
  const root = join(found.base, `hivepulse-test-${process.pid}-${count}`);
  const available = (await readFile(join(found.base, 'cgroup.controllers'), 'utf8')).split(/\s+/).filter(Boolean);
  const wanted = ['cpu', 'memory', 'io', 'pids', 'cpuset'].filter((name) => available.includes(name));
  await enableControllers([found.base], wanted);
  await mkdir(root);
  const forget = onInterruption(() => removeCgroupNow(root));
  const missing = await enableControllers([root], wanted);
  const controllers = wanted.filter((name) => !missing.has(name));
  return {
    root,
    controllers,
    cgroup: async (name) => {
      let path = root;
      for (const part of name.split('/')) {
        if (path !== root) await enableControllers([path], controllers);
        path = join(path, part);
        if (!existsSync(path)) await mkdir(path);
      }
      return path;
    },
    dispose: async () => {
      await killAll(root).catch(() => undefined);
      await waitEmpty(root, 5000);
      if (!(await removeTree(root, 5000))) throw new Error(`${root} could not be removed`);
      forget();
    },
  };
}

/** Moves a process into a cgroup. */
export async function joinCgroup(cgroup: string, pid: number): Promise<void> {
  await writeFile(join(cgroup, 'cgroup.procs'), String(pid));
}

/** `key value` lines of a cgroup file such as cpu.stat or memory.events. */
export async function readFlat(path: string): Promise<Readonly<Record<string, number>>> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([key, value]) => [key as string, Number(value)]));
}
