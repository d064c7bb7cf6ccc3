import { closeSync, fstatSync, readSync } from 'node:fs';
import { bytesOfPath } from '../util/byte-path.js';
import { openRegularFileSync } from './untrusted.js';

/** Beyond that files are opened each time. */
const mostKept = 256;
/** A pass takes some batches, and rare files come in every tenth. */
const batchesKept = 256;

interface Kept {
  readonly descriptor: number;
  batch: number;
}

/**
 * Reads files by descriptors that are kept from one batch to the next, as native/kept_files.h does. Of a file that was removed
 * nothing old is read: one of the kernel fails, and one on a disk has no name.
 */
export class KeptFiles {
  readonly #kept = new Map<string, Kept>();
  #buffer = Buffer.allocUnsafeSlow(16 * 1024);
  #batch = 0;

  /** One record, a character for each byte. @throws what opening or reading fails with. */
  read(path: string, maxBytes: number): string {
    const known = this.#kept.get(path);
    const text = known === undefined ? null : this.#again(known, maxBytes);
    if (text !== null) return text;
    this.#drop(path);
    const descriptor = openRegularFileSync(bytesOfPath(path));
    let keeps = false;
    try {
      const first = this.#text(descriptor, maxBytes);
      keeps = this.#kept.size < mostKept;
      if (keeps) this.#kept.set(path, { descriptor, batch: this.#batch });
      return first;
    } finally {
      if (!keeps) closeSync(descriptor);
    }
  }

  /** Closes what was not read for some batches. */
  endBatch(): void {
    this.#batch += 1;
    if (this.#batch % batchesKept !== 0) return;
    for (const [path, { batch }] of this.#kept) if (batch + batchesKept < this.#batch) this.#drop(path);
  }

  /** null: it is no longer there. */
  #again(known: Kept, maxBytes: number): string | null {
    try {
      if (fstatSync(known.descriptor).nlink === 0) return null;
      known.batch = this.#batch;
      return this.#text(known.descriptor, maxBytes);
    } catch {
      return null;
    }
  }

  #text(descriptor: number, maxBytes: number): string {
    if (maxBytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(maxBytes);
    const length = readSync(descriptor, this.#buffer, 0, maxBytes, 0);
    return this.#buffer.toString('latin1', 0, length);
  }

  #drop(path: string): void {
    const known = this.#kept.get(path);
    if (known === undefined) return;
    this.#kept.delete(path);
    closeSync(known.descriptor);
  }
}
