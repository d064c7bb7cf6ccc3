/**
 * Parsers of the files under /proc (proc(5)). Pure: bytes in, values out, `null` for what is missing. Bytes are read as
 * latin1, since a process may name itself with any bytes.
 */

import { pathFromBytes } from '../util/byte-path.js';

/** A process by its /proc/<pid>/stat. */
export interface ProcessStat {
  readonly pid: number;
  /** At most 15 bytes, chosen by the process itself; may hold blanks and brackets. */
  readonly comm: string;
  readonly state: string;
  readonly parentPid: number;
  /** Id of its session, which is the pid of the process that began it; 0 where that is outside of our pid namespace. */
  readonly session: number;
  /** CPU of all its threads, also of those that ended, in clock ticks. */
  readonly cpuTicks: number;
  /** CPU of children that ended and that it waited for, and of those that they had waited for, in clock ticks. */
  readonly waitedCpuTicks: number;
  /** Clock ticks since boot; with the pid the identity of a process. */
  readonly startTicks: number;
}

/** `readKept` of a file reader gives a character for each byte. */
export const latin1 = (bytes: Buffer | string): string =>
  typeof bytes === 'string' ? bytes : bytes.toString('latin1');

const whole = (value: string | undefined): number | null =>
  value !== undefined && /^[0-9]+$/.test(value) ? Number(value) : null;

/** Cut at the LAST `)`: `7014 (:-) 1 2 3) R 1 ...` is a legal line. */
export function parseProcessStat(bytes: Buffer): ProcessStat | null {
  const line = latin1(bytes);
  const open = line.indexOf('(');
  const close = line.lastIndexOf(')');
  if (open < 1 || close < open) return null;
  const pid = whole(line.slice(0, open).trim());
  // Fields are counted from 1 in proc(5): state is the 3rd, ppid the 4th, session the 6th, utime, stime, cutime and cstime
  // the 14th to 17th, starttime the 22nd.
  const fields = line
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const state = fields[0];
  const [parentPid, session, startTicks] = [whole(fields[1]), whole(fields[3]), whole(fields[19])];
  const [user, system, waitedUser, waitedSystem] = fields.slice(11, 15).map(whole);
  if (pid === null || !state || parentPid === null || session === null || startTicks === null) return null;
  if (user == null || system == null || waitedUser == null || waitedSystem == null) return null;
  const comm = line.slice(open + 1, close);
  const cpu = { cpuTicks: user + system, waitedCpuTicks: waitedUser + waitedSystem };
  return { pid, comm, state, parentPid, session, ...cpu, startTicks };
}

/**
 * One variable of /proc/<pid>/environ, by its name; the others are not looked at. Of several the first counts, as in
 * getenv(3). `null` where it is not there, or the file was cut inside of it.
 */
export function parseEnvironmentVariable(bytes: Buffer, name: string): string | null {
  const wanted = Buffer.from(`${name}=`, 'latin1');
  let at = bytes.indexOf(wanted);
  while (at > 0 && bytes[at - 1] !== 0) at = bytes.indexOf(wanted, at + 1);
  if (at < 0) return null;
  const end = bytes.indexOf(0, at);
  return end < 0 ? null : bytes.toString('latin1', at + wanted.length, end);
}

/** The arguments; UTF-8, since they are shown. Empty for kernel threads and zombies. */
export function parseCmdline(bytes: Buffer): readonly string[] {
  if (bytes.length === 0) return [];
  const parts = bytes.toString('utf8').split('\0');
  // The last argument ends in NUL. A process that wrote over its title (setproctitle) pads with many.
  while (parts.length > 0 && parts[parts.length - 1] === '') parts.pop();
  return parts;
}

/**
 * The v2 cgroup path of /proc/<pid>/cgroup: the line `0::<path>`, relative to the root of the reader's cgroup
 * namespace. `null` where there is none, or where the cgroup is gone: a zombie keeps `<path> (deleted)`.
 */
export function parseProcessCgroup(bytes: Buffer): string | null {
  for (const line of bytes.toString('latin1').split('\n')) {
    if (!line.startsWith('0::/')) continue;
    const path = pathFromBytes(Buffer.from(line.slice(3), 'latin1'));
    return path.endsWith(' (deleted)') ? null : path;
  }
  return null;
}

