import type { GpuRecord, HiveRecord } from './records.js';
import type { ActiveReservation } from './reservations.js';
import { isPlaceable } from './scheduling.js';

/** GPUs that a row has room for. Those of a host with more are in a list of its own. */
const gpusInRow = 8;

/** What is true of the host of a row; 0: there is none. Memories are those of the GPUs that can be placed on, vendors those of all. */
export const rowBits = {
  taken: 1,
  schedulable: 2,
  isUnified: 4,
  severalMemories: 8,
  severalVendors: 16,
  isWide: 32,
} as const;

/** Places of the numbers of a row before those of its GPUs. `memoryBytes`: NaN where it is not known. */
export const rowNumbers = { bits: 0, gpus: 1, memoryBytes: 2, workers: 3, firstGpu: 4 } as const;

/** Of each GPU that can be placed on and whose room is known: what `place` counts is `HiveRecord.gpuOrder`. */
export const gpuNumbers = { freeBytes: 0, workers: 1, isUnwell: 2, place: 3, count: 4 } as const;

const numbersOfRow = rowNumbers.firstGpu + gpusInRow * gpuNumbers.count;

/** Workers that hold a GPU, or that it is reserved for. */
export function holdersOf(gpu: GpuRecord, promised: ReadonlySet<ActiveReservation> | undefined): number {
  let { workerCount } = gpu;
  if (promised) for (const held of promised) if (held.gpuUuids.includes(gpu.current.uuid)) workerCount++;
  return workerCount;
}

/**
 * A row of numbers for each host, kept up to date with it, one behind the other: a placement walks these, and looks closer only
 * at the hosts that it lists. To look at ten thousand records takes several times as long, most of it waiting for memory.
 */
export class RoomTable {
  #numbers = new Float64Array(16 * numbersOfRow);
  /** By their places. */
  readonly #hives: (HiveRecord | null)[] = [];
  readonly #freePlaces: number[] = [];
  readonly #hiveOrder: Iterable<HiveRecord>;
  /** Places in the order of hives; null: others are there than when it was made. */
  #order: Int32Array | null = null;

  /** @param hiveOrder the hives that have a row, by id. */
  constructor(hiveOrder: Iterable<HiveRecord>) {
    this.#hiveOrder = hiveOrder;
  }

  /** Of all hives, by id: so placement never has to compare their ids. */
  placesInOrder(): Int32Array {
    this.#order ??= Int32Array.from(this.#hiveOrder, ({ room }) => room.place);
    return this.#order;
  }

  get numbers(): Float64Array {
    return this.#numbers;
  }

  /** Where the row of a place begins. */
  rowAt(place: number): number {
    return place * numbersOfRow;
  }

  /** Of a place that is taken. */
  hiveAt(place: number): HiveRecord {
    return this.#hives[place]!;
  }

