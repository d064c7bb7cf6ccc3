import type { Heartbeat } from '../contract/heartbeat.js';
import type { ChangedCells } from '../contract/stream/codec.js';
import type { NumericState } from '../contract/stream/state.js';
import type { HistoryStore } from './history.js';
import type { Indexes } from './indexes.js';
import { addGpuHistory, addWorkerHistory, type Delta, markParents, mergeInto } from './ingest.js';
import { mergeGpu } from './merge.js';
import type { GpuRecord, HiveRecord, WorkerRecord } from './records.js';
import type { StreamPlan } from './stream-plan.js';

/** A hive whose heartbeats come as differences, and what it lists: in its own order, and nothing that was kept from before. */
export interface StreamBase {
  readonly hive: HiveRecord;
  readonly gpus: readonly GpuRecord[];
  readonly workers: readonly WorkerRecord[];
  /** The number of the hive's heartbeat that was merged last. Any other number: somebody else has sent one. */
  heartbeats: number;
}

export function streamBaseOf(hive: HiveRecord, { gpus, workers }: Pick<Heartbeat, 'gpus' | 'workers'>): StreamBase {
  return {
    hive,
    gpus: gpus.map(({ uuid }) => hive.gpus.get(uuid)!),
    workers: workers.map(({ id }) => hive.workers.get(id)!),
    heartbeats: hive.heartbeats,
  };
}

/** What of a heartbeat is no number and differs. Rows are whole, and each is that of its place. */
export interface ChangedText {
  readonly gpus: readonly (readonly [place: number, row: Heartbeat['gpus'][number]])[];
  readonly workers: readonly (readonly [place: number, row: Heartbeat['workers'][number]])[];
  readonly events: Heartbeat['events'];
  /** Null: as they were. */
  readonly faults: Heartbeat['faults'] | null;
  /** Memory that the hive is charged for from then on. */
  readonly weight: number;
}

/** What a heartbeat changes, where it lists what the one before did. All of it was checked already. */
export interface HeartbeatChange {
  readonly plan: StreamPlan;
  readonly state: NumericState;
  /** Those of rows that are in the text are not among them. */
  readonly cells: ChangedCells;
  readonly seq: number;
  /** Null: nothing but numbers. */
  readonly text: ChangedText | null;
}

/** The workers of one hive of which something is different; used for one heartbeat after the other. */
let isChanged = new Uint8Array(64);

/** Checks the numbers that changed, row by row, before anything is written. @throws ImplausibleDelta, StreamCodecError */
export function checkCells(base: StreamBase, plan: StreamPlan, state: NumericState, cells: ChangedCells): void {
  for (let i = 0; i < cells.length; ) {
    const row = cells.row(i);
    const end = endOfRow(cells, i);
    plan.rows[state.typeOf(row)].check(itemOf(base, state, row), state.values, state.offsetOf(row), cells, i, end);
    i = end;
  }
}

function endOfRow(cells: ChangedCells, from: number): number {
  const row = cells.row(from);
  let end = from + 1;
  while (end < cells.length && cells.row(end) === row) end++;
  return end;
}

/** What the numbers of a row are written to. */
function itemOf({ hive, gpus, workers }: StreamBase, state: NumericState, row: number): object {
  switch (state.typeOf(row)) {
    case 'head':
      return hive;
    case 'gpu':
      return gpus[row - state.firstGpu]!.sample;
    case 'worker':
      return workers[row - state.firstWorker]!.sample;
    case 'held': {
      const { worker, gpu } = state.holderOf(row);
      return workers[worker]!.sample.gpus[gpu]!;
    }
  }
}

/** Writes the numbers that changed into the records, and nothing else. Marks workers in `isChanged`. */
function writeCells(base: StreamBase, { plan, state, cells }: HeartbeatChange): void {
  const { values } = state;
  let listed = -1;
  for (let i = 0; i < cells.length; ) {
    const row = cells.row(i);
    const end = endOfRow(cells, i);
    const type = state.typeOf(row);
    const rowPlan = plan.rows[type];
    const first = state.offsetOf(row);
    if (type === 'held') {
      const { worker, gpu } = state.holderOf(row);
      const { sample } = base.workers[worker]!;
      // Views share the list and what is in it.
      if (worker !== listed) sample.gpus = sample.gpus.slice();
      listed = worker;
      const held = { ...sample.gpus[gpu]! };
      sample.gpus[gpu] = held;
      if (rowPlan.write(held, values, first, cells, i, end)) isChanged[worker] = 1;
    } else {
      const differs = rowPlan.write(itemOf(base, state, row), values, first, cells, i, end);
      if (differs && type === 'worker') isChanged[row - state.firstWorker] = 1;
    }
    i = end;
  }
}

/** Merges what engines say of their load; the workers of which something is different. */
export function mergeLoads(base: StreamBase, change: HeartbeatChange): WorkerRecord[] {
  const { workers } = base;
  if (isChanged.length < workers.length) isChanged = new Uint8Array(2 * workers.length);
  writeCells(base, change);
  const changed = workers.filter((_, i) => isChanged[i] === 1);
  isChanged.fill(0, 0, workers.length);
  return changed;
}

/** Merges what changed: the same as merging the whole heartbeat. */
export function mergeChange(
  indexes: Indexes,
  history: HistoryStore,
  base: StreamBase,
  change: HeartbeatChange,
  nowMs: number,
): Delta {
  const { hive, gpus, workers } = base;
  const delta: Delta = { changed: [], appeared: [], removed: [], stateChanged: [], gpusChanged: false };
  const number = hive.heartbeats;
  if (isChanged.length < workers.length) isChanged = new Uint8Array(2 * workers.length);
  writeCells(base, change);
  const rows = change.text?.workers ?? [];
  let next = 0;
  for (let i = 0; i < workers.length; i++) {
    const worker = workers[i]!;
    if (rows[next]?.[0] === i) mergeInto(indexes, worker, rows[next++]![1], delta);
    else if (isChanged[i] === 1) delta.changed.push(worker);
    isChanged[i] = 0;
    worker.picks = 0;
    worker.unseenSinceMs = null;
    worker.namedIn = number;
    addWorkerHistory(history, worker, nowMs);
  }
  if (change.text !== null) mergeText(base, change.text);
  for (let i = 0; i < gpus.length; i++) {
    const gpu = gpus[i]!;
    gpu.namedIn = number;
    gpu.unseenSinceMs = null;
    addGpuHistory(history, gpu, nowMs);
  }
  return delta;
}

function mergeText({ hive, gpus }: StreamBase, text: ChangedText): void {
  if (text.faults !== null) hive.faults = text.faults;
  for (const [i, row] of text.gpus) mergeGpu(gpus[i]!.sample, row);
  markParents(hive);
}
