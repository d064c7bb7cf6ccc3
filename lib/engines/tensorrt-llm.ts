import type { EngineRow } from './engine.js';

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
  defaultPort: 8000,
  healthPath: '/health',
} as const satisfies EngineRow;
