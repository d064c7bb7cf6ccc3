import type { ServingReason } from '../contract/enums.js';
import { optionalFields } from '../contract/fields/field.js';
import { servingFields } from '../contract/fields/serving.js';
import type { StoredWorker, WorkerSample } from '../contract/heartbeat.js';
import type { Load } from '../engines/load/prober.js';
import type { LoadCounters, LoadReading } from '../engines/load/reading.js';
import { loadSources } from '../engines/load/table.js';
import { round2 } from '../procfs/round.js';

/** What is known of the load of an engine; null: it does not say. */
export type ServingFigures = NonNullable<StoredWorker['serving']>;

interface Rates {
  readonly promptTokensPerSecond: number | null;
  readonly generationTokensPerSecond: number | null;
  readonly prefixHitPercent: number | null;
}

/** What the next sample of one run of an engine is compared with. */
export interface ServingMemory {
  /** Start of the main process and engine: counters of another run are others. */
  readonly run: string;
  readonly countedMs: number | null;
  readonly counters: LoadCounters | null;
  readonly rates: Rates;
  readonly atMs: number | null;
  readonly progress: string | null;
  /** Since when its progress has been what it is; null: it has none. */
  readonly progressSinceMs: number | null;
  /** Answers with progress, up to two. */
  readonly answers: number;
}

const noRates: Rates = { promptTokensPerSecond: null, generationTokensPerSecond: null, prefixHitPercent: null };

const emptyMemory = (run: string): ServingMemory => ({
  run,
  countedMs: null,
  counters: null,
  rates: noRates,
  atMs: null,
  progress: null,
  progressSinceMs: null,
  answers: 0,
});

/** null where either is not known, or the counter went back: the engine has begun anew. */
const since = (before: number | null, now: number | null): number | null =>
  before === null || now === null || now < before ? null : now - before;

/** To three digits or to whole numbers: an engine's counts move in steps of many tokens. */
const rounded = (value: number): number =>
  value >= 100 ? Math.round(value) : value >= 10 ? Math.round(value * 10) / 10 : round2(value);

const orNull = (value: number | null): number | null => (value === null ? null : rounded(value));

/** Closer answers give no rate. */
const leastMs = 100;

/** By the time between two answers, never by the nominal interval. */
function ratesBetween(before: LoadCounters, now: LoadCounters, elapsedMs: number): Rates {
  const perSecond = (tokens: number | null) => (tokens === null ? null : (tokens * 1000) / elapsedMs);
  const [hits, queries] = [since(before.prefixHits, now.prefixHits), since(before.prefixQueries, now.prefixQueries)];
  return {
    promptTokensPerSecond: perSecond(since(before.promptTokens, now.promptTokens)),
    generationTokensPerSecond: perSecond(since(before.generationTokens, now.generationTokens)),
    // Without a look-up there is no share.
    prefixHitPercent: hits === null || queries === null || queries === 0 ? null : Math.min(100, (hits * 100) / queries),
  };
}

function remember(before: ServingMemory, { reading, atMs, countedMs }: Load): ServingMemory {
  if (reading === null || atMs === null) return before;
  let { rates, counters, countedMs: lastMs } = before;
  if (countedMs !== null && (lastMs === null || countedMs - lastMs >= leastMs)) {
    rates =
      counters === null || lastMs === null ? noRates : ratesBetween(counters, reading.counters, countedMs - lastMs);
    counters = reading.counters;
    lastMs = countedMs;
  }
  const isNew = atMs !== before.atMs;
  const moved = reading.progress !== before.progress;
  return {
    run: before.run,
    rates,
    counters,
    countedMs: lastMs,
    atMs,
    progress: reading.progress,
    progressSinceMs: reading.progress === null ? null : moved ? atMs : before.progressSinceMs,
    answers: reading.progress === null ? 0 : isNew ? Math.min(2, before.answers + 1) : before.answers,
  };
}

const age = (nowMs: number, atMs: number): number => Math.max(0, Math.round(nowMs - atMs));

function figures(load: Load, reading: LoadReading, memory: ServingMemory, nowMs: number): ServingFigures {
  const { rates, progressSinceMs, answers } = memory;
  return {
    engine: load.engine,
    version: reading.version,
    models: reading.models,
    adapters: reading.adapters,
    maxContext: reading.maxContext,
    running: reading.running,
    waiting: reading.waiting,
    waitingTokens: reading.waitingTokens,
    kvPercent: orNull(reading.kvPercent),
    promptTokensPerSecond: orNull(rates.promptTokensPerSecond),
    generationTokensPerSecond: orNull(rates.generationTokensPerSecond ?? reading.generationTokensPerSecond),
    prefixHitPercent: orNull(rates.prefixHitPercent ?? reading.prefixHitPercent),
    sleeping: reading.sleeping,
    progressAgeMs: progressSinceMs === null || answers < 2 ? null : age(nowMs, progressSinceMs),
    ageMs: age(nowMs, load.atMs ?? nowMs) + (loadSources[load.engine]?.lagMs ?? 0),
    ranks: reading.ranks,
  };
}

const optional = optionalFields(servingFields) as readonly (keyof ServingFigures)[];

/** As a hive sends it: without what the engine does not say, and without names that the worker has anyway. */
export function sentServing(figures: ServingFigures | null, names: readonly unknown[]): WorkerSample['serving'] {
  if (figures === null) return undefined;
  const sent: Partial<Record<keyof ServingFigures, unknown>> = { ...figures };
  for (const name of optional) if (sent[name] === null) sent[name] = undefined;
  if (figures.models?.length === names.length && figures.models.every((name) => names.includes(name)))
    sent.models = undefined;
  return sent as WorkerSample['serving'];
}

/** What is known of the load of a worker, and why it is not. */
export interface ServingLoad {
  readonly serving: ServingFigures | null;
  readonly reason: ServingReason | null;
}

/**
 * Figures of an engine's newest answer, with rates from its counters since the answer before. Pure; `nowMs` is monotonic.
 * The figures of one that does not answer stay as they were, with their age.
 */
export function servingOf(
  previous: ServingMemory | null,
  run: string,
  load: Load,
  nowMs: number,
): ServingLoad & { readonly memory: ServingMemory } {
  const name = `${run} ${load.engine}`;
  const memory = remember(previous?.run === name ? previous : emptyMemory(name), load);
  if (load.reading === null) return { serving: null, reason: load.reason ?? 'notAsked', memory };
  return { serving: figures(load, load.reading, memory, nowMs), reason: load.reason, memory };
}
