import { memberOf } from '../answer.js';
import { MetricsPage, type PageLayout } from './metrics-page.js';
import {
  count,
  counterFrom,
  countFrom,
  jsonOf,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  progressOf,
  type ReadLoad,
  rarelyMs,
  someOrNull,
  versionOf,
} from './reading.js';

/** Tokens are counted when a request ends; the batch counts each of its steps. */
export function readTextGeneration(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = countFrom(page, 'tgi_batch_current_size');
  const waiting = countFrom(page, 'tgi_queue_size');
  if (running === null && waiting === null) return null;
  const promptTokens = counterFrom(page, 'tgi_request_input_length_sum');
  const generationTokens = counterFrom(page, 'tgi_request_generated_tokens_sum');
  return {
    ...nothing,
    running,
    waiting,
    progress: progressOf(counterFrom(page, 'tgi_batch_inference_count'), promptTokens, generationTokens),
    counters: { ...nothing.counters, promptTokens, generationTokens },
  };
}

/** `/info` of TGI and TEI. */
export const readInfo: ReadLoad = (body) => {
  const answer = jsonOf(body);
  const version = versionOf(memberOf(answer, 'version'));
  if (version === null) return null;
  return {
    ...nothing,
    version,
    models: someOrNull(modelNames([memberOf(answer, 'model_id')])),
    maxContext: count(memberOf(answer, 'max_total_tokens') ?? memberOf(answer, 'max_input_length')) || null,
    capacity: null,
  };
};

export const textGenerationLoad = {
  questions: [
    { ways: [{ path: '/metrics', read: readTextGeneration }] },
    { ways: [{ path: '/info', read: readInfo }], everyMs: rarelyMs },
  ],
  keepsAlive: true,
} as const satisfies LoadSource;
