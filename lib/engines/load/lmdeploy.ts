import { memberOf } from '../answer.js';
import { labelOf, MetricsPage, type PageLayout, type Sample } from './metrics-page.js';
import {
  askModels,
  counterFrom,
  countFrom,
  distinct,
  jsonOf,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  percentFrom,
  progressOf,
  type ReadLoad,
  someOrNull,
} from './reading.js';

const engineOf = (sample: Sample): string => labelOf(sample, 'engine') ?? '';

/** Requests that its own server still holds back wait as well. */
export function readLmdeploy(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = page.samples('lmdeploy:num_requests_running');
  if (running.length === 0) return null;
  const waiting = countFrom(page, 'lmdeploy:num_requests_waiting');
  const heldBack = countFrom(page, 'lmdeploy:num_api_requests_waiting');
  const promptTokens = counterFrom(page, 'lmdeploy:prompt_tokens');
  const generationTokens = counterFrom(page, 'lmdeploy:generation_tokens');
  return {
    ...nothing,
    models: someOrNull(modelNames(running.map((sample) => labelOf(sample, 'model_name')))),
    running: countFrom(page, 'lmdeploy:num_requests_running'),
    waiting: waiting === null ? heldBack : waiting + (heldBack ?? 0),
    kvPercent: percentFrom(page, 'lmdeploy:gpu_cache_usage_perc'),
    prefixHitPercent: percentFrom(page, 'lmdeploy:prefix_cache_hit_rate'),
    ranks: distinct(running, engineOf),
    progress: progressOf(promptTokens, generationTokens),
    counters: { ...nothing.counters, promptTokens, generationTokens },
  };
}

/** `/health` of newer versions: `{"status": "sleeping"}`. */
export const readHealth: ReadLoad = (body) => {
  const status = memberOf(jsonOf(body), 'status');
  return typeof status === 'string' ? { ...nothing, sleeping: status === 'sleeping' } : null;
};

export const lmdeployLoad = {
  questions: [
    { ways: [{ path: '/metrics', read: readLmdeploy }] },
    { ways: [{ path: '/health', read: readHealth }], everyMs: 5000 },
    askModels,
  ],
  // Its gauges are set every 10 s.
  lagMs: 10_000,
  keepsAlive: true,
} as const satisfies LoadSource;
