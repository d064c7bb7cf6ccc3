import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { onInterruption } from './interruption.js';
import { ownerVariable } from './leftovers.js';
import { waitFor } from './wait.js';

const keptLines = 2000;

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
}

/** A child in a process group of its own whose output is kept by line. */
export class Managed {
  readonly name: string;
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  private partial = '';
  private closed = false;

  constructor(name: string, command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.name = name;
    this.child = spawn(command, args, {
      detached: true,
      stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
      ...(options.cwd ? { cwd: options.cwd } : {}),
      env: { ...process.env, [ownerVariable]: String(process.pid), ...options.env },
    });
    const forget = onInterruption(() => this.signalGroup('SIGKILL'));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => this.take(text));
    }
    this.child.on('error', (error) => this.lines.push(`could not start: ${error.message}`));
    this.child.once('close', () => {
      this.closed = true;
      forget();
      if (this.partial) this.lines.push(this.partial);
    });
  }

  private take(text: string): void {
    const parts = (this.partial + text).split('\n');
    this.partial = parts.pop() ?? '';
    this.lines.push(...parts);
    if (this.lines.length > keptLines) this.lines.splice(0, this.lines.length - keptLines);
  }

  get pid(): number {
    return this.child.pid as number;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined;
  }

  /** Waits for an output line that matches, and gives the match. Lines already printed count. */
  line(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpMatchArray> {
    return waitFor(
      () => {
        for (const line of this.lines) {
          const match = line.match(pattern);
          if (match) return match;
        }
        if (this.closed) {
          throw new Error(`${this.name} ended with ${this.child.exitCode ?? this.child.signalCode}\n${this.tail()}`);
        }
        return null;
      },
      { timeoutMs, what: `${this.name} to print ${pattern}` },
    );
  }

  /** Signals the process alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** Signals the process and all that it started in its group. */
  signalGroup(signal: NodeJS.Signals): void {
    if (this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch {
      // the group has ended
    }
  }

  /** Exit code, or the name of the signal that ended it. */
  async ended(timeoutMs = 30_000): Promise<number | NodeJS.Signals> {
    if (!this.closed) {
      await Promise.race([
        once(this.child, 'close'),
        new Promise((_, reject) => {
          setTimeout(() => reject(new Error(`${this.name} still runs after ${timeoutMs} ms`)), timeoutMs).unref();
        }),
      ]);
    }
    return this.child.exitCode ?? (this.child.signalCode as NodeJS.Signals);
  }

  /** SIGTERM, then SIGKILL to the whole group after `graceMs`. */
  async stop(graceMs = 4000): Promise<number | NodeJS.Signals> {
    this.signal('SIGTERM');
    this.signal('SIGCONT');
    try {
      return await this.ended(graceMs);
    } catch {
      this.signalGroup('SIGKILL');
      return this.ended();
    } finally {
      this.signalGroup('SIGKILL');
    }
  }

  tail(count = 50): string {
    return [`--- ${this.name}: last ${count} lines`, ...this.lines.slice(-count)].join('\n');
  }
}
