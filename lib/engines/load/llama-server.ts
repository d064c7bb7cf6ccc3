import { memberOf } from '../answer.js';
import { MetricsPage, type PageLayout } from './metrics-page.js';
import {
  count,
  counterFrom,
  countFrom,
  flagOf,
  itemsOf,
  jsonOf,
  type LoadReading,
  type LoadSource,
  maxEntries,
  modelNames,
  nothing,
  progressOf,
  type ReadLoad,
  rarelyMs,
  someOrNull,
  versionOf,
} from './reading.js';

/**
 * Only counters, and gauges of now: its two gauges of tokens a second are averages since the last reader, whoever that was.
 * `n_decode_total` moves with each batch; the tokens generated only when a request ends.
 */
export function readLlamaMetrics(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const running = countFrom(page, 'llamacpp:requests_processing');
  if (running === null) return null;
  const promptTokens = counterFrom(page, 'llamacpp:prompt_tokens');
  const generationTokens = counterFrom(page, 'llamacpp:tokens_predicted');
  return {
    ...nothing,
    running,
    waiting: countFrom(page, 'llamacpp:requests_deferred'),
    progress: progressOf(counterFrom(page, 'llamacpp:n_decode'), promptTokens, generationTokens),
    counters: { ...nothing.counters, promptTokens, generationTokens },
  };
}

/** What is read of a slot. It holds the prompt and all parameters too, which are dropped with the answer. */
interface Slot {
  readonly id: number | null;
  readonly task: number | null;
  readonly isProcessing: boolean;
  readonly decoded: number | null;
  readonly context: number | null;
}

function slotOf(slot: unknown): Slot {
  // An object, and a list of one in newer builds.
  const next = memberOf(slot, 'next_token');
  return {
    id: count(memberOf(slot, 'id')),
    task: count(memberOf(slot, 'id_task')),
    isProcessing: memberOf(slot, 'is_processing') === true,
    decoded: count(memberOf(Array.isArray(next) ? next[0] : next, 'n_decoded')),
    context: count(memberOf(slot, 'n_ctx')),
  };
}

/** `/slots`: what is computed now, and nothing of those that wait. */
export function readSlots(body: Buffer): LoadReading | null {
  const answer = jsonOf(body);
  if (!Array.isArray(answer) || answer.length === 0 || answer.length > maxEntries) return null;
  const slots = answer.map(slotOf);
  if (slots.some(({ id }) => id === null)) return null;
  const running = slots.filter(({ isProcessing }) => isProcessing).length;
  const context = slots.reduce((most, slot) => Math.max(most, slot.context ?? 0), 0);
  return {
    ...nothing,
    running,
    capacity: slots.length,
    maxContext: context || null,
    progress: slots.map(({ task, decoded, isProcessing }) => `${task}:${decoded}:${isProcessing}`).join(' '),
  };
}

/** `/props`: among parameters and the template of chats, which are dropped, the number of slots and the build. */
export const readProps: ReadLoad = (body) => {
  const answer = jsonOf(body);
  const slots = count(memberOf(answer, 'total_slots'));
  if (slots === null) return null;
  return {
    ...nothing,
    capacity: slots,
    version: versionOf(memberOf(answer, 'build_info')),
    maxContext: count(memberOf(memberOf(answer, 'default_generation_settings'), 'n_ctx')) || null,
    sleeping: flagOf(memberOf(answer, 'is_sleeping')),
  };
};

/** `/v1/models`: the alias, else the file. */
const readModelList: ReadLoad = (body) => {
  const ids = itemsOf(memberOf(jsonOf(body), 'data')).map((model) => memberOf(model, 'id'));
  const models = someOrNull(modelNames(ids));
  return models === null ? null : { ...nothing, models };
};

export const llamaServerLoad = {
  questions: [
    {
      ways: [
        { path: '/metrics', read: readLlamaMetrics },
        { path: '/slots', read: readSlots, isPartial: true },
      ],
    },
    { ways: [{ path: '/props', read: readProps }], everyMs: rarelyMs },
    { ways: [{ path: '/v1/models', read: readModelList }], everyMs: rarelyMs },
  ],
  stepwise: true,
} as const satisfies LoadSource;
