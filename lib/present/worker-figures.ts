/** The figures of a worker as every screen writes them: one number, one name, one unit. Pure. */
import type { WorkerSample } from '../contract/heartbeat.js';
import { formatCores, formatGib, formatGibOf, formatPercent, unknownText } from './units.js';

type Figures = Pick<
  WorkerSample,
  | 'cpuPercent'
  | 'workingSetBytes'
  | 'memoryBytes'
  | 'memoryLimitBytes'
  | 'gpuUtilizationPercent'
  | 'gpus'
  | 'vramUsedBytes'
>;

/** The memory of a worker: its working set, which is what counts against its limit; all that is charged where that is not known. */
export const memoryOf = ({ workingSetBytes, memoryBytes }: Pick<Figures, 'workingSetBytes' | 'memoryBytes'>) =>
  workingSetBytes ?? memoryBytes;

/** `82 %` of one GPU, `82 % of 4` on average over several; the sum over them is given. */
export function formatGpuUse(percent: number | null, gpus: number): string {
  if (percent === null) return unknownText;
  return gpus > 1 ? `${formatPercent(percent / gpus)} of ${gpus}` : formatPercent(percent);
}

/** `3.1 / 24.0 GiB`, `12 MiB / 24.0 GiB`; without a limit the first alone. */
export function formatMemoryOf(used: number | null, limit: number | null): string {
  if (limit === null) return formatGib(used);
  const shown = formatGib(used);
  return used !== null && / (?:B|KiB|MiB)$/.test(shown) ? `${shown} / ${formatGib(limit)}` : formatGibOf(used, limit);
}

export const workerFigures = (worker: Figures) => ({
  /** Cores. */
  cpu: formatCores(worker.cpuPercent),
  memory: formatGib(memoryOf(worker)),
  gpu: formatGpuUse(worker.gpuUtilizationPercent, worker.gpus.length),
  vram: formatGib(worker.vramUsedBytes),
});
