import type { Heartbeat } from '../contract/heartbeat.js';
import type { ChangedCells } from '../contract/stream/cells.js';
import type { HistoryStore } from './history.js';
import type { Indexes } from './indexes.js';
import { addServing, type Delta, markParents, mergeInto, type Serving, takePlace } from './ingest.js';
import { mergeGpu } from './merge.js';
import type { WorkerRecord } from './records.js';
import type { RequestRouting } from './request-routing.js';
import { changeBits, type StreamBase } from './stream-base.js';

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
  /** Those of rows that are in the text are not among them. */
  readonly cells: ChangedCells;
  readonly seq: number;
  /** Null: nothing but numbers. */
  readonly text: ChangedText | null;
}

/** What of the workers of one hive is different (`changeBits`); used for one heartbeat after the other. */
let changes = new Uint8Array(64);

function changesOf(workers: number): Uint8Array {
  if (changes.length < workers) changes = new Uint8Array(2 * workers);
  return changes;
}

/** Checks the numbers that changed, row by row, before anything is written. @throws ImplausibleDelta, StreamCodecError */
export function checkCells(base: StreamBase, cells: ChangedCells): void {
  const { plan, state } = base;
  for (let i = 0; i < cells.rowCount; i++) {
    const row = cells.row(i);
    const [begin, end] = [cells.begin(i), cells.end(i)];
    const rowPlan = state.ofType(row, plan.rows);
    rowPlan.check(state.values, state.offsetOf(row), cells, begin, end, base.missingIn(row, rowPlan));
  }
}

/** What engines report of the load of a worker now; null: nothing. */
function servingOf({ plan, state }: StreamBase, { current }: WorkerRecord, i: number): Serving | null {
  if (current.serving == null) return null;
  const { running, waiting, waitingTokens, kvPercent, ...figures } = plan.figures.worker;
  const { values } = state;
  const first = state.offsetOf(state.firstWorker + i);
  return {
    running: running.of(values, first, current),
    waiting: waiting.of(values, first, current),
    waitingTokens: waitingTokens.of(values, first, current),
    kvPercent: kvPercent.of(values, first, current),
    promptTokensPerSecond: figures.promptTokensPerSecond.of(values, first, current),
    generationTokensPerSecond: figures.generationTokensPerSecond.of(values, first, current),
    ageMs: figures.ageMs.of(values, first, current),
  };
}

/** Where the rows of a hive are merged into. */
export interface Kept {
  readonly indexes: Indexes;
  readonly histories: HistoryStore;
  readonly routing: RequestRouting;
}

/** Merges what engines say of their load; the workers of which something is different. */
export function mergeLoads(base: StreamBase, { cells }: HeartbeatChange, { routing }: Kept, nowMs: number) {
  const { workers, hive } = base;
  const changesHere = changesOf(workers.length);
  base.keep(cells, changesHere);
  const changed: WorkerRecord[] = [];
  hive.sums.clearWorkers();
  workers.forEach((worker, i) => {
    const serving = servingOf(base, worker, i);
    hive.sums.addWorker(serving?.generationTokensPerSecond ?? null);
    if (changesHere[i] === 0) return;
    changed.push(worker);
    routing.observe(worker, serving, nowMs);
  });
  changesHere.fill(0, 0, workers.length);
  return changed;
}

