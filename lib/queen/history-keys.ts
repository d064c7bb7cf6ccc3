import type { Indexes } from './indexes.js';
import { workerKey } from './records.js';

/** Under which key the history of a thing is kept over a restart. */
export const historyKey = {
  hive: (id: string): string => `h ${id}`,
  gpu: (uuid: string): string => `g ${uuid}`,
  worker: (key: string): string => `w ${key}`,
  /** Of what its engine reports. */
  serving: (key: string): string => `s ${key}`,
};

/** All rings in use: hosts first, then GPUs, then workers. */
export function* ringsOf(indexes: Indexes): Generator<readonly [key: string, ring: number], void> {
  for (const { id, ring } of indexes.hives.values()) yield [historyKey.hive(id), ring];
  for (const { gpuOrder } of indexes.hives.values())
    for (const { current, ring } of gpuOrder) yield [historyKey.gpu(current.uuid), ring];
  for (const { workerOrder } of indexes.hives.values())
    for (const worker of workerOrder) {
      const key = workerKey(worker);
      yield [historyKey.worker(key), worker.ring];
      if (worker.servingRing >= 0) yield [historyKey.serving(key), worker.servingRing];
    }
}
