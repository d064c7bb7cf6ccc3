import { modelsOwnedBy, openAiModels } from './answer.js';
import { argparse } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

const start = { subcommands: ['serve api_server'], positionalModel: true } as const;

export const lmdeploy = {
  name: 'lmdeploy',
  starts: [
    { programs: ['lmdeploy'], ...start },
    { module: /(?:^|\.)lmdeploy(?:\.__main__|\.cli)?$/, ...start },
  ],
  arguments: { model: [], servedName: ['--model-name'], port: ['--server-port'] },
  parser: {
    ...argparse,
    flags:
      '--ssl --allow-credentials --disable-fastapi-docs --allow-terminate-by-client --eager-mode --enable-prefix-caching --enable-metrics --disable-metrics --enable-microbatch --enable-eplb --trust-remote-code -h --help',
    values:
      '--proxy-url --max-log-len --chat-template --tool-call-parser --reasoning-parser --revision --download-dir --dist-init-addr --hf-overrides',
    lists: '--allow-origins --allow-methods --allow-headers --api-keys --adapters',
  },
  shown: shownOptions({
    model: '--model-name',
    port: '--server-port',
    host: '--server-name',
    number:
      '--tp --dp --ep --session-len --max-batch-size --cache-max-entry-count --cache-block-seq-len --max-prefill-token-num --quant-policy --rope-scaling-factor --num-tokens-per-iter --max-prefill-iters --vision-max-batch-size --max-concurrent-requests --node-rank --nnodes',
    word: '--backend --log-level --device --dtype --model-format --role --communicator --migration-backend',
  }),
  defaultPort: 23_333,
  healthPath: '/health',
  identity: [{ path: '/v1/models', is: modelsOwnedBy('lmdeploy') }],
  models: openAiModels,
} as const satisfies EngineRow;
