import type { FieldTable } from './field.js';
import { gpuBytes } from './plausible.js';
import { amount, text } from './shape.js';

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
