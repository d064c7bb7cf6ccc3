import { hasText, openAiModels } from './answer.js';
import { argparse } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** What its parts talk over: sockets of ZeroMQ named by a UUID, and of multiprocessing. */
const ofParts = /\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[^/]*$|\/pymp-[^/]+\/|\/(?:ray|torch)[^/]*\//;

export const vllm = {
  name: 'vllm',
  starts: [
    { programs: ['vllm'], subcommands: ['serve'], positionalModel: true, firstModel: true },
    {
      module: /(?:^|\.)vllm\.entrypoints\.cli\.main$|^vllm$/,
      subcommands: ['serve'],
      positionalModel: true,
      firstModel: true,
    },
    { module: /(?:^|\.)vllm\.entrypoints\.(?:openai\.)?api_server$/ },
  ],
  titlePrefix: 'VLLM::',
  arguments: {
    model: ['--model'],
    servedName: ['--served-model-name'],
    port: ['--port'],
    isUnixSocket: (option) => option === '--uds',
  },
  // FlexibleArgumentParser. `--model` of `serve` is moved to the front of its words before they are parsed.
  parser: {
    ...argparse,
    underscores: true,
    dotted: true,
    flags:
      '--headless --grpc --trust-remote-code --trust-request-chat-template --skip-tokenizer-init --enforce-eager --enable-prompt-embeds --disable-sliding-window --disable-cascade-attn --enable-sleep-mode --enable-lora --enable-lora-bias --fully-sharded-loras --enable-expert-parallel -ep --enable-eplb --enable-dbo --enable-elastic-ep --disable-custom-all-reduce --ray-workers-use-nsight --async-scheduling --disable-log-stats --disable-log-requests --enable-log-requests --enable-log-outputs --disable-hybrid-kv-cache-manager --calculate-kv-scales --data-parallel-hybrid-lb -dph --data-parallel-external-lb -dpe --disable-async-output-proc --enable-auto-tool-choice --exclude-tools-when-tool-choice-none --return-tokens-as-token-ids --enable-prompt-tokens-details --enable-server-load-tracking --enable-force-include-usage --enable-tokenizer-info-endpoint --enable-request-id-headers --disable-uvicorn-access-log --disable-fastapi-docs --disable-frontend-multiprocessing --enable-ssl-refresh --allow-credentials --enable-reasoning --interleave-mm-strings --skip-mm-profiling --disable-mm-preprocessor-cache --log-error-stack --kv-sharing-fast-prefill --disable-chunked-mm-input --enable-mfu-metrics -h --help',
    values:
      '--config --revision --code-revision --tokenizer-revision --hf-config-path --hf-overrides --allowed-local-media-path --rope-scaling --rope-theta --max-logprobs --logprobs-mode --config-format --generation-config --override-generation-config --override-pooler-config --pooler-config --model-impl --model-loader-extra-config --runner --convert --task --download-dir --reasoning-parser --guided-decoding-backend --structured-outputs-config --max-parallel-loading-workers --data-parallel-address -dpa --data-parallel-start-rank -dpr --data-parallel-backend -dpb -dpp --nnodes -n --node-rank -r --master-addr --master-port --worker-cls --worker-extension-cls --kv-cache-memory-bytes --prefix-caching-hash-algo --mamba-cache-dtype --mamba-ssm-cache-dtype --limit-mm-per-prompt --media-io-kwargs --mm-processor-kwargs --mm-processor-cache-gb --mm-encoder-tp-mode --lora-dtype --lora-extra-vocab-size --qlora-adapter-name-or-path --otlp-traces-endpoint --show-hidden-metrics-for-version --max-num-partial-prefills --max-long-partial-prefills --long-prefill-token-threshold --num-scheduler-steps --scheduler-cls --scheduler-delay-factor --preemption-mode --max-seq-len-to-capture --speculative-config -sc --speculative-model --num-speculative-tokens --kv-transfer-config --kv-events-config --ec-transfer-config --compilation-config -cc -O --optimization-level --attention-backend --attention-config --additional-config --stream-interval --uds --uvicorn-log-level --chat-template --chat-template-content-format --response-role --tool-call-parser --tool-parser-plugin --tool-server --log-config-file --max-log-len --root-path --middleware --allowed-origins --allowed-methods --allowed-headers --ssl-keyfile --ssl-certfile --ssl-ca-certs --ssl-cert-reqs --ssl-ciphers',
    lists: '--served-model-name --lora-modules --cudagraph-capture-sizes --cuda-graph-sizes',
    unclear:
      '--api-key --hf-token --enable-chunked-prefill --enable-prefix-caching --use-v2-block-manager --ignore-patterns --collect-detailed-traces --logits-processors --long-lora-scaling-factors',
  },
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
  isUnixServer: (path) => !ofParts.test(path),
  healthPath: '/health',
  identity: [{ path: '/version', is: hasText('version') }],
  models: openAiModels,
} as const satisfies EngineRow;
