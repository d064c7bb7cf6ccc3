import { nullImplausible, plausibleCheck, plausibleRules } from '../contract/fields/plausible.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Fault, WorkerSample } from '../contract/heartbeat.js';

const workerRules = plausibleRules(workerFields);
const isPlausible = plausibleCheck(workerRules);

/** Sets to null what no worker can have, and says so. */
export function implausible(sample: WorkerSample): readonly Fault[] {
  if (isPlausible(sample)) return [];
  const faults: Fault[] = [];
  nullImplausible(workerRules, sample, (field, value) =>
    faults.push({
      source: 'cgroup',
      code: 'IMPLAUSIBLE',
      field,
      message: `The kernel says ${value} for ${field}.`,
      workerId: sample.id,
    }),
  );
  return faults;
}
