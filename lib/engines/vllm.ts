import type { EngineRow } from './engine.js';

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
  defaultPort: 8000,
  healthPath: '/health',
} as const satisfies EngineRow;
