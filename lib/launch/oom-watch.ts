import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';

/** Kills of one worker since the last look, and in the life of its cgroup. */
export type OnOomKill = (id: string, kills: number, total: number) => void;

interface Watched {
  readonly id: string;
  readonly file: string;
  kills: number;
  watcher: FSWatcher | null;
}

/**
 * Counts the OOM kills of workers in their memory.events. The kernel notifies watchers of that file; a timer stands in
 * where it does not.
 */
export class OomWatch {
  readonly #workers = new Set<Watched>();
  readonly #intervalMs: number;
  readonly #onKill: OnOomKill;
  #timer: NodeJS.Timeout | null = null;

  constructor(intervalMs: number, onKill: OnOomKill) {
    this.#intervalMs = intervalMs;
    this.#onKill = onKill;
  }

  /**
   * Watches a worker. What it returns ends that with a last look, and gives all kills in the life of the cgroup, or null
   * where they cannot be known.
   */
  add(id: string, cgroup: string): () => number | null {
    const worker: Watched = { id, file: join(cgroup, 'memory.events'), kills: 0, watcher: null };
    this.#workers.add(worker);
    try {
      worker.watcher = watch(worker.file, { persistent: false }, () => this.#check(worker));
      worker.watcher.on('error', () => worker.watcher?.close());
    } catch {
      // No memory controller here, or the worker has ended already.
    }
    this.#timer ??= setInterval(() => {
      for (const each of this.#workers) this.#check(each);
    }, this.#intervalMs).unref();
    return () => {
      const total = this.#check(worker);
      worker.watcher?.close();
      this.#workers.delete(worker);
      if (this.#workers.size === 0) this.close();
      return total;
    };
  }

  /** Synchronous: the file is tiny and behind no lock, and systemd removes an empty scope within milliseconds. */
  #check(worker: Watched): number | null {
    let found: string | undefined;
    try {
      found = /^oom_kill (\d+)$/m.exec(readFileSync(worker.file, 'utf8'))?.[1];
    } catch {
      // The cgroup is gone, or has no memory controller.
    }
    if (found === undefined) return worker.kills > 0 ? worker.kills : null;
    const total = Number(found);
    const kills = total - worker.kills;
    if (kills > 0) {
      worker.kills = total;
      this.#onKill(worker.id, kills, total);
    }
    return total;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const { watcher } of this.#workers) watcher?.close();
  }
}
