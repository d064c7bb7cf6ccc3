import { hidesProcesses, parseMountinfo } from '../cgroup/locate.js';
import { sharesPidNamespace } from '../sampling/attribution.js';
import { type Finding, ok, unknown, warn } from './finding.js';
import { type Host, linkOf, textOf } from './host.js';

/** Descriptors that 100 workers take (about 15 each), and room for connections. */
const wantedDescriptors = 4096;

export function checkPidNamespace(host: Host): Finding {
  const link = linkOf(host, '/proc/self/ns/pid');
  if (link === null) return warn('pidNamespace', '/proc/self/ns/pid cannot be read.', 'mount -t proc proc /proc');
  if (sharesPidNamespace(link)) return ok('pidNamespace', 'Processes have the same pids here as in the GPU driver.');
  return warn(
    'pidNamespace',
    'This is a pid namespace of its own (a container): processes of the host, and whose GPU memory is whose, cannot be seen.',
    'start the container with --pid=host (Kubernetes: hostPID: true)',
  );
}

export function checkProc(host: Host): Finding | null {
  const mounts = parseMountinfo(textOf(host, '/proc/self/mountinfo') ?? '');
  const hidden = mounts.find(hidesProcesses);
  if (!hidden || host.uid === 0) return null;
  return warn(
    'proc',
    `${hidden.mountPoint} hides the processes of other users (hidepid): workers that are not this user's cannot be recognised.`,
    'run the hive as root, or: mount -o remount,hidepid=0 /proc',
  );
}

export function checkDescriptors(host: Host): Finding {
  const lines = (textOf(host, '/proc/self/limits') ?? '').split('\n');
  // Limit, soft limit, hard limit, units: in columns.
  const said = lines.find((line) => line.startsWith('Max open files'))?.split(/\s+/)[4] ?? '';
  const hard = said === 'unlimited' ? Number.POSITIVE_INFINITY : Number(said === '' ? Number.NaN : said);
  if (Number.isNaN(hard))
    return warn('descriptors', 'The limit of open files cannot be read.', 'mount -t proc proc /proc');
  // The soft limit is raised to the hard one by the hive itself.
  if (hard >= wantedDescriptors) return ok('descriptors', `Up to ${said} files may be open.`);
  return warn(
    'descriptors',
    `Only ${hard} files may be open: beyond about ${Math.floor(hard / 20)} workers their files are opened and closed each second.`,
    'ulimit -Hn 65536 (systemd: LimitNOFILE=65536)',
  );
}

export async function checkClock(host: Host): Promise<Finding> {
  const { exitCode, output } = await host.run('timedatectl', ['show', '--property=NTPSynchronized', '--value'], 3000);
  const answer = output.trim();
  if (exitCode === 0 && answer === 'yes') return ok('clock', 'The clock is synchronized.');
  if (exitCode === 0 && answer === 'no') {
    return warn(
      'clock',
      'The clock is not synchronized: liveness is not affected, but times of events and logs are wrong.',
      'timedatectl set-ntp true',
    );
  }
  return unknown(
    'clock',
    'Whether the clock is synchronized is unknown: timedatectl does not say. Liveness does not depend on it.',
    'check the time service: chronyc tracking, ntpq -p, or timedatectl on the host of a container',
  );
}

export async function checkAddon(host: Host): Promise<Finding> {
  const reason = await host.addonReason();
  if (reason === null) return ok('addon', 'The native reader loads.');
  return warn(
    'addon',
    `The TypeScript reader is used, at several times the CPU: ${reason}.`,
    host.platform === 'linux' ? 'npm rebuild hivepulse (needs python3, make and a C++17 compiler)' : 'run it on Linux',
  );
}
