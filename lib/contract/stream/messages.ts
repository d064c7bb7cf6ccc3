import type { HeartbeatReply } from '../heartbeat.js';
import type { SentSchema } from './codec.js';

/** Named in the upgrade, so that either end knows which protocol the other has. */
export const subprotocol = 'hivepulse.1';

/** Longest text message, either way: a hello holds the names of all columns. */
export const maxTextBytes = 64 * 1024;

/** Deltas between two checksums of all numbers. */
export const checksumEvery = 16;

/** First message of a hive: what its numbers are. Text messages are JSON. */
export const helloOf = (schema: SentSchema): string => JSON.stringify({ type: 'hello', schema });

/** Why a queen no longer knows what a hive's deltas refer to; the next message has to be a keyframe. */
export const resyncReasons = [
  /** It cannot be read. */
  'malformed',
  /** It does not follow the message before. */
  'outOfOrder',
  /** The numbers are not those of the hive: never without a fault. */
  'checksum',
  /** A value that is to be looked at as a whole heartbeat is. */
  'value',
  /** Something else has changed what is known of the hive. */
  'replaced',
  /** More than its limit of heartbeats. */
  'rate',
] as const;
export type ResyncReason = (typeof resyncReasons)[number];

/** What a queen sends. */
export type QueenMessage =
  /**
   * Answers the hello. An acknowledgement follows each `ackEvery`th delta at the latest. `takesLoads`: what engines say between
   * two heartbeats is taken too. `asksForKeyframes`: the queen says whenever a whole heartbeat is due.
   */
  | {
      readonly type: 'welcome';
      readonly queenId: string;
      readonly intervalMs: number;
      readonly ackEvery: number;
      readonly takesLoads: boolean;
      readonly asksForKeyframes: boolean;
    }
  /** Everything up to this message of the hive has been taken in. `deltas`: they may follow; else keyframes alone. */
  | {
      readonly type: 'ack';
      readonly epoch: number;
      readonly index: number;
      readonly deltas: boolean;
      readonly reply: HeartbeatReply;
    }
  | { readonly type: 'interval'; readonly intervalMs: number }
  | { readonly type: 'resync'; readonly reason: ResyncReason }
  /** The next message is to be a keyframe: it is due, or another queen needs it. Until then all goes on. */
  | { readonly type: 'keyframe' }
  /** The newest keyframe or delta was not taken in, as a POST is refused with this status. */
  | {
      readonly type: 'refused';
      readonly status: number;
      readonly code: string;
      readonly message: string;
      readonly retryAfterSeconds?: number;
    }
  /** The queen ends: the hive connects again after a while of its own, up to `withinMs`. */
  | { readonly type: 'goaway'; readonly withinMs: number };

export type Ack = Extract<QueenMessage, { type: 'ack' }>;
export type Refused = Extract<QueenMessage, { type: 'refused' }>;

type Values = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null;
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const shorten = (value: unknown, length: number): string => (typeof value === 'string' ? value.slice(0, length) : '');

/** Some times what a busy queen asks for: nobody who takes its port once silences a hive for longer. */
const maxIntervalMs = 60_000;

/** An answer to a heartbeat; null: it is none. */
export function readReply(value: unknown): HeartbeatReply | null {
  if (!isObject(value)) return null;
  const { accepted, queenId, ackEventSeq, intervalMs, degraded } = value;
  if (accepted !== true || typeof queenId !== 'string') return null;
  if (!Number.isSafeInteger(ackEventSeq) || !Number.isFinite(intervalMs)) return null;
  return {
    accepted,
    queenId,
    ackEventSeq: ackEventSeq as number,
    intervalMs: Math.min(intervalMs as number, maxIntervalMs),
    ...(degraded === true ? { degraded } : {}),
  };
}

/** A text message of a queen; null: it is none that this version knows. */
export function readQueenMessage(text: string): QueenMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  switch (value.type) {
    case 'welcome': {
      const { queenId, intervalMs, ackEvery, takesLoads, asksForKeyframes } = value;
      if (typeof queenId !== 'string' || !isWhole(intervalMs) || !isWhole(ackEvery) || ackEvery === 0) return null;
      const least = Math.min(intervalMs, maxIntervalMs);
      return {
        type: 'welcome',
        queenId,
        intervalMs: least,
        ackEvery,
        takesLoads: takesLoads === true,
        asksForKeyframes: asksForKeyframes === true,
      };
    }
    case 'ack': {
      const { epoch, index, deltas } = value;
      const reply = readReply(value.reply);
      if (!isWhole(epoch) || !isWhole(index) || reply === null) return null;
      return { type: 'ack', epoch, index, deltas: deltas === true, reply };
    }
    case 'interval':
      return isWhole(value.intervalMs)
        ? { type: 'interval', intervalMs: Math.min(value.intervalMs, maxIntervalMs) }
        : null;
    case 'keyframe':
      return { type: 'keyframe' };
    case 'resync': {
      const reason = resyncReasons.find((each) => each === value.reason);
      return { type: 'resync', reason: reason ?? 'malformed' };
    }
    case 'refused': {
      const { status, retryAfterSeconds } = value;
      if (!isWhole(status)) return null;
      return {
        type: 'refused',
        status,
        code: shorten(value.code, 64),
        message: shorten(value.message, 256),
        ...(isWhole(retryAfterSeconds) ? { retryAfterSeconds } : {}),
      };
    }
    case 'goaway':
      return isWhole(value.withinMs) ? { type: 'goaway', withinMs: Math.min(value.withinMs, 60_000) } : null;
    default:
      return null;
  }
}

/** What of a delta is no number. Rows are whole, with the numbers that they have now, in the order of their places. */
export interface DeltaText {
  readonly faults?: readonly unknown[];
  readonly events?: readonly unknown[];
  readonly gpus?: readonly (readonly [index: number, row: object])[];
  readonly workers?: readonly (readonly [index: number, row: object])[];
}
