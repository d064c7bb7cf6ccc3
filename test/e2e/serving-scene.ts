import { fileURLToPath } from 'node:url';
import { ServingEngine, type ServingEngineOptions } from '../fakes/engines/serving-engine.js';
import { createCgroupTree } from '../harness/cgroups.js';
import { llamaServer, sglang, textGeneration, vllm } from '../harness/fake-engines.js';
import { freePorts } from '../harness/free-ports.js';
import type { Daemon, Harness } from '../harness/harness.js';
import { ProcessTrees } from '../harness/process-tree.js';
import type { Managed } from '../harness/processes.js';
import { on, run } from './trees/row.js';

export const model = 'Qwen/Qwen3-8B';

interface Started extends Omit<ServingEngineOptions, 'model'> {
  /** Its id as a worker. */
  readonly id: string;
  readonly command: string;
}

/** Engines of different speed, each with the command line of its kind; {port} is its own. */
const engines: readonly Started[] = [
  {
    id: 'llm/vllm',
    command: `/usr/bin/python3 /usr/local/bin/vllm serve ${model} --host 0.0.0.0 --port {port}`,
    ...{ engine: 'vllm', version: '0.29', site: vllm(model), slots: 16, stepMs: 20 },
  },
  {
    id: 'llm/sglang',
    command: `python3 -m sglang.launch_server --model-path ${model} --host 0.0.0.0 --port {port}`,
    ...{ engine: 'sglang', version: '0.5.9', site: sglang(model), slots: 16, stepMs: 40, stallsAfter: 20 },
  },
  {
    id: 'llm/llama',
    command: `llama-server -m /models/q.gguf -a ${model} --host 0.0.0.0 --port {port} --metrics -np 4`,
    ...{ engine: 'llama-server', version: 'b4700', site: llamaServer(model), slots: 4, stepMs: 15 },
  },
  {
    id: 'llm/tgi',
    command: `text-generation-router --model-id ${model} --hostname 0.0.0.0 --port {port}`,
    ...{ engine: 'text-generation', version: '3.3', site: textGeneration(model), slots: 12, stepMs: 30 },
  },
];

export interface ServingScene {
  readonly queen: Daemon;
  /** By the ids of their workers. */
  readonly engines: ReadonlyMap<string, ServingEngine>;
  startRouter(env: Readonly<Record<string, string>>): Promise<{ readonly url: string; readonly process: Managed }>;
}

/** Four engines of different kind and speed, one of which stalls midway, with a hive and a queen of their own. */
export async function startServingScene(harness: Harness): Promise<ServingScene> {
  const cgroups = await createCgroupTree();
  harness.defer(() => cgroups.dispose());
  const ports = await freePorts(engines.length);
  const trees = await ProcessTrees.open(harness);
  const started = new Map<string, ServingEngine>();
  for (const [i, { id, command, ...options }] of engines.entries()) {
    const engine = new ServingEngine({ model, ...options });
    harness.defer(() => engine.close());
    started.set(id, engine);
    const argv = command.replace('{port}', String(ports[i]));
    const cgroup = await cgroups.cgroup(`hivepulse.slice/${id}`);
    await trees.start(run(argv, on(`0.0.0.0:${ports[i]}`, engine)), { cgroup });
  }
  await trees.started();
  // Router, Prometheus, terminal and test all ask from one address.
  const queen = await harness.queen({ args: ['--requests-per-second', '20000'] });
  const place = ['--root', cgroups.root, '--runtime-dir', harness.directory()];
  await harness.hive([queen.url], { args: [...place, '--no-auto', '--gpu', 'none', '--address', '127.0.0.1'] });
  const example = fileURLToPath(new URL('../../examples/router.ts', import.meta.url));
  return {
    queen,
    engines: started,
    startRouter: async (env) => {
      const process_ = harness.start('router', process.execPath, ['--import', 'tsx', example], {
        env: { ...env, HIVEPULSE_URL: queen.url, HIVEPULSE_TOKEN: undefined, PORT: '0' },
      });
      const [, port] = await process_.line(/^listening on (\d+),/);
      return { url: `http://127.0.0.1:${port}`, process: process_ };
    },
  };
}

/** A chat completion that is streamed; what came of it, whole or not. */
export async function askChat(url: string, session: number, tokens: number): Promise<string> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      stream: true,
      max_tokens: tokens,
      prompt_cache_key: `session-${session}`,
      messages: [{ role: 'user', content: `${session} ${'word '.repeat(200)}` }],
    }),
  });
  const text = await response.text();
  return response.status === 200 ? text : `${response.status} ${text}`;
}
