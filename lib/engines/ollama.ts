import { hasText, loadedModels } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/**
 * Its runner is given a blob by its digest, and listens on a port of its own: neither is what clients ask for, so no
 * argument counts.
 */
export const ollama = {
  name: 'ollama',
  starts: [
    { programs: ['ollama'], subcommands: ['serve', 'runner'] },
    { programs: ['ollama_llama_server', 'ollama-runner'], bare: true },
  ],
  arguments: { model: [], servedName: [], port: [] },
  parser: {},
  renamesModels: true,
  shown: shownOptions({
    model: '--model',
    port: '--port',
    number: '--ctx-size --batch-size --n-gpu-layers --threads --parallel',
  }),
  defaultPort: 11_434,
  healthPath: '/api/version',
  identity: [{ path: '/api/version', is: hasText('version') }],
  models: loadedModels,
} as const satisfies EngineRow;
