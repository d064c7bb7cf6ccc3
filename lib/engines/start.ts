import { basename } from 'node:path';
import type { Start } from './engine.js';
import { type Engine, engines } from './table.js';

/** `python3.13t`: without a global lock; `python3.12d`: a debug build. */
export const isPython = (name: string): boolean => /^(?:python|pypy)[0-9.]*[dt]{0,2}$/.test(name);

/** The name of a program by its path. Nix wraps programs: `.../bin/.vllm-wrapped` is vllm. */
export const programName = (path: string): string => {
  const name = basename(path);
  return /^\.(.+)-wrapped_*$/.exec(name)?.[1] ?? name;
};

/**
 * Programs that run another one whose command line follows theirs. Loaders (`ld-linux-x86-64.so.2 /usr/bin/llama-server`)
 * and emulators do so in their own process.
 */
const wrappers =
  /^(?:trtllm-llmapi-launch|tini|tini-static|dumb-init|docker-init|catatonit|env|nice|nohup|numactl|taskset|setsid|time|stdbuf|s6-setuidgid|gosu|su-exec|uv|torchrun|accelerate|mpirun|ld-(?:linux|musl)-[a-z0-9_-]+\.so\.[0-9]|ld-linux\.so\.[0-9]|ld64?\.so(?:\.[0-9])?|qemu-[a-z0-9_]+(?:-static)?|box64|valgrind)$/;

/** Modules that run another one in their own process, behind options of their own: debuggers and profilers. */
const moduleRunners =
  /^(?:debugpy|pdb|cProfile|profile|trace|coverage|memray|scalene|viztracer|pyinstrument|kernprof|torch\.distributed\.(?:run|launch)|accelerate\.commands\.launch)$/;
/** So many words of a command line are looked through for the program that another one runs. */
const mostWords = 24;
/** Options of Python whose value is the rest of the word, or the next one. From its manual. */
const pythonOptions = /^-[bBdEhiIOPqRsStuvVx?]*([cmWX])(.*)$/s;

export interface Recognized {
  readonly engine: Engine;
  /** Where its own arguments begin. */
  readonly from: number;
  /** The word among them that belongs to no option is the model. */
  readonly positionalModel: boolean;
  /** The first of several options for the model wins. */
  readonly firstModel: boolean;
  /** A title that a helper process gave itself; the whole of it is one argument. */
  readonly isTitle: boolean;
}

const starts = engines.flatMap(({ name, starts: ways }) => ways.map((start: Start) => ({ engine: name, ...start })));

/** The engine that a command line starts, or null. Looks at the program, the Python module or script, and past wrappers. */
export function recognize(argv: readonly string[]): Recognized | null {
  const first = argv[0];
  if (first === undefined) return null;
  const titled = engines.find(({ titlePrefix }) => titlePrefix !== undefined && first.startsWith(titlePrefix));
  if (titled)
    return { engine: titled.name, from: argv.length, positionalModel: false, firstModel: false, isTitle: true };
  const isWrapper = wrappers.test(programName(first));
  for (let i = 0; i < argv.length && i < mostWords; i += 1) {
    const found = recognizeAt(argv, i);
    if (found || !isWrapper) return found;
  }
  return null;
}

/** What starts at a word: an engine's program, Python with its module or script, or a module alone (`torchrun -m vllm...`). */
function recognizeAt(argv: readonly string[], i: number): Recognized | null {
  const name = programName(argv[i] as string);
  if (isPython(name)) return recognizePython(argv, i + 1);
  return recognizeProgram(name, argv, i + 1) ?? (i > 1 && argv[i - 1] === '-m' ? recognizeModule(argv, i) : null);
}

const recognizeModule = (argv: readonly string[], i: number, module = argv[i] ?? ''): Recognized | null =>
  recognizeStart((way) => way.module?.test(module) === true, argv, i + 1);

const recognizeProgram = (name: string, argv: readonly string[], from: number): Recognized | null =>
  recognizeStart(({ programs }) => programs?.includes(name) === true, argv, from);

/** `python [options] -m module ...` or `python [options] script ...`. */
function recognizePython(argv: readonly string[], start: number): Recognized | null {
  for (let i = start; i < argv.length; i += 1) {
    const word = argv[i] as string;
    const [, option, value] = pythonOptions.exec(word) ?? [];
    if (option === 'c') return null;
    if (option === 'm') return value === '' ? recognizePart(argv, i + 1) : recognizePart(argv, i, value);
    if (option !== undefined && value === '') i += 1;
    else if (word === '--check-hash-based-pycs') i += 1;
    else if (!word.startsWith('-')) return recognizePart(argv, i);
  }
  return null;
}

/** A module or a script of Python; of one that runs others, what follows it. */
function recognizePart(argv: readonly string[], i: number, part = argv[i] ?? ''): Recognized | null {
  const name = programName(part);
  const module = part.replace(/\.py$/, '').replaceAll('/', '.');
  const found = recognizeProgram(name, argv, i + 1) ?? recognizeModule(argv, i, module);
  if (found !== null || !(moduleRunners.test(part) || moduleRunners.test(name))) return found;
  for (let j = i + 1; j < argv.length && j < i + mostWords; j += 1) {
    const inner = (argv[j] as string).startsWith('-') ? null : recognizePart(argv, j);
    if (inner !== null) return inner;
  }
  return null;
}

function recognizeStart(matches: (start: Start) => boolean, argv: readonly string[], from: number): Recognized | null {
  for (const start of starts) {
    if (!matches(start)) continue;
    const { engine, subcommands, bare, others, positionalModel = false, firstModel = false } = start;
    const found = { engine, positionalModel, firstModel, isTitle: false };
    for (const subcommand of subcommands ?? []) {
      const words = subcommand.split(' ');
      if (words.every((word, i) => argv[from + i] === word)) return { ...found, from: from + words.length };
    }
    if ((subcommands === undefined || bare) && !others?.includes(argv[from] ?? '')) return { ...found, from };
  }
  return null;
}
