/** Names of GPUs without the brand, which says nothing where all have it. Pure. */
import type { GpuSample } from '../contract/heartbeat.js';

/** `H100 80GB HBM3` */
export const gpuKind = ({ name }: Pick<GpuSample, 'name'>): string =>
  (name ?? 'GPU').replace(/^NVIDIA (GeForce )?/, '');

/** `8 × H100 80GB HBM3` */
export function gpuSummary(gpus: readonly Pick<GpuSample, 'name'>[]): string {
  const names = new Map<string, number>();
  for (const gpu of gpus) names.set(gpuKind(gpu), (names.get(gpuKind(gpu)) ?? 0) + 1);
  return [...names].map(([name, count]) => `${count} × ${name}`).join(', ');
}
