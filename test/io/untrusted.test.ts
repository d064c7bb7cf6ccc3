import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { constants as osConstants, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NativeFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import { distrust, isTrustedDirectory, openRegularFileSync, readUntrusted } from '../../lib/io/untrusted.js';
import { loadBinding } from '../../lib/native/binding.js';
import { sweepTemporaryFiles, writeAtomically } from '../../lib/util/atomic-file.js';
import { type Hostile, hostile, plant, withPlanted } from './hostile-files.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-untrusted-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const limit = 1024;

/** What of a directory this process has open, the directory among it. */
async function openFiles(directory: string): Promise<string[]> {
  const links = await readdir('/proc/self/fd');
  const paths = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return paths.filter((path) => path === directory || path.startsWith(`${directory}/`));
}

const refusals = { fifo: 'ENOTSUP', directory: 'EISDIR', loop: 'ELOOP', link: 'ELOOP', sparse: 'EFBIG' } as const;

describe('a file that another user may have put there', () => {
  it.each([
    [{ kind: 'fifo' }, 'ENOTSUP'],
    [{ kind: 'socket' }, 'ENXIO'],
    [{ kind: 'directory' }, 'EISDIR'],
    [{ kind: 'link', to: '/dev/zero' }, 'ELOOP'],
    [{ kind: 'link', to: '/etc/passwd' }, 'ELOOP'],
    [{ kind: 'sparse', bytes: 300 * 2 ** 20 }, 'EFBIG'],
  ] as const satisfies readonly (readonly [Hostile, string])[])('%j is refused with %s', async (what, code) => {
    const server = await plant(join(dir, 'it'), what);
    await expect(readUntrusted(join(dir, 'it'), { maxBytes: limit })).rejects.toMatchObject({ code });
    server?.close();
  });

  it('a device and a file that never ends are refused', async () => {
    await expect(readUntrusted('/dev/zero', { maxBytes: limit })).rejects.toMatchObject({ code: 'ENOTSUP' });
    // Without a size of its own, as kernel files: read until it is too long.
    await expect(readUntrusted('/proc/kallsyms', { maxBytes: limit })).rejects.toMatchObject({ code: 'EFBIG' });
  });

  it('of exactly the limit is read whole, and a refusal has the number of the system error', async () => {
    await writeFile(join(dir, 'full'), 'x'.repeat(limit));
    expect(await readUntrusted(join(dir, 'full'), { maxBytes: limit })).toBe('x'.repeat(limit));
    await writeFile(join(dir, 'more'), 'x'.repeat(limit + 1));
    await expect(readUntrusted(join(dir, 'more'), { maxBytes: limit })).rejects.toMatchObject({
      code: 'EFBIG',
      errno: -osConstants.errno.EFBIG,
      message: 'EFBIG: longer than 1024 bytes',
    });
  });

  it('is closed again, and nothing waits for the deadline once it was read or refused', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    await writeFile(join(dir, 'file'), 'x');
    await writeFile(join(dir, 'long'), 'x'.repeat(limit + 1));
    for (let i = 0; i < 20; i++) {
      await readUntrusted(join(dir, 'file'), { maxBytes: limit, deadlineMs: 600_000 });
      await readUntrusted(join(dir, 'long'), { maxBytes: limit, deadlineMs: 600_000 }).catch(() => null);
    }
    expect(await openFiles(dir)).toEqual([]);
    expect(timers() - before).toBeLessThan(10);
  });

  it('opens for reading where it is a regular file, and leaves nothing open where it is not', async () => {
    await writeFile(join(dir, 'file'), 'kept');
    const descriptor = openRegularFileSync(join(dir, 'file'));
    expect(readFileSync(descriptor, 'utf8')).toBe('kept');
    closeSync(descriptor);
    await plant(join(dir, 'fifo'), { kind: 'fifo' });
    await symlink(join(dir, 'file'), join(dir, 'link'));
    const codeOf = (path: string) => {
      try {
        return openRegularFileSync(path);
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    };
    expect([codeOf(join(dir, 'fifo')), codeOf(dir), codeOf(join(dir, 'link')), codeOf('/dev/zero')]).toEqual([
      'ENOTSUP',
      'EISDIR',
      'ELOOP',
      'ENOTSUP',
    ]);
    expect(await openFiles(dir)).toEqual([]);
  });

  it('where the file system does not answer, the deadline does', async () => {
    await plant(join(dir, 'fifo'), { kind: 'fifo' });
    await writeFile(join(dir, 'file'), 'x');
    // All threads on which Node reads files wait for a writer.
    const waiting = Array.from({ length: 4 }, () => readFile(join(dir, 'fifo')));
    const late = await readUntrusted(join(dir, 'file'), { maxBytes: limit, deadlineMs: 50 }).catch((error) => error);
    // A writer that comes and goes lets go of those that wait for one.
    const writing = setInterval(() => {
      try {
        closeSync(openSync(join(dir, 'fifo'), constants.O_WRONLY | constants.O_NONBLOCK));
      } catch {
        // No reader has opened it at this moment.
      }
    }, 5);
    await Promise.all(waiting);
    clearInterval(writing);
    expect(late).toMatchObject({ code: 'ETIMEDOUT' });
    expect(await readUntrusted(join(dir, 'file'), { maxBytes: limit })).toBe('x');
  });

  it('whatever it is, the answer comes at once and is a whole regular file within the limit or a reason', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(hostile, { minLength: 1, maxLength: 6 }), async (all) => {
        run += 1;
        await withPlanted(
          dir,
          all,
          (place) => `${run}-${place}`,
          async (paths) => {
            for (const [place, what] of all.entries()) {
              const read = readUntrusted(paths[place] as string, { maxBytes: limit });
              if (what.kind === 'bytes') expect(await read).toBe(Buffer.from(what.content).toString('utf8'));
              else if (what.kind === 'socket') await expect(read).rejects.toMatchObject({ code: 'ENXIO' });
              else await expect(read).rejects.toMatchObject({ code: refusals[what.kind] });
            }
          },
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe.each([
  ['the addon', () => new NativeFileReader(loadBinding().binding as NonNullable<never>)],
  ['the worker thread', () => new WorkerFileReader()],
])('%s', (_name, open) => {
  it('gives an errno for what is no regular file, and no read hangs', async () => {
    const reader = open();
    const all: readonly Hostile[] = [
      { kind: 'fifo' },
      { kind: 'link', to: '/dev/zero' },
      { kind: 'loop' },
      { kind: 'directory' },
      { kind: 'sparse', bytes: 2 ** 36 },
      { kind: 'bytes', content: Buffer.from('kept') },
    ];
    await withPlanted(dir, all, String, async (paths) => {
      const answers = await reader.read([...paths, '/dev/zero', '/proc/self/stat'], limit);
      const shown = answers.map((answer) => (typeof answer === 'number' ? answer : answer.length));
      expect(shown.slice(0, -1)).toEqual([95, 40, 40, 21, limit, 4, 95]);
      expect(shown.at(-1)).toBeGreaterThan(10);
    });
    reader.close();
  });
});

describe('a directory whose files are believed', () => {
  it('is ours or root’s, and writable by nobody else', () => {
    const stats = (uid: number, mode: number, kind: 'dir' | 'link' | 'file' = 'dir') => ({
      uid,
      mode,
      isDirectory: () => kind === 'dir',
      isSymbolicLink: () => kind === 'link',
    });
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.nat(5),
        fc.nat(0o777),
        fc.constantFrom('dir', 'link', 'file'),
        (us, owner, mode, kind) => {
          const believed = kind === 'dir' && (owner === us || owner === 0) && (mode & 0o022) === 0;
          expect(distrust(stats(owner, mode, kind), us) === null).toBe(believed);
        },
      ),
    );
  });

  it('which is a link, also with a slash at its end, is not believed; a missing one holds nothing', async () => {
    await mkdir(join(dir, 'real'), { mode: 0o700 });
    await symlink(join(dir, 'real'), join(dir, 'link'));
    expect(await isTrustedDirectory(join(dir, 'real'))).toBe(true);
    for (const path of ['link', 'link/']) {
      await expect(isTrustedDirectory(`${dir}/${path}`)).rejects.toMatchObject({
        code: 'DIRECTORY_UNTRUSTED',
        message: expect.stringContaining('is a symbolic link'),
      });
    }
    await chmod(join(dir, 'real'), 0o770);
    await expect(isTrustedDirectory(join(dir, 'real'))).rejects.toMatchObject({
      code: 'DIRECTORY_UNTRUSTED',
      message: expect.stringContaining('may be written by others'),
    });
    expect(await isTrustedDirectory(join(dir, 'nowhere'))).toBe(false);
    await writeFile(join(dir, 'file'), '');
    expect(await isTrustedDirectory(join(dir, 'file', 'below'))).toBe(false);
  });
});

describe('files that are replaced whole', () => {
  it('are written a little at a time where their text is made in pieces, and others have their turn in between', async () => {
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const seen: number[] = [];
    function* pieces() {
      for (let i = 0; i < 40; i++) {
        seen.push(turns);
        yield 'x'.repeat(64 * 1024);
      }
    }
    await writeAtomically(join(dir, 'long.txt'), pieces());
    isOver = true;
    expect((await readFile(join(dir, 'long.txt'), 'utf8')).length).toBe(40 * 64 * 1024);
    // At most so many pieces in one turn.
    expect(new Set(seen).size).toBeGreaterThanOrEqual(15);
  });

  it('that cannot be made whole stay as they were', async () => {
    await writeAtomically(join(dir, 'half.txt'), 'before');
    function* failing() {
      yield 'x'.repeat(300_000);
      throw new Error('no');
    }
    await expect(writeAtomically(join(dir, 'half.txt'), failing())).rejects.toThrow('no');
    expect(await readFile(join(dir, 'half.txt'), 'utf8')).toBe('before');
  });

  it('leave no temporary file, and those of a killed process are removed after a minute, whatever else is there', async () => {
    await writeAtomically(join(dir, 'a.json'), 'one', { durable: true });
    await writeAtomically(join(dir, 'a.json'), 'two');
    expect(await readdir(dir)).toEqual(['a.json']);
    const old = ['a.json.12.0123abcd.tmp', 'reservations.json.77-0123abcd'];
    const kept = ['a.json', 'mine.tmp', 'reservations.json', 'reservations.json.unreadable-2026-01-01T000000.000Z'];
    for (const name of [...old, ...kept]) {
      await writeFile(join(dir, name), '');
      await utimes(join(dir, name), 1, 1);
    }
    await writeFile(join(dir, 'young.json.12.0123abcd.tmp'), '');
    await sweepTemporaryFiles(dir);
    expect((await readdir(dir)).sort()).toEqual([...kept, 'young.json.12.0123abcd.tmp'].sort());
    await sweepTemporaryFiles(join(dir, 'nowhere'));
  });
});
