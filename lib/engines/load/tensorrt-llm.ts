import { labelOf, MetricsPage, type PageLayout } from './metrics-page.js';
import {
  askModels,
  askVersion,
  counterFrom,
  countFrom,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  percentFrom,
  progressOf,
  someOrNull,
} from './reading.js';

/** `/prometheus/metrics` of trtllm-serve. Its `/metrics` hands out what its iterations were and forgets it: never asked. */
export function readTensorrtLlm(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = countFrom(page, 'trtllm_num_requests_running');
  const kvPercent = percentFrom(page, 'trtllm_kv_cache_utilization');
  if (running === null && kvPercent === null) return null;
  const models = page.firstOf('trtllm_num_requests_running', 'trtllm_kv_cache_utilization');
  return {
    ...nothing,
    models: someOrNull(modelNames(models.map((sample) => labelOf(sample, 'model_name')))),
    running,
    waiting: countFrom(page, 'trtllm_num_requests_waiting'),
    kvPercent,
    prefixHitPercent: percentFrom(page, 'trtllm_kv_cache_hit_rate'),
    progress: progressOf(counterFrom(page, 'trtllm_request_success')),
  };
}

export const tensorrtLlmLoad = {
  questions: [{ ways: [{ path: '/prometheus/metrics', read: readTensorrtLlm }] }, askVersion, askModels],
  keepsAlive: true,
} as const satisfies LoadSource;
