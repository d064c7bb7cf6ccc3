// The one way to read what another user may have put there: never a symbolic link, a FIFO, a device or an endless file.
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HivepulseError, systemCode } from '../util/errors.js';

const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_NOCTTY = 0 } = constants;
const openFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
const { ENOTSUP, EISDIR, EFBIG, ETIMEDOUT } = osConstants.errno;

/** How long a read may take, ms: a network file system may never answer. */
const defaultDeadlineMs = 3000;

/** A failure with the shape of Node's system errors. */
const failure = (code: string, errno: number, message: string): Error =>
  Object.assign(new Error(`${code}: ${message}`), { code, errno: -errno });

function requireRegular(stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw failure('EISDIR', EISDIR, 'is a directory');
  throw failure('ENOTSUP', ENOTSUP, 'not a regular file');
}

/** Opens a regular file without following a link or waiting for a writer. @throws with the codes ELOOP, EISDIR, ENOTSUP. */
export function openRegularFileSync(path: string | Buffer): number {
  const descriptor = openSync(path, openFlags);
  try {
    requireRegular(fstatSync(descriptor));
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

export interface UntrustedOptions {
  /** A longer file is refused with EFBIG. */
  readonly maxBytes: number;
  /** After this time ETIMEDOUT (default 3 s). */
  readonly deadlineMs?: number;
}

/**
 * Reads a file whole as UTF-8. Rejects with a system error: ELOOP where it is a symbolic link, ENOTSUP where it is no regular
 * file, EFBIG where it is too long, ETIMEDOUT where reading does not return.
 */
export async function readUntrusted(path: string, options: UntrustedOptions): Promise<string> {
  const { maxBytes, deadlineMs = defaultDeadlineMs } = options;
  const over = new AbortController();
  const late = delay(deadlineMs, undefined, { signal: over.signal }).then(() => {
    throw failure('ETIMEDOUT', ETIMEDOUT, `reading ${path} does not return`);
  });
  try {
    return await Promise.race([readRegularFile(path, maxBytes), late]);
  } finally {
    over.abort();
  }
}

async function readRegularFile(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, openFlags);
  try {
    const stats = await file.stat();
    requireRegular(stats);
    if (stats.size > maxBytes) throw tooLong(maxBytes);
    return (await readUpTo(file, stats.size, maxBytes)).toString('utf8');
  } finally {
    await file.close();
  }
}

const tooLong = (maxBytes: number) => failure('EFBIG', EFBIG, `longer than ${maxBytes} bytes`);

/** The file may grow or shrink while it is read. */
async function readUpTo(file: FileHandle, expected: number, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for (let room = expected + 1; ; room = 64 * 1024) {
    const part = Buffer.allocUnsafe(room);
    const { bytesRead } = await file.read(part, 0, room, null);
    if (bytesRead === 0) return Buffer.concat(parts, length);
    parts.push(part.subarray(0, bytesRead));
    length += bytesRead;
    if (length > maxBytes) throw tooLong(maxBytes);
  }
}

/** Why a directory's content cannot be believed, or null. Pure. */
export function distrust(
  stats: Pick<Stats, 'uid' | 'mode' | 'isDirectory' | 'isSymbolicLink'>,
  uid: number,
): string | null {
  if (stats.isSymbolicLink()) return 'is a symbolic link';
  if (!stats.isDirectory()) return 'is not a directory';
  if (stats.uid !== uid && stats.uid !== 0) return `belongs to user ${stats.uid}, not to us`;
  return (stats.mode & 0o022) === 0 ? null : 'may be written by others';
}

/**
 * Checks a directory whose files decide what is believed or signalled: ours or root's, and writable by nobody else. False
 * where it does not exist. @throws HivepulseError DIRECTORY_UNTRUSTED
 */
export async function isTrustedDirectory(path: string, uid = process.geteuid?.()): Promise<boolean> {
  try {
    // Without a slash at its end, with which a link would be followed.
    const stats = await lstat(resolve(path));
    const reason = uid === undefined ? null : distrust(stats, uid);
    if (reason === null) return true;
    throw new HivepulseError(
      'DIRECTORY_UNTRUSTED',
      path,
      `${path} ${reason}; name another with --runtime-dir, or remove it.`,
    );
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}
