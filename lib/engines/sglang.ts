import { hasText } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

export const sglang = {
  name: 'sglang',
  starts: [
    { programs: ['sglang'], subcommands: ['serve'], positionalModel: true },
    { module: /(?:^|\.)sglang\.(?:launch_server|srt\.server)$/ },
  ],
  titlePrefix: 'sglang::',
  arguments: { model: ['--model-path', '--model'], servedName: ['--served-model-name'], port: ['--port'] },
  shown: shownOptions({
    model: '--model-path --model --tokenizer-path --served-model-name',
    port: '--port --nccl-port',
    host: '--host',
    number:
      '--tensor-parallel-size --tp-size --tp --data-parallel-size --dp-size --dp --pipeline-parallel-size --pp-size --expert-parallel-size --ep-size --ep --nnodes --node-rank --mem-fraction-static --context-length --max-running-requests --max-total-tokens --max-queued-requests --chunked-prefill-size --max-prefill-tokens --page-size --cuda-graph-max-bs --stream-interval --random-seed --max-loras-per-batch',
    word: '--dtype --quantization --kv-cache-dtype --attention-backend --schedule-policy --load-format --device',
  }),
  defaultPort: 30_000,
  healthPath: '/health',
  // The first since late 2025; the second until then, and for some time after.
  identity: [
    { path: '/model_info', is: hasText('model_path') },
    { path: '/get_model_info', is: hasText('model_path') },
  ],
} as const satisfies EngineRow;
