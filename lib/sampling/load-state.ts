import type { ServingFigures } from './serving.js';

/** What an engine's own figures say, and how they are to be taken. */
export interface EngineEvidence
  extends Pick<ServingFigures, 'running' | 'waiting' | 'kvPercent' | 'sleeping' | 'progressAgeMs' | 'ageMs'> {
  /** Requests that it computes at the same time at most; null where it does not say. */
  readonly capacity: number | null;
  /** Its progress moves with each step, during a long prompt as well. */
  readonly stepwise: boolean;
}

/** What a worker's processes and GPUs do besides. */
export interface HardwareEvidence {
  /** How long both CPU and GPUs have done nothing; null where they work, or it is not known. */
  readonly stillMs: number | null;
  /** The same of its GPUs alone where it holds one: engines that wait may spin on the CPU. */
  readonly quietMs: number | null;
  /** CPU or GPU work. */
  readonly working: boolean;
}

/** `null`: nothing can be said by what the engine says. */
export type LoadVerdict = 'sleeping' | 'stalled' | 'saturated' | 'busy' | 'quiet' | null;

export interface LoadStateOptions {
  /** Requests without progress while CPU and GPU do nothing, ms: stalled. */
  readonly stalledAfterMs: number;
  /** The same while they work, of an engine whose progress moves with each step. */
  readonly spinningAfterMs: number;
  /** Older figures say what was, not what is. */
  readonly staleAfterMs: number;
}

/** KV cache from which on a request waits for another one to end. */
const fullKvPercent = 98;
/** An engine's count of requests may trail its work by seconds; its work shows in its progress. */
const progressIsWorkMs = 3000;

/** The engine has requests and has computed nothing for too long. A long prompt is no stall: something works at it. */
function isStalled(engine: EngineEvidence, hardware: HardwareEvidence, options: LoadStateOptions): boolean {
  const requests = (engine.running ?? 0) + (engine.waiting ?? 0);
  if (requests === 0) return false;
  // Without a counter of its work only its silence is known.
  const withoutMs = engine.progressAgeMs ?? engine.ageMs ?? 0;
  const { stillMs, quietMs } = hardware;
  if (Math.min(stillMs ?? 0, withoutMs) >= options.stalledAfterMs) return true;
  if (withoutMs < options.spinningAfterMs) return false;
  return (engine.stepwise && engine.progressAgeMs !== null) || (quietMs ?? 0) >= options.spinningAfterMs;
}

function isSaturated({ running, waiting, capacity, kvPercent }: EngineEvidence): boolean {
  if ((waiting ?? 0) > 0) return true;
  const [used, slots] = [running ?? 0, capacity ?? 0];
  return used > 0 && ((slots > 0 && used >= slots) || (kvPercent ?? 0) >= fullKvPercent);
}

/**
 * State of an engine by its own figures. Pure. Where they are old, its last state holds as long as its CPU or GPU works:
 * one that is busy to the limit has nobody left to answer.
 */
export function loadVerdict(
  engine: EngineEvidence,
  hardware: HardwareEvidence,
  options: LoadStateOptions,
): LoadVerdict {
  if (engine.sleeping === true) return 'sleeping';
  if (isStalled(engine, hardware, options)) return 'stalled';
  const isStale = (engine.ageMs ?? 0) > options.staleAfterMs;
  if (isStale && !hardware.working) return null;
  if (isSaturated(engine)) return 'saturated';
  // It works and does not answer, or works at more than it counted yet.
  if (isStale || (engine.running ?? 0) > 0) return 'busy';
  if (engine.running === null) return null;
  return engine.progressAgeMs !== null && engine.progressAgeMs < progressIsWorkMs ? 'busy' : 'quiet';
}
