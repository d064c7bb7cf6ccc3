import type { GpuView, HiveView, WorkerView } from '../contract/api.js';
import { copyGpu, viewGpu, viewWorker } from './merge.js';
import { type GpuRecord, type HiveRecord, type WorkerRecord, workerKey } from './records.js';

/** Views are copies of one item: what a reader holds never changes under it. Nested values are shared, and never written. */

const copiesOf = ({ gpuOrder }: HiveRecord): HiveView['gpus'] => gpuOrder.map((gpu) => copyGpu(gpu.sample));

export function hiveView(hive: HiveRecord, nowMs: number, gpus = copiesOf(hive)): HiveView {
  const info = hive.info;
  return {
    id: info.id,
    hostname: info.hostname,
    version: info.version,
    incarnation: info.incarnation,
    startedAt: info.startedAt,
    address: info.address,
    labels: info.labels,
    state: info.state,
    hive: hive.id,
    liveness: hive.liveness,
    ageMs: Math.max(0, nowMs - hive.heardAtMs),
    intervalMs: hive.intervalMs,
    host: hive.host,
    workerCount: hive.workers.size,
    gpusKnown: hive.gpusKnown,
    gpusReason: hive.gpusReason,
    gpus,
    workersComplete: hive.workersComplete,
    ...(hive.cordon !== null && { cordon: hive.cordon }),
    faults: hive.faults as HiveView['faults'],
    collection: hive.collection,
  };
}

export function workerView(worker: WorkerRecord, nowMs: number): WorkerView {
  const { sample, hive, unseenSinceMs } = worker;
  const ageMs = Math.max(0, nowMs - (unseenSinceMs ?? hive.heardAtMs));
  return viewWorker(sample, hive.id, hive.liveness, ageMs, workerKey(worker)) as WorkerView;
}

export function gpuView({ sample, hive, unseenSinceMs, freeBytes }: GpuRecord, nowMs: number): GpuView {
  const ageMs = Math.max(0, nowMs - (unseenSinceMs ?? hive.heardAtMs));
  return viewGpu(sample, hive.id, hive.liveness, ageMs, freeBytes) as GpuView;
}
