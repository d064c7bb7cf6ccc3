import { hasText } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

export const tensorrtLlm = {
  name: 'tensorrt-llm',
  starts: [
    { programs: ['trtllm-serve'], subcommands: ['serve'], bare: true, positionalModel: true },
    { module: /(?:^|\.)tensorrt_llm\.commands\.serve$/ },
  ],
  arguments: {
    model: ['--model_name', '--model'],
    servedName: ['--served_model_name', '--served-model-name'],
    port: ['--port'],
  },
  shown: shownOptions({
    model: '--model-name --model --served-model-name --tokenizer',
    port: '--port',
    host: '--host',
    number:
      '--max-batch-size --max-num-tokens --max-seq-len --max-beam-width --tp-size --pp-size --ep-size --gpus-per-node --kv-cache-free-gpu-memory-fraction --num-postprocess-workers',
    word: '--backend --log-level',
  }),
  defaultPort: 8000,
  healthPath: '/health',
  identity: [{ path: '/version', is: hasText('version') }],
} as const satisfies EngineRow;
