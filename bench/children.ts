import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchContext } from './metric.js';

const endings = ['.js', '.ts'] as const;
const here = (name: string): string => fileURLToPath(new URL(`processes/${name}`, import.meta.url));

/** A process of a benchmark that is asked and answers. */
export class Child<First> {
  readonly process: ChildProcess;
  readonly first: First;

  /** Ends it before the suite does. */
  readonly stop: () => Promise<void>;

  private constructor(process: ChildProcess, first: First, stop: () => Promise<void>) {
    this.process = process;
    this.first = first;
    this.stop = stop;
  }

  /** Starts `processes/<name>.ts` or `.js`, or the program at that path, and waits for its first word. It ends with the suite. */
  static async start<First>(
    context: BenchContext,
    name: string,
    args: readonly (string | number)[],
    execArgv: readonly string[] = [],
  ): Promise<Child<First>> {
    const path = isAbsolute(name) ? name : endings.map((end) => here(name + end)).find(existsSync)!;
    const child = fork(path, args.map(String), {
      execArgv: [...(path.endsWith('.ts') ? ['--import', 'tsx'] : []), ...execArgv],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const stop = async () => {
      if (child.connected) child.disconnect();
      await ended;
    };
    context.defer(stop);
    return new Child(child, await answer<First>(child, name), stop);
  }

  ask<Answer>(question: object | number = {}): Promise<Answer> {
    const answered = answer<Answer>(this.process, 'it');
    this.process.send(question);
    return answered;
  }
}

function answer<T>(child: ChildProcess, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`${name} ended with ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message as T);
    });
  });
}
