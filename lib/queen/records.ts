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
import type { Labels } from '../contract/primitives.js';
import type { PowerRows } from './energy.js';
import type { HiveCharge } from './fleet-budget.js';
import { type HiveCounts, HiveSums, nothingCounted } from './hive-counts.js';
import type { Incarnations } from './incarnations.js';
import type { WorkerLoad } from './worker-load.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Fields that hold no number. */
type TextOf<T> = {
  [K in keyof T as NonNullable<T[K]> extends string | boolean | readonly string[] | Labels ? K : never]: T[K];
};

/**
 * Numbers that a stream has brought and nobody has asked for yet: most are different again in the next second, so they are
 * written into the records when somebody looks.
 */
export interface Unwritten {
  writeHead(): void;
  writeGpu(place: number): void;
  writeWorker(place: number): void;
  writeAll(): void;
  /** As they are now, without writing them. Null: they are not of all GPUs and workers of the hive. */
  powerRows(): PowerRows | null;
}

type WorkerText = Mutable<TextOf<StoredWorker>> & {
  readonly gpus: readonly { readonly uuid: string }[];
  readonly serving?: object | null;
};
export type GpuNumbers = Pick<StoredGpu, 'memoryTotalBytes' | 'memoryUsedBytes' | 'memoryReservedBytes'>;

/** What the registry holds of a worker. Its sample is written in place; views copy it. */
export class WorkerRecord {
  readonly hive: HiveRecord;
  /** Own labels and the hive's, as they stand in the indexes. */
  labels: readonly string[] = noLabels;
  /** Number of the hive's heartbeat that last named it. */
  namedIn: number;
  /** When it was last named, where the snapshots since were incomplete and did not; else null. */
  unseenSinceMs: number | null = null;
  /** Times it was picked since its last heartbeat, where no engine reports for it. */
  picks = 0;
  /** What its engine reports, with the picks that it does not show yet; null: no engine reports for it. */
  load: WorkerLoad | null = null;
  /** Of its key; where prefixes belong. */
  readonly hash: number;
  /** Its ring of history; -1: none. */
  ring: number;
  /** That of what its engine reports; -1: nothing was reported yet. */
  servingRing = -1;
  /** Among the workers of its hive's stream; -1: it is none of them. */
  place = -1;
  readonly #sample: Mutable<StoredWorker>;

  constructor(
    hive: HiveRecord,
    sample: Mutable<StoredWorker>,
    { namedIn, hash, ring }: Pick<WorkerRecord, 'namedIn' | 'hash' | 'ring'>,
  ) {
    this.hive = hive;
    this.#sample = sample;
    this.namedIn = namedIn;
    this.hash = hash;
    this.ring = ring;
  }

  get sample(): Mutable<StoredWorker> {
    this.hive.unwritten?.writeWorker(this.place);
    return this.#sample;
  }

  /** Puts a copy in the place of the list of what it holds. */
  copyHeld(): object[] {
    this.#sample.gpus = this.#sample.gpus.slice();
    return this.#sample.gpus;
  }

  /** What of it is always written. */
  get current(): WorkerText {
    return this.#sample;
  }
}

/** Shared by all workers without labels. */
export const noLabels: readonly string[] = [];

export class GpuRecord {
  readonly hive: HiveRecord;
  /** Total - used - reserved, less what reservations hold; null where it can't be known. */
  freeBytes: number | null = null;
  /** Cut into MIG devices, listed or not, so nothing is placed on it whole. */
  isParent = false;
  /** Workers of its hive that hold it. */
  workerCount = 0;
  namedIn: number;
  /** When it was last named, where what the snapshots since say of it could not be read; else null. */
  unseenSinceMs: number | null = null;
  ring: number;
  /** Among the GPUs of its hive's stream; -1: it is none of them. */
  place = -1;
  readonly #sample: Mutable<StoredGpu>;

  constructor(hive: HiveRecord, sample: Mutable<StoredGpu>, { namedIn, ring }: Pick<GpuRecord, 'namedIn' | 'ring'>) {
    this.hive = hive;
    this.#sample = sample;
    this.namedIn = namedIn;
    this.ring = ring;
  }

  get sample(): Mutable<StoredGpu> {
    this.hive.unwritten?.writeGpu(this.place);
    return this.#sample;
  }

  /** What of it is always written. */
  get current(): TextOf<StoredGpu> & GpuNumbers {
    return this.#sample;
  }
}

/** Work may be sent to its workers: heard in time, not starting, draining or stopping, and not cordoned. */
export const isSchedulable = (hive: Pick<HiveRecord, 'liveness' | 'cordon'> & { info: { state: string } }): boolean =>
  hive.liveness === 'online' && hive.info.state === 'ready' && hive.cordon === null;

/** What decides whether a worker fits on a host and how well, besides its row in the table that a placement walks (`RoomTable`). */
export interface HostRoom {
  /** Null: the host is in no table. */
  table: { setSchedulable(place: number, isSchedulable: boolean): void } | null;
  /** Of its row. */
  place: number;
  /** Less what reservations hold; null: not known. */
  memoryBytes: number | null;
  /** With the workers that reservations are for. */
  workerCount: number;
  /** The numbers of its GPUs where they are too many for a row. */
  readonly gpus: number[];
  /** Of all its GPUs, each once; null stands for those whose vendor is not known. */
  vendors: readonly (string | null)[];
}

