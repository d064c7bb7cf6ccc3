import { modelsOwnedBy, openAiModels } from './answer.js';
import { argparse } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** The server of llama-cpp-python. Names of its options have `_`, and no `-`. */
export const llamaCppPython = {
  name: 'llama-cpp-python',
  starts: [{ module: /(?:^|\.)llama_cpp\.server(?:\.__main__)?$/ }],
  arguments: { model: ['--model'], servedName: ['--model_alias'], port: ['--port'] },
  parser: {
    ...argparse,
    values:
      '--host --seed --n_ctx --n_batch --n_threads --n_threads_batch --n_gpu_layers --main_gpu --split_mode --use_mmap --use_mlock --embedding --offload_kqv --flash_attn --chat_format --clip_model_path --cache --cache_type --cache_size --draft_model --draft_model_num_pred_tokens --lora_base --lora_path --hf_model_repo_id --hf_tokenizer_config_path --hf_pretrained_model_name_or_path --rpc_servers --numa --verbose --api_key --interrupt_requests --root_path --ssl_keyfile --ssl_certfile --config_file',
    lists: '--tensor_split --kv_overrides',
  },
  shown: shownOptions({
    model: '--model --model-alias',
    port: '--port',
    host: '--host',
    number: '--n-ctx --n-batch --n-threads --n-threads-batch --n-gpu-layers --main-gpu --seed',
    word: '--flash-attn --offload-kqv --use-mmap --use-mlock --embedding --cache --cache-type --numa --verbose',
  }),
  defaultPort: 8000,
  // It has no path for its health; it listens once its model is loaded, and the list of models needs a key where one is set.
  healthPath: '/openapi.json',
  identity: [{ path: '/v1/models', is: modelsOwnedBy('me') }],
  models: openAiModels,
} as const satisfies EngineRow;
