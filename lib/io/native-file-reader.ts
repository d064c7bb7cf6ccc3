import type { Binding, NativeFileThread } from '../native/binding.js';
import { HivepulseError } from '../util/errors.js';
import { Pending } from '../util/pending.js';
import type { DirectoryEntry, FileReader, FileResult } from './file-reader.js';

type Answer = readonly FileResult[] | readonly (readonly DirectoryEntry[] | number)[];

/** Over a thread of the addon: a read that never returns does not even hold up the exit of the process. */
export class NativeFileReader implements FileReader {
  readonly #files: NativeFileThread;
  readonly #pending = new Pending<Answer>((yes) => this.#files.keepAlive(yes));
  #closed = false;

  constructor(binding: Binding) {
    this.#files = new binding.BlockingFiles(() => {
      for (const { id, results } of this.#files.take()) this.#pending.resolve(id, results as Answer);
    });
  }

  read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]> {
    return this.#submit(paths, maxBytes) as Promise<readonly FileResult[]>;
  }

  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.#submit(paths) as Promise<readonly (readonly DirectoryEntry[] | number)[]>;
  }

  runningMs(): number {
    return this.#files.runningMs();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending.rejectAll(closed());
    this.#files.close();
  }

  #submit(paths: readonly string[], maxBytes?: number): Promise<Answer> {
    if (this.#closed) return Promise.reject(closed());
    return this.#pending.add(this.#files.submit(paths, maxBytes));
  }
}

const closed = () => new HivepulseError('CLOSED', 'file reader', 'The file reader is closed.');