/** CPU time of the whole host in clock ticks since boot. */
export interface HostCpu {
  readonly busyTicks: number;
  readonly totalTicks: number;
  readonly cpuCount: number;
}

/**
 * The `cpu` line of /proc/stat. Busy is user, nice, system, irq and softirq: idle and iowait are not work, steal is
 * another machine's. guest and guest_nice are already in user and nice.
 */
export function parseHostCpu(bytes: Buffer | string): HostCpu | null {
  const content = latin1(bytes);
  const fields = /^cpu ([0-9 ]+)$/m.exec(content)?.[1]?.trim().split(/ +/).map(Number);
  if (!fields || fields.length < 4) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = fields;
  const busyTicks = user + nice + system + irq + softirq;
  const cpuCount = content.match(/^cpu[0-9]+ /gm)?.length ?? 0;
  return cpuCount === 0 ? null : { busyTicks, totalTicks: busyTicks + idle + iowait + steal, cpuCount };
}

/** MemTotal and MemAvailable in bytes (the file says kB and means KiB). MemAvailable is absent below Linux 3.14. */
export function parseMeminfo(bytes: Buffer | string): {
  readonly totalBytes: number | null;
  readonly availableBytes: number | null;
} {
  const content = latin1(bytes);
  const field = (name: string): number | null => {
    const value = new RegExp(`^${name}:\\s*([0-9]+) kB$`, 'm').exec(content)?.[1];
    return value === undefined ? null : Number(value) * 1024;
  };
  return { totalBytes: field('MemTotal'), availableBytes: field('MemAvailable') };
}

/** Load over one minute, and the newest pid: while that is the same, no process has started. */
export function parseLoadavg(bytes: Buffer | string): {
  readonly load1: number | null;
  readonly lastPid: number | null;
} {
  const fields = latin1(bytes).trim().split(/\s+/);
  const load = fields[0] !== undefined && /^[0-9]+(\.[0-9]+)?$/.test(fields[0]) ? Number(fields[0]) : null;
  return { load1: load, lastPid: whole(fields[4]) };
}

/** Seconds since boot, suspended time included (CLOCK_BOOTTIME): the first number of /proc/uptime. */
export function parseUptime(bytes: Buffer | string): number | null {
  const value = /^([0-9]+(?:\.[0-9]+)?) /.exec(latin1(bytes))?.[1];
  return value === undefined ? null : Number(value);
}

/** avg10 of the `some` line of a pressure file, percent. */
export function parsePressure(bytes: Buffer | string): number | null {
  const value = /^some (?:[^\n]* )?avg10=([0-9]+(?:\.[0-9]+)?)(?=[ \n]|$)/m.exec(latin1(bytes))?.[1];
  return value === undefined ? null : Number(value);
}

/** What a process has read from and written to storage, by /proc/<pid>/io. */
export function parseProcessIo(bytes: Buffer): { readonly readBytes: number; readonly writeBytes: number } | null {
  const content = latin1(bytes);
  const readBytes = whole(/^read_bytes: ([0-9]+)$/m.exec(content)?.[1]);
  const writeBytes = whole(/^write_bytes: ([0-9]+)$/m.exec(content)?.[1]);
  return readBytes === null || writeBytes === null ? null : { readBytes, writeBytes };
}

/** Resident pages: the second number of /proc/<pid>/statm. */
export const parseResidentPages = (bytes: Buffer): number | null => whole(latin1(bytes).split(/[ \n]/)[1]);

/**
 * Paths below `directory` (with its slash) that /proc/<pid>/maps names: `start-end perms offset device inode   path`. The file
 * may be cut anywhere: a line without its end is left out. MiB of lines are searched for the path, not split.
 */
export function parseMappedPaths(bytes: Buffer, directory: string): ReadonlySet<string> {
  const paths = new Set<string>();
  const wanted = Buffer.from(directory, 'latin1');
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at)) {
    const start = bytes.lastIndexOf(0x0a, at) + 1;
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) break;
    const path = mappedPath.exec(bytes.toString('latin1', start, end))?.[1];
    if (path?.startsWith(directory)) paths.add(path);
    at = end;
  }
  return paths;
}

/** Only what follows the inode is the path, which may hold blanks itself. */
const mappedPath = /^[0-9a-f]+-[0-9a-f]+ [rwxsp-]{4} [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+ +(\/.*)$/;
