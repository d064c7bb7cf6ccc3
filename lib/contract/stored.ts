import { type FieldTable, optionalFields } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { workerFields } from './fields/worker.js';
import type { GpuSample, StoredGpu, StoredWorker, WorkerSample } from './heartbeat.js';

type Item = Record<string, unknown>;

/** Sets what is left out to null, in plain code made of the names: a queen does it for every item of every heartbeat. */
function absentSetter(names: readonly string[]): (item: Item) => void {
  for (const name of names) if (!/^[A-Za-z]\w*$/.test(name)) throw new Error(`${name} is no name of a field`);
  const source = names.map((name) => `if (item.${name} === undefined) item.${name} = null;`).join('\n');
  try {
    return new Function('item', source) as (item: Item) => void;
  } catch (error) {
    // A process that may not generate code (`node --disallow-code-generation-from-strings`).
    if (!(error instanceof EvalError)) throw error;
    return (item) => {
      for (const name of names) if (item[name] === undefined) item[name] = null;
    };
  }
}

/** Of the records in a worker. */
const records = Object.entries(workerFields as FieldTable).flatMap(([name, { rows }]) =>
  rows === undefined ? [] : [{ name, setOptional: absentSetter(optionalFields(rows)) }],
);
const setOptionalOfWorker = absentSetter(optionalFields(workerFields));

/** Sets the optional fields that a hive left out to null, in place. */
export function addAbsentOfWorker(worker: Item): void {
  setOptionalOfWorker(worker);
  for (const { name, setOptional } of records) {
    const held = worker[name];
    if (typeof held === 'object' && held !== null && !Array.isArray(held)) setOptional(held as Item);
  }
}
export const addAbsentOfGpu: (gpu: Record<string, unknown>) => void = absentSetter(optionalFields(gpuFields));

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
