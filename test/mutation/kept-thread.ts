import { type PoolOptions, type PoolWorker, ThreadsPoolWorker, type Vite, type WorkerRequest } from 'vitest/node';

/** After so many runs a new one: each leaves listeners behind in the thread. */
const mostRuns = 100;

type Listener = (argument: unknown) => void;

/**
 * One thread for all runs of the tests: Vitest starts one for each, which imports everything anew, and that is most of what a
 * mutant costs. Stryker switches mutants by a variable while the tests run, so that what is loaded may stay; a mutant that
 * never ends takes the thread along with the process of its runner.
 */
class KeptThread implements PoolWorker {
  static #shared: ThreadsPoolWorker | null = null;
  static #runs = 0;

  readonly name = 'kept';
  readonly #thread: ThreadsPoolWorker;
  readonly #listeners: [event: string, listener: Listener][] = [];

  constructor(options: PoolOptions) {
    KeptThread.#shared ??= new ThreadsPoolWorker(options);
    this.#thread = KeptThread.#shared;
  }

  on(event: string, listener: Listener): void {
    this.#listeners.push([event, listener]);
    this.#thread.on(event, listener);
  }

  off(event: string, listener: Listener): void {
    this.#thread.off(event, listener);
  }

  send(message: WorkerRequest): void {
    if ('type' in message && message.type === 'stop')
      this.#answer({ type: 'stopped', __vitest_worker_response__: true });
    else this.#thread.send(message);
  }

  async start(): Promise<void> {
    if (KeptThread.#runs++ === 0) await this.#thread.start();
  }

  async stop(): Promise<void> {
    for (const [event, listener] of this.#listeners) this.#thread.off(event, listener);
    if (KeptThread.#runs < mostRuns) return;
    KeptThread.#runs = 0;
    KeptThread.#shared = null;
    await this.#thread.stop();
  }

  deserialize(data: unknown): unknown {
    return this.#thread.deserialize(data);
  }

  /** What the thread would say, which would then listen to nobody any more. */
  #answer(message: unknown): void {
    for (const [event, listener] of this.#listeners) if (event === 'message') queueMicrotask(() => listener(message));
  }
}

export const keepThread: Vite.Plugin = {
  name: 'one thread for all mutants',
  configureVitest({ project }) {
    project.config.pool = 'kept';
    project.config.poolRunner = { name: 'kept', createPoolWorker: (options) => new KeptThread(options) };
  },
};
