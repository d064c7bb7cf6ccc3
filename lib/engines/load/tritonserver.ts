import { labelOf, MetricsPage, type PageLayout, sumOf, withLabel } from './metrics-page.js';
import {
  amount,
  count,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  percentOf,
  progressOf,
  someOrNull,
} from './reading.js';

/** Triton with its TensorRT-LLM backend, at its port of metrics. `scheduled` are those that it computes. */
export function readTriton(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const requests = page.samples('nv_trt_llm_request_metrics');
  if (requests.length === 0) return null;
  const of = (type: string) => count(sumOf(withLabel(requests, 'request_type', type)));
  const blocks = page.samples('nv_trt_llm_kv_cache_block_metrics');
  const fractions = withLabel(blocks, 'kv_cache_block_type', 'fraction').map(({ value }) => value);
  const steps = withLabel(page.samples('nv_trt_llm_general_metrics'), 'general_type', 'iteration_counter');
  return {
    ...nothing,
    models: someOrNull(modelNames(requests.map((sample) => labelOf(sample, 'model')))),
    running: of('scheduled') ?? of('active'),
    waiting: of('waiting'),
    capacity: of('max'),
    kvPercent: percentOf(fractions.length === 0 ? null : fractions.reduce((most, value) => Math.max(most, value))),
    progress: progressOf(amount(sumOf(steps))),
  };
}

export const tritonLoad = {
  questions: [{ ways: [{ path: '/metrics', read: readTriton }] }],
  stepwise: true,
  keepsAlive: true,
} as const satisfies LoadSource;
