import { memberOf } from '../answer.js';
import {
  count,
  itemsOf,
  jsonOf,
  type LoadSource,
  modelNames,
  nothing,
  type ReadLoad,
  rarelyMs,
  readVersion,
} from './reading.js';

/** `/api/ps`: the models that are loaded now; what they do is known by the runners that it starts. */
export const readPs: ReadLoad = (body) => {
  const models = memberOf(jsonOf(body), 'models');
  if (!Array.isArray(models)) return null;
  const loaded = itemsOf(models);
  const longest = loaded.reduce<number>((most, one) => Math.max(most, count(memberOf(one, 'context_length')) ?? 0), 0);
  return {
    ...nothing,
    models: modelNames(loaded.map((model) => memberOf(model, 'name'))),
    maxContext: longest || null,
    // Without a model that is loaded nothing is computed.
    running: models.length === 0 ? 0 : null,
  };
};

export const ollamaLoad = {
  questions: [
    { ways: [{ path: '/api/ps', read: readPs }] },
    { ways: [{ path: '/api/version', read: readVersion }], everyMs: rarelyMs },
  ],
} as const satisfies LoadSource;
