import type { RawPass, RawReaderOptions, TraceableReader } from '../native/layout.js';
import { closedError, Waiters } from '../util/waiters.js';
import { WorkerThread } from '../util/worker-thread.js';
import { FilesPass } from './files-pass.js';
import { cellCount, cells, type FilesCommand, type FilesThreadData } from './files-protocol.js';
import { Slots } from './slots.js';

/**
 * The reader in TypeScript, for where the addon can't load. `start`, `latest` and `next` work through a worker thread;
 * `passSync` reads on the caller's thread, by descriptors of its own. A worker thread that is stuck in a read does not
 * hold up this object, but it does hold up the exit of the process: Node waits for its threads.
 */
export class FilesReader implements TraceableReader {
  readonly kind = 'files';
  readonly #options: RawReaderOptions;
  readonly #shared = new SharedArrayBuffer(cellCount * BigInt64Array.BYTES_PER_ELEMENT);
  readonly #cell = new BigInt64Array(this.#shared);
  readonly #slots = new Slots();
  readonly #waiters = new Waiters<RawPass>((yes) => this.#thread.keepAlive(yes));
  readonly #thread: WorkerThread<FilesCommand, RawPass>;
  #own: FilesPass | undefined;
  #intervalMs = 0;
  #blockDevices: Float64Array | null = null;
  #latest: RawPass | null = null;
  #closed = false;

  constructor(options: RawReaderOptions) {
    this.#options = options;
    this.#thread = new WorkerThread({
      file: 'cgroup/files-thread.js',
      name: 'hivepulse-cgroups',
      workerData: { options, shared: this.#shared } satisfies FilesThreadData,
      onStart: () => {
        for (const [slot, path] of this.#slots.entries()) this.#thread.post({ kind: 'add', slot, path });
        if (this.#blockDevices !== null) this.#thread.post({ kind: 'blockDevices', table: this.#blockDevices });
      },
      onMessage: (pass) => {
        this.#latest = pass;
        this.#waiters.deliver(pass.sequence, () => copy(pass));
      },
      onExit: (error) => this.#threadExited(error),
    });
  }

  add(path: string): number {
    this.#check();
    const slot = this.#slots.add(path);
    this.#own?.add(slot, path);
    if (this.#thread.started) this.#thread.post({ kind: 'add', slot, path });
    return slot;
  }

  remove(slot: number): void {
    if (this.#closed || !this.#slots.remove(slot)) return;
    this.#own?.remove(slot);
    if (this.#thread.started) this.#thread.post({ kind: 'remove', slot });
  }

  setBlockDevices(table: Float64Array): void {
    if (this.#closed) return;
    this.#blockDevices = table;
    this.#own?.setBlockDevices(table);
    if (this.#thread.started) this.#thread.post({ kind: 'blockDevices', table });
  }

  passSync(): RawPass {
    this.#check();
    if (!this.#own) {
      this.#own = new FilesPass(this.#options);
      for (const [slot, path] of this.#slots.entries()) this.#own.add(slot, path);
      if (this.#blockDevices !== null) this.#own.setBlockDevices(this.#blockDevices);
    }
    return this.#own.pass(Number(Atomics.add(this.#cell, cells.begun, 1n)) + 1);
  }

  start(intervalMs: number): void {
    this.#check();
    this.#intervalMs = Math.max(1, intervalMs);
    this.#thread.post({ kind: 'start', intervalMs: this.#intervalMs });
  }

  latest(): RawPass | null {
    return this.#latest && copy(this.#latest);
  }

  next(signal?: AbortSignal): Promise<RawPass> {
    if (this.#closed) return Promise.reject(closedError('cgroup reader'));
    this.#thread.start();
    const promise = this.#waiters.wait(Number(Atomics.load(this.#cell, cells.begun)) + 1, signal);
    if (this.#intervalMs === 0) this.#thread.post({ kind: 'request' });
    return promise;
  }

  runningMs(): number {
    const since = Atomics.load(this.#cell, cells.runningSince);
    return since === 0n ? 0 : Number(process.hrtime.bigint() - since) / 1e6;
  }

  reading(): number | null {
    const slot = Number(Atomics.load(this.#cell, cells.reading)) - 1;
    return slot < 0 ? null : slot;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiters.rejectAll(closedError('cgroup reader'));
    this.#own?.close();
    this.#thread.close();
  }

  #check(): void {
    if (this.#closed) throw closedError('cgroup reader');
  }

  #threadExited(error: unknown): void {
    Atomics.store(this.#cell, cells.runningSince, 0n);
    this.#waiters.rejectAll(error);
    if (this.#closed || this.#intervalMs === 0) return;
    setTimeout(() => !this.#closed && this.start(this.#intervalMs), Math.max(this.#intervalMs, 1000)).unref();
  }
}

const copy = (pass: RawPass): RawPass => ({
  ...pass,
  workers: pass.workers.slice(),
  processes: pass.processes.slice(),
  errors: pass.errors.slice(),
});
