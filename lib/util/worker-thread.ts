import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { packageRoot } from './package-root.js';
import { closedError } from './waiters.js';

export interface WorkerThreadOptions<Out> {
  /** The built file that the thread runs, relative to dist/: a thread runs only JavaScript, and bundlers do not follow it. */
  readonly file: string;
  readonly name: string;
  readonly workerData: unknown;
  /** After each start, before anything else is posted. */
  readonly onStart?: () => void;
  readonly onMessage: (message: Out) => void;
  /** The thread died (for example out of memory) or was closed; the next `start` or `post` starts another. */
  readonly onExit: (error: unknown) => void;
}

/** A worker thread of this package, started on first use. Keeps the event loop alive only between `keepAlive` calls. */
export class WorkerThread<In, Out> {
  readonly #options: WorkerThreadOptions<Out>;
  #thread: Worker | undefined;

  constructor(options: WorkerThreadOptions<Out>) {
    this.#options = options;
  }

  get started(): boolean {
    return this.#thread !== undefined;
  }

  start(): Worker {
    if (this.#thread) return this.#thread;
    const { file, name, workerData, onStart, onMessage } = this.#options;
    const thread = new Worker(join(packageRoot, 'dist', file), { workerData, execArgv: [], name });
    thread.unref();
    thread.on('message', onMessage);
    thread.on('error', (error) => this.#exited(thread, error));
    thread.on('exit', () => this.#exited(thread, closedError(name)));
    this.#thread = thread;
    onStart?.();
    return thread;
  }

  post(message: In): void {
    this.start().postMessage(message);
  }

  keepAlive(yes: boolean): void {
    if (yes) this.#thread?.ref();
    else this.#thread?.unref();
  }

  close(): void {
    void this.#thread?.terminate();
  }

  #exited(thread: Worker, error: unknown): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    this.#options.onExit(error);
  }
}
