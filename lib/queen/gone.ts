/** What becomes missing, and what is missing no longer, as heartbeats come or stay away. */
import type { MissingReason } from '../contract/missing.js';
import type { Delta, GpuDelta } from './ingest.js';
import type { MissingItems } from './missing.js';
import { type GpuRecord, type HiveRecord, type WorkerRecord, workerKey } from './records.js';
import { gpuView, hiveView, workerView } from './views.js';

/** After a heartbeat: what it brings back is missing no longer, and what it leaves out is. */
export function noteHeartbeat(
  missing: MissingItems,
  hive: HiveRecord,
  joined: boolean,
  workers: Delta,
  gpus: GpuDelta,
  nowMs: number,
): void {
  for (const worker of workers.appeared) missing.returned('worker', workerKey(worker), hive.id);
  for (const worker of workers.removed) keepWorker(missing, worker, 'notReported', nowMs);
  for (const { sample } of gpus.appeared) missing.returned('gpu', sample.uuid, hive.id);
  for (const gpu of gpus.removed) keepGpu(missing, gpu, 'notReported', nowMs);
  if (joined) missing.hiveReturned(hive.id);
}

/** Before a hive that is silent is forgotten: its last values, and those of its GPUs and workers. */
export function keepHive(missing: MissingItems, hive: HiveRecord, nowMs: number): void {
  const reason = hive.info.state === 'stopping' ? 'stopped' : 'silent';
  missing.add('hive', hive.id, reason, hiveView(hive, nowMs));
  for (const gpu of hive.gpuOrder) keepGpu(missing, gpu, reason, nowMs);
  for (const worker of hive.workerOrder) keepWorker(missing, worker, reason, nowMs);
}

function keepWorker(missing: MissingItems, worker: WorkerRecord, reason: MissingReason, nowMs: number): void {
  missing.add('worker', workerKey(worker), reason, workerView(worker, nowMs));
}

/** A MIG device goes whenever its GPU is cut anew: it is not lost. What another hive says of the same GPU changes nothing. */
function keepGpu(missing: MissingItems, gpu: GpuRecord, reason: MissingReason, nowMs: number): void {
  const { uuid, parentUuid } = gpu.sample;
  if (parentUuid === null) missing.add('gpu', uuid, reason, gpuView(gpu, nowMs));
}
