import type { StoredWorker } from '../contract/heartbeat.js';
import { type ModelNames, modelsOf } from '../contract/models.js';
import { FreeIndex } from './free-index.js';
import { PrefixOwners } from './prefix-owners.js';
import {
  compareHives,
  compareWorkers,
  type GpuRecord,
  type HiveRecord,
  noLabels,
  type WorkerRecord,
} from './records.js';
import { RoomTable } from './room-table.js';
import { lowerBound, SortedSet } from './sorted-set.js';
import { FleetTotals } from './totals.js';

type WorkerState = StoredWorker['state'];
type Workers = SortedSet<WorkerRecord>;

const none: Workers = new SortedSet(compareWorkers);

/** By what a worker is found in the indexes. */
export type IndexedValues = ModelNames & Pick<StoredWorker, 'state' | 'reservationId'>;

/** The keys of a worker in the index by model. */
export function namesOf(sample: ModelNames): readonly (string | null)[] {
  const names = modelsOf(sample);
  return names.length === 0 ? [null] : names.length === 1 ? names : [...new Set(names)];
}

/** How a label stands in the index and in `WorkerRecord.labels`. */
export const labelPair = (key: string, value: string): string => `${key}\u0000${value}`;

/** Workers of a host that are asked for a list of labels that another one can share. */
const askedNeighbours = 8;

/** The same list where it is that of another worker of the host: most have those of few others. */
function sharedLabels({ workerOrder }: HiveRecord, labels: readonly string[]): readonly string[] | undefined {
  return workerOrder
    .slice(0, askedNeighbours)
    .find((other) => other.labels.length === labels.length && labels.every((pair, i) => pair === other.labels[i]))
    ?.labels;
}

/** Workers that share a value. The key is the one object of it that all of them refer to. */
class Bucket<K> extends SortedSet<WorkerRecord> {
  readonly key: K;

  constructor(key: K) {
    super(compareWorkers);
    this.key = key;
  }
}

/** Workers of one model, and which of them prefixes belong to: kept from the first time on that this is asked. */
class ModelBucket extends Bucket<string | null> {
  #owners: PrefixOwners<WorkerRecord> | null = null;

  ownerOf(prefixKey: string): WorkerRecord | null {
    if (this.#owners === null) {
      this.#owners = new PrefixOwners();
      for (const worker of this) this.#owners.add(worker);
    }
    return this.#owners.of(prefixKey);
  }

  override add(worker: WorkerRecord): boolean {
    const isNew = super.add(worker);
    if (isNew) this.#owners?.add(worker);
    return isNew;
  }

  override delete(worker: WorkerRecord): boolean {
    const wasIn = super.delete(worker);
    if (wasIn) this.#owners?.delete(worker);
    return wasIn;
  }
}

/** Sets of workers by one property; a set without members is dropped. */
class Buckets<K, S extends Bucket<K> = Bucket<K>> {
  readonly sets = new Map<K, S>();
  readonly #make: (key: K) => S;

  constructor(make: (key: K) => S) {
    this.#make = make;
  }

  /** Gives the key as the index holds it, so that equal texts need not be kept twice. */
  add(key: K, worker: WorkerRecord): K {
    let set = this.sets.get(key);
    if (!set) {
      set = this.#make(key);
      this.sets.set(key, set);
    }
    set.add(worker);
    return set.key;
  }

  delete(key: K, worker: WorkerRecord): void {
    const set = this.sets.get(key);
    if (set?.delete(worker) && set.size === 0) this.sets.delete(key);
  }

  get(key: K): Workers {
    return this.sets.get(key) ?? none;
  }
}

const buckets = <K>(): Buckets<K> => new Buckets((key) => new Bucket(key));

