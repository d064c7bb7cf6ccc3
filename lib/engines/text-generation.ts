import type { EngineRow } from './engine.js';

/** TGI, text-generation-inference of Hugging Face. */
export const textGeneration = {
  name: 'text-generation',
  starts: [
    { programs: ['text-generation-launcher', 'text-generation-router', 'text-generation-server'], bare: true },
    { module: /(?:^|\.)text_generation_server(?:\.cli)?$/ },
  ],
  arguments: { model: ['--model-id'], servedName: ['--served-model-name'], port: ['-p', '--port'] },
  defaultPort: 3000,
  healthPath: '/health',
} as const satisfies EngineRow;
