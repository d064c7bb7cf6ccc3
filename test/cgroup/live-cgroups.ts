import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../harness/wait.js';

let count = 0;

/** A cgroup of this machine with children of ours; `remove` ends what is in it and takes it away. */
export class LiveCgroups {
  readonly directory: string;
  readonly #children: ChildProcess[] = [];
  readonly #made: string[] = [];

  constructor(root: string) {
    this.directory = join(root, `hivepulse-test-${process.pid}-${++count}`);
    mkdirSync(this.directory);
    this.#made.push(this.directory);
  }

  make(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path);
    this.#made.push(path);
    return path;
  }

  /** Starts a process that only sleeps, in the cgroup. */
  async sleeper(cgroup: string): Promise<ChildProcess & { pid: number }> {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    await once(child, 'spawn');
    this.#children.push(child);
    writeFileSync(join(cgroup, 'cgroup.procs'), String(child.pid));
    return child as ChildProcess & { pid: number };
  }

  async end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Removes a cgroup that no process is left in. */
  async removeCgroup(path: string): Promise<void> {
    await waitFor(() => {
      rmdirSync(path);
      return true;
    });
    this.#made.splice(this.#made.indexOf(path), 1);
  }

  async remove(): Promise<void> {
    for (const child of this.#children) await this.end(child);
    for (const path of [...this.#made].reverse()) await this.removeCgroup(path);
  }
}