/** All ways to reach a record. Every set is in the order of lists, so a page of any of them is a walk from its cursor. */
export class Indexes {
  readonly hives = new Map<string, HiveRecord>();
  readonly hiveOrder = new SortedSet<HiveRecord>(compareHives);
  /** By each name of the model; null: none is known. */
  readonly byModel = new Buckets<string | null, ModelBucket>((model) => new ModelBucket(model));
  readonly byState = buckets<WorkerState>();
  /** By model and state together: the question on the hot path of routers. */
  readonly byModelState = new Map<string | null, Buckets<WorkerState>>();
  readonly byGroup = buckets<string>();
  readonly byLabel = buckets<string>();
  readonly byReservation = new Map<string, Set<WorkerRecord>>();
  /** Where several hives claim one GPU, the one that said so first; those after it wait in `#rivals`. */
  readonly gpus = new Map<string, GpuRecord>();
  readonly #rivals = new Map<string, GpuRecord[]>();
  readonly gpusByFree = new FreeIndex();
  readonly totals = new FleetTotals();
  readonly rooms = new RoomTable(this.hiveOrder);
  workerCount = 0;
  gpuCount = 0;

  addHive(hive: HiveRecord): void {
    this.hives.set(hive.id, hive);
    this.hiveOrder.add(hive);
    this.rooms.add(hive);
    this.totals.update(hive);
  }

  /** Once its workers and GPUs are removed. */
  removeHive(hive: HiveRecord): void {
    this.hives.delete(hive.id);
    this.hiveOrder.delete(hive);
    this.rooms.remove(hive);
    this.totals.remove(hive);
  }

  addWorker(worker: WorkerRecord): void {
    const { hive, current: sample } = worker;
    hive.workers.set(sample.id, worker);
    const order = hive.workerOrder;
    order.splice(
      lowerBound(order, (other) => compareWorkers(other, worker)),
      0,
      worker,
    );
    sample.group = this.byGroup.add(sample.group, worker);
    this.#addModelState(worker);
    this.setLabels(worker);
    this.#addReservation(worker);
    this.workerCount++;
  }

  removeWorker(worker: WorkerRecord): void {
    const { hive, current: sample } = worker;
    hive.workers.delete(sample.id);
    const at = hive.workerOrder.lastIndexOf(worker);
    if (at >= 0) hive.workerOrder.splice(at, 1);
    this.byGroup.delete(sample.group, worker);
    this.#deleteModelState(worker, sample);
    for (const pair of worker.labels) this.byLabel.delete(pair, worker);
    worker.labels = noLabels;
    this.#deleteReservation(worker, sample.reservationId);
    this.workerCount--;
  }

  /** After a merge: moves the worker from where its former values had put it. */
  moveWorker(worker: WorkerRecord, former: IndexedValues): void {
    const { current: sample } = worker;
    if (former.model !== sample.model || former.models !== sample.models) {
      this.#deleteModelState(worker, former);
      this.#addModelState(worker);
    } else if (former.state !== sample.state) this.#moveState(worker, former.state);
    if (former.reservationId !== sample.reservationId) {
      this.#deleteReservation(worker, former.reservationId);
      this.#addReservation(worker);
    }
  }

  /** Own labels win over those of the hive; both are searched alike. */
  setLabels(worker: WorkerRecord): void {
    const pairs: string[] = [];
    const own = worker.current.labels;
    const shared = worker.hive.info.labels;
    for (const key in own) pairs.push(labelPair(key, own[key]!));
    for (const key in shared) if (own[key] === undefined) pairs.push(labelPair(key, shared[key]!));
    for (const pair of worker.labels) if (!pairs.includes(pair)) this.byLabel.delete(pair, worker);
    const labels = pairs.map((pair) => this.byLabel.add(pair, worker));
    worker.labels = labels.length === 0 ? noLabels : (sharedLabels(worker.hive, labels) ?? labels);
  }

  addGpu(gpu: GpuRecord): void {
    gpu.hive.gpus.set(gpu.current.uuid, gpu);
    this.#claim(gpu);
    this.gpusByFree.add(gpu);
    this.gpuCount++;
  }

