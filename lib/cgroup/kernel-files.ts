import { closeSync, constants, openSync, readSync } from 'node:fs';
import { constants as system } from 'node:os';
import { bytesOfPath } from '../util/byte-path.js';
import { openFilesLimit } from '../util/open-files.js';

/** Far above any kernel file, so that one without an end does not take all memory. */
const maxBytes = 64 * 1024 * 1024;
/** A list comes in pages, each cut at a record; a read that is shorter than this was the last. */
const surelyLast = 4096 - 64;
const usualOpenFiles = 1024;

/** The errno of an error of the system; throws any other error. */
export const errnoOf = (error: unknown): number => {
  const errno = (error as NodeJS.ErrnoException).errno;
  if (typeof errno !== 'number') throw error;
  return -errno;
};

/** Descriptors that may be kept: RLIMIT_NOFILE less a reserve for the rest of this process. */
function descriptorBudget(): number {
  const soft = openFilesLimit() ?? usualOpenFiles;
  return soft - Math.min(Math.max(soft / 8, 64), 1024);
}

/** Opens and reads kernel files into one buffer, and counts the descriptors that are kept open. */
export class KernelFiles {
  /** What the last `read` gave. */
  buffer = Buffer.allocUnsafeSlow(16 * 1024);
  /** errno of the last `open` or `read` that failed. */
  errno = 0;
  readonly #budget: number;
  #kept = 0;

  constructor(maxDescriptors: number) {
    this.#budget = Math.min(descriptorBudget(), maxDescriptors);
  }

  /** -1: `errno` says why. */
  open(path: string): number {
    try {
      return openSync(bytesOfPath(path), constants.O_RDONLY | constants.O_NOCTTY);
    } catch (error) {
      this.errno = errnoOf(error);
      return -1;
    }
  }

  /** Reads a file from its start into the buffer and returns its length; -1: `errno` says why. */
  read(descriptor: number, list: boolean): number {
    let length = 0;
    for (;;) {
      const room = this.buffer.length - length;
      let got: number;
      try {
        got = readSync(descriptor, this.buffer, length, room, length);
      } catch (error) {
        this.errno = errnoOf(error);
        return -1;
      }
      length += got;
      if (got < room) {
        if (got === 0 || !list || got < surelyLast) return length;
        continue;
      }
      if (this.buffer.length >= maxBytes) {
        this.errno = system.errno.EFBIG;
        return -1;
      }
      const grown = Buffer.allocUnsafeSlow(this.buffer.length * 2);
      this.buffer.copy(grown, 0, 0, length);
      this.buffer = grown;
      // Read again whole: two halves would be of two moments.
      if (!list) length = 0;
    }
  }

  /** Whether one more descriptor may be kept; it is counted until `closeKept`. */
  keep(): boolean {
    if (this.#kept >= this.#budget) return false;
    this.#kept++;
    return true;
  }

  closeKept(descriptor: number): void {
    closeSync(descriptor);
    this.#kept--;
  }
}
