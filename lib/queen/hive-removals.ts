import type { HiveView } from '../contract/api.js';
import type { EventPublisher } from './event-publisher.js';
import type { FleetBudget } from './fleet-budget.js';
import { keepGpu, keepWorker, missingReasonOf } from './gone.js';
import type { HistoryStore } from './history.js';
import type { Indexes } from './indexes.js';
import { forgetGpu, forgetWorker } from './ingest.js';
import type { MissingItems } from './missing.js';
import type { HiveRecord } from './records.js';
import { hiveView } from './views.js';

/** Why a hive goes: an admin's act leaves nothing of it among what is missing. */
export type RemovalReason = 'silent' | 'admin';

interface RemovalDeps {
  readonly indexes: Indexes;
  readonly histories: HistoryStore;
  readonly missing: MissingItems;
  readonly budget: FleetBudget;
  readonly publisher: EventPublisher;
}

/**
 * Takes hives out of all that a registry holds, of a large one a part at a time: its GPUs, then its workers, last itself. Until
 * then every index is sound, and the hive is one with fewer of both.
 */
export class HiveRemovals {
  readonly #deps: RemovalDeps;
  /** Hives of which a part is gone, as they were before. */
  readonly #begun = new Map<HiveRecord, HiveView>();

  constructor(deps: RemovalDeps) {
    this.#deps = deps;
  }

  hasBegun(hive: HiveRecord): boolean {
    return this.#begun.has(hive);
  }

  /** Of a hive so many GPUs and workers, and it itself once it has none. Gives how many those were, and whether it is gone. */
  remove(hive: HiveRecord, reason: RemovalReason, maxRows: number, nowMs: number): { rows: number; isGone: boolean } {
    const { indexes } = this.#deps;
    const last = this.#begun.get(hive) ?? this.#begin(hive, nowMs);
    const gpus = this.#removeGpus(hive, reason, maxRows, nowMs);
    const rows = gpus + this.#removeWorkers(hive, reason, maxRows - gpus, nowMs);
    const isGone = hive.gpus.size + hive.workers.size === 0;
    if (isGone) this.#end(hive, reason, last);
    else indexes.totals.update(hive);
    return { rows: isGone ? rows + 1 : rows, isGone };
  }

  #begin(hive: HiveRecord, nowMs: number): HiveView {
    hive.endStream();
    // A delta of its stream refers to rows of which some are gone now: it needs a whole heartbeat.
    hive.heartbeats++;
    const last = hiveView(hive, nowMs);
    this.#begun.set(hive, last);
    return last;
  }

  #removeGpus(hive: HiveRecord, reason: RemovalReason, most: number, nowMs: number): number {
    const { indexes, histories, missing } = this.#deps;
    const part = hive.gpuOrder.splice(0, most);
    for (const gpu of part) {
      if (reason === 'silent') keepGpu(missing, indexes, gpu, missingReasonOf(hive), nowMs);
      forgetGpu(indexes, histories, gpu);
    }
    return part.length;
  }

  #removeWorkers(hive: HiveRecord, reason: RemovalReason, most: number, nowMs: number): number {
    const { indexes, histories, missing } = this.#deps;
    // The last ones first: none of those that stay moves in the order.
    const part = most > 0 ? hive.workerOrder.slice(-most).reverse() : [];
    for (const worker of part) {
      if (reason === 'silent') keepWorker(missing, worker, missingReasonOf(hive), nowMs);
      forgetWorker(indexes, histories, worker);
    }
    return part.length;
  }

  #end(hive: HiveRecord, reason: RemovalReason, last: HiveView): void {
    const { indexes, histories, missing, budget, publisher } = this.#deps;
    this.#begun.delete(hive);
    histories.close(hive.ring);
    budget.release(hive.charge);
    if (reason === 'silent') {
      missing.add('hive', hive.id, missingReasonOf(hive), last, hive.charge.owner);
      publisher.saveAckedSeq(hive);
    }
    indexes.removeHive(hive);
    publisher.publishHiveEvent('hiveRemoved', hive.id, { reason, workers: last.workerCount });
  }
}
