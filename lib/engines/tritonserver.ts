import type { EngineRow } from './engine.js';

export const tritonserver = {
  name: 'tritonserver',
  starts: [{ programs: ['tritonserver'], bare: true }],
  arguments: { model: ['--load-model'], servedName: [], port: ['--http-port'] },
  defaultPort: 8000,
  healthPath: '/v2/health/ready',
} as const satisfies EngineRow;