  add(hive: HiveRecord): void {
    const place = this.#freePlaces.pop() ?? this.#hives.length;
    this.#hives[place] = hive;
    this.#order = null;
    if (this.#numbers.length < this.rowAt(place + 1)) {
      const larger = new Float64Array(2 * this.#numbers.length);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    const row = this.rowAt(place);
    this.#numbers[row + rowNumbers.bits] = rowBits.taken;
    this.#numbers[row + rowNumbers.gpus] = 0;
    hive.room.table = this;
    hive.room.place = place;
    hive.noteSchedulable();
  }

  remove(hive: HiveRecord): void {
    const { place } = hive.room;
    this.#numbers[this.rowAt(place) + rowNumbers.bits] = 0;
    this.#hives[place] = null;
    this.#order = null;
    this.#freePlaces.push(place);
    hive.room.table = null;
    hive.room.place = -1;
  }

  setSchedulable(place: number, isSchedulable: boolean): void {
    const at = this.rowAt(place) + rowNumbers.bits;
    const others = this.#numbers[at]! & ~rowBits.schedulable;
    this.#numbers[at] = isSchedulable ? others | rowBits.schedulable : others;
  }

  /** @param memoryBytes less what reservations hold. */
  setMemory(hive: HiveRecord, memoryBytes: number | null): void {
    hive.room.memoryBytes = memoryBytes;
    this.#numbers[this.rowAt(hive.room.place) + rowNumbers.memoryBytes] = memoryBytes ?? Number.NaN;
  }

  /**
   * Brings the room of a host up to date.
   * @param memoryBytes less what reservations hold.
   * @param promised reservations on it.
   */
  set(hive: HiveRecord, memoryBytes: number | null, promised: ReadonlySet<ActiveReservation> | undefined): void {
    const { room } = hive;
    this.setMemory(hive, memoryBytes);
    room.workerCount = hive.workers.size + (promised?.size ?? 0);
    room.vendors = vendorsOf(hive, room.vendors);
    const row = this.rowAt(room.place);
    const isWide = hive.gpuOrder.length > gpusInRow;
    room.gpus.length = 0;
    const { count, unified } = isWide
      ? setGpus(room.gpus, 0, hive, promised)
      : setGpus(this.#numbers, row + rowNumbers.firstGpu, hive, promised);
    let bits = this.#numbers[row + rowNumbers.bits]! & (rowBits.taken | rowBits.schedulable);
    if (isWide) bits |= rowBits.isWide;
    if (room.vendors.length > 1) bits |= rowBits.severalVendors;
    if (unified > 0) bits |= unified === count ? rowBits.isUnified : rowBits.severalMemories;
    this.#numbers[row + rowNumbers.bits] = bits;
    this.#numbers[row + rowNumbers.gpus] = count;
    this.#numbers[row + rowNumbers.workers] = room.workerCount;
  }

  /** What of the row of a host is not as the host is, in words. */
  audit(hive: HiveRecord, isSchedulable: boolean): string | null {
    const { place, table } = hive.room;
    if (table !== this || this.#hives[place] !== hive) return 'has no row';
    const bits = this.#numbers[this.rowAt(place) + rowNumbers.bits]!;
    return ((bits & rowBits.schedulable) !== 0) === isSchedulable ? null : 'is schedulable in one of row and record';
  }

  /** Hosts that have a row. */
  get size(): number {
    return this.#hives.length - this.#freePlaces.length;
  }
}

/** Of all GPUs of a host, each once. `known`: those of last time, given back where they are so still. */
function vendorsOf({ gpuOrder }: HiveRecord, known: readonly (string | null)[]): readonly (string | null)[] {
  const has = (vendor: string | null) => gpuOrder.some(({ current }) => (current.vendor ?? null) === vendor);
  const isKnown = known.every(has) && gpuOrder.every(({ current }) => known.includes(current.vendor ?? null));
  return isKnown ? known : [...new Set(gpuOrder.map(({ current }) => current.vendor ?? null))];
}

/** Writes the numbers of the GPUs of a host that can be placed on; how many they are, and how many of them are on unified memory. */
function setGpus(
  numbers: number[] | Float64Array,
  first: number,
  hive: HiveRecord,
  promised: ReadonlySet<ActiveReservation> | undefined,
): { readonly count: number; readonly unified: number } {
  let count = 0;
  let unified = 0;
  if (hive.gpusKnown === 'none') return { count, unified };
  for (let place = 0; place < hive.gpuOrder.length; place++) {
    const gpu = hive.gpuOrder[place]!;
    const { health, memoryKind } = gpu.current;
    if (gpu.freeBytes === null || !isPlaceable({ isParent: gpu.isParent, health })) continue;
    const at = first + count * gpuNumbers.count;
    numbers[at + gpuNumbers.freeBytes] = gpu.freeBytes;
    numbers[at + gpuNumbers.workers] = holdersOf(gpu, promised);
    numbers[at + gpuNumbers.isUnwell] = health === 'ok' ? 0 : 1;
    numbers[at + gpuNumbers.place] = place;
    count++;
    if (memoryKind === 'unified') unified++;
  }
  return { count, unified };
}
