import { servingReasons } from '../enums.js';
import { maxModelLength, maxModels } from '../limits.js';
import type { Field, FieldTable } from './field.js';
import { milliseconds, requests, tokens } from './plausible.js';
import { amount, boolean, integer, list, nullable, oneOf, share, text } from './shape.js';

/** Names of adapters that one worker reports. */
export const maxAdapters = 64;

const name = text({ minLength: 1, maxLength: maxModelLength });

/**
 * What the engine of a worker says of its own load, summed over its ranks. What an engine does not say is null, and
 * left out of a heartbeat; docs/serving.md has the table. Counts of requests are those of the engine, which may trail by seconds.
 */
export const servingFields = {
  engine: {
    shape: text({ minLength: 1, maxLength: 32 }, 'The engine that answered: `vllm`, `sglang`, `llama-server`...'),
    panel: { section: 'serving', label: 'Engine', place: 10 },
  },
  version: {
    optional: true,
    shape: nullable(text({ minLength: 1, maxLength: 64 }, 'As the engine says it.')),
    panel: { section: 'serving', label: 'Version', omitNull: true, place: 20 },
  },
  models: {
    optional: true,
    shape: nullable(
      list(
        name,
        maxModels,
        'Names by which the engine itself says that it serves; null: those of `model` and `models`, or it does not say.',
      ),
    ),
  },
  adapters: {
    optional: true,
    shape: nullable(list(name, maxAdapters, 'LoRA adapters that requests use now or wait for; null: it does not say.')),
    panel: { section: 'serving', label: 'Adapters', format: 'list', ifEmpty: 'none in use', omitNull: true },
  },
  maxContext: {
    optional: true,
    shape: nullable(integer(1, 'Tokens that one request may have, prompt and answer together.')),
    plausible: { least: 1, most: 1e9 },
    hive: { name: 'hivepulse_worker_max_context_tokens', help: 'Tokens that one request may have.', place: 90 },
    panel: { section: 'serving', label: 'Longest context', format: 'count', after: ' tokens', omitNull: true },
  },
  running: {
    optional: true,
    shape: nullable(integer(0, 'Requests that are being computed.')),
    plausible: requests,
    hive: { name: 'hivepulse_worker_requests_running', help: 'Requests that are being computed.', place: 80 },
    fleet: { name: 'hivepulse_fleet_worker_requests_running', help: 'Requests that are being computed.', place: 80 },
    column: {
      key: 'running',
      title: 'RUN',
      right: true,
      width: [5, 5],
      rank: 3,
      place: 52,
      descending: true,
      format: 'count',
    },
    detail: { line: 'requests', label: 'running', format: 'count', place: 10 },
    panel: { section: 'serving', label: 'Running', format: 'count', place: 30 },
    sort: 60,
  },
  waiting: {
    optional: true,
    shape: nullable(
      integer(
        0,
        'Requests that wait for room. Where the engine distinguishes them, those that it puts off by its own policy do not count.',
      ),
    ),
    plausible: requests,
    hive: { name: 'hivepulse_worker_requests_waiting', help: 'Requests that wait for room.', place: 80 },
    fleet: { name: 'hivepulse_fleet_worker_requests_waiting', help: 'Requests that wait for room.', place: 80 },
    column: {
      key: 'waiting',
      title: 'WAIT',
      right: true,
      width: [5, 5],
      rank: 3,
      place: 54,
      descending: true,
      format: 'count',
    },
    detail: { line: 'requests', label: 'waiting', format: 'count', place: 20 },
    panel: { section: 'serving', label: 'Waiting', format: 'count', place: 31 },
    sort: 62,
  },
  waitingTokens: {
    optional: true,
    shape: nullable(integer(0, 'Tokens of prompts that wait to be computed.')),
    plausible: tokens,
    hive: {
      name: 'hivepulse_worker_waiting_tokens',
      help: 'Tokens of prompts that wait to be computed.',
      place: 80,
    },
    detail: { line: 'requests', label: 'waiting tokens', format: 'count', place: 30 },
    panel: { section: 'serving', label: 'Waiting tokens', format: 'count', omitNull: true, place: 32 },
  },
  kvPercent: {
    optional: true,
    shape: share('KV cache in use; the fullest rank where there are several.'),
    hive: { name: 'hivepulse_worker_kv_cache_ratio', help: 'KV cache in use, of 1.', scale: 'ratio', place: 80 },
    fleet: { name: 'hivepulse_fleet_worker_kv_cache_ratio', help: 'KV cache in use, of 1.', scale: 'ratio', place: 80 },
    column: {
      key: 'kv',
      title: 'KV',
      right: true,
      width: [6, 6],
      rank: 7,
      place: 58,
      descending: true,
      format: 'percent',
      share: { of: 100, warn: 0.9, bad: 0.98 },
    },
    detail: {
      line: 'tokens',
      label: 'KV cache',
      format: 'percent',
      share: { of: 100, warn: 0.9, bad: 0.98 },
      place: 30,
    },
    panel: { section: 'serving', label: 'KV cache', barWarn: 90, place: 40 },
    sort: 64,
  },
  promptTokensPerSecond: {
    optional: true,
    shape: amount('Tokens of prompts computed a second, since the probe before.'),
    plausible: tokens,
    hive: {
      name: 'hivepulse_worker_prompt_tokens_per_second',
      help: 'Tokens of prompts computed a second.',
      place: 80,
    },
    fleet: {
      name: 'hivepulse_fleet_worker_prompt_tokens_per_second',
      help: 'Tokens of prompts computed a second.',
      place: 80,
    },
    detail: { line: 'tokens', label: 'prompt', format: 'perSecond', place: 20 },
    panel: { section: 'serving', label: 'Prompt tokens', format: 'perSecond', place: 34 },
    sort: 66,
  },
  generationTokensPerSecond: {
    optional: true,
    shape: amount('Tokens generated per second, since the probe before.'),
    plausible: tokens,
    hive: {
      name: 'hivepulse_worker_generation_tokens_per_second',
      help: 'Tokens generated per second.',
      place: 80,
    },
    fleet: {
      name: 'hivepulse_fleet_worker_generation_tokens_per_second',
      help: 'Tokens generated per second.',
      place: 80,
    },
    column: {
      key: 'tokens',
      title: 'TOKENS',
      right: true,
      width: [8, 9],
      rank: 4,
      place: 56,
      descending: true,
      format: 'perSecond',
    },
    detail: { line: 'tokens', label: 'generated', format: 'perSecond', place: 10 },
    panel: { section: 'serving', label: 'Generated tokens', format: 'perSecond', place: 33 },
    sort: 68,
  },
  prefixHitPercent: {
    optional: true,
    shape: share(
      'Share of prompt tokens found in the prefix cache, since the probe before where the engine counts them.',
    ),
    hive: {
      name: 'hivepulse_worker_prefix_hit_ratio',
      help: 'Share of prompt tokens found in the prefix cache.',
      scale: 'ratio',
      place: 80,
    },
    detail: { line: 'tokens', label: 'prefix hits', format: 'percent', place: 40 },
    panel: { section: 'serving', label: 'Prefix hits', format: 'percent', omitNull: true, place: 42 },
  },
  sleeping: {
    optional: true,
    shape: nullable(boolean('Its weights are out of the GPU until it is woken.')),
    hive: { name: 'hivepulse_worker_sleeping', help: '1 where the engine sleeps.', scale: 'flag', place: 80 },
  },
  progressAgeMs: {
    optional: true,
    shape: amount('Since a counter of its work was last seen to move; null: it has none, or was not asked twice yet.'),
    plausible: milliseconds,
    ticks: true,
    hive: {
      name: 'hivepulse_worker_progress_age_seconds',
      help: 'Since a counter of its work was last seen to move.',
      scale: 'milliseconds',
      place: 80,
    },
    panel: { section: 'serving', label: 'Last progress', format: 'age', after: ' ago', omitNull: true, place: 60 },
  },
  ageMs: {
    shape: amount('Age of these figures when the heartbeat was built: a busy engine may not answer for a while.'),
    plausible: milliseconds,
    ticks: true,
    hive: {
      name: 'hivepulse_worker_serving_age_seconds',
      help: 'Age of what the engine said last.',
      scale: 'milliseconds',
      place: 80,
    },
    panel: { section: 'serving', label: 'Asked', format: 'age', after: ' ago', place: 70 },
  },
  ranks: {
    optional: true,
    shape: nullable(integer(1, 'Data-parallel ranks that the figures are summed over; null: it does not say.')),
    plausible: { least: 1, most: 65_536 },
    panel: { section: 'serving', label: 'Ranks', format: 'count', omitNull: true, place: 22 },
  },
} as const satisfies FieldTable;

