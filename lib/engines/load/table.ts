import type { Engine } from '../table.js';
import { llamaServerLoad } from './llama-server.js';
import { lmdeployLoad } from './lmdeploy.js';
import { ollamaLoad } from './ollama.js';
import type { LoadSource } from './reading.js';
import { sglangLoad } from './sglang.js';
import { tensorrtLlmLoad } from './tensorrt-llm.js';
import { textEmbeddingsLoad } from './text-embeddings.js';
import { textGenerationLoad } from './text-generation.js';
import { tritonLoad } from './tritonserver.js';
import { vllmLoad } from './vllm.js';

/** How each engine is asked for its load; null: it does not say. */
export const loadSources: Readonly<Record<Engine, LoadSource | null>> = {
  vllm: vllmLoad,
  sglang: sglangLoad,
  'llama-server': llamaServerLoad,
  ollama: ollamaLoad,
  'text-generation': textGenerationLoad,
  'text-embeddings': textEmbeddingsLoad,
  tritonserver: tritonLoad,
  'tensorrt-llm': tensorrtLlmLoad,
  lmdeploy: lmdeployLoad,
  'llama-cpp-python': null,
  'mlx-lm': null,
};
