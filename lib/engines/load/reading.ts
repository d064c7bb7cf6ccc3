import { maxAdapters } from '../../contract/fields/serving.js';
import type { StoredWorker } from '../../contract/heartbeat.js';
import { maxModelLength, maxModels } from '../../contract/limits.js';
import { memberOf } from '../answer.js';
import { type MetricsPage, mostOf, type PageLayout, type Sample, sumOf } from './metrics-page.js';

type Serving = NonNullable<StoredWorker['serving']>;

/** Totals since the engine started; null: it does not count. */
export interface LoadCounters {
  readonly promptTokens: number | null;
  readonly generationTokens: number | null;
  /** Tokens of prompts that were looked up in the prefix cache, and those found there. */
  readonly prefixQueries: number | null;
  readonly prefixHits: number | null;
}

/** What one answer of an engine says of its load; null: it does not say. */
export interface LoadReading
  extends Pick<
    Serving,
    | 'version'
    | 'models'
    | 'adapters'
    | 'maxContext'
    | 'running'
    | 'waiting'
    | 'waitingTokens'
    | 'kvPercent'
    | 'prefixHitPercent'
    | 'generationTokensPerSecond'
    | 'sleeping'
    | 'ranks'
  > {
  readonly counters: LoadCounters;
  /** Requests that it computes at the same time at most. */
  readonly capacity: number | null;
  /** Differs from the one before where the engine has computed something meanwhile. */
  readonly progress: string | null;
}

export const noCounters: LoadCounters = {
  promptTokens: null,
  generationTokens: null,
  prefixQueries: null,
  prefixHits: null,
};

export const nothing: LoadReading = {
  version: null,
  models: null,
  adapters: null,
  maxContext: null,
  running: null,
  waiting: null,
  waitingTokens: null,
  kvPercent: null,
  prefixHitPercent: null,
  generationTokensPerSecond: null,
  sleeping: null,
  ranks: null,
  capacity: null,
  progress: null,
  counters: noCounters,
};

/**
 * Reads one answer; null where it is no answer of the engine. Keeps nothing of its bytes. `layout`: of the pages that the same
 * server gave before, where it is a page of metrics.
 */
export type ReadLoad = (body: Buffer, layout?: PageLayout) => LoadReading | null;

export interface LoadWay {
  readonly path: string;
  readonly read: ReadLoad;
  /** It says less than a way before it does. */
  readonly isPartial?: true;
}

/** What is asked of an engine, and how its answer is read. Nothing that it changes, resets, drains or generates. */
export interface LoadQuestion {
  /** Ways to the same answer: the first that the server knows is kept to for a while. */
  readonly ways: readonly LoadWay[];
  /** Asked no more often, for what hardly changes; else each interval of probes. */
  readonly everyMs?: number;
}

/** How the load of an engine is asked for. */
export interface LoadSource {
  /** In the order of importance: what a later one says counts where those before it are silent. */
  readonly questions: readonly [LoadQuestion, ...LoadQuestion[]];
  /** Figures in its answer may be as old as this. */
  readonly lagMs?: number;
  /** A connection that is kept costs it nothing; llama-server has a thread for each. */
  readonly keepsAlive?: true;
  /** Its progress moves with each step of its loop, during a long prompt as well. */
  readonly stepwise?: true;
}

export const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.round(value) : null;

export const amount = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;

/** A share of 1 as percent; what lies outside is none. */
export const percentOf = (ratio: unknown): number | null =>
  typeof ratio === 'number' && ratio >= 0 && ratio <= 1.0001 ? Math.min(100, Math.round(ratio * 10_000) / 100) : null;

/** A name as it may be shown; null where it is none. */
export const nameOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= maxModelLength && !/\p{Cc}/u.test(value) ? value : null;

const namesUpTo =
  (most: number) =>
  (values: readonly unknown[]): string[] => {
    const names: string[] = [];
    for (const value of values) {
      const name = nameOf(value);
      if (name !== null && !names.includes(name) && names.push(name) === most) break;
    }
    return names;
  };

