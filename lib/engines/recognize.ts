import { basename } from 'node:path';

/** Servers of models that are known by their command line. */
export const engines = [
  'vllm',
  'sglang',
  'llama-server',
  'ollama',
  'text-generation',
  'tritonserver',
  'tensorrt-llm',
] as const;
export type Engine = (typeof engines)[number];

/** What a worker's command lines tell of what it serves. */
export interface Serving {
  readonly engine: Engine | null;
  readonly model: string | null;
  readonly port: number | null;
  /** The process that said so: index into what was given; null where none did. */
  readonly process: number | null;
}

interface Rules {
  readonly model: readonly string[];
  /** Names that win over `model`: what clients have to ask for. */
  readonly alias: readonly string[];
  readonly port: readonly string[];
  readonly defaultPort: number | null;
}

// Ports as each project documents them.
const rules: Readonly<Record<Engine, Rules>> = {
  vllm: {
    model: ['--model'],
    alias: ['--served-model-name'],
    port: ['--port'],
    defaultPort: 8000,
  },
  sglang: {
    model: ['--model-path', '--model'],
    alias: ['--served-model-name'],
    port: ['--port'],
    defaultPort: 30_000,
  },
  'llama-server': {
    model: ['-m', '--model', '-hf', '-hfr', '--hf-repo', '-mu', '--model-url'],
    alias: ['-a', '--alias'],
    port: ['--port'],
    defaultPort: 8080,
  },
  ollama: { model: ['--model'], alias: [], port: [], defaultPort: 11_434 },
  'text-generation': {
    model: ['--model-id'],
    alias: ['--served-model-name'],
    port: ['-p', '--port'],
    defaultPort: 3000,
  },
  tritonserver: {
    model: ['--load-model'],
    alias: [],
    port: ['--http-port'],
    defaultPort: 8000,
  },
  'tensorrt-llm': {
    model: ['--model_name', '--model'],
    alias: ['--served_model_name', '--served-model-name'],
    port: ['--port'],
    defaultPort: 8000,
  },
};

/** What an unknown program may say. Never `-m`: it means "module" to Python, "memory" to others. */
const generic: Rules = {
  model: ['--model', '--model-path', '--model-id', '--model-name'],
  alias: ['--served-model-name'],
  port: ['--port'],
  defaultPort: null,
};

const isPython = (name: string): boolean => /^(?:python|pypy)[0-9.]*$/.test(name);
/** Programs that run another one whose command line follows theirs. */
const wrappers =
  /^(?:trtllm-llmapi-launch|tini|tini-static|dumb-init|catatonit|env|nice|nohup|numactl|taskset|setsid|time|stdbuf|s6-setuidgid|gosu|su-exec|uv|torchrun|accelerate|mpirun)$/;

interface Recognized {
  readonly engine: Engine;
  /** Where its own arguments begin. */
  readonly from: number;
}

const isTitle = (word: string): boolean => /^(?:VLLM|sglang)::/.test(word);

/** The engine that a command line starts, or null. Looks at the program, the Python module or script, and past wrappers. */
export function recognize(argv: readonly string[]): Recognized | null {
  const first = argv[0];
  if (first === undefined) return null;
  // A title set by the program itself (`VLLM::EngineCore`, `sglang::scheduler_TP0`): the whole of it is one argument.
  if (isTitle(first)) return { engine: first.startsWith('VLLM::') ? 'vllm' : 'sglang', from: argv.length };
  const wrapped = wrappers.test(basename(first));
  for (let i = 0; i < argv.length && i < 24; i += 1) {
    const name = basename(argv[i] as string);
    const found = isPython(name) ? recognizePython(argv, i + 1) : recognizeProgram(name, argv, i);
    if (found || !wrapped) return found;
  }
  return null;
}

