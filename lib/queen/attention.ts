import { type AttentionSource, maxOfHive } from '../present/attention.js';
import { causeOfHealth } from '../present/severity.js';
import type { Indexes } from './indexes.js';
import type { HiveRecord, WorkerRecord } from './records.js';
import { hiveView, workerView } from './views.js';

const isTroubled = ({ liveness, faults, gpuOrder }: HiveRecord): boolean =>
  liveness !== 'online' || faults.length > 0 || gpuOrder.some(({ current }) => causeOfHealth(current.health) !== null);

/** The hives of which something is wrong: of all others nothing is copied. */
export function* troubled(indexes: Indexes, nowMs: number): Generator<AttentionSource, void> {
  const stalled = new Map<HiveRecord, WorkerRecord[]>();
  for (const worker of indexes.byState.get('stalled')) {
    const known = stalled.get(worker.hive);
    if (known === undefined) stalled.set(worker.hive, [worker]);
    // Of no host more are shown.
    else if (known.length <= maxOfHive) known.push(worker);
  }
  for (const hive of indexes.hives.values()) {
    const workers = stalled.get(hive);
    if (workers === undefined && !isTroubled(hive)) continue;
    yield { view: hiveView(hive, nowMs), workers: (workers ?? []).map((worker) => workerView(worker, nowMs)) };
  }
}
