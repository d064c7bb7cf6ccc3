import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { waitFor } from './wait.js';

const mainFile = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export const hasTmux = spawnSync('tmux', ['-V']).status === 0;

let terminals = 0;

/** A terminal of its own (a tmux server) with `hivepulse top` in it; the shell below it stays when top ends. */
export class Terminal {
  private readonly socket = `hivepulse-${process.pid}-${++terminals}`;

  constructor(args: readonly string[], columns = 130, rows = 36) {
    const command = [process.execPath, mainFile, 'top', ...args].map((part) => `'${part}'`).join(' ');
    this.tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'top', '-x', String(columns), '-y', String(rows), 'sh');
    this.keys('-l', `${command}; echo "ended with $?"`);
    this.keys('Enter');
  }

  tmux(...args: string[]): string {
    return execFileSync('tmux', ['-L', this.socket, ...args], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', HOME: '/', LANG: 'C.UTF-8', TERM: 'xterm-256color' },
    });
  }

  keys(...keys: string[]): void {
    this.tmux('send-keys', '-t', 'top', ...keys);
  }

  text(): string {
    return this.tmux('capture-pane', '-p', '-t', 'top');
  }

  /** What is on the screen with its colours, as escape sequences. */
  colouredText(): string {
    return this.tmux('capture-pane', '-e', '-p', '-t', 'top');
  }

  format(what: string): string {
    return this.tmux('display-message', '-p', '-t', 'top', `#{${what}}`).trim();
  }

  shows(pattern: RegExp): Promise<string> {
    return waitFor(
      () => {
        const text = this.text();
        return pattern.test(text) ? text : null;
      },
      { timeoutMs: 20_000, everyMs: 50, what: `the terminal to show ${pattern}` },
    ).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : error}\n${this.text()}`);
    });
  }

  close(): void {
    spawnSync('tmux', ['-L', this.socket, 'kill-server']);
  }
}
