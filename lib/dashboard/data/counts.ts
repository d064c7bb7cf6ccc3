import type { HiveView, Liveness, WorkerView } from '../../contract/api.js';
import { type CountedState, countFleet, type FleetCounts } from '../../contract/counts.js';

/** Counted from what the stream says, so that the bar and the lists below always agree. */
export function countRows(
  hives: Iterable<{ readonly view: HiveView; readonly liveness: Liveness }>,
  workers: Iterable<WorkerView>,
): FleetCounts {
  const offline = new Set<string>();
  const rows = Array.from(hives, ({ view, liveness }) => {
    if (liveness === 'offline') offline.add(view.id);
    return { liveness, gpus: view.gpus };
  });
  return countFleet(rows, states(workers, offline));
}

function* states(
  workers: Iterable<WorkerView>,
  offline: ReadonlySet<string>,
): Generator<readonly [CountedState, number], void> {
  for (const { hive, state } of workers) yield [offline.has(hive) ? 'offline' : state, 1];
}
