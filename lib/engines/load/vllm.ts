import { labelOf, MetricsPage, type PageLayout, type Sample, sumOf, withLabel } from './metrics-page.js';
import {
  adapterNames,
  askModels,
  askVersion,
  count,
  counterFrom,
  countFrom,
  distinct,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  percentFrom,
  progressOf,
  someOrNull,
  sumFrom,
} from './reading.js';

/** Data-parallel ranks of V1 are distinguished by `engine`; V0 has one, without the label. */
const engineOf = (sample: Sample): string => labelOf(sample, 'engine') ?? '';

/** Waiting for capacity where it says why requests wait: `deferred` is its policy, and no congestion. */
function waitingOf(page: MetricsPage): number | null {
  const reasons = withLabel(page.samples('vllm:num_requests_waiting_by_reason'), 'reason', 'capacity');
  return reasons.length > 0 ? count(sumOf(reasons)) : countFrom(page, 'vllm:num_requests_waiting');
}

function sleepingOf(page: MetricsPage): boolean | null {
  const awake = withLabel(page.samples('vllm:engine_sleep_state'), 'sleep_state', 'awake');
  return awake.length === 0 ? null : awake.every(({ value }) => value === 0);
}

/** Each change has a sample of its own, whose value is its time: the newest counts. */
function adaptersOf(page: MetricsPage): string[] | null {
  const samples = page.samples('vllm:lora_requests_info');
  const newest = samples.reduce<Sample | null>(
    (last, one) => (last === null || one.value >= last.value ? one : last),
    null,
  );
  if (newest === null) return null;
  const lists = ['running_lora_adapters', 'waiting_lora_adapters'].map((name) => labelOf(newest, name) ?? '');
  return adapterNames(lists.flatMap((list) => list.split(',')).map((name) => name.trim()));
}

/** V0 and V1, by the newer name of each figure, then the older one. */
export function readVllm(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = page.samples('vllm:num_requests_running');
  if (running.length === 0) return null;
  const promptTokens = counterFrom(page, 'vllm:prompt_tokens');
  const generationTokens = counterFrom(page, 'vllm:generation_tokens');
  return {
    ...nothing,
    models: someOrNull(modelNames(running.map((sample) => labelOf(sample, 'model_name')))),
    adapters: adaptersOf(page),
    running: count(sumOf(running)),
    waiting: waitingOf(page),
    kvPercent: percentFrom(page, 'vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'),
    prefixHitPercent: percentFrom(page, 'vllm:gpu_prefix_cache_hit_rate'),
    sleeping: sleepingOf(page),
    ranks: distinct(running, engineOf),
    // The histogram counts each step of an engine.
    progress: progressOf(sumFrom(page, 'vllm:iteration_tokens_total_count'), promptTokens, generationTokens),
    counters: {
      promptTokens,
      generationTokens,
      prefixQueries: counterFrom(page, 'vllm:prefix_cache_queries', 'vllm:gpu_prefix_cache_queries'),
      prefixHits: counterFrom(page, 'vllm:prefix_cache_hits', 'vllm:gpu_prefix_cache_hits'),
    },
  };
}

export const vllmLoad = {
  questions: [{ ways: [{ path: '/metrics', read: readVllm }] }, askVersion, askModels],
  stepwise: true,
  keepsAlive: true,
} as const satisfies LoadSource;
