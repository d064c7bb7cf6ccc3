import { lstat, mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isTrustedDirectory, readUntrusted } from '../io/untrusted.js';
import { sweepTemporaryFiles, writeAtomically } from '../util/atomic-file.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { claimLock, lockPath, lockSuffix, releaseDeadLock, sweepRights } from './instance-lock.js';
import { checkRecord, type WorkerExit, type WorkerRecord } from './record-schema.js';

export type { WorkerExit, WorkerRecord } from './record-schema.js';

export interface RecordsRead {
  /** Workers that run, as far as their records know: `exit` is null, or says that only re-parented children are left. */
  readonly running: readonly WorkerRecord[];
  /** Workers that ended in the last minutes (`exitRetentionMs`), oldest first; `exit` is set. */
  readonly ended: readonly WorkerRecord[];
  /** Names whose worker is being started: its record is still to come. */
  readonly launching: readonly { readonly id: string; readonly sinceMs: number /** By the wall clock. */ }[];
  /** Files that could not be read; the rest is complete. */
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

/** How long an exit is kept for a hive to report; a hive that was down longer learns only that the worker is gone. */
export const exitRetentionMs = 10 * 60_000;
const maxExits = 1000;
const maxRecordBytes = 1024 * 1024;

const workersOf = (dir: string) => join(dir, 'workers');
const exitsOf = (dir: string) => join(dir, 'exits');
export const recordPath = (dir: string, group: string, instance: string) =>
  join(workersOf(dir), group, `${instance}.json`);

/**
 * `/run/hivepulse` for root, else `$XDG_RUNTIME_DIR/hivepulse`, else a directory of the user's own under `/tmp`
 * (`HIVEPULSE_RUNTIME_DIR` names another).
 */
export function defaultRuntimeDir(
  environment: NodeJS.ProcessEnv = process.env,
  uid: number = process.geteuid?.() ?? 0,
): string {
  if (environment.HIVEPULSE_RUNTIME_DIR) return environment.HIVEPULSE_RUNTIME_DIR;
  if (uid === 0 && process.platform === 'linux') return '/run/hivepulse';
  if (environment.XDG_RUNTIME_DIR) return join(environment.XDG_RUNTIME_DIR, 'hivepulse');
  return `/tmp/hivepulse-${uid}`;
}

/** Makes the directory; refuses one that others own or can write, since records decide what is signalled. */
export async function ensureDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await isTrustedDirectory(path);
}

function unwritable(dir: string, cause: unknown): HivepulseError {
  if (cause instanceof HivepulseError) return cause;
  return new HivepulseError(
    'STATE_UNWRITABLE',
    dir,
    `The runtime directory ${dir} cannot be written (${systemCode(cause) ?? String(cause)}); name another with --runtime-dir.`,
    { cause },
  );
}

/** Writes or replaces the record of a running worker. Throws STATE_UNWRITABLE. */
export async function writeRecord(dir: string, record: WorkerRecord, write = writeAtomically): Promise<void> {
  try {
    await ensureDirectory(dir);
    for (let attempt = 0; ; attempt += 1) {
      await mkdir(join(workersOf(dir), record.group), { recursive: true, mode: 0o700 });
      try {
        return await write(recordPath(dir, record.group, record.instance), JSON.stringify(record));
      } catch (error) {
        // Another process removed the group's directory because it was empty.
        if (systemCode(error) !== 'ENOENT' || attempt === 4) throw error;
      }
    }
  } catch (error) {
    throw unwritable(dir, error);
  }
}

/**
 * Notes how a worker ended, for a hive to find, and drops its running record, unless children of it live on.
 * A record that a newer worker of the same name has written is left alone.
 */
export async function recordExit(dir: string, record: WorkerRecord, exit: WorkerExit): Promise<void> {
  const ended: WorkerRecord = { ...record, exit };
  try {
    await ensureDirectory(dir);
    await mkdir(exitsOf(dir), { recursive: true, mode: 0o700 });
    const name = `${Date.now()}-${record.pid}.json`;
    await writeAtomically(join(exitsOf(dir), name), JSON.stringify(ended));
    if (exit.remaining > 0) await writeRecord(dir, ended);
    else await removeRecord(dir, record);
    await pruneExits(dir, Date.now());
  } catch (error) {
    throw unwritable(dir, error);
  }
}

/** Removes the running record of exactly this worker (pid and start time), and the lock of a launch that was killed. */
export async function removeRecord(
  dir: string,
  record: Pick<WorkerRecord, 'group' | 'instance' | 'pid' | 'startTicks'>,
): Promise<void> {
  const current = await readRecord(dir, record.group, record.instance);
  if (current !== null && (current.pid !== record.pid || current.startTicks !== record.startTicks)) return;
  const folder = join(workersOf(dir), record.group);
  await rm(recordPath(dir, record.group, record.instance), { force: true });
  await releaseDeadLock(lockPath(folder, record.instance));
  await rmdir(folder).catch(() => undefined); // not empty, or gone
}

/**
 * Holds a worker's name while it is launched, so that two launches do not meet in one cgroup. A lock whose process is gone
 * is taken over. Returns what frees it. Throws INSTANCE_OCCUPIED after `waitMs`, STATE_UNWRITABLE.
 */
export async function lockInstance(
  dir: string,
  group: string,
  instance: string,
  waitMs = 10_000,
): Promise<() => Promise<void>> {
  const folder = join(workersOf(dir), group);
  const path = lockPath(folder, instance);
  const claimed = await claimLock(path, waitMs, async () => {
    await ensureDirectory(dir);
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }).catch((error: unknown) => {
    throw unwritable(dir, error);
  });
  if (!claimed) {
    const id = `${group}/${instance}`;
    throw new HivepulseError(
      'INSTANCE_OCCUPIED',
      id,
      `${id} is being launched by another process; if none is, remove ${path}.`,
    );
  }
  return async () => {
    await rm(path, { force: true });
    await rmdir(folder).catch(() => undefined); // holds records
  };
}

