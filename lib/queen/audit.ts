import { holds } from './capacity.js';
import type { HistoryStore } from './history.js';
import { type Indexes, labelPair } from './indexes.js';
import { compareWorkers, type WorkerRecord, workerKey } from './records.js';
import type { SortedSet } from './sorted-set.js';

/** Compares every index with the records themselves, both ways: nothing missing, nothing left over, all in order. */
export function audit(indexes: Indexes, history: HistoryStore): string[] {
  const wrong: string[] = [];
  let workers = 0;
  let gpus = 0;
  const rings = new Set<number>();
  let ringsUsed = 0;
  const ring = (of: string, number: number) => {
    if (number < 0) return;
    ringsUsed++;
    if (rings.has(number)) wrong.push(`history: ${of} shares ring ${number}`);
    rings.add(number);
  };
  const member = (name: string, set: SortedSet<WorkerRecord>, worker: WorkerRecord) => {
    if (!set.has(worker)) wrong.push(`${name}: ${workerKey(worker)} is missing`);
  };

  for (const [id, hive] of indexes.hives) {
    if (hive.id !== id || !indexes.hiveOrder.has(hive)) wrong.push(`hives: ${id} is missing from the order`);
    ring(id, hive.ring);
    workers += hive.workers.size;
    gpus += hive.gpus.size;
    if (hive.workerOrder.length !== hive.workers.size) wrong.push(`${id}: order and map of workers differ`);
    hive.workerOrder.forEach((worker, i) => {
      const { sample } = worker;
      if (hive.workers.get(sample.id) !== worker) wrong.push(`${id}: ${sample.id} is not in the map`);
      if (i > 0 && compareWorkers(hive.workerOrder[i - 1]!, worker) >= 0) wrong.push(`${id}: order at ${sample.id}`);
      ring(workerKey(worker), worker.ring);
      member('byModel', indexes.byModel.get(sample.model), worker);
      member('byState', indexes.byState.get(sample.state), worker);
      member('byModelState', indexes.modelState(sample.model, sample.state), worker);
      member('byGroup', indexes.byGroup.get(sample.group), worker);
      const labels = { ...hive.info.labels, ...sample.labels };
      const pairs = Object.entries(labels).map(([key, value]) => labelPair(key, value));
      if (pairs.length !== worker.labels.length) wrong.push(`labels of ${workerKey(worker)}`);
      for (const pair of pairs) member('byLabel', indexes.byLabel.get(pair), worker);
      if (sample.reservationId !== null && !indexes.byReservation.get(sample.reservationId)?.has(worker))
        wrong.push(`byReservation: ${workerKey(worker)} is missing`);
    });
    if (hive.gpuOrder.length !== hive.gpus.size) wrong.push(`${id}: order and map of GPUs differ`);
    for (const gpu of hive.gpuOrder) {
      ring(gpu.sample.uuid, gpu.ring);
      if (hive.gpus.get(gpu.sample.uuid) !== gpu) wrong.push(`${id}: GPU ${gpu.sample.uuid} is not in the map`);
      const holders = hive.workerOrder.filter((worker) => holds(worker, gpu.sample.uuid)).length;
      if (gpu.workerCount !== holders)
        wrong.push(`${gpu.sample.uuid}: ${gpu.workerCount} holders, expected ${holders}`);
      if (!indexes.gpusByFree.has(gpu)) wrong.push(`gpusByFree: ${gpu.sample.uuid} is missing`);
    }
  }

  const total = (name: string, sets: Iterable<{ readonly size: number }>, expected: number) => {
    let size = 0;
    for (const set of sets) size += set.size;
    if (size !== expected) wrong.push(`${name}: ${size} entries, expected ${expected}`);
  };
  if (indexes.hiveOrder.size !== indexes.hives.size) wrong.push('hives: order and map differ');
  if (indexes.workerCount !== workers) wrong.push(`workerCount is ${indexes.workerCount}, expected ${workers}`);
  if (indexes.gpuCount !== gpus) wrong.push(`gpuCount is ${indexes.gpuCount}, expected ${gpus}`);
  total('byModel', indexes.byModel.sets.values(), workers);
  total('byState', indexes.byState.sets.values(), workers);
  total('byGroup', indexes.byGroup.sets.values(), workers);
  total(
    'byModelState',
    [...indexes.byModelState.values()].flatMap((states) => [...states.sets.values()]),
    workers,
  );
  const all = [...indexes.hives.values()].flatMap((hive) => hive.workerOrder);
  const labels = all.reduce((sum, worker) => sum + worker.labels.length, 0);
  total('byLabel', indexes.byLabel.sets.values(), labels);
  const reserved = all.filter((worker) => worker.sample.reservationId !== null).length;
  total('byReservation', indexes.byReservation.values(), reserved);
  if (indexes.gpusByFree.size !== gpus) wrong.push(`gpusByFree: ${indexes.gpusByFree.size} entries, expected ${gpus}`);
  const uuids = new Set([...indexes.hives.values()].flatMap((hive) => [...hive.gpus.keys()]));
  for (const uuid of indexes.gpus.keys()) if (!uuids.has(uuid)) wrong.push(`gpus: ${uuid} belongs to no hive`);
  for (const gpu of indexes.gpusByFree.members())
    if (gpu.hive.gpus.get(gpu.sample.uuid) !== gpu || indexes.hives.get(gpu.hive.id) !== gpu.hive)
      wrong.push(`gpusByFree: ${gpu.sample.uuid} is left over`);
  if (history.used !== ringsUsed) wrong.push(`history: ${history.used} rings in use, ${ringsUsed} owned`);
  return wrong;
}
