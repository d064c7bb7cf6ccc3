import { type Answer, hasText, infoModel, memberOf } from './answer.js';
import { clap } from './arguments.js';
import type { EngineRow } from './engine.js';
import { shownOptions } from './shown-options.js';

/** Only it says what kind of model it serves: `{"embedding": {"pooling": "cls"}}`. */
function isTextEmbeddings(answer: Answer): boolean {
  const kind = memberOf(answer.json, 'model_type');
  return hasText('model_id', 'version')(answer) && typeof kind === 'object' && kind !== null;
}

/** TEI, text-embeddings-inference. */
export const textEmbeddings = {
  name: 'text-embeddings',
  starts: [{ programs: ['text-embeddings-router'] }],
  arguments: { model: ['--model-id'], servedName: ['--served-model-name'], port: ['-p', '--port'] },
  parser: { ...clap },
  shown: shownOptions({
    model: '--model-id --served-model-name',
    port: '-p --port --prometheus-port',
    host: '--hostname',
    number:
      '--tokenization-workers --max-concurrent-requests --max-batch-tokens --max-batch-requests --max-client-batch-size --payload-limit --device-id',
    word: '--dtype --pooling',
  }),
  defaultPort: 3000,
  healthPath: '/health',
  identity: [{ path: '/info', is: isTextEmbeddings }],
  models: infoModel,
} as const satisfies EngineRow;
