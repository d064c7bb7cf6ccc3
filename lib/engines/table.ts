import type { EngineRow } from './engine.js';
import { llamaCppPython } from './llama-cpp-python.js';
import { llamaServer } from './llama-server.js';
import { lmdeploy } from './lmdeploy.js';
import { mlxLm } from './mlx-lm.js';
import { ollama } from './ollama.js';
import { sglang } from './sglang.js';
import { tensorrtLlm } from './tensorrt-llm.js';
import { textEmbeddings } from './text-embeddings.js';
import { textGeneration } from './text-generation.js';
import { tritonserver } from './tritonserver.js';
import { vllm } from './vllm.js';

/** Servers of models that are known. A new one is a file beside this one, and a name in this list. */
const rows = [
  vllm,
  sglang,
  llamaServer,
  ollama,
  textGeneration,
  textEmbeddings,
  tritonserver,
  tensorrtLlm,
  lmdeploy,
  llamaCppPython,
  mlxLm,
] as const;

export type Engine = (typeof rows)[number]['name'];

export const engines: readonly (EngineRow & { readonly name: Engine })[] = rows;

export const engineNamed = (name: Engine): EngineRow => engines.find((row) => row.name === name) as EngineRow;
