/**
 * Parsers of /proc/<pid>/net/{fib_trie,if_inet6}: the addresses of a network namespace under which others may reach it.
 * Loopback and link-local addresses are left out. Pure: bytes in, values out.
 */
import { ipv6Text } from './sockets.js';

const isOctets = (text: string): boolean =>
  /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text) && text.split('.').every((octet) => Number(octet) <= 255);

/** A leaf of the trie names an address; below it stands each route to it. The namespace's own are `/32 host LOCAL`. */
export function parseFibTrie(bytes: Buffer): readonly string[] {
  const found = new Set<string>();
  let leaf: string | null = null;
  for (const line of bytes.toString('latin1').split('\n')) {
    const text = line.trim();
    if (text.startsWith('|-- ')) leaf = text.slice('|-- '.length);
    else if (!text.startsWith('/')) leaf = null;
    else if (leaf !== null && /^\/32 host LOCAL(?: |$)/.test(text) && isOctets(leaf)) found.add(leaf);
  }
  return [...found].filter((address) => !/^(?:127|0)\.|^169\.254\./.test(address));
}

const globalScope = 0x00;
/** IFA_F_DADFAILED, IFA_F_TENTATIVE (linux/if_addr.h): another host may have the address. */
const unusable = 0x08 | 0x40;

/** Lines `<address> <interface> <prefix> <scope> <flags> <name>`, all numbers in hexadecimal. */
export function parseIfInet6(bytes: Buffer): readonly string[] {
  const found = new Set<string>();
  for (const line of bytes.toString('latin1').split('\n')) {
    const shape = /^([0-9a-f]{32}) [0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) +\S/.exec(line);
    if (shape === null) continue;
    const [, address = '', scope = '', flags = ''] = shape;
    if (Number.parseInt(scope, 16) !== globalScope || (Number.parseInt(flags, 16) & unusable) !== 0) continue;
    found.add(
      ipv6Text(Array.from({ length: 8 }, (_unused, i) => Number.parseInt(address.slice(i * 4, i * 4 + 4), 16))),
    );
  }
  return [...found];
}