function recognizeProgram(name: string, argv: readonly string[], i: number): Recognized | null {
  const next = argv[i + 1];
  if (name === 'vllm') return next === 'serve' ? { engine: 'vllm', from: i + 2 } : null;
  if (name === 'sglang') return next === 'serve' ? { engine: 'sglang', from: i + 2 } : null;
  if (name === 'llama-server' || name === 'llama-server.exe') return { engine: 'llama-server', from: i + 1 };
  if (name === 'ollama' || name === 'ollama_llama_server' || name === 'ollama-runner') {
    return next === 'serve' || next === 'runner' || name !== 'ollama' ? { engine: 'ollama', from: i + 1 } : null;
  }
  if (name === 'text-generation-launcher' || name === 'text-generation-router' || name === 'text-generation-server') {
    return { engine: 'text-generation', from: i + 1 };
  }
  if (name === 'tritonserver') return { engine: 'tritonserver', from: i + 1 };
  if (name === 'trtllm-serve') return { engine: 'tensorrt-llm', from: i + 1 };
  return null;
}

/** `python [options] -m module ...` or `python [options] script ...`. */
function recognizePython(argv: readonly string[], start: number): Recognized | null {
  for (let i = start; i < argv.length; i += 1) {
    const word = argv[i] as string;
    if (word === '-m') return recognizeModule(argv[i + 1] ?? '', argv, i + 2);
    if (word === '-c') return null;
    if (word === '-X' || word === '-W') {
      i += 1;
      continue;
    }
    if (word.startsWith('-')) continue;
    const script = recognizeProgram(basename(word), argv, i);
    if (script) return script;
    const module = word.replace(/\.py$/, '').replaceAll('/', '.');
    return recognizeModule(module, argv, i + 1);
  }
  return null;
}

function recognizeModule(module: string, argv: readonly string[], from: number): Recognized | null {
  if (/(?:^|\.)vllm\.entrypoints\.(?:openai\.)?api_server$/.test(module)) return { engine: 'vllm', from };
  if (/(?:^|\.)vllm\.entrypoints\.cli\.main$/.test(module) || module === 'vllm') {
    return argv[from] === 'serve' ? { engine: 'vllm', from: from + 1 } : null;
  }
  if (/(?:^|\.)sglang\.(?:launch_server|srt\.server)$/.test(module)) return { engine: 'sglang', from };
  if (/(?:^|\.)tensorrt_llm\.commands\.serve$/.test(module)) return { engine: 'tensorrt-llm', from };
  if (/(?:^|\.)text_generation_server(?:\.cli)?$/.test(module)) return { engine: 'text-generation', from };
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

function modelOf(engine: Engine, argv: readonly string[], from: number): string | null {
  // Ollama's runner is given a blob by its digest; what people call the model is not in its command line.
  if (engine === 'ollama') return null;
  const { model, alias } = rules[engine];
  return option(argv, from, alias) ?? option(argv, from, model) ?? positional(argv, from);
}

/** The model of `vllm serve X`: only right behind the subcommand, for further on it looks like the value of an option. */
function positional(argv: readonly string[], from: number): string | null {
  const before = basename(argv[from - 1] ?? '');
  if (before !== 'serve' && before !== 'trtllm-serve') return null;
  const word = argv[from];
  if (word === undefined || word === '' || word.startsWith('-')) return null;
  // `trtllm-serve serve X` is the long form of `trtllm-serve X`.
  return word === 'serve' && before === 'trtllm-serve' ? positional(argv, from + 1) : word;
}

/**
 * What the processes of a worker serve. The first is often a shell or an init, and an engine has helpers: so the first
 * process that is a known engine and names a model wins, then the first known engine, then any that says `--model`.
 */
export function serving(processes: readonly (readonly string[])[]): Serving {
  let fallback: Serving | null = null;
  for (const [index, argv] of processes.entries()) {
    const known = recognize(argv);
    if (!known) continue;
    const { engine, from } = known;
    const helper = isTitle(argv[0] as string);
    const result: Serving = {
      engine,
      model: modelOf(engine, argv, from),
      // The runner of Ollama listens on a port of its own, which is not the one that clients use.
      port: helper ? null : (portOf(option(argv, from, rules[engine].port)) ?? rules[engine].defaultPort),
      process: index,
    };
    if (result.model !== null) return result;
    // A server's own process over its helper's title.
    if (!fallback || (fallback.port === null && result.port !== null)) fallback = result;
  }
  if (fallback) return fallback;
  for (const [index, argv] of processes.entries()) {
    const model = option(argv, 1, generic.alias) ?? option(argv, 1, generic.model);
    const port = portOf(option(argv, 1, generic.port));
    if (model !== null || port !== null) return { engine: null, model, port, process: index };
  }
  return { engine: null, model: null, port: null, process: null };
}
