import { randomBytes } from 'node:crypto';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readUntrusted } from '../io/untrusted.js';
import { processLives, processStat } from '../procfs/process-stat.js';
import { systemCode } from '../util/errors.js';

export const lockSuffix = '.lock';
const maxLockBytes = 1024;
const retryMs = 10;
/** Times that the directory may go while it is made, until it is taken for one that can't be made. */
const maxVanished = 20;

export const lockPath = (folder: string, instance: string) => join(folder, `${instance}${lockSuffix}`);

/** A name beside the lock that the sweep of temporary files knows, should this process be killed. */
const aside = (path: string) => `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;

/**
 * Makes the lock file, with pid and start time of this process in it: whole or not at all, so that a process that is
 * killed here leaves no lock that nobody owns. A lock whose process is gone is taken over. `prepare` makes its folder,
 * which others remove where it is empty. False where another process held it for `waitMs`; throws what the system says.
 */
export async function claimLock(path: string, waitMs: number, prepare: () => Promise<void>): Promise<boolean> {
  const self = `${process.pid} ${(await processStat(process.pid))?.startTicks ?? ''} ${randomBytes(4).toString('hex')}`;
  const end = performance.now() + waitMs;
  for (let vanished = 0; ; ) {
    try {
      await prepare();
    } catch (error) {
      // Another that lets go removes the directory, which mkdir may find and then not find.
      if (systemCode(error) !== 'ENOENT' || ++vanished > maxVanished) throw error;
      continue;
    }
    const own = aside(path);
    try {
      await writeFile(own, self, { mode: 0o600, flag: 'wx' });
      await link(own, path);
      return true;
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'EEXIST' && code !== 'ENOENT') throw error;
    } finally {
      await rm(own, { force: true });
    }
    await releaseDeadLock(path);
    if (performance.now() >= end) return false;
    await delay(retryMs);
  }
}

const readLock = (path: string) => readUntrusted(path, { maxBytes: maxLockBytes }).catch(() => null);

/**
 * Removes a lock whose process is gone, and no other: it is moved aside first, since between the look and the removal
 * another process may have taken it over, whose lock then goes back.
 */
export async function releaseDeadLock(path: string): Promise<void> {
  const text = await readLock(path);
  if (text === null || (await isHeld(text))) return;
  const moved = aside(path);
  try {
    await rename(path, moved);
    if ((await readLock(moved)) !== text) await link(moved, path).catch(() => undefined);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  } finally {
    await rm(moved, { force: true });
  }
}

async function isHeld(text: string): Promise<boolean> {
  const [pid, ticks] = text.split(' ').map(Number);
  if (pid === undefined || !Number.isInteger(pid) || pid <= 0) return false;
  return processLives(pid, ticks || null);
}
