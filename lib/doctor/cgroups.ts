import { join } from 'node:path';
import { type CgroupPlace, locateCgroups } from '../cgroup/locate.js';
import { type Finding, fail, ok, warn } from './finding.js';
import { allowed, type Host, read, textOf } from './host.js';

const unified = 'add systemd.unified_cgroup_hierarchy=1 to the kernel command line and reboot';

export function locate(host: Host): CgroupPlace {
  return locateCgroups({
    procRoot: join(host.root, '/proc'),
    systemdDirectory: join(host.root, '/run/systemd/system'),
  });
}

export function checkCgroup(place: CgroupPlace): Finding {
  if (place.root === null) {
    return fail(
      'cgroup',
      place.reason ?? 'No cgroup v2 is mounted.',
      `${unified}, or: mount -t cgroup2 none /sys/fs/cgroup`,
    );
  }
  if (place.partial) {
    return warn(
      'cgroup',
      `${place.root} shows only this container's part of the tree: workers of the host cannot be seen.`,
      'start the container with --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup',
    );
  }
  return ok('cgroup', `cgroup v2 is mounted at ${place.root} (${place.kind}).`);
}

/** What is lost without each controller. */
const uses: Readonly<Record<string, string>> = {
  cpu: 'CPU limits and throttling',
  memory: 'memory limits, peaks and OOM kills',
  io: 'I/O of workers',
  pids: 'process limits',
};

export function checkControllers(place: CgroupPlace): Finding | null {
  if (place.root === null) return null;
  const missing = Object.keys(uses).filter((name) => !place.controllers.includes(name));
  if (missing.length === 0) return ok('controllers', `${Object.keys(uses).join(', ')} are available.`);
  const lost = missing.map((name) => uses[name]).join('; ');
  const message = `cgroup v2 lacks ${missing.join(', ')}. Not available: ${lost}. Where possible, values are summed over /proc instead.`;
  return place.kind === 'hybrid'
    ? warn('controllers', `${message} cgroup v1 holds them.`, unified)
    : warn('controllers', message, 'ask whoever runs the host or container to delegate them (systemd: Delegate=yes)');
}

export function checkRights(host: Host, place: CgroupPlace): Finding | null {
  if (place.root === null) return null;
  const fix = 'run the hive as root, or by its systemd unit (Delegate=yes)';
  if (place.readOnly) {
    return warn(
      'rights',
      `${place.root} is mounted read-only: workers can be watched, but none can be put under limits.`,
      'mount -o remount,rw /sys/fs/cgroup, or start the container with --privileged --cgroupns=host',
    );
  }
  if (host.uid === 0) return ok('rights', 'Workers can be put into cgroups of their own.');
  const own = place.ownDirectory;
  // The directory is below the real root, wherever the test bed stands.
  if (own !== null && allowed({ ...host, root: '' }, own, 'write'))
    return ok('rights', `${own} is delegated to this user.`);
  return warn(
    'rights',
    `User ${host.uid} may not create cgroups: workers can be watched, but none can be put under limits.`,
    place.systemd === 'system' ? `${fix}; for a user: loginctl enable-linger $USER` : fix,
  );
}

export function checkSystemd(host: Host, place: CgroupPlace): Finding {
  if (place.systemd === 'none') {
    return ok('systemd', 'systemd does not run this machine: workers get plain cgroups below hivepulse.slice.');
  }
  const runtime = `/run/user/${host.uid}/systemd/private`;
  if (host.uid === 0 || allowed(host, runtime, 'read')) {
    return ok('systemd', 'systemd runs this machine: each worker gets a transient scope.');
  }
  return warn(
    'systemd',
    `systemd runs this machine, but user ${host.uid} has no manager of its own: workers run as trees of processes, without limits.`,
    'loginctl enable-linger $USER, then log in again; or run as root',
  );
}

export function checkPressure(host: Host): Finding {
  const result = read(host, '/proc/pressure/cpu');
  if ('text' in result && result.text.startsWith('some ')) return ok('pressure', 'Pressure stall information is on.');
  const why = 'code' in result && result.code === 'ENOENT' ? 'this kernel has none' : 'it is switched off';
  return warn(
    'pressure',
    `Pressure (PSI) is not available: ${why}. Everything else works; pressure is unknown.`,
    'add psi=1 to the kernel command line and reboot (needs CONFIG_PSI)',
  );
}

/** Kernel versions that brought what is read, oldest need first. */
export function checkKernel(host: Host): Finding {
  const release = textOf(host, '/proc/sys/kernel/osrelease')?.trim() ?? '';
  const [major, minor] = /^(\d+)\.(\d+)/.exec(release)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined) {
    return warn(
      'kernel',
      `The version of the kernel cannot be read (${release || 'no /proc'}).`,
      'mount -t proc proc /proc',
    );
  }
  const since = (wantedMajor: number, wantedMinor: number): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  if (!since(4, 20))
    return warn('kernel', `Linux ${release} has neither pressure nor cgroup.kill.`, 'use Linux 5.19 or newer');
  if (!since(5, 14)) {
    return warn(
      'kernel',
      `Linux ${release} has no cgroup.kill: workers are ended process by process.`,
      'use Linux 5.19 or newer',
    );
  }
  if (!since(5, 19))
    return warn('kernel', `Linux ${release} has no memory.peak: peaks are unknown.`, 'use Linux 5.19 or newer');
  return ok('kernel', `Linux ${release}.`);
}
