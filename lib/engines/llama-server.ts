import { basename } from 'node:path/posix';
import { type Answer, memberOf, modelsOwnedBy, openAiModels } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

const listsModels = modelsOwnedBy('llamacpp');

/** The list of models is open without a key. While it loads, every path answers that it does. */
const isLlamaServer = (answer: Answer): boolean =>
  answer.status === 503
    ? memberOf(memberOf(answer.json, 'error'), 'type') === 'unavailable_error'
    : listsModels(answer);

/**
 * Without an alias it calls a file by its name since late 2025, and by its path before; requests are taken by any name.
 * What it downloads it calls by its repository.
 */
function namesOfModel(model: string, option: string | null): readonly string[] {
  if (option === '-mu' || option === '--model-url') return [basename(model.split(/[?#]/, 1)[0] as string)];
  return option === '-m' || option === '--model' ? [basename(model), model] : [model];
}

/** The server of llama.cpp. */
export const llamaServer = {
  name: 'llama-server',
  starts: [{ programs: ['llama-server', 'llama-server.exe'], bare: true }],
  arguments: {
    model: ['-m', '--model', '-hf', '-hfr', '--hf-repo', '-mu', '--model-url'],
    servedName: ['-a', '--alias'],
    port: ['--port'],
    isUnixSocket: (option, value) => option === '--host' && value.endsWith('.sock'),
    commas: true,
    namesOf: namesOfModel,
  },
  // Its own: each option stands alone, and the next word is its value whatever it is.
  parser: {
    underscores: true,
    dashedValues: true,
    separate: true,
    values:
      '--api-key --api-key-file --path --api-prefix --chat-template --chat-template-file -md --model-draft -mm --mmproj -mmu --mmproj-url -hff --hf-file -hfd -hft --hf-token --lora -ot --override-tensor --override-kv --grammar --log-file --slot-save-path --ssl-key-file --ssl-cert-file --models-dir --models-preset --reasoning-format',
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
  isUnixServer: () => true,
  healthPath: '/health',
  identity: [{ path: '/v1/models', is: isLlamaServer }],
  models: openAiModels,
} as const satisfies EngineRow;