export class HiveRecord {
  readonly id: string;
  #info: HiveInfo;
  /** Its numbers may not be written yet. */
  readonly head: { intervalMs: number; host: HostSample; collection: Collection };
  /** That of `host`. */
  memoryAvailableBytes: number | null;
  faults: readonly Fault[];
  gpusKnown: GpuKnowledge;
  gpusReason: string | null;
  workersComplete: boolean;
  /** What it was granted, or sends at if that is longer. */
  intervalMs: number;
  readonly incarnations: Incarnations;
  #liveness: Liveness = 'online';
  #cordon: Cordon | null;
  /** Time of the last heartbeat: by the clock given (for ages), and by the listening clock (for liveness). */
  heardAtMs: number;
  /** The next look at its liveness, by the listening clock. */
  dueMs = Number.POSITIVE_INFINITY;
  /** Heartbeats merged so far. */
  heartbeats = 0;
  /** Every hive-side event up to this one is in the stream. */
  ackEventSeq: number;
  readonly workers = new Map<string, WorkerRecord>();
  /** By id. */
  readonly workerOrder: WorkerRecord[] = [];
  readonly gpus = new Map<string, GpuRecord>();
  /** As the hive lists them. */
  gpuOrder: GpuRecord[] = [];
  /** When its id was last reported to be in use twice. */
  duplicateAtMs: number | null = null;
  /** What it takes of the memory of the fleet. */
  readonly charge: HiveCharge;
  ring: number;
  readonly room: HostRoom = { table: null, place: -1, memoryBytes: null, workerCount: 0, gpus: [], vendors: [] };
  /** What of it is in the totals of the fleet. */
  readonly counted: HiveCounts = nothingCounted();
  /** What it adds to the history of the fleet. */
  readonly sums = new HiveSums();
  /** Null: all is written. */
  unwritten: Unwritten | null = null;

  /** One that was never heard, as its first heartbeat describes it; neither workers nor GPUs are in it yet. */
  constructor(
    heartbeat: Heartbeat,
    known: Pick<HiveRecord, 'heardAtMs' | 'ackEventSeq' | 'charge' | 'ring' | 'cordon'> & {
      readonly listeningMs: number;
    },
  ) {
    const { hive: info, host, collection, seq } = heartbeat;
    const { id, incarnation, startedAt } = info;
    this.id = id;
    this.#info = info;
    this.head = { intervalMs: heartbeat.intervalMs, host, collection };
    this.memoryAvailableBytes = host.memoryAvailableBytes;
    this.faults = heartbeat.faults;
    this.gpusKnown = heartbeat.gpusKnown;
    this.gpusReason = heartbeat.gpusReason;
    this.workersComplete = heartbeat.workersComplete;
    this.intervalMs = heartbeat.intervalMs;
    const heardAtMs = known.listeningMs;
    this.incarnations = { current: incarnation, seq, eventSeq: 0, startedAt, heardAtMs, retired: [] };
    this.heardAtMs = known.heardAtMs;
    this.ackEventSeq = known.ackEventSeq;
    this.charge = known.charge;
    this.ring = known.ring;
    this.#cordon = known.cordon;
  }

  get info(): HiveInfo {
    return this.#info;
  }

  set info(info: HiveInfo) {
    this.#info = info;
    this.noteSchedulable();
  }

  get liveness(): Liveness {
    return this.#liveness;
  }

  set liveness(liveness: Liveness) {
    if (liveness === this.#liveness) return;
    this.#liveness = liveness;
    this.noteSchedulable();
  }

  /** Why an admin took it out of scheduling. */
  get cordon(): Cordon | null {
    return this.#cordon;
  }

  set cordon(cordon: Cordon | null) {
    this.#cordon = cordon;
    this.noteSchedulable();
  }

  /** Writes into its row whether work may be sent to it. */
  noteSchedulable(): void {
    const { table, place } = this.room;
    table?.setSchedulable(place, isSchedulable(this));
  }

  get host(): HostSample {
    this.unwritten?.writeHead();
    return this.head.host;
  }

  get collection(): Collection {
    this.unwritten?.writeHead();
    return this.head.collection;
  }

  /** All numbers that a stream has brought are written, and come no longer from there. */
  endStream(): void {
    this.unwritten?.writeAll();
    this.unwritten = null;
  }
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The order of all lists: by hive, then by worker id. It is the same at every queen, so cursors hold there too. */
export function compareWorkers(a: WorkerRecord, b: WorkerRecord): number {
  if (a === b) return 0;
  if (a.hive !== b.hive) {
    const byHive = compareText(a.hive.id, b.hive.id);
    if (byHive !== 0) return byHive;
  }
  return compareText(a.current.id, b.current.id);
}

export const compareHives = (a: HiveRecord, b: HiveRecord): number => compareText(a.id, b.id);

export const workerKey = (worker: WorkerRecord): string => `${worker.hive.id}/${worker.current.id}`;
