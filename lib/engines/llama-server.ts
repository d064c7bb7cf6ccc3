import { type Answer, memberOf } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** The list of models is open without a key. While it loads, every path answers that it does. */
function isLlamaServer({ status, json }: Answer): boolean {
  if (status === 503) return memberOf(memberOf(json, 'error'), 'type') === 'unavailable_error';
  const models = memberOf(json, 'data');
  return (
    status === 200 &&
    Array.isArray(models) &&
    models.length > 0 &&
    models.every((model) => memberOf(model, 'owned_by') === 'llamacpp')
  );
}

/** The server of llama.cpp. */
export const llamaServer = {
  name: 'llama-server',
  starts: [{ programs: ['llama-server', 'llama-server.exe'], bare: true }],
  arguments: {
    model: ['-m', '--model', '-hf', '-hfr', '--hf-repo', '-mu', '--model-url'],
    servedName: ['-a', '--alias'],
    port: ['--port'],
  },
  shown: shownOptions({
    model: '-m --model -hf -hfr --hf-repo -mu --model-url -a --alias',
    port: '--port',
    host: '--host',
    number:
      '-c --ctx-size -ngl --gpu-layers --n-gpu-layers -np --parallel -t --threads -tb --threads-batch -b --batch-size -ub --ubatch-size -n --predict --n-predict -mg --main-gpu -s --seed --timeout -to --threads-http --n-cpu-moe -ncmoe --cache-reuse',
    word: '-fa --flash-attn -ctk --cache-type-k -ctv --cache-type-v -sm --split-mode --pooling --numa',
  }),
  defaultPort: 8080,
  healthPath: '/health',
  identity: [{ path: '/v1/models', is: isLlamaServer }],
} as const satisfies EngineRow;
