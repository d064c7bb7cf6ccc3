import type { Fault, WorkerSample } from '../contract/heartbeat.js';
import type { RawPass, WorkerFile } from '../native/layout.js';
import type { RawRow } from './rates.js';
import type { Tracked } from './tracked.js';
import type { WorkerProcess } from './worker.js';
import { addFileFaults, hiddenFault, stalledFault } from './worker-faults.js';

/** A row of a pass in which its worker lives. */
export interface LiveRow {
  readonly tracked: Tracked;
  readonly row: RawRow;
  readonly processes: readonly WorkerProcess[] | null;
}

/** What is wrong with one worker; to `missing` go files that the kernel does not offer. */
export function addFaults(
  found: { readonly faults: Fault[]; readonly missing: Set<WorkerFile> },
  { live, pass, sample }: { live: LiveRow; pass: RawPass | null; sample: WorkerSample },
): void {
  const { tracked, processes } = live;
  const { faults } = found;
  if (tracked.stalled) faults.push(stalledFault(sample));
  if (tracked.hidden > 0) faults.push(hiddenFault(sample.id, tracked.hidden, processes?.length ?? 0));
  if (pass !== null && tracked.slot !== null) {
    addFileFaults(pass, tracked.slot, sample.id, found);
  }
  if (tracked.server.fault !== null) faults.push({ ...tracked.server.fault, workerId: sample.id });
}