/** Merges what changed: the same as merging the whole heartbeat. */
export function mergeChange(
  base: StreamBase,
  change: HeartbeatChange,
  { indexes, histories, routing }: Kept,
  nowMs: number,
): Delta {
  const { hive, workers } = base;
  const { text, cells } = change;
  const delta: Delta = { changed: [], appeared: [], removed: [], stateChanged: [], gpusChanged: false };
  const number = hive.heartbeats;
  const changesHere = changesOf(workers.length);
  const isRoomChanged = base.keep(cells, changesHere);
  hive.memoryAvailableBytes = figuresOfHost(base).memoryAvailableBytes;
  delta.isRoomSame = !isRoomChanged && text === null;
  const rows = text?.workers ?? [];
  let next = 0;
  hive.sums.clearWorkers();
  for (let i = 0; i < workers.length; i++) {
    const worker = workers[i]!;
    const change = changesHere[i]!;
    changesHere[i] = 0;
    if (rows[next]?.[0] === i) mergeInto(indexes, worker, rows[next++]![1], delta);
    else if (change !== 0) {
      delta.changed.push(worker);
      if ((change & changeBits.code) !== 0) mergeCodes(base, i, indexes, delta);
    }
    worker.picks = 0;
    worker.unseenSinceMs = null;
    worker.namedIn = number;
    addWorker(base, i, histories, routing, nowMs);
  }
  if (text !== null) mergeText(base, text);
  addGpus(base, histories, number, nowMs);
  return delta;
}

/** Takes over the words of a worker that came as numbers. */
function mergeCodes({ plan, state, workers }: StreamBase, i: number, indexes: Indexes, delta: Delta): void {
  const worker = workers[i]!;
  const { current } = worker;
  const { model, models, state: former, reservationId } = current;
  plan.rows.worker.writeCodes(current, state.values, state.offsetOf(state.firstWorker + i));
  takePlace(indexes, worker, { model, models, state: former, reservationId }, delta);
}

export type HostFigures = Pick<Heartbeat['host'], 'cpuPercent' | 'memoryAvailableBytes' | 'load1'>;

export function figuresOfHost({ plan, state, hive }: StreamBase): HostFigures {
  const { cpuPercent, memoryAvailableBytes, load1 } = plan.figures.head;
  const { values } = state;
  const { head } = hive;
  return {
    cpuPercent: cpuPercent.of(values, 0, head),
    memoryAvailableBytes: memoryAvailableBytes.of(values, 0, head),
    load1: load1.of(values, 0, head),
  };
}

function addWorker(base: StreamBase, i: number, histories: HistoryStore, routing: RequestRouting, nowMs: number): void {
  const { plan, state, hive, workers } = base;
  const worker = workers[i]!;
  const { current } = worker;
  const { cpuPercent, workingSetBytes, memoryBytes, gpuUtilizationPercent, vramUsedBytes } = plan.figures.worker;
  const { values } = state;
  const first = state.offsetOf(state.firstWorker + i);
  histories.add(
    worker.ring,
    nowMs,
    cpuPercent.of(values, first, current),
    workingSetBytes.of(values, first, current) ?? memoryBytes.of(values, first, current),
    gpuUtilizationPercent.of(values, first, current),
    vramUsedBytes.of(values, first, current),
  );
  const serving = servingOf(base, worker, i);
  addServing(histories, worker, serving, nowMs);
  hive.sums.addWorker(serving?.generationTokensPerSecond ?? null);
  routing.observe(worker, serving, nowMs);
}

function addGpus({ plan, state, hive, gpus }: StreamBase, histories: HistoryStore, number: number, nowMs: number) {
  const { utilizationPercent, memoryUsedBytes, powerWatts, temperatureCelsius } = plan.figures.gpu;
  const { values } = state;
  hive.sums.clearGpus();
  for (let i = 0; i < gpus.length; i++) {
    const gpu = gpus[i]!;
    const { current, ring } = gpu;
    gpu.namedIn = number;
    gpu.unseenSinceMs = null;
    const first = state.offsetOf(state.firstGpu + i);
    const utilization = utilizationPercent.of(values, first, current);
    const watts = powerWatts.of(values, first, current);
    histories.add(
      ring,
      nowMs,
      utilization,
      memoryUsedBytes.of(values, first, current),
      watts,
      temperatureCelsius.of(values, first, current),
    );
    hive.sums.addGpu(current.parentUuid, utilization, watts);
  }
}

function mergeText({ hive, gpus }: StreamBase, text: ChangedText): void {
  if (text.faults !== null) hive.faults = text.faults;
  for (const [i, row] of text.gpus) mergeGpu(gpus[i]!.sample, row);
  markParents(hive);
}
