import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { locateCgroups } from '../../lib/cgroup/locate.js';
import { NativeFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import { loadBinding } from '../../lib/native/binding.js';
import { parseProcessCgroup } from '../../lib/procfs/parse.js';
import { type ListeningSocket, parseListening, parseSocketDump } from '../../lib/procfs/sockets.js';

const namespace = 4_026_531_840;
const { binding } = loadBinding();
const canEnter = process.platform === 'linux' && spawnSync('unshare', ['-n', 'true']).status === 0;

/** The id of the cgroup of this process: the inode of its directory; null where there is no cgroup v2. */
function cgroupOfSelf(): number | null {
  const { root } = locateCgroups();
  const path = parseProcessCgroup(readFileSync('/proc/self/cgroup'));
  if (!root || path === null || !existsSync(join(root, path))) return null;
  return statSync(join(root, path)).ino;
}
const ownCgroup = process.platform === 'linux' ? cgroupOfSelf() : null;

interface Row {
  readonly family: 2 | 10;
  readonly state: number;
  readonly port: number;
  readonly address: readonly number[];
  readonly inode: number;
  readonly cgroup?: number;
}

/** As linux/inet_diag.h lays it out, with the cgroup's id behind it. */
function dumpOf(inode: number, rows: readonly Row[]): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(inode));
  const messages = rows.map(({ family, state, port, address, inode: of, cgroup = 0 }) => {
    const message = Buffer.alloc(80, 0xee);
    message[0] = family;
    message[1] = state;
    message.writeUInt16BE(port, 4);
    message.fill(0, 8, 24);
    Buffer.from(address).copy(message, 8);
    message.writeUInt32LE(of, 68);
    message.writeBigUInt64LE(BigInt(cgroup), 72);
    return message;
  });
  return Buffer.concat([head, ...messages]);
}

const byte = fc.integer({ min: 0, max: 255 });
const row: fc.Arbitrary<Row> = fc.constantFrom<2 | 10>(2, 10).chain((family) =>
  fc.record({
    family: fc.constant(family),
    state: fc.constantFrom(10, 1),
    port: fc.integer({ min: 0, max: 65_535 }),
    address: fc.array(byte, { minLength: family === 2 ? 4 : 16, maxLength: family === 2 ? 4 : 16 }),
    inode: fc.integer({ min: 0, max: 0xffff_ffff }),
    cgroup: fc.maxSafeNat(),
  }),
);

describe('a dump of the sockets that listen', () => {
  it('whatever the bytes, it is a list or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const found = parseSocketDump(Buffer.from(bytes), namespace);
        expect(found === null || found.every(({ port, inode }) => port <= 65_535 && inode > 0)).toBe(true);
      }),
    );
  });

  it('says of each socket that listens where it does, and of no other', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), (rows) => {
        const listening = rows.filter(({ state, inode }) => state === 10 && inode > 0);
        const found = parseSocketDump(dumpOf(namespace, rows), namespace) ?? [];
        expect(found.map(({ port, inode, cgroup }) => [port, inode, cgroup])).toEqual(
          listening.map(({ port, inode, cgroup }) => [port, inode, cgroup || null]),
        );
        for (const [i, { family, address }] of listening.entries())
          if (family === 2) expect(found[i]?.address).toBe(address.join('.'));
      }),
    );
  });

  it.each([
    [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], '::1'],
    [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 7], '10.0.0.7'],
    [[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd], 'fd00::abcd'],
  ])('%j is %s', (address, text) => {
    const dump = dumpOf(namespace, [{ family: 10, state: 10, port: 8000, address, inode: 7 }]);
    expect(parseSocketDump(dump, namespace)).toEqual([{ inode: 7, address: text, port: 8000, cgroup: null }]);
  });

  it('of another namespace, or cut, it is none', () => {
    const dump = dumpOf(namespace, [{ family: 2, state: 10, port: 80, address: [127, 0, 0, 1], inode: 7 }]);
    expect(parseSocketDump(dump, namespace + 1)).toBeNull();
    expect(parseSocketDump(dump.subarray(0, -1), namespace)).toBeNull();
    expect(parseSocketDump(Buffer.alloc(0), namespace)).toBeNull();
  });
});

