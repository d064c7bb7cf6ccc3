import { type Answer, memberOf, openAiModels } from './answer.js';
import { argparse } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** Of those with a list of models, the only one that does not say who owns them. */
function isMlxLm({ status, json }: Answer): boolean {
  const models = memberOf(json, 'data');
  return (
    status === 200 &&
    memberOf(json, 'object') === 'list' &&
    Array.isArray(models) &&
    models.every((model) => memberOf(model, 'object') === 'model' && memberOf(model, 'owned_by') === undefined)
  );
}

export const mlxLm = {
  name: 'mlx-lm',
  starts: [
    { programs: ['mlx_lm.server'] },
    { programs: ['mlx_lm'], subcommands: ['server'] },
    { module: /(?:^|\.)mlx_lm\.server$/ },
    { module: /(?:^|\.)mlx_lm$/, subcommands: ['server'] },
  ],
  arguments: { model: ['--model'], servedName: [], port: ['--port'] },
  parser: {
    ...argparse,
    flags: '--trust-remote-code --use-default-chat-template --pipeline -h --help',
    values:
      '--adapter-path --draft-model --chat-template --chat-template-args --log-level --prompt-cache-bytes --prompt-overflow-policy --max-active-kv-bytes --max-active-memory-bytes',
  },
  shown: shownOptions({
    model: '--model',
    port: '--port',
    host: '--host',
    number:
      '--num-draft-tokens --temp --top-p --top-k --min-p --max-tokens --decode-concurrency --prompt-concurrency --prefill-step-size --prompt-cache-size --max-prompt-tokens --prompt-keep-tokens --max-kv-size --kv-bits --kv-group-size --quantized-kv-start',
  }),
  defaultPort: 8080,
  healthPath: '/health',
  identity: [{ path: '/v1/models', is: isMlxLm }],
  models: openAiModels,
} as const satisfies EngineRow;