/** Where records are written: the directory of each group, and that of exits. */
async function directoriesOf(dir: string): Promise<readonly string[]> {
  const groups = await readdir(workersOf(dir)).catch(() => []);
  return [...groups.map((group) => join(workersOf(dir), group)), exitsOf(dir)];
}

/** Exits are named for the time at which they were noted, so that old ones are found without a look into each. */
async function pruneExits(dir: string, nowMs: number): Promise<void> {
  const names = (await readdir(exitsOf(dir)).catch(() => [])).filter((name) => name.endsWith('.json')).sort();
  const old = names.filter(
    (name, i) => i < names.length - maxExits || nowMs - Number.parseInt(name, 10) > exitRetentionMs,
  );
  for (const name of old) await rm(join(exitsOf(dir), name), { force: true });
}

/** What keeps a file from being read, for people. */
function reasonOf(error: unknown): string {
  switch (systemCode(error)) {
    case 'ELOOP':
      return 'a symbolic link';
    case 'ENOTSUP':
      return 'not a regular file';
    case 'EFBIG':
      return 'larger than any record';
    case 'ETIMEDOUT':
      return 'reading it does not return';
    default:
      return systemCode(error) ?? String(error);
  }
}

type FileRead = { readonly record: WorkerRecord } | { readonly problem: string } | null;

async function readFileRecord(path: string, read = readUntrusted): Promise<FileRead> {
  try {
    return checkRecord(JSON.parse(await read(path, { maxBytes: maxRecordBytes })));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null; // it ended between listing and reading
    return { problem: error instanceof SyntaxError ? 'torn or not JSON' : reasonOf(error) };
  }
}

/**
 * The running record of one worker, or null where there is none that can be read.
 * @throws HivepulseError DIRECTORY_UNTRUSTED
 */
export async function readRecord(dir: string, group: string, instance: string): Promise<WorkerRecord | null> {
  if (!(await isTrustedDirectory(dir))) return null;
  const read = await readFileRecord(recordPath(dir, group, instance));
  return read !== null && 'record' in read ? read.record : null;
}

/**
 * All records under a runtime directory. A directory that does not exist is no worker; a torn or foreign file is a
 * problem of its own and costs no other record. Says what was written, not what lives: check pid, start time and inode.
 */
export async function readRecords(dir: string, readOne = readUntrusted): Promise<RecordsRead> {
  const running: WorkerRecord[] = [];
  const ended: WorkerRecord[] = [];
  const launching: { id: string; sinceMs: number }[] = [];
  const problems: { path: string; message: string }[] = [];
  const list = async (path: string): Promise<readonly string[]> => {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR') problems.push({ path, message: code ?? String(error) });
      return [];
    }
  };
  const take = async (path: string, into: WorkerRecord[]) => {
    if (!path.endsWith('.json')) return;
    const read = await readFileRecord(path, readOne);
    if (read === null) return;
    if ('problem' in read) problems.push({ path, message: read.problem });
    else into.push(read.record);
  };
  try {
    if (!(await isTrustedDirectory(dir))) return { running, ended, launching, problems };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { running, ended, launching, problems: [{ path: dir, message }] };
  }
  for (const group of await list(workersOf(dir))) {
    for (const name of await list(join(workersOf(dir), group))) {
      const path = join(workersOf(dir), group, name);
      if (!name.endsWith(lockSuffix)) await take(path, running);
      else {
        const lock = await lstat(path).catch(() => null);
        if (lock) launching.push({ id: `${group}/${name.slice(0, -lockSuffix.length)}`, sinceMs: lock.mtimeMs });
      }
    }
  }
  for (const name of await list(exitsOf(dir))) await take(join(exitsOf(dir), name), ended);
  ended.sort((a, b) => (a.exit?.at ?? '').localeCompare(b.exit?.at ?? ''));
  return { running, ended, launching, problems };
}

/**
 * Removes records of workers that are certainly gone (their cgroup is, or is another one; without a cgroup, their
 * process is), and unreadable and temporary files older than a minute. Returns what it removed.
 */
export async function cleanRecords(
  dir: string,
  isAlive: (record: WorkerRecord) => Promise<boolean>,
  nowMs: number = Date.now(),
): Promise<readonly WorkerRecord[]> {
  const { running, problems } = await readRecords(dir);
  const removed: WorkerRecord[] = [];
  for (const record of running) {
    if (await isAlive(record)) continue;
    await removeRecord(dir, record);
    removed.push(record);
  }
  for (const { path } of problems) {
    const found = await lstat(path).catch(() => null);
    if (found !== null && !found.isDirectory() && nowMs - found.mtimeMs > 60_000) await rm(path, { force: true });
  }
  await pruneExits(dir, nowMs);
  for (const each of await directoriesOf(dir)) {
    for (const name of await readdir(each).catch(() => [])) {
      if (name.endsWith(lockSuffix)) await releaseDeadLock(join(each, name));
    }
    await sweepRights(each);
    await sweepTemporaryFiles(each, nowMs);
  }
  return removed;
}

/** How long a launch is waited for, ms: systemd-run is given 30 s. */
const launchMs = 35_000;

/** Whether the record of a launch that began then, by the wall clock, may still come. */
export const isRecentLaunch = (sinceMs: number): boolean => Math.abs(Date.now() - sinceMs) < launchMs;
