import { nullImplausible, plausibleCheck, plausibleRules } from '../contract/fields/plausible.js';
import { servingFields } from '../contract/fields/serving.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Fault, WorkerSample } from '../contract/heartbeat.js';

const rules = { worker: plausibleRules(workerFields), serving: plausibleRules(servingFields) };
const areChecked = { worker: plausibleCheck(rules.worker), serving: plausibleCheck(rules.serving) };

/** Whether every number of it can be: most pass here, at little cost. */
const isPlausible = (sample: WorkerSample): boolean =>
  areChecked.worker(sample) && (sample.serving == null || areChecked.serving(sample.serving));

/** Sets to null what no worker can have, with a fault for each. */
export function implausible(sample: WorkerSample): readonly Fault[] {
  if (isPlausible(sample)) return [];
  const faults: Fault[] = [];
  const check = (source: string, who: string, of: (typeof rules)['worker'], item: object) =>
    nullImplausible(of, item, (field, value) =>
      faults.push({
        ...{ source, code: 'IMPLAUSIBLE', field, workerId: sample.id },
        message: `${who} says ${value} for ${field}.`,
      }),
    );
  check('cgroup', 'The kernel', rules.worker, sample);
  if (sample.serving != null) check('engine', 'Its engine', rules.serving, sample.serving);
  return faults;
}