  removeGpu(gpu: GpuRecord): void {
    gpu.hive.gpus.delete(gpu.current.uuid);
    this.#abandon(gpu);
    this.gpusByFree.delete(gpu);
    this.gpuCount--;
  }

  /** The GPU of this uuid, of the first hive that claims it; while that is not online, of the first other one that is. */
  gpu(uuid: string): GpuRecord | undefined {
    const owner = this.gpus.get(uuid);
    if (owner === undefined || owner.hive.liveness === 'online') return owner;
    return this.#rivals.get(uuid)?.find(({ hive }) => hive.liveness === 'online') ?? owner;
  }

  /** All that hives say of one GPU. */
  claimsOf(uuid: string): readonly GpuRecord[] {
    const first = this.gpus.get(uuid);
    return first === undefined ? [] : [first, ...(this.#rivals.get(uuid) ?? [])];
  }

  #claim(gpu: GpuRecord): void {
    const { uuid } = gpu.current;
    const rivals = this.#rivals.get(uuid);
    if (!this.gpus.has(uuid)) this.gpus.set(uuid, gpu);
    else if (rivals) rivals.push(gpu);
    else this.#rivals.set(uuid, [gpu]);
  }

  #abandon(gpu: GpuRecord): void {
    const { uuid } = gpu.current;
    const rivals = (this.#rivals.get(uuid) ?? []).filter((other) => other !== gpu);
    if (this.gpus.get(uuid) === gpu) {
      const next = rivals.shift();
      if (next) this.gpus.set(uuid, next);
      else this.gpus.delete(uuid);
    }
    if (rivals.length > 0) this.#rivals.set(uuid, rivals);
    else this.#rivals.delete(uuid);
  }

  /** The worker of a model that a prefix belongs to. */
  prefixOwner(model: string, prefixKey: string): WorkerRecord | null {
    return this.byModel.sets.get(model)?.ownerOf(prefixKey) ?? null;
  }

  modelState(model: string | null, state: WorkerState): Workers {
    return this.byModelState.get(model)?.get(state) ?? none;
  }

  #addModelState(worker: WorkerRecord): void {
    const { current: sample } = worker;
    // Equal texts are kept once, as the keys of the index.
    const keys = new Map(namesOf(sample).map((name) => [name, this.byModel.add(name, worker)]));
    sample.model = keys.get(sample.model) ?? null;
    if (sample.models != null) sample.models = sample.models.map((name) => keys.get(name) ?? name);
    this.byState.add(sample.state, worker);
    for (const key of keys.values()) {
      let states = this.byModelState.get(key);
      if (!states) {
        states = buckets();
        this.byModelState.set(key, states);
      }
      states.add(sample.state, worker);
    }
  }

  #deleteModelState(worker: WorkerRecord, former: ModelNames & Pick<StoredWorker, 'state'>): void {
    this.byState.delete(former.state, worker);
    for (const name of namesOf(former)) {
      this.byModel.delete(name, worker);
      const states = this.byModelState.get(name);
      states?.delete(former.state, worker);
      if (states?.sets.size === 0) this.byModelState.delete(name);
    }
  }

  /** The usual move: of the same models. */
  #moveState(worker: WorkerRecord, former: WorkerState): void {
    const { current: sample } = worker;
    this.byState.delete(former, worker);
    this.byState.add(sample.state, worker);
    for (const name of namesOf(sample)) {
      const states = this.byModelState.get(name);
      states?.delete(former, worker);
      states?.add(sample.state, worker);
    }
  }

  #addReservation(worker: WorkerRecord): void {
    const id = worker.current.reservationId;
    if (id === null) return;
    const workers = this.byReservation.get(id);
    if (workers) workers.add(worker);
    else this.byReservation.set(id, new Set([worker]));
  }

  #deleteReservation(worker: WorkerRecord, id: string | null): void {
    if (id === null) return;
    const workers = this.byReservation.get(id);
    workers?.delete(worker);
    if (workers?.size === 0) this.byReservation.delete(id);
  }
}
