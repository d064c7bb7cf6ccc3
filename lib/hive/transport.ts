import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { defaults } from '../contract/defaults.js';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import type { ServingFigures } from '../sampling/serving.js';
import { asciiJson } from '../util/ascii-json.js';

const compress = promisify(gzip);

/** Why a heartbeat was not accepted, as a fault of the hive shows it. */
export interface SendFailure {
  readonly code: string;
  readonly message: string;
}

/**
 * What a queen that refuses has against a heartbeat. `rights`: this hive may not send. `duplicateId`: another hive has its id.
 * `overtaken`: a newer heartbeat, or a newer run of this hive, was there first. `malformed`: anything else that is wrong
 * with it.
 */
export type RefusalReason = 'rights' | 'duplicateId' | 'overtaken' | 'malformed';

export type SendOutcome =
  | { readonly kind: 'ack'; readonly reply: HeartbeatReply }
  /** The queen read it and says no. Every other queen would say the same. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly failure: SendFailure }
  /** This queen cannot take it now; another may. `retryAfterMs`: when this one wants to be asked again; null: not said. */
  | { readonly kind: 'failed'; readonly failure: SendFailure; readonly retryAfterMs: number | null };

/** What engines say of their load, by the id of the worker. */
export type EngineLoads = ReadonlyMap<string, ServingFigures>;

/** A way to one queen. The sender knows queens only through this. */
export interface HeartbeatTransport {
  /** Where it sends to, for logs and faults. Constant. */
  readonly queen: string;

  /**
   * Delivers one heartbeat and waits for the answer. The sender calls it once at a time, except for the last heartbeat of
   * a hive that stops, which it does not let wait for one under way.
   *
   * - `ack`: the queen (or what stands for it) has the heartbeat; of a stream, it is on its way over a connection whose
   *   acknowledgements are not late. `ackEventSeq` acknowledges only events that outlive that
   *   queen's connection; it may be lower than what was sent.
   * - It may deliver a heartbeat twice, where the answer to the first was lost; the queen knows it by its `seq`.
   * - It queues nothing and tries nothing again later: a heartbeat that failed is forgotten, since the next says more.
   * - It serializes and compresses by itself, and does not change the heartbeat; it may keep the newest one to see what differs in
   *   the next, so nobody else changes it either.
   * - It ends soon after `signal` aborts, in any way. The sender does not wait for that.
   * - It may reject; that means `failed`, with the error's code.
   */
  send(heartbeat: Heartbeat, signal: AbortSignal): Promise<SendOutcome>;

  /**
   * Sends what the engines of some workers say by now, between two heartbeats, where it can at once: whatever is not sent is in the next
   * heartbeat. Never fails.
   */
  sendLoads?(loads: EngineLoads): void;

  /** Lets go of its connections. What is under way may fail. */
  close(): Promise<void>;
}

/** A heartbeat as bytes. */
export interface EncodedHeartbeat {
  readonly bytes: Buffer;
  readonly encoding: 'gzip' | null;
}

async function encode(heartbeat: Heartbeat): Promise<EncodedHeartbeat> {
  const plain = Buffer.from(asciiJson(heartbeat), 'latin1');
  if (plain.length <= defaults.compressAboveBytes) return { bytes: plain, encoding: null };
  // The lowest level takes most of it (JSON repeats its keys) for a third of the time of the default.
  return { bytes: await compress(plain, { level: constants.Z_BEST_SPEED }), encoding: 'gzip' };
}

const encoded = new WeakMap<Heartbeat, Promise<EncodedHeartbeat>>();

/** Done once for each heartbeat, however many queens are tried with it. */
export function encodeHeartbeat(heartbeat: Heartbeat): Promise<EncodedHeartbeat> {
  const known = encoded.get(heartbeat) ?? encode(heartbeat);
  encoded.set(heartbeat, known);
  return known;
}
