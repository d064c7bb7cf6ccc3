import { defaults } from '../contract/defaults.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import type { GpuReading } from '../gpu/reading.js';
import { type EngineEvidence, type LoadStateOptions, type LoadVerdict, loadVerdict } from './load-state.js';

export interface StateOptions {
  /** A worker with GPU memory is idle at this utilization or below, percent. */
  readonly idleBelowPercent: number;
  /** A worker without GPU memory is idle at this CPU use or below, percent of one core. */
  readonly idleBelowCpuPercent: number;
  /** For how long, in milliseconds. */
  readonly idleForMs: number;
}

export interface StateInput {
  /** There is a readiness probe. */
  readonly probed: boolean;
  /** The probe's answer; null without one, or before the first. */
  readonly ready: boolean | null;
  readonly gpuStatus: GpuReading['status'];
  /** GPUs on which it holds a context now; null where that is unknown. */
  readonly gpuUuids: readonly string[] | null;
  /** It may hold a GPU that does not report its processes now. */
  readonly gpuDoubt: boolean;
  /** GPUs whose health is `ok` or `degraded`. */
  readonly healthyGpus: ReadonlySet<string>;
  /** Over `gpuUuids`; with `gpuDoubt` the least that it can be. */
  readonly gpuUtilizationPercent: number | null;
  readonly cpuPercent: number | null;
  /** What its engine says of its load; null where it says nothing. */
  readonly engine: EngineEvidence | null;
  /** Its server says that it loads its model. */
  readonly isLoading: boolean;
}

/** From this on a worker's processes work, in percent of one core. */
export const workingCpuPercent = 20;

/** What has to be remembered of a worker's state. */
export interface StateMemory {
  /** Up to two. */
  readonly samples: number;
  readonly wasReady: boolean;
  /** Since when it has been quiet; null while it works. */
  readonly quietSinceMs: number | null;
  /** Since when its CPU and GPUs have done nothing; null while they work, or where that is unknown. */
  readonly stillSinceMs: number | null;
  /** The same of its GPUs alone where it holds one. */
  readonly unusedSinceMs: number | null;
  /** When it was saturated last. */
  readonly saturatedAtMs: number | null;
  readonly gpuUuids: readonly string[];
}

/**
 * State of a worker. Pure; `nowMs` is monotonic.
 *
 * `starting` until ready once where there is a probe, else until the second sample; `loading` where its server says so.
 * Then by what its engine says of its requests; where it says nothing, by the GPU where it holds one, else by CPU. Busy and
 * saturated at once, less than that only after `idleForMs`. Whatever is not known is `unknown`, and `unknown` never turns
 * into idle by waiting: the quiet time begins anew.
 */
export function workerState(
  previous: StateMemory | null,
  input: StateInput,
  nowMs: number,
  options: StateOptions,
): { readonly state: WorkerSample['state']; readonly memory: StateMemory } {
  const samples = Math.min(2, (previous?.samples ?? 0) + 1);
  const wasReady = (previous?.wasReady ?? false) || input.ready === true;
  const still = isQuiet(previous, input, options);
  const stillSinceMs = isStill(still, input, options) ? (previous?.stillSinceMs ?? nowMs) : null;
  const unusedSinceMs = still === true ? (previous?.unusedSinceMs ?? nowMs) : null;
  const hardware = {
    stillMs: stillSinceMs === null ? null : nowMs - stillSinceMs,
    quietMs: unusedSinceMs === null ? null : nowMs - unusedSinceMs,
    working: still === false || (input.cpuPercent ?? 0) >= workingCpuPercent,
  };
  const verdict = input.engine === null ? null : loadVerdict(input.engine, hardware, loadOptions);
  const quiet = verdict === null ? still : verdict === 'quiet';
  const quietSinceMs = quiet === true ? (previous?.quietSinceMs ?? nowMs) : null;
  const saturatedAtMs = verdict === 'saturated' ? nowMs : (previous?.saturatedAtMs ?? null);
  const gpuUuids = heldGpus(previous?.gpuUuids ?? none, input);
  const memory = kept(previous, {
    samples,
    wasReady,
    quietSinceMs,
    stillSinceMs,
    unusedSinceMs,
    saturatedAtMs,
    gpuUuids,
  });
  const starting = input.probed ? !wasReady : samples < 2;
  if (starting) return { state: input.isLoading ? 'loading' : 'starting', memory };
  return { state: settledState(verdict, quiet, memory, nowMs, options.idleForMs), memory };
}

