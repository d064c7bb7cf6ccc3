/**
 * Parsers of the sockets of a network namespace that listen: of /proc/<pid>/net/{tcp,tcp6}, and of what the kernel gives over
 * sock_diag(7). Pure: bytes in, values out.
 */

/** A TCP socket that listens. */
export interface ListeningSocket {
  readonly inode: number;
  /** Without brackets; IPv4 also where an IPv6 socket is bound to a mapped address. */
  readonly address: string;
  readonly port: number;
  /** The id of the cgroup in which it was made; null where the kernel does not say it. */
  readonly cgroup: number | null;
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
    found.push({ inode, address, port: Number.parseInt(port, 16), cgroup: null });
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
  return ipv6Of([0, 8, 16, 24].flatMap((at) => bytesOf(hex.slice(at, at + 8))));
}

function ipv6Of(bytes: readonly number[]): string {
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

/** Sizes and places of `inet_diag_msg` (linux/inet_diag.h) with a cgroup's id behind it (native/socket_dump.h). */
const headBytes = 8;
const diag = { bytes: 80, state: 1, port: 4, address: 8, inode: 68, cgroup: 72 } as const;
const families = { ipv4: 2, ipv6: 10 } as const;
const listenState = 10;

/** The sockets of a dump of `FileReader.listening`; null where it is none, or is about another namespace. */
export function parseSocketDump(bytes: Buffer, namespace: number): readonly ListeningSocket[] | null {
  if (bytes.length < headBytes || (bytes.length - headBytes) % diag.bytes !== 0) return null;
  if (Number(bytes.readBigUInt64LE(0)) !== namespace) return null;
  const found: ListeningSocket[] = [];
  for (let at = headBytes; at < bytes.length; at += diag.bytes) {
    const address = addressIn(bytes, at);
    const inode = bytes.readUInt32LE(at + diag.inode);
    if (address === null || inode === 0 || bytes[at + diag.state] !== listenState) continue;
    const cgroup = Number(bytes.readBigUInt64LE(at + diag.cgroup)) || null;
    found.push({ inode, address, port: bytes.readUInt16BE(at + diag.port), cgroup });
  }
  return found;
}

function addressIn(bytes: Buffer, at: number): string | null {
  const family = bytes[at];
  const from = at + diag.address;
  if (family === families.ipv4) return bytes.subarray(from, from + 4).join('.');
  return family === families.ipv6 ? ipv6Of([...bytes.subarray(from, from + 16)]) : null;
}

/** The inodes of links such as `socket:[123]` or `net:[4026531840]`. */
export const inodesOf = (links: readonly string[]): readonly number[] =>
  links.map((link) => Number(link.slice(link.indexOf('[') + 1, -1))).filter((inode) => inode > 0);
