/**
 * Parsers of /proc/<pid>/net/{tcp,tcp6}: the sockets of a network namespace that listen. Pure: bytes in, values out.
 */

/** A TCP socket that listens. */
export interface ListeningSocket {
  readonly inode: number;
  /** Without brackets; IPv4 also where an IPv6 socket is bound to a mapped address. */
  readonly address: string;
  readonly port: number;
}

const listening = ' 0A ';

/** The kernel lists sockets that listen first, so a file that was cut among the connections after them is whole. */
export function parseListening(bytes: Buffer): readonly ListeningSocket[] {
  const found: ListeningSocket[] = [];
  for (const line of bytes.toString('latin1').split('\n')) {
    if (!line.includes(listening)) continue;
    const fields = line.trim().split(/ +/);
    const [host = '', port = ''] = (fields[1] ?? '').split(':');
    const inode = Number(fields[9]);
    const address = host.length === 8 ? ipv4(host) : host.length === 32 ? ipv6(host) : null;
    if (fields[3] !== '0A' || address === null || !/^[0-9A-F]{4}$/.test(port) || !(inode > 0)) continue;
    found.push({ inode, address, port: Number.parseInt(port, 16) });
  }
  return found;
}

/** A word as the kernel prints it, in the byte order of the machine: every machine that is supported is little-endian. */
const bytesOf = (word: string): number[] => [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16));

function ipv4(hex: string): string | null {
  return /^[0-9A-F]{8}$/.test(hex) ? bytesOf(hex).join('.') : null;
}

function ipv6(hex: string): string | null {
  if (!/^[0-9A-F]{32}$/.test(hex)) return null;
  const bytes = [0, 8, 16, 24].flatMap((at) => bytesOf(hex.slice(at, at + 8)));
  if (bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255)
    return bytes.slice(12).join('.');
  return ipv6Text(
    Array.from({ length: 8 }, (_unused, i) => ((bytes[i * 2] as number) << 8) | (bytes[i * 2 + 1] as number)),
  );
}

/** The text of RFC 5952 of eight numbers of 16 bits: the longest run of zeros as `::`. */
export function ipv6Text(numbers: readonly number[]): string {
  const groups = numbers.map((number) => number.toString(16));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < groups.length; at += 1) {
    let length = 0;
    while (groups[at + length] === '0') length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

/** The inodes of links such as `socket:[123]` or `net:[4026531840]`. */
export const inodesOf = (links: readonly string[]): readonly number[] =>
  links.map((link) => Number(link.slice(link.indexOf('[') + 1, -1))).filter((inode) => inode > 0);
