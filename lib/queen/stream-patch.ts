import type { GpuSample, WorkerSample } from '../contract/heartbeat.js';
import { type ChangedCells, StreamCodecError } from '../contract/stream/codec.js';
import {
  boundsOf,
  type Column,
  type ColumnBounds,
  type RowType,
  rowTypes,
  type StreamSchema,
} from '../contract/stream/columns.js';
import type { NumericState } from '../contract/stream/state.js';
import { isPlausible } from '../contract/validate.js';
import type { NumericPatch, StreamBase } from './ingest.js';
import { copyGpu, copyWorker } from './merge.js';

/** A value that no device has, or that its field can't have: a whole heartbeat is judged with it. */
export class ImplausibleDelta extends Error {}

/** A schema of a hive, with what this queen knows of each column; null: it does not know it. */
export interface PatchPlan {
  readonly schema: StreamSchema;
  readonly bounds: Readonly<Record<RowType, readonly (ColumnBounds | null)[]>>;
  /** Place of `intervalMs` in the head. */
  readonly interval: number;
}

/** @throws StreamCodecError */
export function planOf(schema: StreamSchema): PatchPlan {
  const bounds = Object.fromEntries(
    rowTypes.map((type) => [type, schema[type].map((column) => boundsOf(type, column))]),
  ) as unknown as PatchPlan['bounds'];
  const interval = schema.head.findIndex(({ name }) => name === 'intervalMs');
  if (interval < 0) throw new StreamCodecError('its head has no intervalMs');
  return { schema, bounds, interval };
}

type Values = Record<string, unknown>;

/** Sets a value of a copy whose inner records are still those of `stored`: each is copied before its first change. */
function setValue(copy: Values, stored: Values, { path }: Column, value: number | null): void {
  if (path.length === 1) {
    copy[path[0]!] = value;
    return;
  }
  const [name, inner] = path as [string, string];
  const record = copy[name];
  if (typeof record !== 'object' || record === null) throw new StreamCodecError('a value of what is not there');
  const own = record === stored[name] ? { ...(record as Values) } : (record as Values);
  own[inner] = value;
  copy[name] = own;
}

function checked(value: number, { least, most, whole, mayBeNull }: ColumnBounds): number | null {
  if (Number.isNaN(value)) {
    if (!mayBeNull) throw new ImplausibleDelta();
    return null;
  }
  if (value < least || value > most || (whole && !Number.isSafeInteger(value))) throw new ImplausibleDelta();
  return value;
}

/** Host and collection, each copied before its first change. */
class HeadPatch {
  readonly #stored: Values;
  readonly #copy: Values = {};

  constructor({ host, collection }: StreamBase['hive']) {
    this.#stored = { host, collection };
  }

  set({ name, path }: Column, value: number | null): void {
    const [part, ...rest] = path as [string, ...string[]];
    const stored = this.#stored[part] as Values | undefined;
    // The interval is read from the state.
    if (stored === undefined) return;
    this.#copy[part] ??= { ...stored };
    const copy = this.#copy[part] as Values;
    setValue(copy, stored, { name, path: rest, scale: 1 }, value);
  }

  part<T>(name: 'host' | 'collection'): T | null {
    return (this.#copy[name] ?? null) as T | null;
  }
}

/** What cells that have changed make of the rows of a hive. @throws ImplausibleDelta, StreamCodecError */
export function patchOf(
  plan: PatchPlan,
  { hive, gpus, workers }: StreamBase,
  state: NumericState,
  changed: ChangedCells,
  seq: number,
): NumericPatch {
  const head = new HeadPatch(hive);
  const nextGpus: (GpuSample | undefined)[] = [];
  const nextWorkers: (WorkerSample | undefined)[] = [];
  const ofWorker = (index: number): WorkerSample => {
    nextWorkers[index] ??= copyWorker(workers[index]!.sample);
    return nextWorkers[index];
  };
  for (let i = 0; i < changed.length; i += 2) {
    const [row, at] = [changed[i]!, changed[i + 1]!];
    const type = state.typeOf(row);
    const bounds = plan.bounds[type][at]!;
    if (bounds === null) continue;
    const column = plan.schema[type][at]!;
    const value = checked(state.values[state.offsetOf(row) + at]!, bounds);
    if (type === 'worker') {
      const index = row - state.firstWorker;
      setValue(ofWorker(index) as Values, workers[index]!.sample as Values, column, value);
    } else if (type === 'gpu') {
      const index = row - state.firstGpu;
      const { sample } = gpus[index]!;
      nextGpus[index] ??= copyGpu(sample);
      setValue(nextGpus[index] as unknown as Values, sample as unknown as Values, column, value);
    } else if (type === 'held') {
      const { worker, gpu } = state.holderOf(row);
      const next = ofWorker(worker) as { gpus: WorkerSample['gpus'] };
      if (next.gpus === workers[worker]!.sample.gpus) next.gpus = next.gpus.map((held) => ({ ...held }));
      (next.gpus[gpu] as unknown as Values)[column.name] = value;
    } else head.set(column, value);
  }
  const patch = {
    seq,
    intervalMs: state.values[plan.interval]!,
    host: head.part<StreamBase['hive']['host']>('host'),
    collection: head.part<StreamBase['hive']['collection']>('collection'),
    gpus: nextGpus,
    workers: nextWorkers,
  };
  const isThere = <T>(row: T | undefined): row is T => row !== undefined;
  const rows = {
    host: patch.host ?? hive.host,
    gpus: nextGpus.filter(isThere),
    workers: nextWorkers.filter(isThere),
  };
  if (!isPlausible(rows)) throw new ImplausibleDelta();
  return patch;
}
