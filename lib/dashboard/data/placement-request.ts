import type { PlacementRequest } from '../../contract/api.js';

const GIB = 1024 ** 3;

export const strategies = [
  { value: 'binPack', label: 'Bin-pack: fill GPUs up' },
  { value: 'spread', label: 'Spread: over hosts' },
  { value: 'mostFree', label: 'Most free first' },
] as const;

/** The request that the form describes, or what is wrong with it. */
export function requestOf(form: {
  vram: string;
  gpus: string;
  labels: string;
  memory: string;
  strategy: string;
}): PlacementRequest | string {
  const vram = Number(form.vram);
  if (form.vram.trim() === '' || !Number.isFinite(vram) || vram < 0)
    return 'VRAM must be a number of GiB, such as 20 or 7.5.';
  const gpuCount = Number(form.gpus);
  if (!Number.isInteger(gpuCount) || gpuCount < 1 || gpuCount > 64) return 'GPUs must be a whole number from 1 to 64.';
  const memory = form.memory.trim() === '' ? null : Number(form.memory);
  if (memory !== null && (!Number.isFinite(memory) || memory < 0))
    return 'Host memory must be a number of GiB, or empty.';
  const labels: Record<string, string> = {};
  for (const pair of form.labels.split(/[\s,]+/).filter(Boolean)) {
    const equals = pair.indexOf('=');
    if (equals < 1) return `Labels must be written key=value; “${pair}” is not.`;
    labels[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  const strategy = strategies.find(({ value }) => value === form.strategy)?.value ?? 'binPack';
  return {
    vramBytes: Math.round(vram * GIB),
    gpuCount,
    strategy,
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(memory === null ? {} : { memoryBytes: Math.round(memory * GIB) }),
  };
}
