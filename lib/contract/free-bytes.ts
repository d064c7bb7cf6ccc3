import type { HostSample } from './heartbeat.js';

/** Room left on a GPU: total - used - reserved (where reserved is unknown: total - used). Null where it can't be known. */
export function freeBytes(
  gpu: {
    memoryTotalBytes: number | null;
    memoryUsedBytes: number | null;
    memoryReservedBytes: number | null;
    memoryKind: 'device' | 'unified';
    health: string;
  },
  host: Pick<HostSample, 'memoryAvailableBytes'>,
): number | null {
  const { memoryTotalBytes: total, memoryUsedBytes: used } = gpu;
  const own = total === null || used === null ? null : Math.max(0, total - used - (gpu.memoryReservedBytes ?? 0));
  // One that gives no answer has no room that is known, whatever the host has.
  if (gpu.memoryKind === 'device' || !answers(gpu)) return own;
  // Unified memory is the host's: what others hold of it is gone for the GPU too, and some drivers tell only the host's side.
  const available = host.memoryAvailableBytes;
  if (available === null) return own;
  return own === null ? available : Math.min(own, available);
}

/** Its driver gives values of it. */
export const answers = ({ health }: { readonly health: string }): boolean => health === 'ok' || health === 'degraded';
