import { type Answer, hasText, infoModel, memberOf } from './answer.js';
import { clap } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** text-embeddings-inference answers alike, and says what kind of model it serves. */
const isTextGeneration = (answer: Answer): boolean =>
  hasText('model_id', 'version')(answer) && typeof memberOf(answer.json, 'model_type') !== 'object';

/** TGI, text-generation-inference of Hugging Face. */
export const textGeneration = {
  name: 'text-generation',
  starts: [
    { programs: ['text-generation-launcher', 'text-generation-router'], bare: true },
    { programs: ['text-generation-server'], subcommands: ['serve'], bare: true, positionalModel: true },
    { module: /(?:^|\.)text_generation_server(?:\.cli)?$/, subcommands: ['serve'], bare: true, positionalModel: true },
  ],
  // The launcher gives its router the model as the name of the tokenizer, and its servers as a word of its own.
  arguments: {
    model: ['--model-id', '--tokenizer-name'],
    servedName: ['--served-model-name'],
    port: ['-p', '--port'],
  },
  parser: {
    ...clap,
    flags:
      '--json-output --trust-remote-code --disable-custom-kernels --disable-grammar-support --ngrok -e --env --no-sharded -h --help',
    values:
      '--revision --speculate --uds-path --shard-uds-path --master-addr --master-shard-uds-path --logger-level --otlp-endpoint --otlp-service-name --tokenizer-config-path --api-key --huggingface-hub-cache --weights-cache-override --rope-scaling --rope-factor --cuda-graphs --cors-allow-origin --lora-adapters --usage-stats --max-client-batch-size --validation-workers',
    unclear: '--sharded',
  },
  shown: shownOptions({
    model: '--model-id --served-model-name --tokenizer-name',
    port: '-p --port --prometheus-port --master-port',
    host: '--hostname',
    number:
      '--num-shard --max-concurrent-requests --max-input-tokens --max-input-length --max-total-tokens --max-batch-size --max-batch-prefill-tokens --max-batch-total-tokens --max-waiting-tokens --waiting-served-ratio --cuda-memory-fraction --max-best-of --max-stop-sequences --max-top-n-tokens',
    word: '--quantize --dtype --kv-cache-dtype --sharded',
  }),
  defaultPort: 3000,
  healthPath: '/health',
  identity: [{ path: '/info', is: isTextGeneration }],
  models: infoModel,
} as const satisfies EngineRow;
