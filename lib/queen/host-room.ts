import type { PlacementRequest } from '../contract/api.js';
import type { Fit, Refusal } from './placement.js';
import { compareText, type GpuRecord, type HiveRecord } from './records.js';
import type { ActiveReservation } from './reservations.js';
import { isPlaceable, isSchedulable } from './scheduling.js';

/** Numbers of a GPU in `HostRoom.gpus`. */
const columns = 3;

/**
 * Brings the room of a host up to date; makes nothing where the number of its GPUs is what it was.
 * @param memoryBytes less what reservations hold.
 * @param promised reservations on it.
 */
export function setRoom(
  hive: HiveRecord,
  memoryBytes: number | null,
  promised: ReadonlySet<ActiveReservation> | undefined,
): void {
  const { room } = hive;
  room.memoryBytes = memoryBytes;
  room.workerCount = hive.workers.size + (promised?.size ?? 0);
  room.unified = 0;
  room.vendors.length = 0;
  for (const { current } of hive.gpuOrder) {
    const vendor = current.vendor ?? null;
    if (!room.vendors.includes(vendor)) room.vendors.push(vendor);
  }
  let at = 0;
  if (hive.gpusKnown !== 'none')
    for (const gpu of hive.gpuOrder) {
      const { health, memoryKind } = gpu.current;
      if (gpu.freeBytes === null || !isPlaceable({ isParent: gpu.isParent, health })) continue;
      room.gpus[at++] = gpu.freeBytes;
      room.gpus[at++] = holdersOf(gpu, promised);
      room.gpus[at++] = health === 'ok' ? 0 : 1;
      if (memoryKind === 'unified') room.unified++;
    }
  room.gpus.length = at;
}

/** Workers that hold a GPU, or that it is reserved for. */
export function holdersOf(gpu: GpuRecord, promised: ReadonlySet<ActiveReservation> | undefined): number {
  let { workerCount } = gpu;
  if (promised) for (const held of promised) if (held.gpuUuids.includes(gpu.current.uuid)) workerCount++;
  return workerCount;
}

type Score = readonly [number, number, number, number];

/** A host that fits, with its score: as `placementCandidates` scores it, number by number; lower is better. */
interface Ranked {
  readonly hive: HiveRecord;
  readonly score: Score;
}

function compareRanked(a: Ranked, b: Ranked): number {
  for (let i = 0; i < 4; i++) if (a.score[i] !== b.score[i]) return a.score[i]! - b.score[i]!;
  return compareText(a.hive.id, b.hive.id);
}

/** The best of what it is given, up to a number: a heap whose root is the worst that is kept. */
class Best {
  readonly #most: number;
  readonly #heap: Ranked[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  add(ranked: Ranked): void {
    const heap = this.#heap;
    if (heap.length < this.#most) {
      let at = heap.push(ranked) - 1;
      for (let parent = (at - 1) >> 1; at > 0 && compareRanked(heap[parent]!, ranked) < 0; parent = (at - 1) >> 1) {
        heap[at] = heap[parent]!;
        at = parent;
      }
      heap[at] = ranked;
      return;
    }
    if (heap.length === 0 || compareRanked(ranked, heap[0]!) >= 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && compareRanked(heap[child + 1]!, heap[child]!) > 0) child++;
      if (compareRanked(heap[child]!, ranked) <= 0) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = ranked;
  }

  inOrder(): HiveRecord[] {
    return this.#heap.sort(compareRanked).map(({ hive }) => hive);
  }
}

export interface Walk {
  /** The best first, as many as were asked. */
  readonly best: readonly HiveRecord[];
  /** Hosts that fit, and those that do not. */
  readonly fits: number;
  readonly refused: readonly HiveRecord[];
  readonly refusedCount: number;
}

/**
 * Which hosts a request fits on, by their rows of numbers. The same as `placementCandidates` of all hosts.
 * @param most hosts of each kind that are named.
 * @param fitWhole asked where a row does not say enough: a host whose GPUs are partly on unified memory, or of several vendors
 *   between which the request chooses.
 */
