import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, onTestFailed } from 'vitest';
import { onInterruption, undoWhenInterrupted } from './interruption.js';
import { temporaryDirectory } from './leftovers.js';
import { Managed, type SpawnOptions } from './processes.js';
import { StreamReader } from './sse.js';

undoWhenInterrupted();

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A daemon of ours: a process and the address on which it listens. */
export interface Daemon {
  readonly process: Managed;
  readonly url: string;
}

export interface CliOptions extends SpawnOptions {
  readonly name?: string;
  /** What it runs under: `ip netns exec NAME`, `setpriv ...`; it must end in an exec. */
  readonly under?: readonly string[];
}

export interface DaemonOptions extends CliOptions {
  readonly args?: readonly string[];
  /** Longest wait until it listens, ms (default 30,000). An emulated CPU needs more. */
  readonly startMs?: number;
}

/**
 * Starts real queens, hives and workers on ports of the kernel's choice, keeps their output, and removes all that it made
 * when the test ends, whichever way it ends. Get one with `useHarness()` at the top of a suite.
 */
export class Harness {
  private readonly processes: Managed[] = [];
  private readonly ended: Managed[] = [];
  private readonly cleanups: (() => void | Promise<void>)[] = [];
  private readonly directories: (() => void)[] = [];

  /** Runs `work` when the test ends; last registered first. What it does at once is done also when it is interrupted. */
  defer(work: () => void | Promise<void>): void {
    const forget = onInterruption(work);
    this.cleanups.push(() => {
      forget();
      return work();
    });
  }

  /** A directory that goes when the test ends. */
  directory(): string {
    const { path, remove } = temporaryDirectory();
    this.directories.push(remove);
    return path;
  }

  /** Any process. */
  start(name: string, command: string, args: readonly string[], options: SpawnOptions = {}): Managed {
    const managed = new Managed(name, command, args, options);
    this.processes.push(managed);
    return managed;
  }

  /** `hivepulse <args>`. */
  cli(args: readonly string[], options: CliOptions = {}): Managed {
    const [command, ...rest] = [...(options.under ?? []), process.execPath, main, ...args] as [string, ...string[]];
    return this.start(options.name ?? `hivepulse ${args[0]}`, command, rest, options);
  }

  private async daemon(command: 'up' | 'queen' | 'hive', options: DaemonOptions): Promise<Daemon> {
    const ports = command === 'up' ? ['--port', '0', '--hive-port', '0'] : ['--port', '0'];
    const managed = this.cli([command, ...ports, ...(options.args ?? [])], { name: command, ...options });
    const role = command === 'hive' ? 'hive' : 'queen';
    const match = await managed.line(
      new RegExp(`"role":"${role}".*"url":"([^"]+)".*"msg":"listening"`),
      options.startMs,
    );
    return { process: managed, url: match[1] as string };
  }

  /** A queen; ready when it listens. */
  queen(options: DaemonOptions = {}): Promise<Daemon> {
    return this.daemon('queen', options);
  }

  /** A hive that sends to `queens`. */
  hive(queens: readonly string[], options: DaemonOptions = {}): Promise<Daemon> {
    const args = [...queens.flatMap((url) => ['--queen', url]), ...(options.args ?? [])];
    return this.daemon('hive', { ...options, args });
  }

  /** Queen and hive in one process. */
  up(options: DaemonOptions = {}): Promise<Daemon> {
    return this.daemon('up', options);
  }

  /** A worker under `hivepulse run`. */
  worker(group: string, instance: string, command: readonly string[], options: DaemonOptions = {}): Managed {
    const args = ['run', '--group', group, '--instance', instance, ...(options.args ?? []), '--', ...command];
    return this.cli(args, { name: `${group}/${instance}`, ...options });
  }

  stream(url: string, headers: Record<string, string> = {}): StreamReader {
    const reader = new StreamReader(url, headers);
    this.defer(() => reader.close());
    return reader;
  }

  /** Last 50 lines of every process of this test. */
  report(): string {
    return [...this.ended, ...this.processes].map((managed) => managed.tail()).join('\n');
  }

  async cleanup(): Promise<void> {
    const failures: unknown[] = [];
    const runAll = async (all: readonly (() => void | Promise<void>)[]) => {
      for (const work of all) {
        try {
          await work();
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await runAll(this.cleanups.splice(0).reverse());
    // Workers first: `run` removes its cgroup when it ends in good order.
    for (const managed of this.processes.splice(0).reverse()) {
      this.ended.push(managed);
      await managed.stop();
    }
    // Last: a process that still runs writes into its directory.
    await runAll(this.directories.splice(0).reverse());
    if (failures.length > 0) throw new AggregateError(failures, 'cleaning up after the test failed');
  }
}

/** A harness for each test of the suite in which it is called. */
export function useHarness(): () => Harness {
  let harness = new Harness();
  beforeEach(() => {
    harness = new Harness();
    onTestFailed(() => {
      console.error(harness.report());
    });
  });
  afterEach(() => harness.cleanup());
  return () => harness;
}

/** GET as JSON. */
export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
