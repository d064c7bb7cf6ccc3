import { type FieldTable, optionalFields } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { workerFields } from './fields/worker.js';
import type { GpuSample, Heartbeat, StoredGpu, StoredWorker, WorkerSample } from './heartbeat.js';

type Item = Record<string, unknown>;

/** Records in a worker that have optional fields of their own. */
const records = Object.entries(workerFields as FieldTable).flatMap(([name, { rows }]) =>
  rows === undefined ? [] : [{ name, rows }],
);

function addAbsent(names: readonly string[], item: Item): Item {
  for (const name of names) if (item[name] === undefined) item[name] = null;
  return item;
}

/**
 * Gives an item with null for each optional field that it lacks. One that has all others and no more becomes a new object of
 * one shape, which costs less than to add fields to what was parsed; any other item is changed in place.
 */
function completer(table: FieldTable): (item: Item) => Item {
  const optional = optionalFields(table);
  try {
    const complete = new Function('item', completeSource(table)) as (item: Item) => Item | null;
    return (item) => complete(item) ?? addAbsent(optional, item);
  } catch (error) {
    // A process that may not generate code (`node --disallow-code-generation-from-strings`).
    if (!(error instanceof EvalError)) throw error;
    return (item) => addAbsent(optional, item);
  }
}

function completeSource(table: FieldTable): string {
  const names = Object.keys(table);
  for (const name of names) if (!/^[A-Za-z]\w*$/.test(name)) throw new Error(`${name} is no name of a field`);
  const optional = optionalFields(table);
  const required = names.filter((name) => !optional.includes(name));
  return [
    `let { ${names.map((name) => `${name}: _${name}`).join(', ')} } = item;`,
    `if (${required.map((name) => `_${name} === undefined`).join(' || ')}) return null;`,
    `let expected = ${names.length};`,
    ...optional.map((name) => `if (_${name} === undefined) { _${name} = null; expected -= 1; }`),
    'for (const _ in item) expected -= 1;',
    `return expected === 0 ? { ${names.map((name) => `${name}: _${name}`).join(', ')} } : null;`,
  ].join('\n');
}

const completeWorker = completer(workerFields);
const completeRecords = records.map(({ name, rows }) => ({ name, complete: completer(rows) }));

/** The worker with every field: what a hive leaves out is null. */
export function addAbsentOfWorker(worker: Item): Item {
  const whole = completeWorker(worker);
  for (const { name, complete } of completeRecords) {
    const held = whole[name];
    if (typeof held === 'object' && held !== null && !Array.isArray(held)) whole[name] = complete(held as Item);
  }
  return whole;
}

const completeGpu = completer(gpuFields);
/** Fields of which a hive sends something else in place of null. */
const sentNulls = Object.entries(gpuFields as FieldTable).flatMap(([name, { nullSentAs }]) =>
  nullSentAs === undefined ? [] : [{ name, nullSentAs }],
);

/** The GPU with every field: what a hive leaves out, or sends something else in place of, is null. */
export function addAbsentOfGpu(gpu: Item): Item {
  const whole = completeGpu(gpu);
  for (const { name, nullSentAs } of sentNulls) {
    const value = whole[name];
    if (!Array.isArray(value)) continue;
    // Hives of 0.1 send an empty list of a device that cannot tell.
    const isNull =
      value.length === 0
        ? Array.isArray(whole.unsupported) && whole.unsupported.includes(name)
        : value.length === nullSentAs.length && nullSentAs.every((entry, i) => entry === value[i]);
    if (isNull) whole[name] = null;
  }
  return whole;
}

/** The heartbeat as a hive sends it, so that a queen of 0.1 takes it too. */
export const asSent = (heartbeat: Heartbeat): Heartbeat => ({ ...heartbeat, gpus: heartbeat.gpus.map(sentGpu) });

function sentGpu(gpu: GpuSample): GpuSample {
  const values = gpu as unknown as Item;
  const nulls = sentNulls.filter(({ name }) => values[name] === null);
  if (nulls.length === 0) return gpu;
  return { ...gpu, ...Object.fromEntries(nulls.map(({ name, nullSentAs }) => [name, [...nullSentAs]])) };
}

/** Copies with every field. */
export function storedWorker(worker: WorkerSample): StoredWorker {
  const copy: Item = { ...worker };
  for (const { name } of records) if (copy[name] != null) copy[name] = { ...(copy[name] as Item) };
  return addAbsentOfWorker(copy) as unknown as StoredWorker;
}
export function storedGpu(gpu: GpuSample): StoredGpu {
  return addAbsentOfGpu({ ...gpu }) as unknown as StoredGpu;
}
