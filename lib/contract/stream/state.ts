import { crc32 } from 'node:zlib';
import { compiled } from '../../util/compiled.js';
import type { Column, RowType, StreamSchema } from './columns.js';

/** How many rows there are of each type. There is one head. */
export interface RowCounts {
  readonly gpus: number;
  readonly workers: number;
  /** GPUs that workers hold, of each worker. */
  readonly held: readonly number[];
}

type Values = Readonly<Record<string, unknown>>;

interface Rows {
  readonly gpus: readonly object[];
  readonly workers: readonly { readonly gpus: readonly object[] }[];
}

export const countRows = ({ gpus, workers }: Rows): RowCounts => ({
  gpus: gpus.length,
  workers: workers.length,
  held: workers.map((worker) => worker.gpus.length),
});

/** As JSON has it: neither infinities nor a zero below zero. NaN: it is no number. */
const numberOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) ? value + 0 : Number.NaN;

function valueAt(item: unknown, path: readonly string[]): unknown {
  let value: unknown = item;
  for (const name of path) value = (value as Values | null | undefined)?.[name];
  return value;
}

/** Places of words, by column; null: it has none. */
type Codes = readonly (ReadonlyMap<unknown, number> | null)[];

/** Writes all numbers of a row, from a place on. */
type Write = (item: object, values: Float64Array, at: number, number: typeof numberOf, codes: Codes) => void;
type Take = (item: object, values: Float64Array, at: number) => void;

const typeNames = { head: 'head', gpu: 'gpu', worker: 'worker', held: 'held' } as const;

const takes = new WeakMap<readonly Column[], Take>();

/** One function for the columns of a type of row, whatever number of rows there is. Names are those that a schema may have. */
function takeOf(columns: readonly Column[]): Take {
  const known = takes.get(columns);
  if (known !== undefined) return known;
  const codes = columns.map(({ words }) =>
    words === undefined ? null : new Map<unknown, number>(words.map((word, i) => [word, i])),
  );
  const body = columns
    .map(({ path, words }, i) => {
      const value = `item.${path.join('?.')}`;
      return `values[at + ${i}] = ${words === undefined ? `number(${value})` : `codes[${i}].get(${value}) ?? NaN`};`;
    })
    .join('\n');
  const write = compiled<Write>('item, values, at, number, codes', body, (item, values, at) => {
    for (const [i, { path }] of columns.entries()) {
      const value = valueAt(item, path);
      const places = codes[i] ?? null;
      values[at + i] = places === null ? numberOf(value) : (places.get(value) ?? Number.NaN);
    }
  });
  const take: Take = (item, values, at) => write(item, values, at, numberOf, codes);
  takes.set(columns, take);
  return take;
}

/**
 * All numbers of one heartbeat, row by row: the head, GPUs, workers, and the GPUs that workers hold, in the order of the
 * heartbeat; of words that a stream has as numbers their places. Null is NaN. Both ends of a stream keep one, and a checksum shows that they are the same.
 */
export class NumericState {
  readonly schema: StreamSchema;
  readonly values: Float64Array;
  readonly rowCount: number;
  readonly firstGpu = 1;
  readonly firstWorker: number;
  readonly firstHeld: number;
  // Plain lists: a typed array takes 200 bytes beside its numbers, and there is one state for each hive.
  /** The worker of each held row. */
  readonly #workerOfHeld: readonly number[];
  /** Held rows before those of each worker, and then all of them. */
  readonly #heldOfWorker: readonly number[];
  /** Where the values of the first row begin. */
  readonly #atWorkers: number;
  readonly #atHeld: number;

