import { hasText, memberOf } from './answer.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

export const tritonserver = {
  name: 'tritonserver',
  starts: [{ programs: ['tritonserver'], bare: true }],
  arguments: { model: ['--load-model'], servedName: [], port: ['--http-port'] },
  shown: shownOptions({
    model: '--load-model --model-repository --model-store',
    port: '--http-port --grpc-port --metrics-port',
    host: '--http-address --grpc-address --metrics-address',
    number: '--log-verbose --http-thread-count --exit-timeout-secs',
    word: '--model-control-mode --allow-http --allow-grpc --allow-metrics',
  }),
  defaultPort: 8000,
  healthPath: '/v2/health/ready',
  identity: [
    {
      path: '/v2',
      is: (answer) => hasText('name', 'version')(answer) && Array.isArray(memberOf(answer.json, 'extensions')),
    },
  ],
} as const satisfies EngineRow;
