import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type RecordsRead, readRecords } from './records.js';

/**
 * Records of workers, read again only when a file among them came, went or was replaced: writers rename into place, so
 * the directories' times tell. Gives the same object as long as nothing changed.
 */
export function recordCache(dir: string, read: (dir: string) => Promise<RecordsRead> = readRecords) {
  let signature: string | null = null;
  let last: RecordsRead = { running: [], ended: [], launching: [], problems: [] };
  return async (): Promise<RecordsRead> => {
    const now = await directoryTimes(dir);
    // A write within the clock's grain of the last look would not show: what is young is read again.
    if (now.text !== signature || Date.now() - now.newestMs < 50) {
      const fresh = await read(dir);
      if (now.text !== signature || JSON.stringify(fresh) !== JSON.stringify(last)) last = fresh;
      signature = now.text;
    }
    return last;
  };
}

async function directoryTimes(dir: string): Promise<{ readonly text: string; readonly newestMs: number }> {
  const workers = join(dir, 'workers');
  const groups = await readdir(workers).catch(() => []);
  const paths = [dir, workers, join(dir, 'exits'), ...groups.sort().map((group) => join(workers, group))];
  let newestMs = 0;
  const times = await Promise.all(
    paths.map(async (path) => {
      const found = await lstat(path, { bigint: true }).catch(() => null);
      if (found === null) return `${path} -`;
      newestMs = Math.max(newestMs, Number(found.mtimeMs));
      return `${path} ${found.ino} ${found.uid} ${found.mode} ${found.mtimeNs}`;
    }),
  );
  return { text: times.join('\n'), newestMs };
}
