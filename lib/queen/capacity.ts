import type { PlacementReply, PlacementRequest } from '../contract/api.js';
import { freeBytes } from '../contract/free-bytes.js';
import { HivepulseError } from '../util/errors.js';
import { walkRooms } from './host-room.js';
import type { Indexes } from './indexes.js';
import { type Candidate, type Fit, fitHost, type PlacementHost, type Refusal } from './placement.js';
import type { GpuRecord, HiveRecord, WorkerRecord } from './records.js';
import {
  type ActiveReservation,
  bytesOf,
  claim,
  Reservations,
  requestText,
  reservationView,
  type Used,
  unusedMemory,
  unusedVram,
} from './reservations.js';
import { holdersOf } from './room-table.js';

/** Candidates and refusals that a placement lists, each. */
const maxListed = 1000;
/** Reservations of one hive: each is looked at with every heartbeat of it. */
const maxPerHive = 256;

/** What is free on every host once reservations have had their part. Keeps the GPUs' `freeBytes` and the index of it. */
export class CapacityTracker {
  readonly reservations = new Reservations();
  readonly #indexes: Indexes;
  readonly #maxBytes: number;
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  /** `maxBytes`: memory of all reservations. */
  constructor(indexes: Indexes, maxBytes = Number.POSITIVE_INFINITY) {
    this.#indexes = indexes;
    this.#maxBytes = maxBytes;
  }

  get nextExpiryMs(): number {
    return this.#nextExpiryMs;
  }

  /** After a heartbeat that changes nothing of what is free but the memory of the host. False where GPUs or reservations share it. */
  setMemory(hive: HiveRecord): boolean {
    const { room, gpuOrder, memoryAvailableBytes } = hive;
    if (this.reservations.ofHive(hive.id) !== undefined) return false;
    if (room.memoryBytes === memoryAvailableBytes) return true;
    for (const { current } of gpuOrder) if (current.memoryKind === 'unified') return false;
    this.#indexes.rooms.setMemory(hive, memoryAvailableBytes);
    return true;
  }

