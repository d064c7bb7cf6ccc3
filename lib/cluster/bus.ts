import type { PlacementReply, PlacementRequest } from '../contract/api.js';
import type { Forwarder } from '../queen/intake.js';
import type { Act } from './acts.js';

/** What became of what queens share, since this one started. */
export interface BusCounts {
  /** Heartbeats that this queen heard from hives and gave to the others. */
  readonly forwarded: number;
  /** Heartbeats of others that its registry was given. */
  readonly received: number;
  /** Those of others that a newer one of the same hive replaced before their turn came: this queen falls behind. */
  readonly superseded: number;
  /** Those of others that were no heartbeats, or of another hive than their subject says. */
  readonly malformed: number;
  /** Larger than the server takes: the other queens did not hear them. */
  readonly oversized: number;
  /** How often room was planned anew, because another queen had granted some on the same hive first. */
  readonly conflicts: number;
  /** This queen is the one that publishes queen events (`hiveOffline`, ...). */
  readonly isLeader: boolean;
}

/**
 * What the queens of one fleet share. With one queen (`memory`) it is that queen's own memory. What it promises:
 *
 * - **Heartbeats** reach every other queen at most once; none is stored or replayed, and a queen that falls behind takes the
 *   newest of each hive. Losing one costs an interval; of a stream, the time until the hive has sent the next whole one, which a
 *   queen that cannot follow asks for.
 * - **Hive events** are stored before they are acknowledged: at least once from the hive, exactly once in the stream.
 * - **Queen events** (`hiveOffline`, ...) are published by one queen at a time, the leader. When the leader changes, none is lost
 *   that another queen found too; one may come twice if the leader dies before it hears that it was written.
 * - **The stream** has one order for all queens, and its ids mean the same at each of them.
 * - **Reservations**: room is granted by one queen or by none. Without the shared store none is granted.
 * - **`degraded`**: the shared part is out of reach. Heartbeats are accepted, queries answered and placements computed from what
 *   this queen hears itself; hive events are not acknowledged and nothing is reserved. It ends by itself.
 */
export interface Bus extends Forwarder {
  /** Called where another queen cannot follow the deltas of a hive, and the hive may be connected here. */
  keyframeWanted: ((hive: string) => void) | null;
  /** Null where there is nobody to share with. */
  counts(): BusCounts | null;
  /** @throws HivepulseError IDEMPOTENCY_CONFLICT, BUS_UNAVAILABLE */
  place(request: PlacementRequest): Promise<PlacementReply>;
  /** False where no such reservation is in force. @throws HivepulseError BUS_UNAVAILABLE */
  release(id: string): Promise<boolean>;
  /** An admin had a hive forgotten here: the other queens forget it too. */
  removed(hive: string): void;
  /** Something was done here: the other queens do it too, those that are reached. */
  passOn(act: Act): void;
  /** May be called twice. */
  close(): Promise<void>;
}
