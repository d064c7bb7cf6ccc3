import { join } from 'node:path';
import type { CgroupPlace } from '../cgroup/locate.js';
import { findContainer } from '../procfs/container.js';
import { type Finding, warn } from './finding.js';
import { allowed, type Host, textOf } from './host.js';

/** Bits of CapEff (include/uapi/linux/capability.h). */
const capabilities = { CAP_SYS_PTRACE: 19, CAP_SYS_ADMIN: 21 } as const;

/** What the kind of place means, and what each right that is missing there costs; null on a machine of one's own. */
export function checkPlace(host: Host, cgroups: CgroupPlace): Finding | null {
  const container = findContainer(join(host.root, '/proc'));
  if (container === null) return null;
  const owns = cgroups.ownDirectory !== null && allowed({ ...host, root: '' }, cgroups.ownDirectory, 'write');
  const hasCgroups = owns && !cgroups.readOnly;
  const effective = Number.parseInt(
    /^CapEff:\s*([0-9a-f]+)$/m.exec(textOf(host, '/proc/self/status') ?? '')?.[1] ?? '0',
    16,
  );
  const lacks = (name: keyof typeof capabilities): boolean => Math.floor(effective / 2 ** capabilities[name]) % 2 === 0;
  const missing = [
    ...(hasCgroups ? [] : ['rights over cgroups (limits, throttling, peak and OOM kills of single workers)']),
    "the machine's pids (which worker holds how much of a GPU, where the driver gives those)",
    ...(lacks('CAP_SYS_PTRACE') ? ["CAP_SYS_PTRACE (I/O of other users' processes)"] : []),
    ...(lacks('CAP_SYS_ADMIN') ? ['CAP_SYS_ADMIN (whether servers in other network namespaces are ready)'] : []),
    ...(container.place === null ? ['a view of the cgroup of the first process (how much may be used here)'] : []),
  ];
  const what = hasCgroups ? 'A container' : 'A container without cgroup rights, on a rented machine or a pod';
  return warn(
    'place',
    `${what}: what runs in it is watched, as trees of processes where it has no cgroups. Missing: ${missing.join('; ')}.`,
    'nothing, to watch what runs here (docs/places.md); for the whole machine run the hive on it, or with --pid=host --cgroupns=host',
  );
}