const none: readonly string[] = [];

/** A GPU it held that no longer answers is kept until it answers again. The list of before where it is the same. */
function heldGpus(before: readonly string[], { gpuUuids, healthyGpus }: StateInput): readonly string[] {
  const held = gpuUuids ?? none;
  // Most workers of most hosts.
  if (before.length + held.length === 0) return before;
  const now = [...new Set([...before.filter((uuid) => !healthyGpus.has(uuid)), ...held])];
  return now.length === before.length && now.every((uuid, i) => uuid === before[i]) ? before : now;
}

/** What was remembered before, where nothing of it has changed: most workers are what they were. */
function kept(before: StateMemory | null, now: StateMemory): StateMemory {
  const isSame =
    before !== null &&
    before.samples === now.samples &&
    before.wasReady === now.wasReady &&
    before.quietSinceMs === now.quietSinceMs &&
    before.stillSinceMs === now.stillSinceMs &&
    before.unusedSinceMs === now.unusedSinceMs &&
    before.saturatedAtMs === now.saturatedAtMs &&
    before.gpuUuids === now.gpuUuids;
  return isSame ? before : now;
}

const loadOptions: LoadStateOptions = {
  stalledAfterMs: defaults.stalledAfterMs,
  spinningAfterMs: defaults.spinningAfterMs,
  staleAfterMs: defaults.servingStaleMs,
};

function settledState(
  verdict: LoadVerdict,
  quiet: boolean | null,
  { quietSinceMs, saturatedAtMs }: StateMemory,
  nowMs: number,
  idleForMs: number,
): WorkerSample['state'] {
  if (verdict === 'sleeping' || verdict === 'stalled') return verdict;
  if (quiet === null) return 'unknown';
  if (quiet) return nowMs - (quietSinceMs ?? nowMs) >= idleForMs ? 'idle' : 'busy';
  return verdict !== null && saturatedAtMs !== null && nowMs - saturatedAtMs < idleForMs ? 'saturated' : 'busy';
}

/** Neither GPU nor CPU does anything: an engine that only polls in vain uses CPU as well. */
const isStill = (quiet: boolean | null, { cpuPercent }: StateInput, { idleBelowCpuPercent }: StateOptions): boolean =>
  quiet === true && cpuPercent !== null && cpuPercent <= idleBelowCpuPercent;

/** By GPU and CPU alone; null where it is not known. */
function isQuiet(previous: StateMemory | null, input: StateInput, options: StateOptions): boolean | null {
  // `off`: who switched GPUs off is judged by CPU.
  if (input.gpuStatus !== 'working' && input.gpuStatus !== 'absent' && input.gpuStatus !== 'off') return null;
  if (input.gpuStatus === 'working') {
    if (input.gpuUuids === null) return null;
    const lost = [...input.gpuUuids, ...(previous?.gpuUuids ?? [])].some((uuid) => !input.healthyGpus.has(uuid));
    if (lost) return null;
    if (input.gpuDoubt || input.gpuUuids.length > 0) {
      if (input.gpuUtilizationPercent === null) return null;
      const unused = input.gpuUtilizationPercent <= options.idleBelowPercent;
      return unused && input.gpuDoubt ? null : unused;
    }
  }
  return input.cpuPercent === null ? null : input.cpuPercent <= options.idleBelowCpuPercent;
}
