import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FileResult } from '../../lib/io/file-reader.js';
import { ETIMEDOUT } from '../../lib/io/guarded.js';
import { parseProcessStat } from '../../lib/procfs/parse.js';
import { systemClock } from '../../lib/util/clock.js';
import { Listening } from '../../lib/workers/listening.js';
import { UnixListening } from '../../lib/workers/unix-listening.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { waitFor } from '../harness/wait.js';

const { ENOENT, EACCES } = constants.errno;

const identityOf = (pid: number) => ({
  pid,
  startTicks: parseProcessStat(readFileSync(`/proc/${pid}/stat`))?.startTicks as number,
});

describe('Unix sockets of processes', () => {
  it('are those on which they take connections, and only of those that may serve on one', async () => {
    const directory = temporaryDirectory();
    const path = join(directory.path, 'llama.sock');
    const server = createServer().listen(path);
    await once(server, 'listening');
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    const listening = new Listening({ procRoot: '/proc', clock: systemClock });
    onTestFinished(() => {
      listening.close();
      other.kill();
      server.close();
      directory.remove();
    });
    const [own, sleeper] = [identityOf(process.pid), identityOf(other.pid as number)];
    const all = [own, sleeper];
    const look = async (...onUnix: readonly number[]) => {
      listening.update(all, new Set(), new Set(onUnix));
      await listening.look();
      return all.map((each) => listening.unixPathsOf(each).filter((each) => each.startsWith(directory.path)));
    };
    expect(await look(sleeper.pid)).toEqual([[], []]);
    await waitFor(async () => (await look(own.pid, sleeper.pid))[0]?.length === 1);
    const { generation } = listening;
    expect(await look(own.pid, sleeper.pid)).toEqual([[path], []]);
    expect(listening.generation).toBe(generation);
    expect(listening.unixPathsOf({ ...own, startTicks: 1 })).toEqual([]);
    server.close();
    await once(server, 'close');
    await waitFor(async () => (await look(own.pid, sleeper.pid))[0]?.length === 0);
    expect(listening.generation).toBeGreaterThan(generation);
    expect(listening.changedIn([own])).toBe(listening.generation);
    expect(listening.changedIn([sleeper])).toBeLessThan(listening.generation);
  });
});

describe('what /proc says of them', () => {
  /** A line of /proc/<pid>/net/unix. */
  const line = (inode: number, path: string) =>
    `0000000000000000: 00000002 00000000 00010000 0001 01 ${inode} ${path}\n`;

  function prepared() {
    const files = new Map<string, FileResult>();
    const links = new Map<string, readonly string[] | number>();
    const asked: string[] = [];
    const unix = new UnixListening('/p', {
      read: async (paths) => {
        asked.push(...paths);
        return paths.map((path) => files.get(path) ?? ENOENT);
      },
      links: async (paths, prefix) => {
        asked.push(...paths);
        expect(prefix).toBe('socket:[');
        return paths.map((path) => links.get(path) ?? ENOENT);
      },
    });
    const table = (pid: number, ...lines: string[]) => files.set(`/p/${pid}/net/unix`, Buffer.from(lines.join('')));
    const holds = (pid: number, ...inodes: number[]) =>
      links.set(
        `/p/${pid}/fd`,
        inodes.map((inode) => `socket:[${inode}]`),
      );
    const look = async (namespaces: Readonly<Record<number, number>>) => [
      ...(await unix.look(new Map(Object.entries(namespaces).map(([pid, inode]) => [Number(pid), inode])))),
    ];
    return { files, links, asked, unix, table, holds, look };
  }

  it('is read once for a network namespace, and each process has the paths of its own sockets', async () => {
    const { asked, unix, table, holds, look } = prepared();
    table(11, line(501, '/run/a.sock'), line(502, '/run/b.sock'), line(503, '/run/c.sock'));
    table(12, line(501, '/run/other.sock'));
    holds(10, 501, 7, 503);
    holds(11, 502);
    holds(12, 501);
    expect(await look({ 10: 1, 11: 1, 12: 2 })).toEqual([10, 11, 12]);
    expect([10, 11, 12].map((pid) => unix.pathsOf(pid))).toEqual([
      ['/run/a.sock', '/run/c.sock'],
      ['/run/b.sock'],
      ['/run/other.sock'],
    ]);
    expect(asked.filter((path) => path.endsWith('/net/unix'))).toEqual(['/p/11/net/unix', '/p/12/net/unix']);
    expect(unix.pathsOf(13)).toEqual([]);
    expect(await look({ 10: 1, 11: 1, 12: 2 })).toEqual([]);
  });

  it('says whose sockets have changed, were lost or came', async () => {
    const { unix, table, holds, look } = prepared();
    table(10, line(501, '/run/a.sock'), line(502, '/run/b.sock'));
    holds(10, 501);
    expect(await look({ 10: 1 })).toEqual([10]);
    holds(10, 501, 502);
    expect(await look({ 10: 1 })).toEqual([10]);
    holds(10);
    expect(await look({ 10: 1 })).toEqual([10]);
    expect(unix.pathsOf(10)).toEqual([]);
    holds(10, 502);
    await look({ 10: 1 });
    expect(await look({})).toEqual([10]);
    expect(unix.pathsOf(10)).toEqual([]);
    expect(await look({})).toEqual([]);
  });

  it('is nothing where it may not be seen, and what it was while a read hangs', async () => {
    const { files, links, unix, table, holds, look } = prepared();
    table(10, line(501, '/run/a.sock'));
    holds(10, 501);
    await look({ 10: 1 });
    links.set('/p/10/fd', ETIMEDOUT);
    expect(await look({ 10: 1 })).toEqual([]);
    expect(unix.pathsOf(10)).toEqual(['/run/a.sock']);
    holds(10, 502);
    files.set('/p/10/net/unix', ETIMEDOUT);
    expect(await look({ 10: 1 })).toEqual([]);
    expect(unix.pathsOf(10)).toEqual(['/run/a.sock']);
    table(10, line(501, '/run/a.sock'));
    links.set('/p/10/fd', EACCES);
    expect(await look({ 10: 1 })).toEqual([10]);
    expect(unix.pathsOf(10)).toEqual([]);
  });

  it('asks for nothing where nobody may serve on one', async () => {
    const { asked, look } = prepared();
    expect(await look({})).toEqual([]);
    expect(asked).toEqual([]);
  });
});
