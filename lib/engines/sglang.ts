import type { EngineRow } from './engine.js';

export const sglang = {
  name: 'sglang',
  starts: [
    { programs: ['sglang'], subcommands: ['serve'], positionalModel: true },
    { module: /(?:^|\.)sglang\.(?:launch_server|srt\.server)$/ },
  ],
  titlePrefix: 'sglang::',
  arguments: { model: ['--model-path', '--model'], servedName: ['--served-model-name'], port: ['--port'] },
  defaultPort: 30_000,
  healthPath: '/health',
} as const satisfies EngineRow;
