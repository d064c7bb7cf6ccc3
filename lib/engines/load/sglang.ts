import { memberOf } from '../answer.js';
import { labelOf, MetricsPage, mostOf, type PageLayout, type Sample } from './metrics-page.js';
import {
  amount,
  askModels,
  count,
  counterFrom,
  distinct,
  itemsOf,
  jsonOf,
  type LoadReading,
  type LoadSource,
  modelNames,
  nothing,
  percentFrom,
  percentOf,
  progressOf,
  someOrNull,
  versionOf,
} from './reading.js';

/** The sum of what each rank says; null where one of them does not say. */
function total(ranks: readonly unknown[], of: (rank: unknown) => number | null): number | null {
  let sum = 0;
  for (const rank of ranks) {
    const value = of(rank);
    if (value === null) return null;
    sum += value;
  }
  return ranks.length === 0 ? null : sum;
}

const member = (name: string) => (rank: unknown) => amount(memberOf(rank, name));

/** The newest versions say what of the waiting prompts is not cached; before, all tokens less those in use. */
function waitingTokensOf(rank: unknown): number | null {
  const uncached = count(memberOf(rank, 'num_waiting_uncached_tokens'));
  if (uncached !== null) return uncached;
  const [all, used] = [count(memberOf(rank, 'num_total_tokens')), count(memberOf(rank, 'num_used_tokens'))];
  return all === null || used === null ? null : Math.max(0, all - used);
}

const largest = (ranks: readonly unknown[], name: string): number | null => {
  const values = ranks.map(member(name)).filter((value) => value !== null);
  return values.length === 0 ? null : values.reduce((most, value) => Math.max(most, value));
};

/** `/v1/loads?include=core`: a load for each data-parallel rank. Tokens in use grow with each step of those that run. */
export function readLoads(body: Buffer): LoadReading | null {
  const answer = jsonOf(body);
  const ranks = itemsOf(memberOf(answer, 'loads'));
  const running = total(ranks, member('num_running_reqs'));
  if (running === null) return null;
  return {
    ...nothing,
    version: versionOf(memberOf(answer, 'version')),
    running,
    waiting: total(ranks, member('num_waiting_reqs')),
    waitingTokens: total(ranks, waitingTokensOf),
    kvPercent: percentOf(largest(ranks, 'token_usage')),
    prefixHitPercent: percentOf(largest(ranks, 'cache_hit_rate')),
    generationTokensPerSecond: total(ranks, member('gen_throughput')),
    ranks: ranks.length,
    capacity: total(ranks, member('max_running_requests')),
    progress: progressOf(total(ranks, member('num_used_tokens')), total(ranks, member('gen_throughput')), running),
  };
}

/** `/get_load` of versions before it: requests with those that wait among them. */
export function readGetLoad(body: Buffer): LoadReading | null {
  const answer = jsonOf(body);
  const ranks = Array.isArray(answer) ? answer : [answer];
  const [all, waiting] = [total(ranks, member('num_reqs')), total(ranks, member('num_waiting_reqs'))];
  if (all === null || waiting === null) return null;
  return {
    ...nothing,
    running: Math.max(0, all - waiting),
    waiting,
    ranks: ranks.length,
    progress: progressOf(total(ranks, member('num_tokens')), all),
  };
}

const rankOf = (sample: Sample): string => labelOf(sample, 'dp_rank') ?? '';

/** Ranks of one tensor-parallel group all say the same: one for each data-parallel rank counts. */
function overRanks(page: MetricsPage, ...families: readonly string[]): number | null {
  const byRank = new Map<string, Sample[]>();
  for (const sample of page.firstOf(...families)) {
    const rank = rankOf(sample);
    const list = byRank.get(rank);
    if (list === undefined) byRank.set(rank, [sample]);
    else list.push(sample);
  }
  return total([...byRank.values()], (samples) => amount(mostOf(samples as readonly Sample[])));
}

const totalOverRanks = (page: MetricsPage, family: string) => overRanks(page, `${family}_total`, family);

export function readSglangMetrics(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = page.samples('sglang:num_running_reqs');
  if (running.length === 0) return null;
  const promptTokens = totalOverRanks(page, 'sglang:prompt_tokens');
  const generationTokens = totalOverRanks(page, 'sglang:generation_tokens');
  return {
    ...nothing,
    models: someOrNull(modelNames(running.map((sample) => labelOf(sample, 'model_name')))),
    running: count(overRanks(page, 'sglang:num_running_reqs')),
    waiting: count(overRanks(page, 'sglang:num_queue_reqs')),
    kvPercent: percentFrom(page, 'sglang:token_usage'),
    prefixHitPercent: percentFrom(page, 'sglang:cache_hit_rate'),
    ranks: distinct(running, rankOf),
    progress: progressOf(promptTokens, generationTokens, counterFrom(page, 'sglang:num_used_tokens')),
    counters: { ...nothing.counters, promptTokens, generationTokens },
  };
}

export const sglangLoad = {
  questions: [
    {
      ways: [
        { path: '/v1/loads?include=core', read: readLoads },
        { path: '/get_load', read: readGetLoad },
        { path: '/metrics', read: readSglangMetrics },
      ],
    },
    // The counters of tokens, which the loads lack; only with --enable-metrics.
    { ways: [{ path: '/metrics', read: readSglangMetrics }], everyMs: 5000 },
    askModels,
  ],
  keepsAlive: true,
} as const satisfies LoadSource;
