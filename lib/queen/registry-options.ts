import type { FleetEvent, Liveness, StreamHeartbeat } from '../contract/api.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import {
  type Check,
  callback,
  checkOptions,
  expected,
  numberFrom,
  type TableOf,
  text,
  wholeFrom,
} from '../util/options.js';
import type { LivenessLimits } from './liveness.js';
import type { MemoryLimits } from './memory-limits.js';

export type RefusalCode =
  | 'STALE_SEQ'
  | 'IMPLAUSIBLE_SEQ'
  | 'RETIRED_INCARNATION'
  | 'DUPLICATE_HIVE_ID'
  | 'TOO_MANY_HIVES'
  | 'TOO_MUCH_MEMORY'
  | 'TOO_MANY_WORKERS';

export type HeartbeatOutcome =
  /** `intervalMs`: the shortest that suits the queen from now on. */
  | { readonly accepted: true; readonly ackEventSeq: number; readonly intervalMs: number }
  | { readonly accepted: false; readonly code: RefusalCode; readonly message: string };

/** `event`: reported by a hive. `queenEvent`: found out by the queen. */
export type EventType = 'event' | 'queenEvent';

/** One change, the same object for every listener. Its rows are as they are when they are first looked at: within the call. */
export type RegistryChange =
  | { readonly type: 'heartbeat'; readonly hiveId: string; readonly heartbeat: StreamHeartbeat }
  | { readonly type: EventType; readonly event: FleetEvent };

export type RegistryListener = (change: RegistryChange) => void;

export interface RegistryOptions extends Partial<LivenessLimits> {
  /** Monotonic milliseconds, any origin. Default `performance.now`. */
  readonly clock?: () => number;
  /** Milliseconds since the Unix epoch, for what people read. Default `Date.now`. */
  readonly wallClock?: () => number;
  /** In [0, 1). Default `Math.random`. */
  readonly random?: () => number;
  /**
   * How often `advance` is promised to be called, ms. With it, a gap of more than a second beyond the promise counts as this
   * process not listening, and no hive ages by it. Null (default): nobody promises; the clock is trusted.
   */
  readonly tickMs?: number | null;
  readonly queenId?: string;
  /** Name of the event stream; a new one at each start unless the stream lives elsewhere. */
  readonly epoch?: string;
  /** How long a started queen says that it may not have heard all yet, ms. */
  readonly warmingMs?: number;
  /** Events kept for replay. */
  readonly eventRingSize?: number;
  readonly maxHives?: number;
  readonly maxWorkersPerHive?: number;
  /** Bytes that each part may keep. Default: no limit. */
  readonly memory?: Partial<MemoryLimits>;
  /** Hives, workers and GPUs whose last hour and day are kept, in up to 5.7 KiB for each of both as they fill; what comes later has no history. Default 30000. */
  readonly historyRings?: number;
  /** Told of a listener that threw. Default: the error is thrown on its own, as one of an event handler is. */
  readonly onListenerError?: (error: unknown) => void;
  /** False while this registry is to publish no events of the queen. */
  readonly concludes?: () => boolean;
  /**
   * Takes every event of the queen instead of the registry's own stream, for queens that share one; what that stream then
   * holds is given to `deliver`. Hive events are then left to whoever keeps that stream.
   */
  readonly journal?: (draft: EventDraft) => void;
}

const milliseconds = numberFrom(0, 'a number of milliseconds');
const intervals = numberFrom(0, 'a number of intervals');
/** Infinity: no limit. */
const bytes = expected('a number of bytes, at least 0', (value) => typeof value === 'number' && value >= 0);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null ? null : check(value);

const memoryTable: TableOf<MemoryLimits> = {
  fleetBytes: bytes,
  hiveBytes: bytes,
  eventBytes: bytes,
  reservationBytes: bytes,
  missingBytes: bytes,
  streamBytes: bytes,
};

const optionTable: TableOf<RegistryOptions> = {
  lateAfterIntervals: intervals,
  offlineAfterMs: milliseconds,
  offlineAfterIntervals: intervals,
  staleAfterMs: milliseconds,
  clock: callback,
  wallClock: callback,
  random: callback,
  tickMs: orNull(milliseconds),
  queenId: text,
  epoch: text,
  warmingMs: milliseconds,
  eventRingSize: wholeFrom(1, 'a number of events'),
  maxHives: wholeFrom(1, 'a number of hives'),
  maxWorkersPerHive: wholeFrom(1, 'a number of workers'),
  memory: memoryTable,
  historyRings: wholeFrom(0, 'a number of rows'),
  onListenerError: callback,
  concludes: callback,
  journal: callback,
};

/** @throws HivepulseError INVALID_OPTION */
export const checkRegistryOptions = (options: RegistryOptions): void => checkOptions('', options, optionTable);

export interface FindOptions {
  /** Also those of hives that are late, offline, or not in state `ready`. */
  readonly includeStale?: boolean;
  /** Most results. Default: all. */
  readonly limit?: number;
}

/** Totals of the registry; `hives` are always all. */
export interface Counts {
  readonly hives: Readonly<Record<Liveness, number>>;
  readonly workers: number;
  readonly byState: Readonly<Record<WorkerSample['state'], number>>;
  readonly gpus: number;
  /** Workers by model, of those whose model is known. */
  readonly models: Readonly<Record<string, number>>;
}

export interface ModelOptions extends FindOptions {
  readonly caseInsensitive?: boolean;
  /** The name only has to begin so. */
  readonly prefix?: boolean;
}
