import type { WorkerSample } from '../contract/heartbeat.js';
import type { GpuReading } from '../gpu/reading.js';

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
}

/** What has to be remembered of a worker's state. */
export interface StateMemory {
  readonly samples: number;
  readonly wasReady: boolean;
  /** Since when it has been quiet; null while it works. */
  readonly quietSinceMs: number | null;
  readonly gpuUuids: readonly string[];
}

/**
 * State of a worker. Pure; `nowMs` is monotonic.
 *
 * `starting` until ready once where there is a probe, else until the second sample. Then by the GPU where it holds one,
 * else by CPU: busy at once, idle only after it was quiet for `idleForMs`. Whatever can't be told is `unknown`, and
 * `unknown` never turns into idle by waiting: the quiet time begins anew.
 */
export function workerState(
  previous: StateMemory | null,
  input: StateInput,
  nowMs: number,
  options: StateOptions,
): { readonly state: WorkerSample['state']; readonly memory: StateMemory } {
  const samples = (previous?.samples ?? 0) + 1;
  const wasReady = (previous?.wasReady ?? false) || input.ready === true;
  const quiet = isQuiet(previous, input, options);
  const quietSinceMs = quiet === true ? (previous?.quietSinceMs ?? nowMs) : null;
  // A GPU it held that no longer answers is kept until it answers again.
  const silent = (previous?.gpuUuids ?? []).filter((uuid) => !input.healthyGpus.has(uuid));
  const memory: StateMemory = {
    samples,
    wasReady,
    quietSinceMs,
    gpuUuids: [...new Set([...silent, ...(input.gpuUuids ?? [])])],
  };
  const starting = input.probed ? !wasReady : samples < 2;
  if (starting) return { state: 'starting', memory };
  if (quiet === null) return { state: 'unknown', memory };
  if (!quiet) return { state: 'busy', memory };
  return { state: nowMs - (quietSinceMs ?? nowMs) >= options.idleForMs ? 'idle' : 'busy', memory };
}

/** null where it can't be told. */
function isQuiet(previous: StateMemory | null, input: StateInput, options: StateOptions): boolean | null {
  // `off`: who switched GPUs off is judged by CPU.
  if (input.gpuStatus !== 'working' && input.gpuStatus !== 'absent' && input.gpuStatus !== 'off') return null;
  if (input.gpuStatus === 'working') {
    if (input.gpuUuids === null) return null;
    const lost = [...input.gpuUuids, ...(previous?.gpuUuids ?? [])].some((uuid) => !input.healthyGpus.has(uuid));
    if (lost) return null;
    if (input.gpuDoubt) {
      return input.gpuUtilizationPercent !== null && input.gpuUtilizationPercent > options.idleBelowPercent
        ? false
        : null;
    }
    if (input.gpuUuids.length > 0) {
      return input.gpuUtilizationPercent === null ? null : input.gpuUtilizationPercent <= options.idleBelowPercent;
    }
  }
  return input.cpuPercent === null ? null : input.cpuPercent <= options.idleBelowCpuPercent;
}
