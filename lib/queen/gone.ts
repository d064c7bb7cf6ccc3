/** What becomes missing, and what is missing no longer, as heartbeats come or stay away. */
import type { MissingReason } from '../contract/missing.js';
import type { Indexes } from './indexes.js';
import type { Delta, GpuDelta } from './ingest.js';
import type { MissingItems } from './missing.js';
import { type GpuRecord, type HiveRecord, type WorkerRecord, workerKey } from './records.js';
import { gpuView, workerView } from './views.js';

/** After a heartbeat: what it brings back is missing no longer, and what it leaves out is. */
export function noteHeartbeat(
  missing: MissingItems,
  indexes: Indexes,
  hive: HiveRecord,
  joined: boolean,
  workers: Delta,
  gpus: GpuDelta,
  nowMs: number,
): void {
  for (const worker of workers.appeared) missing.returned('worker', workerKey(worker), hive.id);
  for (const worker of workers.removed) keepWorker(missing, worker, 'notReported', nowMs);
  const { owner } = hive.charge;
  for (const { sample } of gpus.appeared) {
    missing.returned('gpu', sample.uuid, hive.id);
    missing.moved(sample.uuid, hive.id, owner);
  }
  for (const gpu of gpus.removed) keepGpu(missing, indexes, gpu, 'notReported', nowMs);
  if (joined) missing.hiveReturned(hive.id, owner, (uuid) => isElsewhere(indexes, uuid, hive));
}

/** Why a hive is missing that is heard no longer, with all of it. */
export const missingReasonOf = ({ info }: HiveRecord): MissingReason =>
  info.state === 'stopping' ? 'stopped' : 'silent';

export function keepWorker(missing: MissingItems, worker: WorkerRecord, reason: MissingReason, nowMs: number): void {
  missing.add('worker', workerKey(worker), reason, workerView(worker, nowMs), worker.hive.charge.owner);
}

/**
 * A MIG device goes whenever its GPU is cut anew: it is not lost. A card that the same token reports from another host was moved
 * there; what the hive of another token says of it changes nothing.
 */
export function keepGpu(
  missing: MissingItems,
  indexes: Indexes,
  gpu: GpuRecord,
  reason: MissingReason,
  nowMs: number,
): void {
  const { uuid, parentUuid } = gpu.sample;
  if (parentUuid !== null || isElsewhere(indexes, uuid, gpu.hive)) return;
  missing.add('gpu', uuid, reason, gpuView(gpu, nowMs), gpu.hive.charge.owner);
}

/** Another hive that is heard, of the same token (without tokens: address), has this GPU. */
const isElsewhere = (indexes: Indexes, uuid: string, hive: HiveRecord): boolean =>
  indexes
    .claimsOf(uuid)
    .some(
      (other) =>
        other.hive !== hive && other.hive.liveness !== 'offline' && other.hive.charge.owner === hive.charge.owner,
    );
