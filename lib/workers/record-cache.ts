import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type RecordsRead, readRecords } from './records.js';

/** A write within the clock's grain of a look does not show in the next one: what is younger is looked at again. */
const grainMs = 50;

/** The directories of records at one time. */
interface Look {
  /** Those that are there, and the runtime directory: a new one shows in the times of what it is in. */
  readonly present: readonly string[];
  /** Of `present`: what changes with each file that comes, goes or is replaced. */
  readonly times: string;
  /** All of them, of which some may be missing. */
  readonly signature: string;
  /** Whatever is written from now on shows. */
  readonly isSettled: boolean;
}

/**
 * Records of workers, read again only when a file among them came, went or was replaced: writers rename into place, so
 * the directories' times tell. Gives the same object as long as nothing changed.
 */
export function recordCache(dir: string, read: (dir: string) => Promise<RecordsRead> = readRecords) {
  let look: Look | null = null;
  let last: RecordsRead = { running: [], ended: [], launching: [], problems: [] };
  return async (): Promise<RecordsRead> => {
    if (look?.isSettled && (await timesOf(look.present)).join('\n') === look.times) return last;
    const now = await lookAt(dir);
    // What was written since, within the grain of the look before, does not show in the times.
    if (now.signature !== look?.signature || !look.isSettled) {
      const fresh = await read(dir);
      if (JSON.stringify(fresh) !== JSON.stringify(last)) last = fresh;
    }
    look = now;
    return last;
  };
}

async function lookAt(dir: string): Promise<Look> {
  const atMs = Date.now();
  const workers = join(dir, 'workers');
  const groups = await readdir(workers).catch(() => []);
  const paths = [dir, workers, join(dir, 'exits'), ...groups.sort().map((group) => join(workers, group))];
  const times = await timesOf(paths);
  const isPresent = (i: number) => i === 0 || times[i] !== missing;
  const newestMs = Math.max(
    0,
    ...times.map((time) => (time === missing ? 0 : Number(time.slice(time.lastIndexOf(' '))) / 1e6)),
  );
  return {
    present: paths.filter((_path, i) => isPresent(i)),
    times: times.filter((_time, i) => isPresent(i)).join('\n'),
    signature: paths.map((path, i) => `${path} ${times[i]}`).join('\n'),
    isSettled: atMs - newestMs >= grainMs,
  };
}

const missing = '-';

function timesOf(paths: readonly string[]): Promise<string[]> {
  return Promise.all(
    paths.map(async (path) => {
      const found = await lstat(path, { bigint: true }).catch(() => null);
      return found === null ? missing : `${found.ino} ${found.uid} ${found.mode} ${found.mtimeNs}`;
    }),
  );
}
