import { readdirSync, readFileSync } from 'node:fs';

/** Resident memory of a process, MiB. */
export const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Open descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/**
 * Ports of the peers of which a process still holds its end of a TCP connection over IPv4, `port` being its own. The kernel keeps
 * a row for a while after the descriptor is closed; what it is for is then nobody's, and its inode 0 (net/ipv4/tcp_ipv4.c).
 */
export function connectedPeers(port: number, pid: number | 'self' = 'self'): ReadonlySet<number> {
  const own = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const peers = new Set<number>();
  for (const row of readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n')) {
    if (!row.includes(own)) continue;
    const [, local = '', remote = '', , , , , , , inode] = row.trim().split(/\s+/);
    if (local.endsWith(own) && inode !== '0') peers.add(Number.parseInt(remote.split(':')[1] ?? '', 16));
  }
  return peers;
}
