import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BenchContext } from './metric.js';

/** Of one pass, in milliseconds: on the clock, and on the CPU (which the rest of the machine does not disturb). */
export interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

/** Compiles limit.c for this run and gives the program's path. */
export function buildLimit({ defer }: BenchContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-limit-'));
  defer(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'limit');
  const source = fileURLToPath(new URL('limit.c', import.meta.url));
  execFileSync(process.env.CC ?? 'gcc', ['-O2', '-o', program, source], { stdio: 'inherit' });
  return program;
}

function start({ defer }: BenchContext, program: string, mode: 'read' | 'tick' | 'trees', paths: readonly string[]) {
  const child = spawn(program, [mode], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const end = async () => {
    child.stdin.end();
    await ended;
  };
  defer(end);
  child.stdin.write(`${paths.join('\n')}\n\n`);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`limit ${mode} ended early`);
    return value;
  };
  return { child: child as ChildProcess & typeof child, line, end };
}

/** The bare C loop over kept descriptors of `paths`. */
export function limitReader(context: BenchContext, program: string, paths: readonly string[]) {
  const { child, line, end } = start(context, program, 'read', paths);
  return {
    async passes(count: number): Promise<readonly Cost[]> {
      child.stdin.write(`${count}\n`);
      return (await line())
        .trim()
        .split(' ')
        .map((pair) => {
          const [wall, cpu] = pair.split(',').map((nanoseconds) => Number(nanoseconds) / 1e6) as [number, number];
          return { wall, cpu };
        });
    },
    end,
  };
}

/** Puts into each cgroup (by its cgroup.procs) a process that wakes up ten times a second. */
export async function tickers(context: BenchContext, program: string, procs: readonly string[]) {
  const { line, end } = start(context, program, 'tick', procs);
  await line();
  return { end };
}

/** Trees of five processes that wake up ten times a second: their pids, the root of each first. */
export async function wakingTrees(context: BenchContext, program: string, count: number) {
  const { line } = start(context, program, 'trees', [String(count)]);
  const trees: (readonly number[])[] = [];
  while (trees.length < count) trees.push((await line()).split(' ').map(Number));
  return trees;
}
