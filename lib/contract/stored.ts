import { type FieldTable, optionalFields } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { workerFields } from './fields/worker.js';
import type { GpuSample, StoredGpu, StoredWorker, WorkerSample } from './heartbeat.js';

const optionalOfWorker = optionalFields(workerFields);
const optionalOfGpu = optionalFields(gpuFields);

/** Optional fields of the records in a worker. */
const records = Object.entries(workerFields as FieldTable).flatMap(([name, { rows }]) =>
  rows === undefined ? [] : [{ name, optional: optionalFields(rows) }],
);

type Item = Record<string, unknown>;

function addAbsent(names: readonly string[], item: Item): void {
  for (const name of names) if (item[name] === undefined) item[name] = null;
}

/** Sets the optional fields that a hive left out to null, in place. */
export function addAbsentOfWorker(worker: Item): void {
  addAbsent(optionalOfWorker, worker);
  for (const { name, optional } of records) {
    const held = worker[name];
    if (typeof held === 'object' && held !== null && !Array.isArray(held)) addAbsent(optional, held as Item);
  }
}
export const addAbsentOfGpu = (gpu: Record<string, unknown>): void => addAbsent(optionalOfGpu, gpu);

/** Copies with every field. */
export function storedWorker(worker: WorkerSample): StoredWorker {
  const copy: Item = { ...worker };
  for (const { name } of records) if (copy[name] != null) copy[name] = { ...(copy[name] as Item) };
  addAbsentOfWorker(copy);
  return copy as unknown as StoredWorker;
}
export function storedGpu(gpu: GpuSample): StoredGpu {
  const copy = { ...gpu };
  addAbsentOfGpu(copy);
  return copy as StoredGpu;
}
