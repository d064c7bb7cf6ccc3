import { optionalFields } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { workerFields } from './fields/worker.js';
import type { GpuSample, StoredGpu, StoredWorker, WorkerSample } from './heartbeat.js';

const optionalOfWorker = optionalFields(workerFields);
const optionalOfGpu = optionalFields(gpuFields);

function addAbsent(names: readonly string[], item: Record<string, unknown>): void {
  for (const name of names) if (item[name] === undefined) item[name] = null;
}

/** Sets the optional fields that a hive left out to null, in place. */
export const addAbsentOfWorker = (worker: Record<string, unknown>): void => addAbsent(optionalOfWorker, worker);
export const addAbsentOfGpu = (gpu: Record<string, unknown>): void => addAbsent(optionalOfGpu, gpu);

/** Copies with every field. */
export function storedWorker(worker: WorkerSample): StoredWorker {
  const copy = { ...worker };
  addAbsentOfWorker(copy);
  return copy as StoredWorker;
}
export function storedGpu(gpu: GpuSample): StoredGpu {
  const copy = { ...gpu };
  addAbsentOfGpu(copy);
  return copy as StoredGpu;
}
