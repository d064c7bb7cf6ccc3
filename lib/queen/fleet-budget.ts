import type { Heartbeat } from '../contract/heartbeat.js';
import { hasShare, isWithinShare } from '../util/fair-share.js';

/** Who sent a heartbeat, and how large its text was: what it is charged by. */
export interface HeartbeatCost {
  /** A token, or an address where there are no tokens. */
  readonly owner: string;
  readonly textBytes: number;
}

/** Bytes that a queen keeps of its hives at most. */
export interface FleetLimits {
  readonly fleetBytes: number;
  readonly hiveBytes: number;
}

interface Limits extends FleetLimits {
  readonly maxHives?: number;
}

/** What is charged for a hive. */
export interface HiveCharge {
  owner: string;
  bytes: number;
}

/** Values of a parsed heartbeat against its text; a label in the indexes; a name of a model there. Measured, rounded up. */
const perTextByte = 1.25;
const perLabel = 512;
const perSharedLabel = 32;
const perModel = 1024;

function count(object: object): number {
  let members = 0;
  for (const _ in object) members++;
  return members;
}

/** Bytes of memory that a hive takes once this heartbeat is merged. */
export function weightOf({ hive, workers }: Pick<Heartbeat, 'hive' | 'workers'>, textBytes: number): number {
  let labels = 0;
  let models = 0;
  for (const worker of workers) {
    labels += count(worker.labels);
    models += worker.models?.length ?? 1;
  }
  const shared = count(hive.labels) * workers.length;
  return Math.ceil(textBytes * perTextByte + labels * perLabel + shared * perSharedLabel + models * perModel);
}

/**
 * Memory of the fleet in bytes: in all, of one owner, of one hive; and places for hives. What a hive already has is never taken
 * from it, and what does not make it larger is never refused.
 */
export class FleetBudget {
  readonly #limits: Required<Limits>;
  readonly #byOwner = new Map<string, { bytes: number; hives: number }>();
  #held = 0;
  #hives = 0;

  constructor(limits: Limits) {
    this.#limits = { maxHives: Number.POSITIVE_INFINITY, ...limits };
  }

  /** Why one hive more of an owner finds no place, in words; null: it does. An owner of whom nothing is known has no share. */
  noPlace(owner: string): string | null {
    const { maxHives } = this.#limits;
    const free = maxHives - this.#hives;
    if (free <= 0) return `this queen takes ${maxHives} hives (maxHives)`;
    if (owner === '' || hasShare(this.#byOwner.get(owner)?.hives ?? 0, free)) return null;
    return `this queen takes ${maxHives} hives (maxHives), and those of its token or address are as many as is their share`;
  }

  get held(): number {
    return this.#held;
  }

  /** Charges a hive its new weight (`charge` null: it is new). Gives why not, in words, or the charge. */
  charge(charge: HiveCharge | null, bytes: number, owner: string): HiveCharge | string {
    const grown = bytes - (charge?.bytes ?? 0);
    if (grown > 0) {
      const { fleetBytes, hiveBytes } = this.#limits;
      if (bytes > hiveBytes)
        return `it would take ${inMiB(bytes)} of memory, and one hive may take ${inMiB(hiveBytes)}`;
      const free = fleetBytes - this.#held;
      if (grown > free) return `the fleet takes the ${inMiB(fleetBytes)} of memory that it may`;
      const ofOwner = (this.#byOwner.get(owner)?.bytes ?? 0) + (charge?.owner === owner ? grown : bytes);
      if (!isWithinShare(ofOwner, free - grown))
        return `the hives of its token or address take as much memory as is their share`;
    }
    if (charge !== null) this.#add(charge.owner, -charge.bytes, -1);
    this.#add(owner, bytes, 1);
    if (charge === null) return { owner, bytes };
    charge.owner = owner;
    charge.bytes = bytes;
    return charge;
  }

  release(charge: HiveCharge): void {
    this.#add(charge.owner, -charge.bytes, -1);
    charge.bytes = 0;
  }

  #add(owner: string, bytes: number, hives: 1 | -1): void {
    this.#held += bytes;
    this.#hives += hives;
    const own = this.#byOwner.get(owner) ?? { bytes: 0, hives: 0 };
    own.bytes += bytes;
    own.hives += hives;
    if (own.hives === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, own);
  }
}

const inMiB = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
