import { isDeepStrictEqual } from 'node:util';
import { holds } from './capacity.js';
import type { HistoryStore } from './history.js';
import { type Indexes, labelPair, namesOf } from './indexes.js';
import {
  compareWorkers,
  type GpuRecord,
  type HiveRecord,
  isSchedulable,
  type WorkerRecord,
  workerKey,
} from './records.js';
import { walkTotals } from './totals.js';

/** Compares every index with the records themselves, both ways: nothing missing, nothing left over, all in order. */
export function audit(indexes: Indexes, history: HistoryStore): string[] {
  const found = new Audit(indexes);
  for (const [id, hive] of indexes.hives) found.hive(id, hive);
  found.totals();
  if (history.used !== found.rings) found.wrong.push(`history: ${history.used} rings in use, ${found.rings} owned`);
  return found.wrong;
}

class Audit {
  readonly wrong: string[] = [];
  rings = 0;
  readonly #seenRings = new Set<number>();
  readonly #indexes: Indexes;

  constructor(indexes: Indexes) {
    this.#indexes = indexes;
  }

  hive(id: string, hive: HiveRecord): void {
    if (hive.id !== id || !this.#indexes.hiveOrder.has(hive)) this.wrong.push(`hives: ${id} is missing from the order`);
    const wrongRow = this.#indexes.rooms.audit(hive, isSchedulable(hive));
    if (wrongRow !== null) this.wrong.push(`rooms: ${id} ${wrongRow}`);
    this.#ring(id, hive.ring);
    if (hive.workerOrder.length !== hive.workers.size) this.wrong.push(`${id}: order and map of workers differ`);
    hive.workerOrder.forEach((worker, i) => {
      const before = hive.workerOrder[i - 1];
      if (before && compareWorkers(before, worker) >= 0) this.wrong.push(`${id}: order at ${worker.sample.id}`);
      this.#worker(hive, worker);
    });
    if (hive.gpuOrder.length !== hive.gpus.size) this.wrong.push(`${id}: order and map of GPUs differ`);
    for (const gpu of hive.gpuOrder) this.#gpu(hive, gpu);
  }

  #worker(hive: HiveRecord, worker: WorkerRecord): void {
    const { id, state, group, labels, reservationId } = worker.sample;
    const { byModel, byState, byGroup, byLabel, byReservation } = this.#indexes;
    if (hive.workers.get(id) !== worker) this.wrong.push(`${hive.id}: ${id} is not in the map`);
    this.#ring(workerKey(worker), worker.ring);
    this.#ring(workerKey(worker), worker.servingRing);
    const member = (name: string, set: { has(worker: WorkerRecord): boolean } | undefined) => {
      if (!set?.has(worker)) this.wrong.push(`${name}: ${workerKey(worker)} is missing`);
    };
    for (const name of namesOf(worker.sample)) {
      member('byModel', byModel.get(name));
      member('byModelState', this.#indexes.modelState(name, state));
    }
    member('byState', byState.get(state));
    member('byGroup', byGroup.get(group));
    const pairs = Object.entries({ ...hive.info.labels, ...labels }).map(([key, value]) => labelPair(key, value));
    if (pairs.length !== worker.labels.length) this.wrong.push(`labels of ${workerKey(worker)}`);
    for (const pair of pairs) member('byLabel', byLabel.get(pair));
    if (reservationId !== null) member('byReservation', byReservation.get(reservationId));
  }

  #gpu(hive: HiveRecord, gpu: GpuRecord): void {
    const { uuid } = gpu.sample;
    this.#ring(uuid, gpu.ring);
    if (hive.gpus.get(uuid) !== gpu) this.wrong.push(`${hive.id}: GPU ${uuid} is not in the map`);
    if (!this.#indexes.gpus.has(uuid)) this.wrong.push(`gpus: ${uuid} of ${hive.id} is missing`);
    const holders = hive.workerOrder.filter((worker) => holds(worker, uuid)).length;
    if (gpu.workerCount !== holders) this.wrong.push(`${uuid}: ${gpu.workerCount} holders, expected ${holders}`);
    if (!this.#indexes.gpusByFree.has(gpu)) this.wrong.push(`gpusByFree: ${uuid} is missing`);
  }

  #ring(of: string, ring: number): void {
    if (ring < 0) return;
    this.rings++;
    if (this.#seenRings.has(ring)) this.wrong.push(`history: ${of} shares ring ${ring}`);
    this.#seenRings.add(ring);
  }

  /** What is left over in an index makes it larger than what it indexes. */
  totals(): void {
    const indexes = this.#indexes;
    const hives = [...indexes.hives.values()];
    const workers = hives.flatMap((hive) => hive.workerOrder);
    const gpus = hives.flatMap((hive) => [...hive.gpus.values()]);
    const sizes = (sets: Iterable<{ readonly size: number }>) => [...sets].reduce((sum, { size }) => sum + size, 0);
    const modelStates = [...indexes.byModelState.values()].flatMap((states) => [...states.sets.values()]);
    const names = workers.reduce((sum, { sample }) => sum + namesOf(sample).length, 0);
    for (const [name, kept] of Object.entries(indexes.totals.of(indexes))) {
      const walked = walkTotals(indexes)[name as 'hives' | 'gpus' | 'workers'];
      if (!isDeepStrictEqual(kept, walked))
        this.wrong.push(`totals of ${name}: ${JSON.stringify(kept)}, expected ${JSON.stringify(walked)}`);
    }
    const counts: readonly (readonly [name: string, size: number, expected: number])[] = [
      ['hiveOrder', indexes.hiveOrder.size, hives.length],
      ['rooms', indexes.rooms.size, hives.length],
      ['workerCount', indexes.workerCount, workers.length],
      ['gpuCount', indexes.gpuCount, gpus.length],
      ['byModel', sizes(indexes.byModel.sets.values()), names],
      ['byState', sizes(indexes.byState.sets.values()), workers.length],
      ['byGroup', sizes(indexes.byGroup.sets.values()), workers.length],
      ['byModelState', sizes(modelStates), names],
      ['byLabel', sizes(indexes.byLabel.sets.values()), workers.reduce((sum, { labels }) => sum + labels.length, 0)],
      [
        'byReservation',
        sizes(indexes.byReservation.values()),
        workers.filter(({ sample }) => sample.reservationId !== null).length,
      ],
      ['gpusByFree', indexes.gpusByFree.size, gpus.length],
    ];
    for (const [name, size, expected] of counts)
      if (size !== expected) this.wrong.push(`${name}: ${size} entries, expected ${expected}`);
    const uuids = new Set(gpus.map(({ sample }) => sample.uuid));
    for (const uuid of indexes.gpus.keys()) if (!uuids.has(uuid)) this.wrong.push(`gpus: ${uuid} belongs to no hive`);
    for (const gpu of indexes.gpusByFree.members())
      if (gpu.hive.gpus.get(gpu.sample.uuid) !== gpu || indexes.hives.get(gpu.hive.id) !== gpu.hive)
        this.wrong.push(`gpusByFree: ${gpu.sample.uuid} is left over`);
  }
}
