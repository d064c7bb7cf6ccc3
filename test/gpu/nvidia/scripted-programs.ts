// nvidia-smi and hivepulse-gpu as programs that say what a test wants, when it wants; none is started.
import type { SpawnOptions, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { vi } from 'vitest';

/** All that was put off until later in this turn of the event loop, and streams, have had their turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A program that says and ends when the test wants. */
export class Program extends EventEmitter {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
  pid: number | undefined;
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly signals: string[] = [];
  isHeld = true;

  constructor(file: string, args: readonly string[], options: SpawnOptions, pid: number) {
    super();
    this.file = file;
    this.args = args;
    this.options = options;
    this.pid = pid;
  }

  unref(): void {
    this.isHeld = false;
  }
  kill(signal: string): boolean {
    this.signals.push(signal);
    return true;
  }
  async say(...messages: readonly object[]): Promise<void> {
    for (const message of messages) this.stdout.write(`${JSON.stringify(message)}\n`);
    await settled();
  }
  async end(code: number | null, signal: string | null = null): Promise<void> {
    this.emit('exit', code, signal);
    this.emit('close', code, signal);
    await settled();
  }
}

/** What one run of nvidia-smi says and ends with; `null`: it never ends. */
export type Answer = { readonly text: string; readonly exitCode?: number | null } | null;

/** Answers by what is asked. */
export interface Answers {
  gpus: (args: readonly string[]) => Answer;
  apps: (args: readonly string[]) => Answer;
  pmon: (args: readonly string[]) => Answer;
}

/** A row of `--query-gpu` for what is asked; what is not given is "[N/A]". */
export const rowFor = (args: readonly string[], cells: Readonly<Record<string, string>>): string => {
  const asked = args.find((each) => each.startsWith('--query-gpu='))?.slice('--query-gpu='.length) ?? '';
  return `${asked
    .split(',')
    .map((name) => cells[name] ?? '[N/A]')
    .join(', ')}\n`;
};

/** Starts no program, and keeps those that were asked for. Timers and what kills process groups are replaced as well. */
export class ScriptedPrograms {
  readonly started: Program[] = [];
  #seen = 0;
  /** Process groups that were killed. */
  readonly killed: number[] = [];
  /** Killed, they do not end: the kernel holds them. */
  areStuck = false;
  readonly answers: Answers = { gpus: () => null, apps: () => ({ text: '' }), pmon: () => ({ text: '' }) };

  constructor() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    vi.spyOn(process, 'kill').mockImplementation((id) => {
      this.killed.push(id);
      const program = this.started.find(({ pid }) => pid === -id);
      // It ends a moment later.
      if (!this.areStuck) setImmediate(() => void program?.end(null, 'SIGKILL'));
      return true;
    });
  }

  readonly spawn = ((file: string, args: readonly string[], options: SpawnOptions) => {
    const program = new Program(file, args, options, 5000 + this.started.length);
    this.started.push(program);
    if (file === '/bin/sh') this.#answer(program);
    return program;
  }) as unknown as typeof spawn;

  /** Arguments of all runs of nvidia-smi since the last call. */
  runs(): readonly (readonly string[])[] {
    const runs = this.started.slice(this.#seen).filter(({ file }) => file === '/bin/sh');
    this.#seen = this.started.length;
    return runs.map(({ args }) => args.slice(3));
  }

  get newest(): Program {
    return this.started.at(-1) as Program;
  }

  async pass(ms: number): Promise<void> {
    await settled();
    await vi.advanceTimersByTimeAsync(ms);
    await settled();
  }

  restore(): void {
    vi.restoreAllMocks();
    vi.useRealTimers();
  }

  #answer(program: Program): void {
    const args = program.args.slice(3);
    const asked = args[0] ?? '';
    const kind = asked === 'pmon' ? 'pmon' : asked.startsWith('--query-gpu=') ? 'gpus' : 'apps';
    const answer = this.answers[kind](args);
    if (answer === null) return;
    program.stdout.once('end', () => void program.end(answer.exitCode === undefined ? 0 : answer.exitCode));
    program.stdout.end(answer.text);
  }
}