export const modelNames = namesUpTo(maxModels);
export const adapterNames = namesUpTo(maxAdapters);

export const someOrNull = (names: string[]): string[] | null => (names.length === 0 ? null : names);

export const versionOf = (value: unknown): string | null => {
  const text = nameOf(value);
  return text !== null && text.length <= 64 ? text : null;
};

/** A port of progress: any of these counters has moved. Null where it has none of them. */
export const progressOf = (...counters: readonly (number | null)[]): string | null =>
  counters.every((counter) => counter === null) ? null : counters.join(' ');

export const sumFrom = (page: MetricsPage, ...families: readonly string[]): number | null =>
  amount(sumOf(page.firstOf(...families)));

export const countFrom = (page: MetricsPage, ...families: readonly string[]): number | null =>
  count(sumOf(page.firstOf(...families)));

export const percentFrom = (page: MetricsPage, ...families: readonly string[]): number | null =>
  percentOf(mostOf(page.firstOf(...families)));

const totals = new Map<string, string>();
/** The same text each time: one that is made anew costs as much to look up as the whole sample to read. */
function totalOf(family: string): string {
  let name = totals.get(family);
  if (name === undefined) {
    name = `${family}_total`;
    totals.set(family, name);
  }
  return name;
}

/** Counters with `_total` behind them, or without. */
export function counterFrom(page: MetricsPage, ...families: readonly string[]): number | null {
  for (const family of families) {
    const sum = sumOf(page.firstOf(totalOf(family), family));
    if (sum !== null) return amount(sum);
  }
  return null;
}

/** Number of different values of what `keyOf` gives; null without samples. */
export const distinct = (samples: readonly Sample[], keyOf: (sample: Sample) => string | null): number | null =>
  samples.length === 0 ? null : new Set(samples.map(keyOf)).size;

/** To parse more, or what is nested without end, would hold up the event loop. */
const maxJsonBytes = 512 * 1024;
const maxDepth = 32;

/** Whether brackets outside of texts are nested deeper than any answer's. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (quoted && byte === 0x5c) at += 1;
    else if (byte === 0x22) quoted = !quoted;
    else if (quoted) continue;
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1;
  }
  return false;
}

/** An answer in JSON; undefined where it is none. Whatever is not picked from it is dropped with it. */
export function jsonOf(body: Buffer): unknown {
  if (body.length > maxJsonBytes || isTooDeep(body)) return undefined;
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

/** Ranks, slots or models of one engine. */
export const maxEntries = 4096;

export const itemsOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) && value.length <= maxEntries ? value : [];

export const flagOf = (value: unknown): boolean | null => (typeof value === 'boolean' ? value : null);

/** `/v1/models` of engines that follow OpenAI: base models, adapters (which name a parent), longest context. */
export const readModels: ReadLoad = (body) => {
  const data = itemsOf(memberOf(jsonOf(body), 'data'));
  if (data.length === 0) return null;
  const isAdapter = (model: unknown): boolean => typeof memberOf(model, 'parent') === 'string';
  const base = data.filter((model) => !isAdapter(model));
  const longest = base.map((model) => count(memberOf(model, 'max_model_len'))).find((length) => length !== null);
  return {
    ...nothing,
    models: someOrNull(modelNames(base.map((model) => memberOf(model, 'id')))),
    adapters: someOrNull(adapterNames(data.filter(isAdapter).map((model) => memberOf(model, 'id')))),
    maxContext: longest || null,
  };
};

/** An object with a text under `version`. */
export const readVersion: ReadLoad = (body) => {
  const version = versionOf(memberOf(jsonOf(body), 'version'));
  return version === null ? null : { ...nothing, version };
};

/** What hardly changes. */
export const rarelyMs = 60_000;

/** The questions that engines with the routes of OpenAI share. */
export const askModels: LoadQuestion = { ways: [{ path: '/v1/models', read: readModels }], everyMs: rarelyMs };
export const askVersion: LoadQuestion = { ways: [{ path: '/version', read: readVersion }], everyMs: rarelyMs };
