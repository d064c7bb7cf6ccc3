/** The figures of a host as every screen has them: one number, one name, one unit. Pure. */
import { countVram } from '../contract/counts.js';
import type { GpuSample, HostSample } from '../contract/heartbeat.js';
import { meanOf, sumOf } from './totals.js';
import { formatBytes, formatCores, formatCount, formatGibOf } from './units.js';

type Host = Pick<HostSample, 'cpuCount' | 'cpuPercent' | 'container' | 'memoryTotalBytes' | 'memoryAvailableBytes'>;

/** CPUs that its processes may use: fewer than the machine has where it is a container with a limit. */
export const cpusOf = ({ container, cpuCount }: Pick<Host, 'container' | 'cpuCount'>): number =>
  container?.cpus ?? cpuCount;

/** `3.4 / 8` */
export const coresOf = (host: Host): string => `${formatCores(host.cpuPercent)} / ${formatCount(cpusOf(host))}`;

/** Memory that is not available. */
export const usedMemoryOf = ({ memoryTotalBytes: total, memoryAvailableBytes: available }: Host): number | null =>
  total === null || available === null ? null : total - available;

export interface GpuTotals {
  /** Mean over those that say it. */
  readonly utilizationPercent: number | null;
  readonly usedBytes: number | null;
  readonly totalBytes: number | null;
  /** GPUs whose memory is not known, and is in neither. */
  readonly uncounted: number;
  readonly watts: number | null;
}

/** Over the GPUs of one host or several: a MIG device is a part of its GPU. */
export function gpuTotals(hosts: readonly { readonly gpus: readonly GpuSample[] }[]): GpuTotals {
  const whole = hosts.flatMap(({ gpus }) => gpus.filter(({ parentUuid }) => parentUuid === null));
  const vram = hosts.map(({ gpus }) => countVram(gpus));
  return {
    utilizationPercent: meanOf(whole.map((gpu) => gpu.utilizationPercent)),
    usedBytes: sumOf(vram.map(({ usedBytes }) => usedBytes)),
    totalBytes: sumOf(vram.map(({ totalBytes }) => totalBytes)),
    uncounted: vram.reduce((sum, { uncounted }) => sum + uncounted, 0),
    watts: sumOf(whole.map(({ powerWatts }) => powerWatts)),
  };
}

/** `68.4 / 159.3 GiB`, with a question mark where the memory of some GPU is not known. */
export const vramOf = ({ usedBytes, totalBytes, uncounted }: GpuTotals): string =>
  usedBytes === null ? formatBytes(null) : `${formatGibOf(usedBytes, totalBytes)}${uncounted > 0 ? '?' : ''}`;
