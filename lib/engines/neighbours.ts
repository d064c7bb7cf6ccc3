/** Programs that often run beside an engine, and are none. */
import { isPython, programName } from './start.js';

/** They listen, and never serve models: Ray, exporters of metrics, debuggers. */
const helpers =
  /^(?:raylet|gcs_server|plasma_store|ray::.*|ray|dcgm-exporter|nv-hostengine|node_exporter|[a-z0-9_-]+[-_]exporter|tensorboard|debugpy|sshd|containerd-shim[a-z0-9-]*)$/;
const helperModules =
  /(?:^|[./])(?:ray[./](?:dashboard|_private|scripts)|debugpy|tensorboard|prometheus_client)(?:[./]|$)/;

/** What Python's multiprocessing and compilers start beside a server, whose sockets are mostly theirs alone. */
const parts = /multiprocessing\.(?:spawn|forkserver|resource_tracker|semaphore_tracker)|compile_worker/;

/** Of these, those that run any function of their program, the server itself too. */
const runners = /multiprocessing\.(?:spawn|forkserver)\b/;

/** They pass requests on to engines that they start or know. */
const routers =
  /^(?:litellm|vllm-router|sglang-router|sgl-router|nginx|envoy|haproxy|traefik|caddy|gpustack|xinference[a-z-]*|smg)$/;
const routerModules = /(?:^|[./])(?:sglang_router|vllm_router|litellm|xinference|gpustack)(?:[./]|$)/;

const routerCommands = ['lmdeploy serve proxy', 'trtllm-serve disaggregated'];

/** Routers that start the engine of the model that a request names, and so answer for each that runs. */
const swaps = /^(?:llama-swap|model-runner|local-ai|lemonade-server|lms)$/;

const isInterpreter = (name: string): boolean => isPython(name) || /^(?:node|ruby)[0-9.]*$/.test(name);

/** What may name the program: its file, and the script or module where that is an interpreter. */
function namesOf(words: readonly string[]): readonly string[] {
  const first = words[0];
  if (first === undefined) return [];
  // A title that the process gave itself: `nginx: master process nginx -g daemon off;`, `ray::Worker.run`.
  const names = [programName(first.split(/:? /, 1)[0] as string), first];
  const script = scriptOf(words);
  return script === undefined ? names : [...names, programName(script), script];
}

const scriptOf = (words: readonly string[]): string | undefined =>
  isInterpreter(programName(words[0] ?? '')) ? words.slice(1).find((word) => !word.startsWith('-')) : undefined;

/** Whether a program was started with one of these subcommands. */
function hasCommand(words: readonly string[], commands: readonly string[]): boolean {
  const start = words.indexOf(scriptOf(words) ?? (words[0] as string));
  const [program = '', ...rest] = words.slice(start, start + 3);
  return [1, 2].some((length) => commands.includes([programName(program), ...rest.slice(0, length)].join(' ')));
}

const matches = (words: readonly string[], programs: RegExp, modules: RegExp | null): boolean =>
  namesOf(words).some((name) => programs.test(name) || modules?.test(name) === true);

export const isHelper = (words: readonly string[]): boolean =>
  matches(words, helpers, helperModules) || words.slice(1, 6).some((word) => parts.test(word));

/** A helper that runs what its program handed to it. */
export const isRunner = (words: readonly string[]): boolean => words.slice(1, 6).some((word) => runners.test(word));

export const isModelSwap = (words: readonly string[]): boolean => matches(words, swaps, null);

export const isRouter = (words: readonly string[]): boolean =>
  matches(words, routers, routerModules) || isModelSwap(words) || hasCommand(words, routerCommands);
