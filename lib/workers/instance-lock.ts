import { createHash, randomBytes } from 'node:crypto';
import { link, lstat, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readUntrusted } from '../io/untrusted.js';
import { processLives, processStat } from '../procfs/process-stat.js';
import { temporaryPath } from '../util/atomic-file.js';
import { systemCode } from '../util/errors.js';

export const lockSuffix = '.lock';
const maxLockBytes = 1024;
const retryMs = 10;
/** Times that the directory may go while it is made, until it is taken for one that can't be made. */
const maxVanished = 20;

export const lockPath = (folder: string, instance: string) => join(folder, `${instance}${lockSuffix}`);

const remove = (path: string) => rm(path, { force: true });

/** Who holds a lock: pid and start time of this process, and which of its locks it is. */
const ownText = async () =>
  `${process.pid} ${(await processStat(process.pid))?.startTicks ?? ''} ${randomBytes(4).toString('hex')}`;

/**
 * Makes the file whole or not at all, so that a process that is killed here leaves none that nobody owns. False where there is
 * one, or no directory.
 */
async function place(path: string, text: string): Promise<boolean> {
  const aside = temporaryPath(path);
  try {
    await writeFile(aside, text, { mode: 0o600, flag: 'wx' });
    await link(aside, path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EEXIST' && code !== 'ENOENT') throw error;
    return false;
  } finally {
    await remove(aside);
  }
}

/**
 * Makes the lock file. A lock whose process is gone is taken over. `prepare` makes its folder, which others remove where it is
 * empty. False where another process held it for `waitMs`; throws what the system says.
 */
export async function claimLock(path: string, waitMs: number, prepare: () => Promise<void>): Promise<boolean> {
  const self = await ownText();
  const end = performance.now() + waitMs;
  for (let vanished = 0; ; ) {
    try {
      await prepare();
    } catch (error) {
      // Another that lets go removes the directory, which mkdir may find and then not find.
      if (systemCode(error) !== 'ENOENT' || ++vanished > maxVanished) throw error;
      continue;
    }
    if (await place(path, self)) return true;
    await releaseDeadLock(path);
    if (performance.now() >= end) return false;
    await delay(retryMs);
  }
}

const readLock = (path: string) => readUntrusted(path, { maxBytes: maxLockBytes }).catch(() => null);

/** The files beside a lock of one text by which processes took the right to remove it, by their numbers. */
const rightPrefix = (path: string, text: string) =>
  `${path}.${createHash('sha256').update(text).digest('hex').slice(0, 16)}.`;
const rightName = /^(.+\.lock)\.([0-9a-f]{16}\.)[0-9]+$/;

/**
 * Removes a lock whose process is gone, and no other. Only who has the right to do so removes it: between a look at it and its
 * removal another could remove it and a third make its own. The right is a file of its own, the next in number where its process
 * is gone too. It ends after the lock, which never comes back, so that who takes it later finds nothing to remove.
 */
export async function releaseDeadLock(path: string): Promise<void> {
  const text = await readLock(path);
  if (text === null || (await isHeld(text))) return;
  const rights = rightPrefix(path, text);
  const self = await ownText();
  for (let number = 1; ; number++) {
    const right = `${rights}${number}`;
    if (await place(right, self)) {
      try {
        if ((await readLock(path)) === text) await remove(path);
      } finally {
        await remove(right);
      }
      for (let before = 1; before < number; before++) await remove(`${rights}${before}`);
      return;
    }
    const holder = await readLock(right);
    if (holder === null || (await isHeld(holder))) return;
  }
}

/** Removes what processes that were killed have left of rights to locks that are no more. Never rejects. */
export async function sweepRights(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const match = rightName.exec(name);
    if (match === null) continue;
    const [, lock, prefix] = match as unknown as [string, string, string];
    const path = join(folder, lock);
    const text = await readLock(path);
    const isGone =
      text === null ? (await lstat(path).catch(() => null)) === null : !rightPrefix(path, text).endsWith(prefix);
    const right = join(folder, name);
    if (isGone && !(await isHeld((await readLock(right)) ?? ''))) await remove(right).catch(() => undefined);
  }
}

async function isHeld(text: string): Promise<boolean> {
  const [pid, ticks] = text.split(' ').map(Number);
  if (pid === undefined || !Number.isInteger(pid) || pid <= 0) return false;
  return processLives(pid, ticks || null);
}
