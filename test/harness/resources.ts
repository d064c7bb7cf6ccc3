import { readdirSync, readFileSync } from 'node:fs';

/** Resident memory of a process, MiB. */
export const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Open descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/**
 * Whether a process still holds its end of a TCP connection over IPv4, `port` being its own. The kernel keeps a row for a
 * while after the descriptor is closed; what it is for is then nobody's, and its inode 0 (net/ipv4/tcp_ipv4.c).
 */
export function holdsConnection(port: number, peerPort: number, pid: number | 'self' = 'self'): boolean {
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .some(
      ([, local = '', remote = '', , , , , , , inode]) =>
        local.endsWith(`:${hex(port)}`) && remote.endsWith(`:${hex(peerPort)}`) && inode !== '0',
    );
}
