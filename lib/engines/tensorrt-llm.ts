import { basename } from 'node:path/posix';
import { hasText, openAiModels } from './answer.js';
import { click } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

const commands = {
  subcommands: ['serve', 'mm_embedding_serve'],
  bare: true,
  others: ['disaggregated', 'disaggregated_mpi_worker', 'visual_gen_serve', 'grpc'],
  positionalModel: true,
} as const;

export const tensorrtLlm = {
  name: 'tensorrt-llm',
  starts: [
    { programs: ['trtllm-serve'], ...commands },
    { module: /(?:^|\.)tensorrt_llm\.commands\.serve$/, ...commands },
  ],
  // A directory is called by its name.
  arguments: {
    model: [],
    servedName: ['--served-model-name'],
    port: ['--port'],
    namesOf: (model) => [/^(?:\.{0,2}|~)\//.test(model) ? basename(model) : model],
  },
  // Versions differ in whether names of options are written with `_` or with `-`.
  parser: {
    ...click,
    underscores: true,
    flags:
      '--trust-remote-code --enable-chunked-prefill --fail-fast-on-attention-window-too-large --help --no-telemetry',
    values:
      '--custom-tokenizer --custom-module-dirs --tensor-parallel-size --pipeline-parallel-size --context-parallel-size --cp-size --moe-expert-parallel-size --moe-cluster-parallel-size --cluster-size --free-gpu-memory-fraction --revision --config --extra-llm-api-options --extra-encoder-options --reasoning-parser --tool-parser --metadata-server-config-file --server-role --otlp-traces-endpoint --disagg-cluster-uri --media-io-kwargs --chat-template',
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
  models: openAiModels,
} as const satisfies EngineRow;
