import { hasText, memberOf } from './answer.js';
import { getoptLong } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

export const tritonserver = {
  name: 'tritonserver',
  starts: [{ programs: ['tritonserver'], bare: true }],
  // Without --load-model it serves whatever its repository holds.
  arguments: {
    model: [],
    servedName: ['--load-model'],
    port: ['--http-port'],
    loadPort: { options: ['--metrics-port'], default: 8002 },
    adds: true,
    isName: (name) => name !== '*',
  },
  parser: {
    ...getoptLong,
    flags: '--help --version --disable-auto-complete-config',
    values:
      '--id --model-load-thread-count --model-load-retry-count --model-load-gpu-limit --model-namespacing --repository-poll-secs --exit-on-error --strict-model-config --strict-readiness --reuse-http-port --reuse-grpc-port --http-header-forward-pattern --http-restricted-api --host-policy --log-info --log-warning --log-error --log-format --log-file --backend-directory --backend-config --repoagent-directory --cache-config --cache-directory --metrics-interval-ms --metrics-config --trace-config --rate-limit --pinned-memory-pool-byte-size --cuda-memory-pool-byte-size',
  },
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
