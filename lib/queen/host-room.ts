import type { PlacementRequest } from '../contract/api.js';
import type { Candidate, Fit, Refusal } from './placement.js';
import { compareText, type HiveRecord } from './records.js';
import { gpuNumbers, type RoomTable, rowBits, rowNumbers } from './room-table.js';

/** As `placementCandidates` scores a host, number by number; lower is better. */
type Score = [number, number, number, number];

const scoreNumbers = 4;

/**
 * The best of the hosts that it is given, up to a number: a heap whose root is the worst that is kept. All of it is in rows of
 * numbers, so that nothing is made for a host.
 */
class Best {
  readonly #most: number;
  #count = 0;
  /** By slot: the host, its score, and the order, by which of two that are scored alike the first is the better one. */
  readonly #hives: HiveRecord[] = [];
  readonly #scores: Float64Array;
  readonly #orders: Int32Array;
  /** Slots. */
  readonly #heap: Int32Array;

  constructor(most: number) {
    this.#most = most;
    this.#scores = new Float64Array(scoreNumbers * most);
    this.#orders = new Int32Array(most);
    this.#heap = new Int32Array(most);
  }

  /** Each has a higher order than those before. Keeps a copy of the score. */
  add(hive: HiveRecord, order: number, score: Score): void {
    if (this.#count < this.#most) {
      const slot = this.#count++;
      this.#set(slot, hive, order, score);
      this.#rise(slot);
    } else if (this.#isBelow(score, this.#heap[0]!)) {
      const slot = this.#heap[0]!;
      this.#set(slot, hive, order, score);
      this.#sink(slot);
    }
  }

  /** The best first. Nothing may be added afterwards. */
  inOrder(): HiveRecord[] {
    const hives = [...this.#hives];
    for (let place = hives.length - 1; place >= 0; place--) {
      hives[place] = this.#hives[this.#heap[0]!]!;
      this.#count = place;
      this.#sink(this.#heap[place]!);
    }
    return hives;
  }

  #set(slot: number, hive: HiveRecord, order: number, score: Score): void {
    this.#hives[slot] = hive;
    this.#orders[slot] = order;
    for (let i = 0; i < scoreNumbers; i++) this.#scores[scoreNumbers * slot + i] = score[i]!;
  }

  /** Puts the last of the heap, which is this slot, into its place. */
  #rise(slot: number): void {
    let at = this.#count - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isWorse(slot, this.#heap[parent]!)) break;
      this.#heap[at] = this.#heap[parent]!;
      at = parent;
    }
    this.#heap[at] = slot;
  }

  /** Puts this slot into the place of the root, and further down where others are worse. */
  #sink(slot: number): void {
    const heap = this.#heap;
    let at = 0;
    for (let child = 1; child < this.#count; child = 2 * at + 1) {
      if (child + 1 < this.#count && this.#isWorse(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isWorse(heap[child]!, slot)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = slot;
  }

  #isWorse(a: number, b: number): boolean {
    for (let i = 0; i < scoreNumbers; i++) {
      const one = this.#scores[scoreNumbers * a + i]!;
      const other = this.#scores[scoreNumbers * b + i]!;
      if (one !== other) return one > other;
    }
    return this.#orders[a]! > this.#orders[b]!;
  }

  /** A score is better than that of a slot, whatever their order. */
  #isBelow(score: Score, slot: number): boolean {
    for (let i = 0; i < scoreNumbers; i++) {
      const other = this.#scores[scoreNumbers * slot + i]!;
      if (score[i]! !== other) return score[i]! < other;
    }
    return false;
  }
}

export interface Walk {
  /** The best first, as many as were asked. */
  readonly best: Candidate[];
  /** Hosts that fit, and those that do not. */
  readonly fits: number;
  readonly refused: readonly HiveRecord[];
  readonly refusedCount: number;
}

interface WalkLimits {
  /** Hosts of each kind that are named. */
  readonly most: number;
  /** A host that is not open is no candidate, although it is counted as one that fits. */
  readonly isOpen?: (hive: HiveRecord) => boolean;
}

type FitWhole = (hive: HiveRecord) => Fit | Refusal;

/**
 * Which hosts a request fits on, by their rows of numbers. The same as `placementCandidates` of all hosts.
 * @param fitWhole asked where a row does not say enough: a host whose GPUs are partly on unified memory, or of several vendors
 *   between which the request chooses.
 */
