import { basename } from 'node:path';
import type { Start } from './engine.js';
import { type Engine, engines } from './table.js';

export const isPython = (name: string): boolean => /^(?:python|pypy)[0-9.]*$/.test(name);
/** Programs that run another one whose command line follows theirs. */
const wrappers =
  /^(?:trtllm-llmapi-launch|tini|tini-static|dumb-init|catatonit|env|nice|nohup|numactl|taskset|setsid|time|stdbuf|s6-setuidgid|gosu|su-exec|uv|torchrun|accelerate|mpirun)$/;

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
  const wrapped = wrappers.test(basename(first));
  for (let i = 0; i < argv.length && i < 24; i += 1) {
    const name = basename(argv[i] as string);
    const found = isPython(name) ? recognizePython(argv, i + 1) : recognizeProgram(name, argv, i + 1);
    if (found || !wrapped) return found;
  }
  return null;
}

const recognizeProgram = (name: string, argv: readonly string[], from: number): Recognized | null =>
  recognizeStart(({ programs }) => programs?.includes(name) === true, argv, from);

/** `python [options] -m module ...` or `python [options] script ...`. */
function recognizePython(argv: readonly string[], start: number): Recognized | null {
  const recognizeModule = (module: string, from: number): Recognized | null =>
    recognizeStart((way) => way.module?.test(module) === true, argv, from);
  for (let i = start; i < argv.length; i += 1) {
    const word = argv[i] as string;
    if (word === '-m') return recognizeModule(argv[i + 1] ?? '', i + 2);
    if (word === '-c') return null;
    if (word === '-X' || word === '-W') i += 1;
    else if (!word.startsWith('-')) {
      const module = word.replace(/\.py$/, '').replaceAll('/', '.');
      return recognizeProgram(basename(word), argv, i + 1) ?? recognizeModule(module, i + 1);
    }
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
