import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { locateCgroups } from '../lib/cgroup/locate.js';
import { workerFiles } from '../lib/native/layout.js';
import type { BenchContext } from './metric.js';

/** Makes cgroups for a run under the machine's v2 mount and takes them away after it. */
export class BenchCgroups {
  readonly root: string;
  readonly #made: string[] = [];

  constructor(context: BenchContext) {
    const { root, systemd, reason } = locateCgroups();
    if (!root) throw new Error(reason ?? 'no cgroup v2');
    if (systemd !== 'none' && !process.env.HIVEPULSE_BENCH_ROOT) {
      throw new Error(
        'systemd owns the tree: run in a scope with Delegate=yes and name its cgroup in HIVEPULSE_BENCH_ROOT',
      );
    }
    this.root = join(process.env.HIVEPULSE_BENCH_ROOT ?? root, `hivepulse-bench-${process.pid}`);
    this.#make(this.root);
    context.defer(() => this.remove());
  }

  #make(path: string): string {
    mkdirSync(path);
    this.#made.push(path);
    return path;
  }

  make(count: number): readonly string[] {
    return Array.from({ length: count }, () => this.#make(join(this.root, String(this.#made.length))));
  }

  /** Removes the cgroups but for the run's own. A killed process leaves its cgroup a moment after it was waited for. */
  async empty(): Promise<void> {
    const deadline = performance.now() + 5000;
    while (this.#made.length > 1) {
      try {
        rmdirSync(this.#made.at(-1) as string);
        this.#made.pop();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  async remove(): Promise<void> {
    await this.empty();
    if (existsSync(this.root)) rmdirSync(this.root);
  }
}

/** The files that a reader reads of these cgroups: on a hybrid host v2 has fewer. */
export function filesOf(cgroups: readonly string[]): readonly string[] {
  const there = workerFiles.filter((name) => existsSync(join(cgroups[0] as string, name)));
  return cgroups.flatMap((cgroup) => there.map((name) => join(cgroup, name)));
}
