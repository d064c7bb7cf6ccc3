import { basename } from 'node:path';
import type { Arguments, Start } from './engine.js';
import { isHelper, isRouter } from './neighbours.js';
import { type Engine, engineNamed, engines } from './table.js';

/** What a worker serves, by its command lines. */
export interface Serving {
  readonly engine: Engine | null;
  readonly model: string | null;
  /** Index of the process whose command line says so; null where none does. */
  readonly process: number | null;
}

/** Options of unknown programs. Never `-m`: it means "module" to Python, "memory" to others. */
const unknownProgram: Arguments = {
  model: ['--model', '--model-path', '--model-id', '--model-name'],
  servedName: ['--served-model-name'],
  port: ['--port'],
};

export const isPython = (name: string): boolean => /^(?:python|pypy)[0-9.]*$/.test(name);
/** Programs that run another one whose command line follows theirs. */
const wrappers =
  /^(?:trtllm-llmapi-launch|tini|tini-static|dumb-init|catatonit|env|nice|nohup|numactl|taskset|setsid|time|stdbuf|s6-setuidgid|gosu|su-exec|uv|torchrun|accelerate|mpirun)$/;

interface Recognized {
  readonly engine: Engine;
  /** Where its own arguments begin. */
  readonly from: number;
  /** The first of them may be the model. */
  readonly positionalModel: boolean;
  /** A title that a helper process gave itself; the whole of it is one argument. */
  readonly isTitle: boolean;
}

const starts = engines.flatMap(({ name, starts: ways }) => ways.map((start: Start) => ({ engine: name, ...start })));

/** The engine that a command line starts, or null. Looks at the program, the Python module or script, and past wrappers. */
export function recognize(argv: readonly string[]): Recognized | null {
  const first = argv[0];
  if (first === undefined) return null;
  const titled = engines.find(({ titlePrefix }) => titlePrefix !== undefined && first.startsWith(titlePrefix));
  if (titled) return { engine: titled.name, from: argv.length, positionalModel: false, isTitle: true };
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
    const { engine, subcommands, positionalModel = false } = start;
    const found = { engine, positionalModel, isTitle: false };
    if (subcommands?.includes(argv[from] ?? '')) return { ...found, from: from + 1 };
    if (subcommands === undefined || start.bare) return { ...found, from };
  }
  return null;
}

/** The value of the last of `names` that stands in the arguments: `--k v` and `--k=v`; the last wins, as in argparse. */
function option(argv: readonly string[], from: number, names: readonly string[]): string | null {
  let found: string | null = null;
  for (let i = from; i < argv.length; i += 1) {
    const word = argv[i] as string;
    if (word === '--') break;
    for (const name of names) {
      if (word === name) {
        const value = argv[i + 1];
        if (value !== undefined && value !== '' && !value.startsWith('-')) found = value;
      } else if (name.startsWith('--') && word.startsWith(name) && word[name.length] === '=') {
        const value = word.slice(name.length + 1);
        if (value !== '') found = value;
      }
    }
  }
  return found;
}

function portOf(value: string | null): number | null {
  if (value === null || !/^[0-9]{1,5}$/.test(value)) return null;
  const port = Number(value);
  return port >= 1 && port <= 65_535 ? port : null;
}

const namedModel = (argv: readonly string[], from: number, { servedName, model }: Arguments): string | null =>
  option(argv, from, servedName) ?? option(argv, from, model);

/** The model of `vllm serve X`: only right behind the subcommand, for further on it looks like the value of an option. */
function positionalModel(word: string | undefined): string | null {
  return word === undefined || word === '' || word.startsWith('-') ? null : word;
}

/** The part of a process in its worker, and the port that its command line names. */
export interface ProcessRole {
  /** `helper`: it may listen, and never serves models. `router`: it passes requests on to engines. */
  readonly role: 'engine' | 'router' | 'helper' | 'other';
  readonly engine: Engine | null;
  /** As the command line says; null where it says none. */
  readonly port: number | null;
  /** Where it listens if nothing says otherwise. */
  readonly defaultPort: number | null;
}

const serverTitle = /(?:api|http)_?server|router/i;

export function roleOf(argv: readonly string[]): ProcessRole {
  const known = recognize(argv);
  if (known !== null) {
    const { engine, from, isTitle } = known;
    if (isTitle)
      return { role: serverTitle.test(argv[0] ?? '') ? 'engine' : 'helper', engine, port: null, defaultPort: null };
    const row = engineNamed(engine);
    return {
      role: 'engine',
      engine,
      port: portOf(option(argv, from, row.arguments.port)),
      defaultPort: row.defaultPort,
    };
  }
  const port = portOf(option(argv, 1, unknownProgram.port));
  if (isHelper(argv)) return { role: 'helper', engine: null, port: null, defaultPort: null };
  return { role: isRouter(argv) ? 'router' : 'other', engine: null, port, defaultPort: null };
}

/**
 * What the processes of a worker serve. The first is often a shell or an init, and an engine has helpers: so the first
 * process that is a known engine and names a model wins, then the first known engine, then any that says `--model`.
 */
export function serving(processes: readonly (readonly string[])[]): Serving {
  let fallback: Serving | null = null;
  let fallbackIsTitle = false;
  for (const [index, argv] of processes.entries()) {
    const known = recognize(argv);
    if (!known) continue;
    const { engine, from, isTitle } = known;
    const row = engineNamed(engine);
    const result: Serving = {
      engine,
      model: namedModel(argv, from, row.arguments) ?? (known.positionalModel ? positionalModel(argv[from]) : null),
      process: index,
    };
    if (result.model !== null) return result;
    // A server's own process over its helper's title.
    if (fallback !== null && !(fallbackIsTitle && !isTitle)) continue;
    fallback = result;
    fallbackIsTitle = isTitle;
  }
  if (fallback) return fallback;
  for (const [index, argv] of processes.entries()) {
    const model = namedModel(argv, 1, unknownProgram);
    if (model !== null) return { engine: null, model, process: index };
  }
  return { engine: null, model: null, process: null };
}
