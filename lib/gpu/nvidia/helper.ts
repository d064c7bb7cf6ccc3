import { spawn } from 'node:child_process';
import type { NativeGpuOptions } from '../../native/binding.js';
import { findExecutable } from '../../native/prebuilt.js';
import { toolEnvironment } from '../../util/child-environment.js';
import type { NvmlChannel } from './nvml.js';

export interface HelperOptions extends NativeGpuOptions {
  /** hivepulse-gpu; beside the addon where it is not given. */
  readonly helper?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly spawn?: typeof spawn;
}

/** Where hivepulse-gpu is: as built here, else as shipped. null: nowhere. */
export function findHelper(): string | null {
  return findExecutable('hivepulse-gpu');
}

/** Lines kept while nobody takes them; more only come from a host where something else is wrong. */
const maxLines = 1024;
const maxLineLength = 4 * 1024 * 1024;

/** A reader as a process of its own. Throws with the reason where there is no executable for it. */
export function openHelper(options: HelperOptions, find: () => string | null = findHelper): NvmlChannel {
  const helper = options.helper ?? find();
  if (helper === null) throw new Error('hivepulse-gpu is not built; `npm rebuild hivepulse` builds it');
  const args: string[] = [];
  for (const path of options.libraryPaths ?? []) args.push('--library', path);
  if (options.intervalMs !== undefined) args.push('--interval-ms', String(options.intervalMs));
  if (options.slowIntervalMs !== undefined) args.push('--slow-interval-ms', String(options.slowIntervalMs));
  if (options.retryMs !== undefined) args.push('--retry-ms', String(options.retryMs));

  // A group of its own, so that a Ctrl-C meant for the hive does not end it first; it ends with its standard input.
  const child = (options.spawn ?? spawn)(helper, args, {
    detached: true,
    env: toolEnvironment(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let lines: string[] = [];
  let pending = '';
  let lastError = '';
  let end: string | null = null;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    const parts = (pending + chunk).split('\n');
    pending = parts.pop()!.slice(-maxLineLength);
    lines.push(...parts);
    if (lines.length > maxLines) lines = lines.slice(-maxLines);
  });
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk: string) => {
    lastError = chunk.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
  });
  child.stdin.on('error', () => {}); // it has ended: `close` below tells
  child.once('error', (error) => {
    end ??= `${helper} can't be started: ${error.message}`;
  });
  child.once('close', (code, signal) => {
    const how = signal ?? (code === 0 ? '' : `exit code ${code}`);
    end ??= [how, lastError].filter(Boolean).join(': ');
  });
  // It must not keep alive a program that has nothing else to do.
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as { unref?: () => void }).unref?.();

  return {
    take: () => {
      const taken = lines;
      lines = [];
      return taken;
    },
    end: () => end,
    close: () => child.stdin.end('close\n'),
    kill: () => child.kill('SIGKILL'),
    opensAnew: true,
  };
}