/** Field of a worker, beside `serving`. */
export const servingReason = {
  shape: nullable({
    ...oneOf(servingReasons),
    description:
      'Why `serving` is null, or why it lacks what its engine could tell. noEngine: no process of it is a known engine. unsupported: its engine says nothing of its load. noAddress: the hive does not reach its socket, or has not confirmed it. notAsked: it was not asked yet, or is not to be. refused: it takes no connection. silent: it has not answered in time. loading: it loads its model. keyNeeded: it asks for a key, and none is configured that it takes. metricsOff: its metrics are switched off. unreadable: it answers something else. Null with `serving`: the hive is of an older version.',
  }),
  optional: true,
  unmeasured: 'notAsked',
  absent: 'nothing is missing that its engine could say',
  least: 'unreadable',
  panel: {
    section: 'serving',
    label: 'Not known',
    omitNull: true,
    place: 90,
    words: {
      noEngine: 'no known engine',
      unsupported: 'its engine says nothing of its load',
      noAddress: 'the hive does not reach its socket',
      notAsked: 'not asked yet',
      refused: 'it takes no connection',
      silent: 'it has not answered',
      loading: 'it loads its model',
      keyNeeded: 'it asks for a key (engineKeys)',
      metricsOff: 'its metrics are switched off',
      unreadable: 'it answers something else',
    },
  },
} as const satisfies Field;
