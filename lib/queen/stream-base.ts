import type { ChangedCells } from '../contract/stream/cells.js';
import type { NumericState } from '../contract/stream/state.js';
import type { PowerRows } from './energy.js';
import type { GpuRecord, HiveRecord, Unwritten, WorkerRecord } from './records.js';
import type { RowPlan, StreamPlan } from './stream-plan.js';

export interface StreamTable {
  readonly plan: StreamPlan;
  readonly state: NumericState;
}

/** Of a row: it has numbers that are not written; it is known which records its item does not have. Those are the bits below. */
const rowBits = { unwritten: 1 << 30, known: 1 << 29 } as const;

/** Of a worker: what of it has changed. `row`: more than what does so by itself. `code`: a word that comes as a number. */
export const changeBits = { row: 1, code: 2 } as const;

/**
 * A hive whose heartbeats come as differences, and what it lists: in its own order, and nothing that was kept from before. Its
 * numbers are in a table, and in the records once somebody looks: most are different again before that.
 */
export class StreamBase implements Unwritten, StreamTable {
  readonly hive: HiveRecord;
  readonly gpus: readonly GpuRecord[];
  readonly workers: readonly WorkerRecord[];
  readonly plan: StreamPlan;
  readonly state: NumericState;
  /** The number of the hive's heartbeat that was merged last. Any other number: somebody else has sent one. */
  heartbeats: number;
  /** A bit for each number that is not written. */
  readonly #cells: Uint8Array;
  /** What is known of each row: `rowBits`. */
  readonly #rows: Int32Array;

  constructor(
    hive: HiveRecord,
    { gpus, workers }: { readonly gpus: readonly { uuid: string }[]; readonly workers: readonly { id: string }[] },
    { plan, state }: StreamTable,
  ) {
    this.hive = hive;
    this.gpus = gpus.map(({ uuid }) => hive.gpus.get(uuid)!);
    this.workers = workers.map(({ id }) => hive.workers.get(id)!);
    for (const gpu of hive.gpuOrder) gpu.place = -1;
    for (const worker of hive.workerOrder) worker.place = -1;
    this.gpus.forEach((gpu, place) => {
      gpu.place = place;
    });
    this.workers.forEach((worker, place) => {
      worker.place = place;
    });
    this.plan = plan;
    this.state = state;
    this.heartbeats = hive.heartbeats;
    this.#cells = new Uint8Array((state.values.length + 7) >> 3);
    this.#rows = new Int32Array(state.rowCount);
  }

  /** What the numbers of a row belong to. */
  itemOf(row: number): object {
    const { state } = this;
    switch (state.typeOf(row)) {
      case 'head':
        return this.hive.head;
      case 'gpu':
        return this.gpus[row - state.firstGpu]!.current;
      case 'worker':
        return this.workers[row - state.firstWorker]!.current;
      case 'held': {
        const { worker, gpu } = state.holderOf(row);
        return this.workers[worker]!.current.gpus[gpu]!;
      }
    }
  }

  /** The records that the item of a row does not have: `RowPlan.missingOf`. Looked up once, until the row is replaced. */
  missingIn(row: number, plan: RowPlan): number {
    const bits = this.#rows[row]!;
    if ((bits & rowBits.known) !== 0) return bits & (rowBits.known - 1);
    const missing = plan.missingOf(this.itemOf(row));
    this.#rows[row] = bits | rowBits.known | missing;
    return missing;
  }

  /** Before a row is replaced: it is as the heartbeat before had it. */
  prepareGpu(place: number): void {
    this.writeGpu(place);
    this.#rows[this.state.firstGpu + place] = 0;
  }

  prepareWorker(place: number): void {
    this.writeWorker(place);
    this.#rows[this.state.firstWorker + place] = 0;
  }

  /**
   * The numbers that have changed are written when they are asked for, but for those that each heartbeat needs, and for words of
   * workers, which are to be merged. Marks what of workers has changed by `changeBits`; true where what is free on GPUs may be different.
   */
  keep(cells: ChangedCells, changes: Uint8Array): boolean {
    const { plan, state, hive } = this;
    let isRoomChanged = false;
    for (let i = 0; i < cells.rowCount; i++) {
      const row = cells.row(i);
      const type = state.typeOf(row);
      const rowPlan = state.ofType(row, plan.rows);
      if (type === 'gpu') {
        if (this.#keepGpu(row, rowPlan, cells, i)) isRoomChanged = true;
        continue;
      }
      const change = this.#keepRow(row, rowPlan, cells, i, type === 'worker');
      if (change === 0) continue;
      if (type === 'worker') changes[row - state.firstWorker]! |= change;
      else if (type === 'held') changes[state.workerOfHeld(row)]! |= change;
    }
    hive.unwritten = this;
    return isRoomChanged;
  }

  /** What has changed, as `changeBits`. */
  #keepRow(row: number, plan: RowPlan, cells: ChangedCells, i: number, mergesCodes: boolean): number {
    const first = this.state.offsetOf(row);
    const end = cells.end(i);
    let change = 0;
    for (let cell = cells.begin(i); cell < end; cell++) {
      const column = cells.column(cell);
      if (plan.reports(column)) change |= changeBits.row;
      if (mergesCodes && plan.isCoded(column)) {
        change |= changeBits.code;
        continue;
      }
      const at = first + column;
      this.#cells[at >> 3]! |= 1 << (at & 7);
    }
    this.#rows[row]! |= rowBits.unwritten;
    return change;
  }

