import type { Liveness } from '../contract/api.js';
import type { Cordon } from '../contract/cordon.js';
import type { GpuKnowledge } from '../contract/enums.js';
import type {
  Collection,
  Fault,
  Heartbeat,
  HiveInfo,
  HostSample,
  StoredGpu,
  StoredWorker,
} from '../contract/heartbeat.js';
import type { HiveCharge } from './fleet-budget.js';
import { type HiveCounts, nothingCounted } from './hive-counts.js';
import type { Incarnations } from './incarnations.js';
import type { WorkerLoad } from './worker-load.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the registry holds of a worker. Its sample is written in place at each heartbeat; views copy it. */
export interface WorkerRecord {
  readonly hive: HiveRecord;
  readonly sample: Mutable<StoredWorker>;
  /** Own labels and the hive's, as they stand in the indexes. */
  labels: readonly string[];
  /** Number of the hive's heartbeat that last named it. */
  namedIn: number;
  /** When it was last named, where the snapshots since were incomplete and did not; else null. */
  unseenSinceMs: number | null;
  /** Times it was picked since its last heartbeat, where no engine reports for it. */
  picks: number;
  /** What its engine reports, with the picks that it does not show yet; null: no engine reports for it. */
  load: WorkerLoad | null;
  /** Of its key; where prefixes belong. */
  readonly hash: number;
  /** Its ring of history; -1: none. */
  ring: number;
  /** That of what its engine reports; -1: nothing was reported yet. */
  servingRing: number;
}

export interface GpuRecord {
  readonly hive: HiveRecord;
  readonly sample: Mutable<StoredGpu>;
  /** Total - used - reserved, less what reservations hold; null where it can't be known. */
  freeBytes: number | null;
  /** Cut into MIG devices, listed or not, so nothing is placed on it whole. */
  isParent: boolean;
  /** Workers of its hive that hold it. */
  workerCount: number;
  namedIn: number;
  /** When it was last named, where what the snapshots since say of it could not be read; else null. */
  unseenSinceMs: number | null;
  ring: number;
}

/**
 * What decides whether a worker fits on a host and how well, in a row of numbers that is kept up to date with the host: a
 * placement walks these, and looks closer only at the hosts that it lists.
 */
export interface HostRoom {
  /** Less what reservations hold; null: not known. */
  memoryBytes: number | null;
  /** With the workers that reservations are for. */
  workerCount: number;
  /** Three numbers for each GPU that can be placed on and whose room is known: free bytes, workers, whether it is not wholly well. */
  readonly gpus: number[];
  /** GPUs of `gpus` on unified memory. */
  unified: number;
  /** Of all its GPUs, each once; null stands for those whose vendor is not known. */
  readonly vendors: (string | null)[];
}

export interface HiveRecord {
  readonly id: string;
  info: HiveInfo;
  host: HostSample;
  faults: readonly Fault[];
  collection: Collection;
  gpusKnown: GpuKnowledge;
  gpusReason: string | null;
  workersComplete: boolean;
  /** What it was granted, or sends at if that is longer. */
  intervalMs: number;
  readonly incarnations: Incarnations;
  liveness: Liveness;
  /** An admin took it out of scheduling. */
  cordon: Cordon | null;
  /** Time of the last heartbeat: by the clock given (for ages), and by the listening clock (for liveness). */
  heardAtMs: number;
  /** The next look at its liveness, by the listening clock. */
  dueMs: number;
  /** Heartbeats merged so far. */
  heartbeats: number;
  /** Every hive-side event up to this one is in the stream. */
  ackEventSeq: number;
  readonly workers: Map<string, WorkerRecord>;
  /** By id. */
  readonly workerOrder: WorkerRecord[];
  readonly gpus: Map<string, GpuRecord>;
  /** As the hive lists them. */
  gpuOrder: GpuRecord[];
  /** When its id was last reported to be in use twice. */
  duplicateAtMs: number | null;
  /** What it takes of the memory of the fleet. */
  readonly charge: HiveCharge;
  ring: number;
  readonly room: HostRoom;
  /** What of it is in the totals of the fleet. */
  readonly counted: HiveCounts;
}

/** A hive that was never heard, as its first heartbeat describes it; neither workers nor GPUs are in it yet. */
export function hiveRecord(
  { hive: info, host, faults, collection, gpusKnown, gpusReason, workersComplete, intervalMs, seq }: Heartbeat,
  known: Pick<HiveRecord, 'heardAtMs' | 'ackEventSeq' | 'charge' | 'ring' | 'cordon'> & {
    readonly listeningMs: number;
  },
): HiveRecord {
  const { id, incarnation, startedAt } = info;
  const { listeningMs, heardAtMs, ackEventSeq, charge, ring, cordon } = known;
  return {
    id,
    info,
    host,
    faults,
    collection,
    gpusKnown,
    gpusReason,
    workersComplete,
    intervalMs,
    incarnations: { current: incarnation, seq, eventSeq: 0, startedAt, heardAtMs: listeningMs, retired: [] },
    liveness: 'online',
    cordon,
    heardAtMs,
    dueMs: Number.POSITIVE_INFINITY,
    heartbeats: 0,
    ackEventSeq,
    workers: new Map(),
    workerOrder: [],
    gpus: new Map(),
    gpuOrder: [],
    duplicateAtMs: null,
    charge,
    ring,
    room: { memoryBytes: null, workerCount: 0, gpus: [], unified: 0, vendors: [] },
    counted: nothingCounted(),
  };
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The order of all lists: by hive, then by worker id. It is the same at every queen, so cursors hold there too. */
export function compareWorkers(a: WorkerRecord, b: WorkerRecord): number {
  if (a === b) return 0;
  if (a.hive !== b.hive) {
    const byHive = compareText(a.hive.id, b.hive.id);
    if (byHive !== 0) return byHive;
  }
  return compareText(a.sample.id, b.sample.id);
}

export const compareHives = (a: HiveRecord, b: HiveRecord): number => compareText(a.id, b.id);

export const workerKey = (worker: WorkerRecord): string => `${worker.hive.id}/${worker.sample.id}`;
