import { hasText } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

export const vllm = {
  name: 'vllm',
  starts: [
    { programs: ['vllm'], subcommands: ['serve'], positionalModel: true },
    {
      module: /(?:^|\.)vllm\.entrypoints\.cli\.main$|^vllm$/,
      subcommands: ['serve'],
      positionalModel: true,
    },
    { module: /(?:^|\.)vllm\.entrypoints\.(?:openai\.)?api_server$/ },
  ],
  titlePrefix: 'VLLM::',
  arguments: { model: ['--model'], servedName: ['--served-model-name'], port: ['--port'] },
  shown: shownOptions({
    model: '--model --served-model-name --tokenizer',
    port: '--port --data-parallel-rpc-port',
    host: '--host',
    number:
      '--tensor-parallel-size -tp --pipeline-parallel-size -pp --data-parallel-size -dp --data-parallel-size-local -dpl --data-parallel-rank -dpn --max-num-seqs --max-num-batched-tokens --gpu-memory-utilization --block-size --swap-space --cpu-offload-gb --seed --api-server-count -asc --max-loras --max-lora-rank --max-cpu-loras --num-gpu-blocks-override',
    size: '--max-model-len',
    word: '--dtype --quantization -q --kv-cache-dtype --load-format --device --distributed-executor-backend --tokenizer-mode --scheduling-policy',
  }),
  defaultPort: 8000,
  healthPath: '/health',
  identity: [{ path: '/version', is: hasText('version') }],
} as const satisfies EngineRow;
