import type { EngineRow } from './engine.js';

/** The server of llama.cpp. */
export const llamaServer = {
  name: 'llama-server',
  starts: [{ programs: ['llama-server', 'llama-server.exe'], bare: true }],
  arguments: {
    model: ['-m', '--model', '-hf', '-hfr', '--hf-repo', '-mu', '--model-url'],
    servedName: ['-a', '--alias'],
    port: ['--port'],
  },
  defaultPort: 8080,
  healthPath: '/health',
} as const satisfies EngineRow;
