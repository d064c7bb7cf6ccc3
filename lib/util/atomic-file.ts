import { randomBytes } from 'node:crypto';
import { type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Names of temporary files, those of 0.1 included: what is written, the process, and a random part. */
const temporaryName = /\.[0-9]{1,10}(?:-[0-9a-f]{8}|\.[0-9a-f]{8}\.tmp)$/;
/** A name beside a file, for what is written before it takes its place: known to the sweep, should this process be killed. */
export const temporaryPath = (path: string): string => `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
/** A younger one may be in use by another process, ms. */
const leftOverAfterMs = 60_000;

/** Characters of a text in pieces that are made and written in one go; between two of them others have their turn. */
const pieceChars = 128 * 1024;

async function write(file: FileHandle, text: string | Iterable<string>): Promise<void> {
  if (typeof text === 'string') return file.writeFile(text);
  let parts: string[] = [];
  let chars = 0;
  for (const part of text) {
    parts.push(part);
    chars += part.length;
    if (chars < pieceChars) continue;
    await file.writeFile(parts.join(''));
    parts = [];
    chars = 0;
  }
  await file.writeFile(parts.join(''));
}

/**
 * Replaces a file whole: readers see the old one or the new one, never half of one, and nobody else may read it. `durable`:
 * it outlives a crash of the host once this resolves. A text in pieces is made as it is written, a little at a time.
 */
export async function writeAtomically(
  path: string,
  text: string | Iterable<string>,
  { durable = false } = {},
): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await write(file, text);
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  if (!durable) return;
  // The rename itself lasts only once the directory is synced; some file systems refuse that, and then it is best effort.
  const directory = await open(dirname(path)).catch(() => null);
  await directory?.sync().catch(() => {});
  await directory?.close();
}

/** Removes temporary files that a killed process left in a directory. Never rejects. */
export async function sweepTemporaryFiles(directory: string, nowMs: number = Date.now()): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (!temporaryName.test(name)) continue;
    const path = join(directory, name);
    const found = await lstat(path).catch(() => null);
    if (found?.isFile() && nowMs - found.mtimeMs > leftOverAfterMs) await rm(path, { force: true }).catch(() => {});
  }
}
