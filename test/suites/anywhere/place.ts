import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMountinfo, visible } from '../../../lib/cgroup/locate.js';
import type { Harness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';

/** What a container may use, where the test can make cgroups that say so. */
export interface PlaceLimits {
  readonly cpus: number;
  readonly memoryBytes: number;
}

export interface Place {
  /** Goes before a command that is to run inside. */
  readonly under: readonly string[];
  readonly limits: PlaceLimits | null;
}

/** Who runs there: root of the container without CAP_SYS_ADMIN, or nobody. */
export type Who = 'root' | 'user';

export const nobody = 65_534;

const rights: Readonly<Record<Who, readonly string[]>> = {
  root: ['--bounding-set=-sys_admin', '--inh-caps=-sys_admin'],
  user: [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
  ],
};

/** Why no such place can be made here; null where it can. */
export function placeProblem(who: Who): string | null {
  if (process.platform !== 'linux') return 'namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'needs root for its mounts';
  const tried = spawnSync('unshare', ['-mpC', '--fork', 'setpriv', ...rights[who], process.execPath, '-e', probe]);
  return tried.status === 0 ? null : `a process of this kind cannot run here: ${tried.error ?? tried.stderr}`;
}

const probe = `require('node:fs').accessSync(${JSON.stringify(import.meta.filename)})`;

/** Mounts the hierarchies of $@ (v1 controllers, or `unified`) anew, so that they show this cgroup as their top, read-only. */
const mountAgain = `set -e
umount -R -l /sys/fs/cgroup
[ "$*" = unified ] || mount -t tmpfs none /sys/fs/cgroup
for each in "$@"; do
  at=/sys/fs/cgroup
  [ "$*" = unified ] || { at=/sys/fs/cgroup/$each; mkdir "$at"; }
  case $each in
  unified) mount -t cgroup2 none "$at" ;;
  *) mount -t cgroup -o "$each" none "$at" ;;
  esac
  mount -o remount,bind,ro "$at"
done
echo mounted
exec sleep infinity`;

/** The hierarchies of this machine: `unified`, and each set of controllers that v1 holds. */
function hierarchies(): readonly { readonly name: string; readonly mountPoint: string }[] {
  const mounts = visible(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')));
  return mounts.flatMap(({ type, superOptions, mountPoint }) => {
    const held = superOptions.filter((each) => ['cpu', 'cpuacct', 'cpuset', 'memory'].includes(each));
    if (type === 'cgroup2') return [{ name: 'unified', mountPoint }];
    return type === 'cgroup' && held.length > 0 ? [{ name: held.join(','), mountPoint }] : [];
  });
}

let count = 0;

/** Makes a cgroup with limits wherever a controller allows it, and says whether all of them hold. */
function limitedCgroups(limits: PlaceLimits): { readonly made: readonly string[]; readonly limited: boolean } {
  count += 1;
  const made: string[] = [];
  const limited = new Set<string>();
  const set = (directory: string, what: string, values: Readonly<Record<string, string>>): void => {
    for (const [file, value] of Object.entries(values)) {
      if (!existsSync(join(directory, file))) return;
      writeFileSync(join(directory, file), value);
    }
    limited.add(what);
  };
  const period = 100_000;
  for (const { name, mountPoint } of hierarchies()) {
    if (name.includes('cpuset')) continue;
    const directory = join(mountPoint, `hivepulse-test-${process.pid}-${count}`);
    try {
      if (name === 'unified') writeFileSync(join(mountPoint, 'cgroup.subtree_control'), '+cpu +memory');
    } catch {
      // v1 holds them, or whoever owns the tree
    }
    mkdirSync(directory);
    made.push(directory);
    const quota = String(limits.cpus * period);
    set(directory, 'cpu', { 'cpu.max': `${quota} ${period}` });
    set(directory, 'cpu', { 'cpu.cfs_period_us': String(period), 'cpu.cfs_quota_us': quota });
    for (const file of ['memory.max', 'memory.limit_in_bytes'])
      set(directory, 'memory', { [file]: String(limits.memoryBytes) });
  }
  return { made, limited: limited.size === 2 };
}

function removed(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch {
    // processes of it are still ending, or it is gone
  }
  return !existsSync(directory);
}

/**
 * A container that somebody else started: namespaces of mounts, processes and cgroups, with cgroups that can only be read,
 * and a first process that waits for nobody, as is usual there.
 */
export async function openPlace(harness: Harness, who: Who, wanted: PlaceLimits): Promise<Place> {
  const { made, limited } = limitedCgroups(wanted);
  const joins = made.map((directory) => join(directory, 'cgroup.procs'));
  const enroll = [
    'sh',
    '-c',
    'n=$1; shift; while [ $n -gt 0 ]; do echo $$ >"$1"; shift; n=$((n - 1)); done; exec "$@"',
  ];
  const inside = [...enroll, 'sh', String(joins.length), ...joins];
  const unshare = ['unshare', '-mpC', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
  const names = hierarchies().map(({ name }) => name);
  const [file, ...args] = [...inside, ...unshare, 'sh', '-c', mountAgain, 'sh', ...names] as [string, ...string[]];
  const holder = harness.start('place', file, args);
  harness.defer(async () => {
    // All processes of the namespace end with its first.
    holder.signalGroup('SIGKILL');
    await waitFor(() => made.every(removed), { timeoutMs: 20_000, what: 'the cgroups to be empty' });
  });
  await holder.line(/^mounted$/);
  const children = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim();
  const enter = ['nsenter', '-t', children, '-m', '-p', '-C', '--', 'setpriv', ...rights[who]];
  return { under: [...inside, ...enter], limits: limited ? wanted : null };
}