  /** True where a number was written that what is free depends on. */
  #keepGpu(row: number, plan: RowPlan, cells: ChangedCells, i: number): boolean {
    const { state } = this;
    const first = state.offsetOf(row);
    const end = cells.end(i);
    let item: object | null = null;
    for (let cell = cells.begin(i); cell < end; cell++) {
      const column = cells.column(cell);
      const at = first + column;
      if (plan.isCurrent(column)) {
        item ??= this.itemOf(row);
        plan.write(item, column, state.values[at]!);
      } else {
        this.#cells[at >> 3]! |= 1 << (at & 7);
        this.#rows[row]! |= rowBits.unwritten;
      }
    }
    return item !== null;
  }

  writeHead(): void {
    if (this.#isUnwritten(0)) this.#write(0, this.hive.head);
  }

  writeGpu(place: number): void {
    const row = this.state.firstGpu + place;
    if (place >= 0 && this.#isUnwritten(row)) this.#write(row, this.itemOf(row));
  }

  writeWorker(place: number): void {
    const { state } = this;
    if (place < 0) return;
    const own = state.firstWorker + place;
    if (this.#isUnwritten(own)) this.#write(own, this.itemOf(own));
    const first = state.firstHeldOf(place);
    const end = state.firstHeldOf(place + 1);
    let gpus: object[] | null = null;
    for (let row = first; row < end; row++) {
      if (!this.#isUnwritten(row)) continue;
      // Views share the list and what is in it.
      gpus ??= this.workers[place]!.copyHeld();
      const held = { ...gpus[row - first]! };
      gpus[row - first] = held;
      this.#write(row, held);
    }
  }

  powerRows(): PowerRows | null {
    const { state, plan, hive } = this;
    if (this.gpus.length < hive.gpuOrder.length || this.workers.length < hive.workerOrder.length) return null;
    const { values } = state;
    const { powerWatts, unattributedBytes } = plan.figures.gpu;
    const tokens = plan.figures.worker.generationTokensPerSecond;
    const { utilizationPercent } = plan.figures.held;
    const gpus = this.gpus.map(({ current }, i) => {
      const at = state.offsetOf(state.firstGpu + i);
      return {
        uuid: current.uuid,
        powerWatts: powerWatts.of(values, at, current),
        unattributedBytes: unattributedBytes.of(values, at, current),
      };
    });
    const workers = this.workers.map(({ current }, i) => {
      const { id, model, gpusReason, serving } = current;
      const at = state.offsetOf(state.firstWorker + i);
      const first = state.firstHeldOf(i);
      return {
        ...{ id, model, gpusReason },
        gpus: current.gpus.map((held, j) => ({
          uuid: held.uuid,
          utilizationPercent: utilizationPercent.of(values, state.offsetOf(first + j), held),
        })),
        serving: serving == null ? null : { generationTokensPerSecond: tokens.of(values, at, current) },
      };
    });
    return { gpus, workers };
  }

  writeAll(): void {
    this.writeHead();
    for (let i = 0; i < this.gpus.length; i++) this.writeGpu(i);
    for (let i = 0; i < this.workers.length; i++) this.writeWorker(i);
  }

  #isUnwritten(row: number): boolean {
    return (this.#rows[row]! & rowBits.unwritten) !== 0;
  }

  #write(row: number, item: object): void {
    this.#rows[row]! &= ~rowBits.unwritten;
    const { values } = this.state;
    const rowPlan = this.state.ofType(row, this.plan.rows);
    const first = this.state.offsetOf(row);
    for (let column = 0; column < rowPlan.width; column++) {
      const at = first + column;
      const bit = 1 << (at & 7);
      if ((this.#cells[at >> 3]! & bit) === 0) continue;
      this.#cells[at >> 3]! &= ~bit;
      rowPlan.write(item, column, values[at]!);
    }
    rowPlan.close();
  }
}