const reader = binding && new NativeFileReader(binding);
/** The kernel may lack tcp_diag, or may not load it. Any other errno is a defect. */
const [answer] = (await reader?.listening(['/proc/self/ns/net'])) ?? [];
const lacksDiag = answer === constants.errno.ENOENT;

describe.skipIf(reader === undefined || lacksDiag)(
  'the kernel’s own (needs the addon, and tcp_diag in the kernel)',
  () => {
    const servers: Server[] = [];
    afterAll(() => {
      reader?.close();
      for (const server of servers) server.close();
    });

    it('is what /proc says', async () => {
      const ports: number[] = [];
      for (const host of ['127.0.0.1', '0.0.0.0', '::1', '::']) {
        const server = createServer();
        await new Promise<void>((resolve) => server.listen({ port: 0, host, ipv6Only: host === '::' }, resolve));
        servers.push(server);
        ports.push((server.address() as AddressInfo).port);
      }
      const [dump] = (await reader?.listening(['/proc/self/ns/net'])) ?? [];
      const inProc = ['tcp', 'tcp6'].flatMap((file) => parseListening(readFileSync(`/proc/self/net/${file}`)));
      const own = (all: readonly ListeningSocket[]) =>
        all.filter(({ port }) => ports.includes(port)).sort((a, b) => a.inode - b.inode);
      const found = parseSocketDump(dump as Buffer, statSync('/proc/self/ns/net').ino) ?? [];
      expect(own(found)).toHaveLength(4);
      expect(own(found).map((socket) => ({ ...socket, cgroup: null }))).toEqual(own(inProc));
    });

    it.skipIf(ownCgroup === null)(
      'and the cgroup in which each was made (needs a kernel that says it, 5.9)',
      async () => {
        const server = createServer();
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        servers.push(server);
        const { port } = server.address() as AddressInfo;
        const [dump] = (await reader?.listening(['/proc/self/ns/net'])) ?? [];
        const found = parseSocketDump(dump as Buffer, statSync('/proc/self/ns/net').ino) ?? [];
        expect(found.find((socket) => socket.port === port)?.cgroup).toBe(ownCgroup);
      },
    );

    it.skipIf(!canEnter)('another namespace says its own sockets, and this thread stays where it is', async () => {
      const script = `require('node:net').createServer().listen(4321, '127.0.0.1', () => console.log('up'));`;
      const lo = 'ip link set lo up && exec "$@"';
      const child = spawn('unshare', ['-n', 'sh', '-c', lo, 'sh', process.execPath, '-e', script]);
      try {
        await once(child.stdout, 'data');
        const paths = [`/proc/${child.pid}/ns/net`, '/proc/self/ns/net'];
        const [inside, outside] = (await reader?.listening(paths)) ?? [];
        const socketsOf = (dump: unknown, path: string) => parseSocketDump(dump as Buffer, statSync(path).ino) ?? [];
        expect(socketsOf(inside, paths[0] as string).map(({ port, address }) => [address, port])).toEqual([
          ['127.0.0.1', 4321],
        ]);
        expect(socketsOf(outside, paths[1] as string).some(({ port }) => port === 4321)).toBe(false);
      } finally {
        child.kill('SIGKILL');
      }
    });

    it('a path that is no namespace is an errno', async () => {
      expect(await reader?.listening(['/nowhere', '/proc/self/status'])).toEqual([
        expect.any(Number),
        expect.any(Number),
      ]);
    });
  },
);

it('without the addon it is not to be had, which is no answer of no sockets', async () => {
  const reader = new WorkerFileReader();
  try {
    expect(await reader.listening(['/proc/self/ns/net'])).toEqual([expect.any(Number)]);
  } finally {
    reader.close();
  }
});
