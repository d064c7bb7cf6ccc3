import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFibTrie, parseIfInet6 } from '../../lib/procfs/addresses.js';

/** Linux 6.18, a network namespace with a veth pair: 172.17.0.2/16, fd00:17::2/64, a default route. */
const main = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 172.17.0.0/16 2 0 2
        +-- 172.17.0.0/30 2 0 2
           |-- 172.17.0.0
              /16 link UNICAST
           |-- 172.17.0.2
              /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
`;
const local = `Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 172.17.0.0/16 2 0 2
        +-- 172.17.0.0/30 2 0 2
           |-- 172.17.0.0
              /16 link UNICAST
           |-- 172.17.0.2
              /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
`;
const ifInet6 = `fe8000000000000048687efffe944540 03 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
fd000017000000000000000000000002 03 40 00 80     eth0
`;

/** Custom rules (`ip rule`) split the table; without any there is one, of both (net/ipv4/fib_trie.c). */
const merged = `Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        +-- 10.0.0.0/28 2 0 2
           |-- 10.0.0.0
              /24 link UNICAST
           |-- 10.0.0.7
              /32 link UNICAST
              /32 host LOCAL tos=16
        |-- 10.0.0.9
           /24 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
`;

describe('addresses of a network namespace', () => {
  it('are its own ones of IPv4, without loopback, networks and broadcast', () => {
    expect(parseFibTrie(Buffer.from(main + local))).toEqual(['172.17.0.2']);
    expect(parseFibTrie(Buffer.from(merged))).toEqual(['10.0.0.7']);
    expect(parseFibTrie(Buffer.from(''))).toEqual([]);
  });

  it('are its global ones of IPv6, without those that are not sure to be its own', () => {
    expect(parseIfInet6(Buffer.from(ifInet6))).toEqual(['fd00:17::2']);
    const tentative = 'fd000017000000000000000000000003 03 40 00 c0     eth0\n';
    const duplicate = 'fd000017000000000000000000000004 03 40 00 88     eth0\n';
    expect(parseIfInet6(Buffer.from(ifInet6 + tentative + duplicate))).toEqual(['fd00:17::2']);
  });

  it('are each found once among any others', () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const address = fc
      .tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet)
      .map((octets) => octets.join('.'))
      .filter((text) => !/^(?:127|169)\./.test(text));
    const kind = fc.constantFrom('/32 host LOCAL', '/24 link UNICAST', '/32 link BROADCAST', '/0 universe UNICAST');
    const leaf = fc.tuple(address, fc.array(kind, { minLength: 1, maxLength: 3 }));
    fc.assert(
      fc.property(fc.uniqueArray(leaf, { selector: ([text]) => text, maxLength: 20 }), (leaves) => {
        const text = leaves
          .map(([at, kinds]) => `  |-- ${at}\n${kinds.map((each) => `     ${each}\n`).join('')}`)
          .join('');
        const own = leaves.filter(([, kinds]) => kinds.includes('/32 host LOCAL')).map(([at]) => at);
        expect(parseFibTrie(Buffer.from(`Main:\n${text}Local:\n${text}`))).toEqual(own);
      }),
    );
  });

  it('are never read out of foreign or torn content, and none of it throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (any) => {
        expect(parseFibTrie(Buffer.from(any))).toEqual([]);
        expect(parseIfInet6(Buffer.from(any))).toEqual([]);
      }),
    );
    for (const [whole, parse, all] of [
      [main + local, parseFibTrie, ['172.17.0.2']],
      [ifInet6, parseIfInet6, ['fd00:17::2']],
    ] as const)
      for (let length = 0; length < whole.length; length += 1)
        for (const found of parse(Buffer.from(whole.slice(0, length)))) expect(all).toContain(found);
  });
});