export function walkRooms(
  table: RoomTable,
  request: PlacementRequest,
  { most, isOpen = () => true }: WalkLimits,
  fitWhole: FitWhole,
): Walk {
  const best = new Best(most);
  const choice = new Choice(table, request, fitWhole);
  const refused: HiveRecord[] = [];
  let fits = 0;
  let refusedCount = 0;
  const places = table.placesInOrder();
  for (let order = 0; order < places.length; order++) {
    const place = places[order]!;
    const hive = table.hiveAt(place);
    if (choice.fits(hive, place)) {
      fits++;
      if (isOpen(hive)) best.add(hive, order, choice.score);
    } else if (refusedCount++ < most) refused.push(hive);
  }
  return { best: best.inOrder().map((hive) => choice.candidate(hive)), fits, refused, refusedCount };
}

function hasLabels(hive: HiveRecord, { labels }: PlacementRequest): boolean {
  for (const key in labels) if (hive.info.labels[key] !== labels[key]) return false;
  return true;
}

/** The GPUs of one host that a request would get; used for one host after the other. */
class Choice {
  readonly #table: RoomTable;
  readonly #request: PlacementRequest;
  readonly #fitWhole: FitWhole;
  readonly #asked: number;
  readonly #strategy: NonNullable<PlacementRequest['strategy']>;
  readonly #vendor: string | null;
  /** Where those that were chosen begin in the numbers of the host; as many as are asked for, where it fits. */
  readonly #chosen: number[] = [];
  /** Of the host that was found to fit last. */
  readonly score: Score = [0, 0, 0, 0];

  constructor(table: RoomTable, request: PlacementRequest, fitWhole: FitWhole) {
    this.#table = table;
    this.#request = request;
    this.#fitWhole = fitWhole;
    this.#asked = request.gpuCount ?? 1;
    this.#strategy = request.strategy ?? 'binPack';
    this.#vendor = request.gpuVendor?.toLowerCase() ?? null;
  }

