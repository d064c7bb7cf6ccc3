import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach } from 'vitest';
import { inodeOf } from '../../lib/launch/cgroup-tree.js';
import {
  ProcessMonitor,
  type ProcessMonitorOptions,
  type SpawnedWorker,
  type SpawnOptions,
} from '../../lib/launch/process-monitor.js';
import { type CgroupTestTree, createCgroupTree } from './cgroups.js';
import { temporaryDirectory } from './leftovers.js';
import { waitFor } from './wait.js';

/** A cgroup tree, a runtime directory and a monitor for one test, removed after it. */
export class WorkerBench {
  readonly tree: CgroupTestTree;
  readonly runtimeDir: string;
  readonly monitor: ProcessMonitor;
  readonly #directory = temporaryDirectory('run');
  readonly #others: ProcessMonitor[] = [];

  constructor(tree: CgroupTestTree) {
    this.tree = tree;
    this.runtimeDir = this.#directory.path;
    this.monitor = this.another();
  }

  /** One more monitor on the same host, as another process would have. */
  another(options: ProcessMonitorOptions = {}): ProcessMonitor {
    const monitor = new ProcessMonitor({
      root: this.tree.root,
      runtimeDir: this.runtimeDir,
      oomIntervalMs: 50,
      ...options,
    });
    this.#others.push(monitor);
    return monitor;
  }

  /** A worker that runs a shell script, without input. */
  sh(script: string, options: Partial<SpawnOptions> = {}): Promise<SpawnedWorker> {
    return this.monitor.spawn({
      group: 'test',
      instance: 'one',
      command: 'sh',
      args: ['-c', script],
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
  }

  /** Everything under the test's tree and runtime directory that belongs to a worker; exits apart. */
  async leftovers(): Promise<readonly string[]> {
    const left: string[] = [];
    if ((await inodeOf(join(this.tree.root, 'hivepulse.slice'))) !== null) left.push('hivepulse.slice');
    const workers = await readdir(join(this.runtimeDir, 'workers')).catch(() => []);
    return [...left, ...workers.map((name) => `workers/${name}`)];
  }

  async dispose(): Promise<void> {
    await this.tree.dispose();
    for (const monitor of this.#others) {
      // The exits of what was killed are still being recorded.
      await waitFor(() => monitor.spawned().length === 0, { timeoutMs: 60_000, what: 'exits to be recorded' });
      await monitor.close();
    }
    this.#directory.remove();
  }
}

/** A bench for each test of the suite in which it is called. */
export function useWorkerBench(): () => WorkerBench {
  let bench: WorkerBench;
  beforeEach(async () => {
    bench = new WorkerBench(await createCgroupTree());
  });
  afterEach(() => bench.dispose());
  return () => bench;
}

/** All that a worker wrote. */
export async function textOf(stream: Readable | null): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

/** The first whole line that a worker writes. */
export async function firstLine(stream: Readable | null): Promise<string> {
  let text = '';
  if (stream === null) throw new Error('no stream');
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk) => {
      text += String(chunk);
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    stream.once('end', () => reject(new Error(`it ended without a line: ${JSON.stringify(text)}`)));
  });
}

/** argv of a process, or null where it is gone. */
export async function commandLine(pid: number): Promise<readonly string[] | null> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => null);
  return text === null || text === '' ? null : text.split('\0').slice(0, -1);
}