  /** After each heartbeat of a hive: ends reservations whose worker is ready, and sets what is free. */
  refresh(hive: HiveRecord): void {
    for (const held of [...(this.reservations.ofHive(hive.id) ?? [])])
      if (this.#workersOfReservation(hive, held).some((worker) => worker.current.ready === true))
        this.reservations.remove(held.id);
    this.#setFree(hive);
  }

  /** See `Registry.place`. @throws HivepulseError IDEMPOTENCY_CONFLICT, TOO_MANY_RESERVATIONS */
  place(request: PlacementRequest, nowMs: number): Omit<PlacementReply, 'warming'> {
    const key = request.idempotencyKey;
    const earlier = key === undefined ? undefined : this.reservations.withKey(key);
    if (earlier) return this.#placedBefore(earlier, request, nowMs);
    const walk = walkRooms(this.#indexes.rooms, request, { most: maxListed }, (hive) => this.#fit(hive, request));
    const refusals = walk.refused.map((hive) => this.#fit(hive, request) as Refusal);
    const held = request.reserveSeconds === undefined || walk.fits === 0 ? null : this.#claim(request, nowMs);
    if (held) this.reserve(held);
    return {
      candidates: walk.best,
      candidateCount: walk.fits,
      refusals,
      refusedCount: walk.refusedCount,
      reservation: held && reservationView(held, nowMs),
    };
  }

  /** Room on the best host that may hold more reservations. */
  #claim(request: PlacementRequest, nowMs: number): ActiveReservation {
    const { bytes } = this.reservations;
    const isOpen = (hive: HiveRecord) => (this.reservations.ofHive(hive.id)?.size ?? 0) < maxPerHive;
    const fitWhole = (hive: HiveRecord) => this.#fit(hive, request);
    const { best } = walkRooms(this.#indexes.rooms, request, { most: 1, isOpen }, fitWhole);
    const held = best[0] === undefined ? null : claim(best[0], request, nowMs);
    if (held !== null && bytes + bytesOf(held) <= this.#maxBytes) return held;
    const what = held === null ? `${maxPerHive} on each host that fits` : `as much as memory allows`;
    throw new HivepulseError(
      'TOO_MANY_RESERVATIONS',
      'reserveSeconds',
      `no more room is reserved now: there are reservations of ${what}; release some, or wait until they end`,
    );
  }

  /** The same answer as the first time, as it stands now: no candidate while the hive is not known, null of a GPU that is gone. */
  #placedBefore(held: ActiveReservation, request: PlacementRequest, nowMs: number): Omit<PlacementReply, 'warming'> {
    if (held.request !== requestText(request))
      throw new HivepulseError(
        'IDEMPOTENCY_CONFLICT',
        'idempotencyKey',
        'this idempotencyKey already holds room for another request; use a new one',
      );
    const hive = this.#indexes.hives.get(held.hive);
    const gpus = held.gpuUuids.map((uuid) => ({ uuid, freeBytes: hive?.gpus.get(uuid)?.freeBytes ?? null }));
    const candidates: Candidate[] = hive
      ? [{ hive: held.hive, gpus, memoryAvailableBytes: this.#memoryLeft(hive) }]
      : [];
    const reservation = reservationView(held, nowMs);
    return { candidates, candidateCount: candidates.length, refusals: [], refusedCount: 0, reservation };
  }

  reserve(held: ActiveReservation): void {
    this.reservations.add(held);
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, held.expiresAtMs);
    this.#setFreeOf(held);
  }

  /** False where there is no such reservation. */
  release(id: string): boolean {
    const held = this.reservations.remove(id);
    if (held) this.#setFreeOf(held);
    return held !== undefined;
  }

  releaseAll(hiveId: string): void {
    for (const held of [...(this.reservations.ofHive(hiveId) ?? [])]) this.release(held.id);
  }

  /** Ends what is over. */
  expire(nowMs: number): void {
    if (nowMs < this.#nextExpiryMs) return;
    for (const held of [...this.reservations.all()]) if (held.expiresAtMs <= nowMs) this.release(held.id);
    this.#nextExpiryMs = this.reservations.nextExpiryMs() ?? Number.POSITIVE_INFINITY;
  }

  #fit(hive: HiveRecord, request: PlacementRequest): Fit | Refusal {
    return fitHost(this.hostOf(hive), request);
  }

  /** A host as placement sees it. */
  hostOf(hive: HiveRecord): PlacementHost {
    const promised = this.reservations.ofHive(hive.id);
    return {
      hive: hive.id,
      liveness: hive.liveness,
      state: hive.info.state,
      cordonReason: hive.cordon?.reason ?? null,
      labels: hive.info.labels,
      memoryAvailableBytes: this.#memoryLeft(hive),
      workerCount: hive.room.workerCount,
      gpusKnown: hive.gpusKnown,
      gpusReason: hive.gpusReason,
      gpus: hive.gpuOrder.map((gpu) => placementGpu(gpu, promised)),
    };
  }

  #setFreeOf(held: ActiveReservation): void {
    const hive = this.#indexes.hives.get(held.hive);
    if (hive) this.#setFree(hive);
  }

  #setFree(hive: HiveRecord): void {
    const held = this.reservations.ofHive(hive.id);
    const used = held ? this.#usedOf(hive) : null;
    for (const gpu of hive.gpuOrder) {
      // What could not be read now may be full by now.
      let free = gpu.unseenSinceMs === null ? freeBytes(gpu.current, hive) : null;
      if (free !== null && held && used) {
        free -= unusedVram(held, gpu.current.uuid, used);
        if (gpu.current.memoryKind === 'unified') free -= unusedMemory(held, used);
        free = Math.max(0, free);
      }
      this.#indexes.gpusByFree.set(gpu, free);
    }
    this.#indexes.rooms.set(hive, this.#memoryLeft(hive), held);
  }

  /** Host memory less what reservations hold of it; on unified memory that is also what they hold of the GPU. */
  #memoryLeft(hive: HiveRecord): number | null {
    const available = hive.memoryAvailableBytes;
    const held = this.reservations.ofHive(hive.id);
    if (available === null || !held) return available;
    const used = this.#usedOf(hive);
    let left = available - unusedMemory(held, used);
    for (const gpu of hive.gpuOrder)
      if (gpu.current.memoryKind === 'unified') left -= unusedVram(held, gpu.current.uuid, used);
    return Math.max(0, left);
  }

  /** Workers of a hive that carry a reservation's id. One that carries it elsewhere was not what the room was for. */
  #workersOfReservation(hive: HiveRecord, held: ActiveReservation): WorkerRecord[] {
    return [...(this.#indexes.byReservation.get(held.id) ?? [])].filter((worker) => worker.hive === hive);
  }

  #usedOf(hive: HiveRecord): (held: ActiveReservation) => Used {
    return (held) => {
      const workers = this.#workersOfReservation(hive, held);
      return {
        vramBytes: (uuid) => workers.reduce((sum, worker) => sum + vramOn(worker, uuid), 0),
        memoryBytes: workers.reduce((sum, { sample }) => sum + (sample.workingSetBytes ?? sample.memoryBytes ?? 0), 0),
      };
    };
  }
}

const vramOn = (worker: WorkerRecord, uuid: string): number =>
  worker.sample.gpus.reduce((sum, gpu) => sum + (gpu.uuid === uuid ? (gpu.memoryUsedBytes ?? 0) : 0), 0);

export const holds = (worker: WorkerRecord, uuid: string): boolean => {
  for (const gpu of worker.current.gpus) if (gpu.uuid === uuid) return true;
  return false;
};

function placementGpu(
  gpu: GpuRecord,
  promised: ReadonlySet<ActiveReservation> | undefined,
): PlacementHost['gpus'][number] {
  const { uuid, vendor, health, memoryKind } = gpu.current;
  const { isParent, freeBytes } = gpu;
  return { uuid, vendor, health, isParent, memoryKind, freeBytes, workerCount: holdersOf(gpu, promised) };
}