  /** Whether it fits on a host, and how well, which is then in `score`. */
  fits(hive: HiveRecord, place: number): boolean {
    const { numbers } = this.#table;
    const row = this.#table.rowAt(place);
    const bits = numbers[row + rowNumbers.bits]!;
    if ((bits & rowBits.schedulable) === 0 || !hasLabels(hive, this.#request)) return false;
    const vendor = this.#vendor;
    if (vendor !== null && !hive.room.vendors.some((each) => each?.toLowerCase() === vendor)) return false;
    const gpus = this.#choose(hive, row, false);
    if (gpus === null) return false;
    if (this.#needsWhole(bits)) {
      const found = this.#fitWhole(hive);
      if ('reason' in found) return false;
      for (let i = 0; i < 4; i++) this.score[i] = found.score[i] ?? 0;
    } else if (!this.#hasMemory((bits & rowBits.isUnified) !== 0, numbers[row + rowNumbers.memoryBytes]!)) return false;
    else this.#setScore(gpus, numbers[row + rowNumbers.workers]!);
    return true;
  }

  /** What a request gets on a host on which it fits. */
  candidate(hive: HiveRecord): Candidate {
    const { place, memoryBytes } = hive.room;
    const row = this.#table.rowAt(place);
    const gpus = this.#needsWhole(this.#table.numbers[row + rowNumbers.bits]!) ? null : this.#choose(hive, row, true);
    if (gpus === null) {
      const { hive: id, gpus: fitting, memoryAvailableBytes } = this.#fitWhole(hive) as Fit;
      return { hive: id, gpus: fitting, memoryAvailableBytes };
    }
    const chosen = this.#chosen.map((at) => ({ uuid: uuidOf(hive, gpus, at), freeBytes: gpus[at]! }));
    return { hive: hive.id, gpus: chosen, memoryAvailableBytes: memoryBytes };
  }

  #needsWhole(bits: number): boolean {
    if ((bits & rowBits.severalMemories) !== 0) return true;
    return (bits & rowBits.severalVendors) !== 0 && (this.#vendor !== null || this.#asked > 1);
  }

  /** `memoryBytes`: NaN where it is not known. */
  #hasMemory(isUnified: boolean, memoryBytes: number): boolean {
    const { vramBytes, memoryBytes: memoryAsked = 0 } = this.#request;
    const shared = isUnified ? this.#asked * vramBytes : 0;
    if (memoryAsked === 0 && shared <= vramBytes) return true;
    return memoryBytes >= shared + memoryAsked;
  }

  #setScore(gpus: ArrayLike<number>, workersOfHost: number): void {
    let unwell = 0;
    let workers = 0;
    let left = 0;
    let least = Number.POSITIVE_INFINITY;
    for (const at of this.#chosen) {
      const free = gpus[at + gpuNumbers.freeBytes]!;
      left += free - this.#request.vramBytes;
      workers += gpus[at + gpuNumbers.workers]!;
      unwell += gpus[at + gpuNumbers.isUnwell]!;
      if (free < least) least = free;
    }
    const { score } = this;
    const isSpread = this.#strategy === 'spread';
    score[0] = unwell;
    score[1] = isSpread ? workers : this.#strategy === 'mostFree' ? -least : left;
    score[2] = isSpread ? workersOfHost : 0;
    score[3] = isSpread ? -least : 0;
  }

  /**
   * Chooses the best of those with room; the numbers that they are among, null where they are too few. Of two that are alike
   * either gives the same score. `isNamed`: it matters which.
   */
  #choose(hive: HiveRecord, row: number, isNamed: boolean): ArrayLike<number> | null {
    const { numbers } = this.#table;
    const isWide = (numbers[row + rowNumbers.bits]! & rowBits.isWide) !== 0;
    const gpus = isWide ? hive.room.gpus : numbers;
    const first = isWide ? 0 : row + rowNumbers.firstGpu;
    const end = first + numbers[row + rowNumbers.gpus]! * gpuNumbers.count;
    const chosen = this.#chosen;
    if (this.#asked === 1 && !isNamed) {
      chosen[0] = this.#chooseOne(gpus, first, end);
      return chosen[0] < 0 ? null : gpus;
    }
    const named = isNamed ? hive : null;
    const { vramBytes } = this.#request;
    let taken = 0;
    for (let at = first; at < end; at += gpuNumbers.count) {
      if (gpus[at + gpuNumbers.freeBytes]! < vramBytes) continue;
      if (taken === this.#asked) {
        if (this.#compare(gpus, at, chosen[taken - 1]!, named) >= 0) continue;
        taken--;
      }
      let place = taken++;
      for (; place > 0 && this.#compare(gpus, at, chosen[place - 1]!, named) < 0; place--)
        chosen[place] = chosen[place - 1]!;
      chosen[place] = at;
    }
    return taken === this.#asked ? gpus : null;
  }

  /** Where the best of those with room begins, which most requests are about; negative: there is none. */
  #chooseOne(gpus: ArrayLike<number>, first: number, end: number): number {
    const { vramBytes } = this.#request;
    let best = -1;
    for (let at = first; at < end; at += gpuNumbers.count)
      if (gpus[at + gpuNumbers.freeBytes]! >= vramBytes && (best < 0 || this.#compare(gpus, at, best, null) < 0))
        best = at;
    return best;
  }

  /** As GPUs are compared by `placementCandidates`. */
  #compare(gpus: ArrayLike<number>, a: number, b: number, named: HiveRecord | null): number {
    const byHealth = gpus[a + gpuNumbers.isUnwell]! - gpus[b + gpuNumbers.isUnwell]!;
    if (byHealth !== 0) return byHealth;
    if (this.#strategy === 'spread') {
      const byWorkers = gpus[a + gpuNumbers.workers]! - gpus[b + gpuNumbers.workers]!;
      if (byWorkers !== 0) return byWorkers;
    }
    const byFree = gpus[a + gpuNumbers.freeBytes]! - gpus[b + gpuNumbers.freeBytes]!;
    if (byFree !== 0) return this.#strategy === 'binPack' ? byFree : -byFree;
    if (named === null) return 0;
    return compareText(uuidOf(named, gpus, a), uuidOf(named, gpus, b));
  }
}

const uuidOf = ({ gpuOrder }: HiveRecord, gpus: ArrayLike<number>, at: number): string =>
  gpuOrder[gpus[at + gpuNumbers.place]!]!.current.uuid;