  constructor(schema: StreamSchema, counts: RowCounts) {
    this.schema = schema;
    this.firstWorker = 1 + counts.gpus;
    this.firstHeld = this.firstWorker + counts.workers;
    const held = counts.held.reduce((sum, count) => sum + count, 0);
    this.rowCount = this.firstHeld + held;
    this.#workerOfHeld = counts.held.flatMap((count, worker) => new Array<number>(count).fill(worker));
    let before = 0;
    this.#heldOfWorker = [0, ...counts.held.map((count) => (before += count))];
    this.#atWorkers = schema.head.length + counts.gpus * schema.gpu.length;
    this.#atHeld = this.#atWorkers + counts.workers * schema.worker.length;
    this.values = new Float64Array(cellCount(schema, counts)).fill(Number.NaN);
  }

  typeOf(row: number): RowType {
    return this.ofType(row, typeNames);
  }

  /** What there is for rows of this type. By names that stand here: one that is looked up takes several times as long. */
  ofType<T>(row: number, { head, gpu, worker, held }: Readonly<Record<RowType, T>>): T {
    if (row >= this.firstHeld) return held;
    if (row >= this.firstWorker) return worker;
    return row >= this.firstGpu ? gpu : head;
  }

  columnsOf(row: number): readonly Column[] {
    return this.ofType(row, this.schema);
  }

  /** Where the values of a row begin. */
  offsetOf(row: number): number {
    if (row >= this.firstHeld) return this.#atHeld + (row - this.firstHeld) * this.schema.held.length;
    if (row >= this.firstWorker) return this.#atWorkers + (row - this.firstWorker) * this.schema.worker.length;
    return row >= this.firstGpu ? this.schema.head.length + (row - this.firstGpu) * this.schema.gpu.length : 0;
  }

  /** Of a held row: its worker, and which of its GPUs it is. */
  holderOf(row: number): { readonly worker: number; readonly gpu: number } {
    const held = row - this.firstHeld;
    const worker = this.#workerOfHeld[held]!;
    return { worker, gpu: held - this.#heldOfWorker[worker]! };
  }

  workerOfHeld(row: number): number {
    return this.#workerOfHeld[row - this.firstHeld]!;
  }

  /** The first of the held rows of a worker; those of the last end where one behind it would begin. */
  firstHeldOf(worker: number): number {
    return this.firstHeld + this.#heldOfWorker[worker]!;
  }

  /** The held rows of a worker: the first, and the one behind the last. */
  heldRowsOf(worker: number): readonly [first: number, end: number] {
    return [this.firstHeld + this.#heldOfWorker[worker]!, this.firstHeld + this.#heldOfWorker[worker + 1]!];
  }

  /** One with the same rows. */
  likewise(): NumericState {
    const held = this.#heldOfWorker.slice(1).map((end, worker) => end - this.#heldOfWorker[worker]!);
    return new NumericState(this.schema, { gpus: this.firstWorker - 1, workers: held.length, held });
  }

  /** Takes all numbers of a heartbeat with these rows. */
  take(heartbeat: Rows): void {
    this.takeRow(0, heartbeat);
    heartbeat.gpus.forEach((gpu, index) => {
      this.takeRow(this.firstGpu + index, gpu);
    });
    heartbeat.workers.forEach((worker, index) => {
      this.takeWorker(index, worker);
    });
  }

  /** Takes the numbers of a worker, and of what it holds. */
  takeWorker(index: number, worker: Rows['workers'][number]): void {
    this.takeRow(this.firstWorker + index, worker);
    const [first] = this.heldRowsOf(index);
    worker.gpus.forEach((held, i) => {
      this.takeRow(first + i, held);
    });
  }

  takeRow(row: number, item: object): void {
    takeOf(this.columnsOf(row))(item, this.values, this.offsetOf(row));
  }

  checksum(): number {
    return crc32(Buffer.from(this.values.buffer, this.values.byteOffset, this.values.byteLength));
  }
}

/** Values that a heartbeat has under a schema. */
export function cellCount({ head, gpu, worker, held }: StreamSchema, counts: RowCounts): number {
  const heldRows = counts.held.reduce((sum, count) => sum + count, 0);
  return head.length + counts.gpus * gpu.length + counts.workers * worker.length + heldRows * held.length;
}
