import { gpuEvidence } from '../enums.js';
import type { Field, FieldTable } from './field.js';
import { gpuBytes } from './plausible.js';
import { amount, nullable, oneOf, text } from './shape.js';

/** What a worker has of one GPU. */
export const workerGpuFields = {
  uuid: { shape: text({ minLength: 1, maxLength: 96 }), identity: true },
  memoryUsedBytes: {
    shape: amount('Held by the worker on this GPU.'),
    plausible: { least: 0, most: gpuBytes.most },
    hive: { name: 'hivepulse_worker_gpu_memory_used_bytes', help: 'GPU memory held on one GPU.' },
  },
  utilizationPercent: {
    shape: amount('Of this GPU by the worker.'),
    plausible: { least: 0, most: 1000 },
    hive: {
      name: 'hivepulse_worker_gpu_utilization_ratio',
      help: 'Utilization of one GPU by the worker.',
      scale: 'ratio',
    },
  },
} as const satisfies FieldTable;

export const gpusInferred = {
  shape: nullable({
    ...oneOf(gpuEvidence),
    description:
      'Evidence from which `gpus` is inferred where the pids of the driver are not those of the hive; `gpusReason` says it in a sentence, and what the worker has of them is null. deviceMapped: it is the only engine there, and its processes map the device files of all GPUs. deviceOpen: they have that of the only GPU open. null: nothing is inferred.',
  }),
  absent: 'nothing is inferred',
  optional: true,
  unmeasured: null,
  least: 'deviceOpen',
} as const satisfies Field;
