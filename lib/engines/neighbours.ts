/** Programs that often run beside an engine, and are none. */
import { basename } from 'node:path';

/** They listen, and never serve models: Ray, exporters of metrics, debuggers. */
const helpers =
  /^(?:raylet|gcs_server|plasma_store|ray::.*|ray|dcgm-exporter|nv-hostengine|node_exporter|[a-z0-9_-]+[-_]exporter|tensorboard|debugpy|sshd|containerd-shim[a-z0-9-]*)$/;
const helperModules =
  /(?:^|[./])(?:ray[./](?:dashboard|_private|scripts)|debugpy|tensorboard|prometheus_client)(?:[./]|$)/;

/** What Python's multiprocessing and compilers start beside a server, whose sockets are theirs alone. */
const parts = /multiprocessing\.(?:spawn|forkserver|resource_tracker|semaphore_tracker)|compile_worker/;

/** They pass requests on to engines that they start or know. */
const routers =
  /^(?:litellm|llama-swap|vllm-router|sglang-router|sgl-router|model-runner|nginx|envoy|haproxy|traefik|caddy|local-ai|gpustack|xinference[a-z-]*|lemonade-server|lms)$/;
const routerModules = /(?:^|[./])(?:sglang_router|vllm_router|litellm|xinference|gpustack)(?:[./]|$)/;

/** The words that may name the program: its file, and the script or module where that is an interpreter. */
function* namesOf(words: readonly string[]): Generator<string> {
  const first = words[0];
  if (first === undefined) return;
  // A title that the process gave itself: `nginx: master process nginx -g daemon off;`, `ray::Worker.run`.
  yield basename(first.split(/:? /, 1)[0] as string);
  yield first;
  if (!/^(?:python|pypy|node|ruby)[0-9.]*$/.test(basename(first))) return;
  for (const word of words.slice(1)) {
    if (word.startsWith('-')) continue;
    yield basename(word);
    yield word;
    return;
  }
}

const matches = (words: readonly string[], programs: RegExp, modules: RegExp): boolean => {
  for (const name of namesOf(words)) if (programs.test(name) || modules.test(name)) return true;
  return false;
};

export const isHelper = (words: readonly string[]): boolean =>
  matches(words, helpers, helperModules) || words.slice(1, 6).some((word) => parts.test(word));

export const isRouter = (words: readonly string[]): boolean => matches(words, routers, routerModules);
