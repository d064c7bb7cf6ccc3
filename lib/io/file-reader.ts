import type { DirectoryEntry, FileResult } from '../native/binding.js';
import type { DrmClientResult } from '../native/drm-clients.js';

export type { DirectoryEntry, FileResult };

/** Inodes of the directories that processes have in /proc, by pid. Another process that has a pid has another one. */
export type PidInodes = ReadonlyMap<number, number>;

/** A file of the kernel, a character for each byte; a number is the errno. */
export type KeptResult = string | number;

/** No path has a NUL in it. */
const separator = '\0';

export const filesOfDevice = (files: readonly string[]): string => files.join(separator);
export const splitDevice = (device: string): readonly string[] => device.split(separator);

/** What power/runtime_status says of a device that is not to be touched; native/blocking_files.cc says it too. */
export const sleeps = (status: string): boolean =>
  /^(?:suspended|suspending|resuming)$/.test(status.split('\n', 1)[0] ?? '');

/**
 * File reads that may block on somebody else's lock (/proc, cgroupfs), done off the event loop and outside libuv's pool:
 * on a thread of the addon, or in a worker thread where there is no addon. One batch at a time, in order. A read that
 * never returns holds up only this object: `runningMs` shows it, and `close` does not wait for it.
 */
export interface FileReader {
  /**
   * Reads each file whole, up to `maxBytes` (longer files are cut there). A path may be one that another user can write:
   * a symbolic link gives ELOOP, what is neither a file nor a directory ENOTSUP, without waiting for it.
   */
  read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]>;
  /**
   * As `read`, of files of the kernel that are read again and again: descriptors are kept from call to call where the
   * reader can. Of a file that was removed and made anew the new one is read.
   */
  readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]>;
  /**
   * Devices, each by one text that `filesOfDevice` makes: its runtime status, which is read first, and other files, which are
   * read as `readKept` does, in their order, unless that says that it sleeps: any of them would wake it, or give what was
   * before. So the results of one that sleeps are one.
   */
  readAwake(devices: readonly string[], maxBytes: number): Promise<readonly (readonly KeptResult[] | number)[]>;
  /** Lists each directory; a number is the errno. */
  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]>;
  /** The processes that each directory, as /proc is one, shows; a number is the errno. */
  pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]>;
  /** Targets of the symbolic links in each directory that begin with `prefix`; a number is the errno. */
  links(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]>;
  /** The names of those links. */
  linkNames(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]>;
  /**
   * The sockets that listen in each network namespace (`/proc/<pid>/ns/net`), as `parseSocketDump` reads them; a number is the
   * errno: ENOTSUP where there is no addon, EPERM where the namespace may not be entered.
   */
  listening(namespaces: readonly string[]): Promise<readonly FileResult[]>;
  /**
   * What each process has used, by its directory, all in one /proc: `usageColumns`, or the errno. Keeps descriptors from call to call.
   * Left out by a reader that can't: its callers parse the files.
   */
  usage?(directories: readonly string[]): Promise<readonly (Float64Array | number)[]>;
  /** The DRM client that each fdinfo is of. Keeps descriptors as `readKept`. Left out by a reader that can't parse them. */
  drmClients?(paths: readonly string[], maxBytes: number): Promise<readonly DrmClientResult[]>;
  /** How long the batch now running has been running, in ms; 0 when none is. */
  runningMs(): number;
  /** Which file of a device the batch now running is at, from 0; of other batches 0. */
  runningAt(): number;
  /** Rejects what is outstanding with code CLOSED. May be called twice. */
  close(): void;
}
