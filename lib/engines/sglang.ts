import { hasText, openAiModels } from './answer.js';
import { argparse } from './arguments.js';
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
  // Only the word right behind `serve` is taken as the model.
  parser: {
    ...argparse,
    flags:
      '--trust-remote-code --skip-tokenizer-init --skip-server-warmup --enable-metrics --enable-lora --enable-dp-attention --enable-mixed-chunk --enable-torch-compile --disable-radix-cache --disable-cuda-graph --disable-overlap-schedule --disable-custom-all-reduce --log-requests --is-embedding --enable-multimodal --show-time-cost -h --help',
    values:
      '--model-type --model-impl --model-loader-extra-config --model-checksum --tokenizer-mode --tokenizer-worker-num --config --revision --chat-template --api-key --admin-api-key --log-level --log-level-http --download-dir --base-gpu-id --dist-init-addr --reasoning-parser --tool-call-parser --sampling-backend --grammar-backend --sampling-defaults --schedule-conservativeness --preferred-sampling-params --prefill-max-requests --speculative-algorithm --speculative-draft-model-path --speculative-num-steps --speculative-eagle-topk --speculative-num-draft-tokens --weight-version --json-model-override-args --served-model-name',
    lists: '--lora-paths --cuda-graph-bs',
  },
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
  models: openAiModels,
} as const satisfies EngineRow;
