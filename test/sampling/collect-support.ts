import { join } from 'node:path';
import type { Snapshot } from '../../lib/contract/heartbeat.js';
import { type WorkerRecord, writeRecord } from '../../lib/workers/records.js';
import { workerRecord } from '../harness/worker-record.js';
import type { FakeHost } from './fake-host.js';

export const workerOf = (snapshot: Snapshot, id: string) => {
  const worker = snapshot.workers.find((each) => each.id === id);
  if (!worker) throw new Error(`no ${id} among ${snapshot.workers.map((each) => each.id).join(', ') || 'none'}`);
  return worker;
};

/** Writes the record of a worker of the host as `run` does. */
export async function recordOn(
  host: FakeHost,
  over: Partial<WorkerRecord> & Pick<WorkerRecord, 'group' | 'instance'>,
): Promise<WorkerRecord> {
  const whole = workerRecord({
    cgroup: join(host.cgroupRoot, 'hivepulse.slice', over.group, over.instance),
    ...over,
  });
  await writeRecord(host.runtimeDir, whole);
  return whole;
}
