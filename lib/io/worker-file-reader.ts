import { Worker } from 'node:worker_threads';
import { HivepulseError } from '../util/errors.js';
import { Pending } from '../util/pending.js';
import { workerEntry } from '../util/worker-entry.js';
import type { DirectoryEntry, FileReader, FileResult } from './file-reader.js';

export interface FilesRequest {
  readonly id: number;
  readonly paths: readonly string[];
  /** null: list the directories. */
  readonly maxBytes: number | null;
}

type Result = Uint8Array | number | readonly DirectoryEntry[];

/** Over a worker thread, where there is no addon. A read that never returns holds up the exit of the process. */
export class WorkerFileReader implements FileReader {
  readonly #runningSince = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  readonly #pending = new Pending<readonly Result[]>((yes) => (yes ? this.#thread?.ref() : this.#thread?.unref()));
  #thread: Worker | undefined;
  #lastId = 0;
  #closed = false;

  async read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]> {
    const results = await this.#submit(paths, maxBytes);
    return results.map((result) => (result instanceof Uint8Array ? asBuffer(result) : (result as number)));
  }

  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.#submit(paths, null) as Promise<readonly (readonly DirectoryEntry[] | number)[]>;
  }

  runningMs(): number {
    const since = Atomics.load(this.#runningSince, 0);
    return since === 0n ? 0 : Number(process.hrtime.bigint() - since) / 1e6;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending.rejectAll(closed());
    void this.#thread?.terminate();
  }

  #submit(paths: readonly string[], maxBytes: number | null): Promise<readonly Result[]> {
    if (this.#closed) return Promise.reject(closed());
    const thread = this.#ensureThread();
    const id = ++this.#lastId;
    const answer = this.#pending.add(id);
    thread.postMessage({ id, paths, maxBytes } satisfies FilesRequest);
    return answer;
  }

  #ensureThread(): Worker {
    if (this.#thread) return this.#thread;
    const thread = new Worker(workerEntry('io/worker-file-reader-thread.js'), {
      workerData: this.#runningSince.buffer,
      execArgv: [],
      name: 'hivepulse-files',
    });
    thread.unref();
    thread.on('message', ({ id, results }: { id: number; results: readonly Result[] }) => {
      this.#pending.resolve(id, results);
    });
    thread.on('error', (error) => this.#lost(thread, error));
    thread.on('exit', () => this.#lost(thread, closed()));
    this.#thread = thread;
    return thread;
  }

  /** The thread died (out of memory): those who wait hear why, and the next call starts another. */
  #lost(thread: Worker, error: unknown): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    Atomics.store(this.#runningSince, 0, 0n);
    this.#pending.rejectAll(error);
  }
}

const closed = () => new HivepulseError('CLOSED', 'file reader', 'The file reader is closed.');
const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
