import { randomUUID } from 'node:crypto';
import { type Static, Type } from 'typebox';
import type { PlacementRequest, Reservation } from '../contract/api.js';
import type { Candidate } from './placement.js';

/** Room promised to a worker that is not there yet. Times by the clock given. */
export interface ActiveReservation {
  readonly id: string;
  readonly idempotencyKey: string | null;
  /** The request it answers, so that a key used again for another one is noticed. */
  readonly request: string;
  readonly hive: string;
  readonly gpuUuids: readonly string[];
  /** On each GPU. */
  readonly vramBytes: number;
  readonly memoryBytes: number;
  readonly expiresAtMs: number;
}

/** What workers that carry a reservation's id already use of it. */
export interface Used {
  readonly vramBytes: (gpuUuid: string) => number;
  readonly memoryBytes: number;
}

/**
 * The reservations in force. Each charges max(claimed, used): since what is used shows in the GPU's own numbers, the extra
 * charge is what is claimed and not yet used.
 */
export class Reservations {
  readonly #byId = new Map<string, ActiveReservation>();
  /** Of several queens each may have granted one under the same key, before they knew of each other; the newest counts. */
  readonly #byKey = new Map<string, Set<ActiveReservation>>();
  readonly #byHive = new Map<string, Set<ActiveReservation>>();
  #bytes = 0;
  /** Told after every change: where they are kept on disk, or shared. */
  onChange: (() => void) | null = null;

  /** Memory that they take. */
  get bytes(): number {
    return this.#bytes;
  }

  withKey(key: string): ActiveReservation | undefined {
    return [...(this.#byKey.get(key) ?? [])].at(-1);
  }

  ofHive(hive: string): ReadonlySet<ActiveReservation> | undefined {
    return this.#byHive.get(hive);
  }

  all(): IterableIterator<ActiveReservation> {
    return this.#byId.values();
  }

  add(held: ActiveReservation): void {
    this.#forget(held.id);
    this.#byId.set(held.id, held);
    this.#bytes += bytesOf(held);
    if (held.idempotencyKey !== null) addTo(this.#byKey, held.idempotencyKey, held);
    addTo(this.#byHive, held.hive, held);
    this.onChange?.();
  }

  /** The one removed, or undefined where there is none. */
  remove(id: string): ActiveReservation | undefined {
    const held = this.#forget(id);
    if (held) this.onChange?.();
    return held;
  }

  /** The earliest end, or null. */
  nextExpiryMs(): number | null {
    let due: number | null = null;
    for (const held of this.#byId.values()) if (due === null || held.expiresAtMs < due) due = held.expiresAtMs;
    return due;
  }

  #forget(id: string): ActiveReservation | undefined {
    const held = this.#byId.get(id);
    if (!held) return undefined;
    this.#byId.delete(id);
    this.#bytes -= bytesOf(held);
    if (held.idempotencyKey !== null) deleteFrom(this.#byKey, held.idempotencyKey, held);
    deleteFrom(this.#byHive, held.hive, held);
    return held;
  }
}

function addTo<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const set = sets.get(key);
  if (set) set.add(item);
  else sets.set(key, new Set([item]));
}

function deleteFrom<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const set = sets.get(key);
  set?.delete(item);
  if (set?.size === 0) sets.delete(key);
}

/** Memory that a reservation takes: its texts, in several indexes. */
export const bytesOf = ({ request, gpuUuids, idempotencyKey }: ActiveReservation): number =>
  1024 + request.length + 128 * gpuUuids.length + (idempotencyKey?.length ?? 0);

/** Room on one GPU that is promised and not yet used. */
export function unusedVram(
  held: Iterable<ActiveReservation>,
  gpuUuid: string,
  used: (held: ActiveReservation) => Used,
): number {
  let bytes = 0;
  for (const one of held)
    if (one.gpuUuids.includes(gpuUuid)) bytes += Math.max(0, one.vramBytes - used(one).vramBytes(gpuUuid));
  return bytes;
}

/** Host memory that is promised and not yet used. */
export function unusedMemory(held: Iterable<ActiveReservation>, used: (held: ActiveReservation) => Used): number {
  let bytes = 0;
  for (const one of held) bytes += Math.max(0, one.memoryBytes - used(one).memoryBytes);
  return bytes;
}

export function reservationView(held: ActiveReservation, nowMs: number): Reservation {
  return {
    id: held.id,
    hive: held.hive,
    gpuUuids: [...held.gpuUuids],
    vramBytes: held.vramBytes,
    memoryBytes: held.memoryBytes,
    expiresInMs: Math.max(0, held.expiresAtMs - nowMs),
  };
}

/** A request in one form, whatever the order of its fields: two that ask for the same are equal. */
export function requestText(request: PlacementRequest): string {
  const { vramBytes, gpuCount = 1, labels = {}, memoryBytes = 0, strategy = 'binPack', reserveSeconds = 0 } = request;
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  // What was kept of a request that names no vendor has nothing in this place.
  const vendor = request.gpuVendor === undefined ? [] : [request.gpuVendor.toLowerCase()];
  return JSON.stringify([vramBytes, gpuCount, sorted, memoryBytes, strategy, reserveSeconds, ...vendor]);
}

/** Room on a candidate, for as long as the request says. */
export const claim = (candidate: Candidate, request: PlacementRequest, nowMs: number): ActiveReservation => ({
  id: randomUUID(),
  idempotencyKey: request.idempotencyKey ?? null,
  request: requestText(request),
  hive: candidate.hive,
  gpuUuids: candidate.gpus.map((gpu) => gpu.uuid),
  vramBytes: request.vramBytes,
  memoryBytes: request.memoryBytes ?? 0,
  expiresAtMs: nowMs + (request.reserveSeconds ?? 0) * 1000,
});

/** A reservation as it is kept outside the registry: in a queen's state file, in the bucket that queens share. */
export const SavedReservationSchema = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  idempotencyKey: Type.Union([Type.String({ maxLength: 128 }), Type.Null()]),
  request: Type.String(),
  hive: Type.String({ minLength: 1 }),
  gpuUuids: Type.Array(Type.String()),
  vramBytes: Type.Number({ minimum: 0 }),
  memoryBytes: Type.Number({ minimum: 0 }),
  /** Milliseconds since the Unix epoch. */
  expiresAt: Type.Number(),
});
export type SavedReservation = Readonly<Static<typeof SavedReservationSchema>>;

/** Longest a reservation lasts; a wall clock that was set back must not make one last for ever. */
export const maxReserveMs = 3_600_000;

export function save({ expiresAtMs, ...held }: ActiveReservation, nowMs: number, wallMs: number): SavedReservation {
  return { ...held, gpuUuids: [...held.gpuUuids], expiresAt: Math.round(wallMs + expiresAtMs - nowMs) };
}

/** Null where its time is over. */
export function restore(
  { expiresAt, ...saved }: SavedReservation,
  nowMs: number,
  wallMs: number,
): ActiveReservation | null {
  const leftMs = Math.min(expiresAt - wallMs, maxReserveMs);
  return leftMs > 0 ? { ...saved, expiresAtMs: nowMs + leftMs } : null;
}
