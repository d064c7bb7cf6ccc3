import type { ChangedCells } from '../contract/stream/codec.js';
import type { NumericState } from '../contract/stream/state.js';
import type { GpuRecord, HiveRecord, Unwritten, WorkerRecord } from './records.js';
import type { RowPlan, StreamPlan } from './stream-plan.js';

export interface StreamTable {
  readonly plan: StreamPlan;
  readonly state: NumericState;
}

/** It has numbers that are not written; it has all records that its numbers stand in. */
const rowBits = { unwritten: 1, whole: 2 } as const;

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
  readonly #rows: Uint8Array;

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
    this.#rows = new Uint8Array(state.rowCount);
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

  /** Each number of the row has a place, however many records it stands within. Looked up once, until the row is replaced. */
  isWhole(row: number): boolean {
    if ((this.#rows[row]! & rowBits.whole) !== 0) return true;
    if (!this.plan.rows[this.state.typeOf(row)].isWhole(this.itemOf(row))) return false;
    this.#rows[row]! |= rowBits.whole;
    return true;
  }

  /** Before a row is replaced: it is as the heartbeat before had it. */
  prepareGpu(place: number): void {
    this.writeGpu(place);
    this.#rows[this.state.firstGpu + place] = 0;
  }

  prepareWorker(place: number): void {
    const { state } = this;
    this.writeWorker(place);
    this.#rows[state.firstWorker + place] = 0;
    for (let row = state.firstHeldOf(place); row < state.firstHeldOf(place + 1); row++) this.#rows[row] = 0;
  }

  /**
   * The numbers that have changed are written when they are asked for, but for those that each heartbeat needs. Marks the workers
   * of which more has changed than what does so by itself; true where what is free on GPUs may be different.
   */
  keep(cells: ChangedCells, isChanged: Uint8Array): boolean {
    const { plan, state, hive } = this;
    let isRoomChanged = false;
    for (let i = 0; i < cells.rowCount; i++) {
      const row = cells.row(i);
      const type = state.typeOf(row);
      const rowPlan = plan.rows[type];
      if (type === 'gpu') {
        if (this.#keepGpu(row, rowPlan, cells, i)) isRoomChanged = true;
        continue;
      }
      const isReported = this.#keepRow(row, rowPlan, cells, i);
      if (!isReported) continue;
      if (type === 'worker') isChanged[row - state.firstWorker] = 1;
      else if (type === 'held') isChanged[state.workerOfHeld(row)] = 1;
    }
    hive.unwritten = this;
    return isRoomChanged;
  }

  /** True where more has changed than what does so by itself. */
  #keepRow(row: number, plan: RowPlan, cells: ChangedCells, i: number): boolean {
    const first = this.state.offsetOf(row);
    const end = cells.end(i);
    let isReported = false;
    for (let cell = cells.begin(i); cell < end; cell++) {
      const column = cells.column(cell);
      const at = first + column;
      this.#cells[at >> 3]! |= 1 << (at & 7);
      if (plan.reports(column)) isReported = true;
    }
    this.#rows[row]! |= rowBits.unwritten;
    return isReported;
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
    const rowPlan = this.plan.rows[this.state.typeOf(row)];
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
