import type { ServingReason } from '../contract/enums.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import type { Load } from '../engines/load/prober.js';
import type { LoadCounters, LoadReading } from '../engines/load/reading.js';
import { loadSources } from '../engines/load/table.js';
import { round2 } from '../procfs/host.js';

export type ServingFigures = NonNullable<WorkerSample['serving']>;

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

/** Closer answers give no rate. */
const leastMs = 100;

/** By the time between two answers, never by the nominal interval. */
function ratesBetween(before: LoadCounters, now: LoadCounters, elapsedMs: number): Rates {
  const perSecond = (tokens: number | null) => (tokens === null ? null : round2((tokens * 1000) / elapsedMs));
  const [hits, queries] = [since(before.prefixHits, now.prefixHits), since(before.prefixQueries, now.prefixQueries)];
  return {
    promptTokensPerSecond: perSecond(since(before.promptTokens, now.promptTokens)),
    generationTokensPerSecond: perSecond(since(before.generationTokens, now.generationTokens)),
    // Without a look-up there is no share.
    prefixHitPercent:
      hits === null || queries === null || queries === 0 ? null : Math.min(100, round2((hits * 100) / queries)),
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
    kvPercent: reading.kvPercent,
    promptTokensPerSecond: rates.promptTokensPerSecond,
    generationTokensPerSecond: rates.generationTokensPerSecond ?? reading.generationTokensPerSecond,
    prefixHitPercent: rates.prefixHitPercent ?? reading.prefixHitPercent,
    sleeping: reading.sleeping,
    progressAgeMs: progressSinceMs === null || answers < 2 ? null : age(nowMs, progressSinceMs),
    ageMs: age(nowMs, load.atMs ?? nowMs) + (loadSources[load.engine]?.lagMs ?? 0),
    ranks: reading.ranks,
  };
}

/** What a worker says of its load, as it travels. */
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
