import type { HiveView, Liveness, WorkerView } from '../../lib/contract/api.js';
import { storedGpu, storedWorker } from '../../lib/contract/stored.js';
import { SimulatedHive } from './simulated-fleet.js';

/** The rows of a simulated hive, as a queen gives them. */
export const sampleViews = (
  id: string,
  hive = new SimulatedHive({ id, seed: 4, workers: 6, gpus: ['h100', 'a100'] }),
) => {
  hive.nextHeartbeat();
  const heartbeat = hive.nextHeartbeat();
  const provenance = { hive: id, liveness: 'online' as Liveness, ageMs: 0 };
  const view: HiveView = {
    ...heartbeat,
    ...heartbeat.hive,
    ...provenance,
    gpus: heartbeat.gpus.map(storedGpu),
    workerCount: heartbeat.workers.length,
  };
  const workers: WorkerView[] = heartbeat.workers.map((worker) => ({
    ...storedWorker(worker),
    ...provenance,
    key: `${id}/${worker.id}`,
  }));
  return { view, workers, hive };
};