export function walkRooms(
  hives: Iterable<HiveRecord>,
  request: PlacementRequest,
  most: number,
  fitWhole: (hive: HiveRecord) => Fit | Refusal,
): Walk {
  const best = new Best(most);
  const choice = new Choice(request);
  const refused: HiveRecord[] = [];
  let fits = 0;
  let refusedCount = 0;
  for (const hive of hives) {
    const score = isSchedulable(hive) && hasLabels(hive, request) ? choice.scoreOf(hive, fitWhole) : null;
    if (score !== null) {
      fits++;
      best.add({ hive, score });
    } else if (refusedCount++ < most) refused.push(hive);
  }
  return { best: best.inOrder(), fits, refused, refusedCount };
}

function hasLabels(hive: HiveRecord, { labels }: PlacementRequest): boolean {
  for (const key in labels) if (hive.info.labels[key] !== labels[key]) return false;
  return true;
}

/** The GPUs of one host that a request would get; used for one host after the other. */
class Choice {
  readonly #request: PlacementRequest;
  readonly #asked: number;
  readonly #strategy: NonNullable<PlacementRequest['strategy']>;
  readonly #vendor: string | null;
  /** Where they begin in the row of the host. */
  readonly #chosen: number[] = [];

  constructor(request: PlacementRequest) {
    this.#request = request;
    this.#asked = request.gpuCount ?? 1;
    this.#strategy = request.strategy ?? 'binPack';
    this.#vendor = request.gpuVendor?.toLowerCase() ?? null;
  }

  /** Null where it does not fit. */
  scoreOf(hive: HiveRecord, fitWhole: (hive: HiveRecord) => Fit | Refusal): Score | null {
    const { gpus, unified, vendors } = hive.room;
    if (this.#vendor !== null && !vendors.some((vendor) => vendor?.toLowerCase() === this.#vendor)) return null;
    if (!this.#choose(gpus)) return null;
    const choosesVendor = vendors.length > 1 && (this.#vendor !== null || this.#asked > 1);
    if (choosesVendor || (unified > 0 && unified * columns < gpus.length)) {
      const found = fitWhole(hive);
      if ('reason' in found) return null;
      const [unwell = 0, second = 0, third = 0, fourth = 0] = found.score;
      return [unwell, second, third, fourth];
    }
    return this.#hasMemory(hive.room) ? this.#score(hive.room) : null;
  }

  #hasMemory({ memoryBytes, unified }: HiveRecord['room']): boolean {
    const { vramBytes, memoryBytes: memoryAsked = 0 } = this.#request;
    const shared = unified > 0 ? this.#asked * vramBytes : 0;
    const needed = shared + memoryAsked;
    if (needed === 0 || (memoryAsked === 0 && shared <= vramBytes)) return true;
    return memoryBytes !== null && memoryBytes >= needed;
  }

  #score({ gpus, workerCount }: HiveRecord['room']): Score {
    let unwell = 0;
    let workers = 0;
    let left = 0;
    let least = Number.POSITIVE_INFINITY;
    for (const at of this.#chosen) {
      const free = gpus[at]!;
      left += free - this.#request.vramBytes;
      workers += gpus[at + 1]!;
      unwell += gpus[at + 2]!;
      if (free < least) least = free;
    }
    if (this.#strategy === 'mostFree') return [unwell, -least, 0, 0];
    if (this.#strategy === 'binPack') return [unwell, left, 0, 0];
    return [unwell, workers, workerCount, -least];
  }

  /** Chooses the best of those with room; false where they are too few. */
  #choose(gpus: readonly number[]): boolean {
    const chosen = this.#chosen;
    const { vramBytes } = this.#request;
    chosen.length = 0;
    for (let at = 0; at < gpus.length; at += columns) {
      if (gpus[at]! < vramBytes) continue;
      if (chosen.length === this.#asked) {
        if (this.#compare(gpus, at, chosen[chosen.length - 1]!) >= 0) continue;
        chosen.pop();
      }
      let place = chosen.length;
      while (place > 0 && this.#compare(gpus, at, chosen[place - 1]!) < 0) place--;
      chosen.splice(place, 0, at);
    }
    return chosen.length === this.#asked;
  }

  /** As GPUs are compared by `placementCandidates`, but for their names: of two that are alike either gives the same score. */
  #compare(gpus: readonly number[], a: number, b: number): number {
    const byHealth = gpus[a + 2]! - gpus[b + 2]!;
    if (byHealth !== 0) return byHealth;
    const byFree = gpus[a]! - gpus[b]!;
    if (this.#strategy === 'binPack') return byFree;
    return this.#strategy === 'mostFree' ? -byFree : gpus[a + 1]! - gpus[b + 1]! || -byFree;
  }
}
