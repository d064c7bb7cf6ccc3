import { hasText } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** TGI, text-generation-inference of Hugging Face. */
export const textGeneration = {
  name: 'text-generation',
  starts: [
    { programs: ['text-generation-launcher', 'text-generation-router', 'text-generation-server'], bare: true },
    { module: /(?:^|\.)text_generation_server(?:\.cli)?$/ },
  ],
  arguments: { model: ['--model-id'], servedName: ['--served-model-name'], port: ['-p', '--port'] },
  shown: shownOptions({
    model: '--model-id --served-model-name',
    port: '-p --port --prometheus-port --master-port',
    host: '--hostname',
    number:
      '--num-shard --max-concurrent-requests --max-input-tokens --max-input-length --max-total-tokens --max-batch-size --max-batch-prefill-tokens --max-batch-total-tokens --max-waiting-tokens --waiting-served-ratio --cuda-memory-fraction --max-best-of --max-stop-sequences --max-top-n-tokens',
    word: '--quantize --dtype --kv-cache-dtype --sharded',
  }),
  defaultPort: 3000,
  healthPath: '/health',
  identity: [{ path: '/info', is: hasText('model_id', 'version') }],
} as const satisfies EngineRow;
