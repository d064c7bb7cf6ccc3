import { type PickGate, pickGates } from '../contract/api.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import type { WorkerLoad } from './worker-load.js';

/** What gates look at. */
export interface GateFigures {
  readonly state: WorkerSample['state'];
  readonly serving: {
    readonly kvPercent: number | null;
    readonly sleeping: boolean | null;
    readonly maxContext: number | null;
  } | null;
  /** Since the engine was read. */
  readonly ageMs: number;
  readonly intervalMs: number;
}

export interface RequestSize {
  readonly promptTokens: number;
  readonly maxTokens: number;
}

/** With late figures a lower limit sends everyone to the few that were below it seconds ago (`bench routing`). */
const fullAbovePercent = 97;
const staleAfterIntervals = 3;

export function gateOf({ state, serving, ageMs, intervalMs }: GateFigures, request: RequestSize): PickGate {
  if (state === 'stalled') return 'stalled';
  if (state === 'sleeping' || serving?.sleeping === true) return 'sleeping';
  if (serving === null) return 'unknown';
  if (ageMs > staleAfterIntervals * intervalMs) return 'stale';
  const { kvPercent, maxContext } = serving;
  if (maxContext !== null && request.promptTokens + request.maxTokens > maxContext) return 'tooLong';
  return kvPercent !== null && kvPercent > fullAbovePercent ? 'full' : 'open';
}

/**
 * A request that runs slows the next one by this share of a step. With more of it a worker whose count of requests is late is sent
 * too many while it seems empty, and too few while it seems full: an equal fleet is worse off than by turns.
 */
const runningWeight = 0.1;

/** How long a request is likely to wait for its first token there, ms, and what the requests that run there slow it down. */
export function requestCostMs(load: WorkerLoad, promptTokens: number, nowMs: number): number {
  const prefillMs = (load.queueTokens(nowMs) + promptTokens) / load.tokensPerMs;
  return prefillMs + runningWeight * (load.requests(nowMs) + 1) * load.speeds.stepMs;
}

/** Share of a prompt that is taken to be in the prefix cache of the worker that had its prefix before. */
const prefixShare = 0.5;

/** Whether a request goes where its prefix was before although another worker costs less. */
export function sticks(costMs: number, leastMs: number, load: WorkerLoad, promptTokens: number): boolean {
  return costMs - leastMs <= (prefixShare * promptTokens) / load.tokensPerMs;
}

export interface Assessed<T> {
  readonly worker: T;
  readonly gate: PickGate;
  readonly costMs: number;
}

/** The candidate that costs least behind the lowest gate, one at random where several do. Null where there are none. */
export function leastCost<C, T>(
  candidates: Iterable<C>,
  assess: (candidate: C) => Assessed<T> | null,
  random: () => number,
): Assessed<T> | null {
  let best: Assessed<T> | null = null;
  let ties = 0;
  for (const candidate of candidates) {
    const next = assess(candidate);
    if (next === null) continue;
    const order = best === null ? -1 : compareAssessed(next, best);
    if (order > 0) continue;
    ties = order < 0 ? 1 : ties + 1;
    if (ties === 1 || random() * ties < 1) best = next;
  }
  return best;
}

const ranks = Object.fromEntries(pickGates.map((gate, rank) => [gate, rank])) as Readonly<Record<PickGate, number>>;

const compareAssessed = (a: Assessed<unknown>, b: Assessed<unknown>): number =>
  (a.gate === b.gate ? 0 : ranks[a.gate] - ranks[b.gate]) || a.costMs - b.costMs;

/** FNV-1a, and a finish that spreads its bits: places in a rendezvous must not follow the order of names. A signed 32-bit number. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash) | 0;
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Rendezvous hashing: a key belongs to the worker whose weight with it is the highest, so a worker that leaves moves only its own keys. */
export const rendezvousWeight = (keyHash: number, workerHash: number): number =>
  Math.imul(keyHash ^ workerHash, 0x9e3779b1) >>> 0;
