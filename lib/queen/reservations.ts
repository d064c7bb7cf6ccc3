import type { Reservation } from '../contract/api.js';

/** Room promised to a worker that is not there yet. Times by the clock given. */
export interface Held {
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
  readonly #byId = new Map<string, Held>();
  readonly #byKey = new Map<string, Held>();
  readonly #byHive = new Map<string, Set<Held>>();
  /** Told after every change: where they are kept on disk, or shared. */
  onChange: (() => void) | null = null;

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Held | undefined {
    return this.#byId.get(id);
  }

  withKey(key: string): Held | undefined {
    return this.#byKey.get(key);
  }

  ofHive(hive: string): ReadonlySet<Held> | undefined {
    return this.#byHive.get(hive);
  }

  all(): IterableIterator<Held> {
    return this.#byId.values();
  }

  add(held: Held): void {
    this.#forget(held.id);
    this.#byId.set(held.id, held);
    if (held.idempotencyKey !== null) this.#byKey.set(held.idempotencyKey, held);
    const ofHive = this.#byHive.get(held.hive);
    if (ofHive) ofHive.add(held);
    else this.#byHive.set(held.hive, new Set([held]));
    this.onChange?.();
  }

  /** The one removed, or undefined where there is none. */
  remove(id: string): Held | undefined {
    const held = this.#forget(id);
    if (held) this.onChange?.();
    return held;
  }

  /** The earliest end, or null. */
  nextDueMs(): number | null {
    let due: number | null = null;
    for (const held of this.#byId.values()) if (due === null || held.expiresAtMs < due) due = held.expiresAtMs;
    return due;
  }

  #forget(id: string): Held | undefined {
    const held = this.#byId.get(id);
    if (!held) return undefined;
    this.#byId.delete(id);
    if (held.idempotencyKey !== null && this.#byKey.get(held.idempotencyKey) === held)
      this.#byKey.delete(held.idempotencyKey);
    const ofHive = this.#byHive.get(held.hive);
    ofHive?.delete(held);
    if (ofHive?.size === 0) this.#byHive.delete(held.hive);
    return held;
  }
}

/** Room on one GPU that is promised and not yet used. */
export function unusedVram(held: Iterable<Held>, gpuUuid: string, used: (held: Held) => Used): number {
  let bytes = 0;
  for (const one of held)
    if (one.gpuUuids.includes(gpuUuid)) bytes += Math.max(0, one.vramBytes - used(one).vramBytes(gpuUuid));
  return bytes;
}

/** Host memory that is promised and not yet used. */
export function unusedMemory(held: Iterable<Held>, used: (held: Held) => Used): number {
  let bytes = 0;
  for (const one of held) bytes += Math.max(0, one.memoryBytes - used(one).memoryBytes);
  return bytes;
}

export function reservationView(held: Held, nowMs: number): Reservation {
  return {
    id: held.id,
    hive: held.hive,
    gpuUuids: [...held.gpuUuids],
    vramBytes: held.vramBytes,
    memoryBytes: held.memoryBytes,
    expiresInMs: Math.max(0, held.expiresAtMs - nowMs),
  };
}
