import type { Heartbeat, WorkerSample } from '../contract/heartbeat.js';
import { memoryOf } from '../present/worker-figures.js';
import type { HistoryStore } from './history.js';
import { historyKey } from './history-keys.js';
import type { IndexedValues, Indexes } from './indexes.js';
import { keepGpu, keepWorker, mergeGpu, mergeWorker, sameLabels, shareGpu } from './merge.js';
import { GpuRecord, type HiveRecord, WorkerRecord, workerKey } from './records.js';
import { hashText } from './request-cost.js';
import type { RequestRouting } from './request-routing.js';
import type { LoadReport } from './worker-load.js';

/** What a merge found to be different. */
export interface Delta {
  readonly changed: WorkerRecord[];
  readonly appeared: WorkerRecord[];
  readonly removed: WorkerRecord[];
  /** Workers whose state is another, with what it was. */
  readonly stateChanged: { readonly worker: WorkerRecord; readonly from: WorkerSample['state'] }[];
  /** Some worker holds other GPUs than before. */
  gpusChanged: boolean;
  /** Nothing changed that a placement or a total goes by. */
  isRoomSame?: boolean;
}

export type Arrival = 'next' | 'recovered' | 'joined' | 'restarted';

/** How a heartbeat was merged, and when. */
export interface Merge {
  readonly arrival: Arrival;
  /** What the hive was before it. */
  readonly before: HiveRecord['liveness'];
  readonly delta: Delta;
  readonly listeningMs: number;
  readonly nowMs: number;
}

/** Merges the workers of a heartbeat into a hive: touches what differs, and makes nothing for a worker that did not change. */
export function mergeWorkers(
  indexes: Indexes,
  history: HistoryStore,
  hive: HiveRecord,
  heartbeat: Heartbeat,
  replaces: boolean,
  nowMs: number,
): Delta {
  const delta: Delta = { changed: [], appeared: [], removed: [], stateChanged: [], gpusChanged: false };
  const number = hive.heartbeats;
  let named = 0;
  let holding = false;
  for (const next of heartbeat.workers) {
    let worker = hive.workers.get(next.id);
    if (!worker) {
      const key = `${hive.id}/${next.id}`;
      const ring = history.open(historyKey.worker(key));
      worker = new WorkerRecord(hive, keepWorker(next), { namedIn: number - 1, hash: hashText(key), ring });
      indexes.addWorker(worker);
      delta.appeared.push(worker);
      delta.changed.push(worker);
    } else {
      if (mergeInto(indexes, worker, next, delta)) holding = true;
      worker.picks = 0;
      worker.unseenSinceMs = null;
    }
    if (worker.namedIn !== number) named++;
    worker.namedIn = number;
    addWorkerHistory(history, worker, nowMs);
  }
  if (named < hive.workers.size) {
    for (const worker of [...hive.workerOrder]) {
      if (worker.namedIn === number) continue;
      if (heartbeat.workersComplete || replaces) {
        forgetWorker(indexes, history, worker);
        delta.removed.push(worker);
      } else worker.unseenSinceMs ??= hive.heardAtMs;
    }
  }
  if (holding || delta.appeared.length > 0 || delta.removed.length > 0) delta.gpusChanged = true;
  return delta;
}

/** Takes over what differs; true where it holds other GPUs than before. */
export function mergeInto(indexes: Indexes, worker: WorkerRecord, next: WorkerSample, delta: Delta): boolean {
  const { sample } = worker;
  const { model, models, state, reservationId, labels } = sample;
  const change = mergeWorker(sample, next);
  if (change === 'none') return false;
  delta.changed.push(worker);
  takePlace(indexes, worker, { model, models, state, reservationId }, delta);
  if (labels !== sample.labels) indexes.setLabels(worker);
  return change === 'entries';
}

/** Once values of a worker are others than these: where it stands in the indexes, and whether its state is another. */
export function takePlace(indexes: Indexes, worker: WorkerRecord, former: IndexedValues, delta: Delta): void {
  indexes.moveWorker(worker, former);
  if (former.state !== worker.current.state) delta.stateChanged.push({ worker, from: former.state });
}

export function addWorkerHistory(history: HistoryStore, worker: WorkerRecord, nowMs: number): void {
  const { ring, sample: s } = worker;
  history.add(ring, nowMs, s.cpuPercent, memoryOf(s), s.gpuUtilizationPercent, s.vramUsedBytes);
  addServing(history, worker, s.serving ?? null, nowMs);
}

export function addGpuHistory(history: HistoryStore, { ring, sample: s }: GpuRecord, nowMs: number): void {
  history.add(ring, nowMs, s.utilizationPercent, s.memoryUsedBytes, s.powerWatts, s.temperatureCelsius);
}

export function forgetWorker(indexes: Indexes, history: HistoryStore, worker: WorkerRecord): void {
  indexes.removeWorker(worker);
  history.close(worker.ring);
  history.close(worker.servingRing);
  worker.ring = worker.servingRing = -1;
}

/** What an engine reports of its load. */
export interface Serving extends LoadReport {
  readonly kvPercent: number | null;
  /** Of the report. */
  readonly ageMs: number | null;
}

/** Only a worker whose engine reports takes a second ring. From then on both get a sample at a time, so that they end together. */
export function addServing(
  history: HistoryStore,
  worker: WorkerRecord,
  serving: Omit<Serving, 'ageMs'> | null,
  nowMs: number,
): void {
  if (worker.servingRing < 0) {
    if (serving === null || worker.ring < 0) return;
    worker.servingRing = history.open(historyKey.serving(workerKey(worker)));
  }
  history.add(
    worker.servingRing,
    nowMs,
    serving?.running ?? null,
    serving?.waiting ?? null,
    serving?.kvPercent ?? null,
    serving?.generationTokensPerSecond ?? null,
  );
}

export interface GpuDelta {
  readonly appeared: readonly GpuRecord[];
  readonly removed: readonly GpuRecord[];
}
const sameGpus: GpuDelta = { appeared: [], removed: [] };

/**
 * Merges the GPUs of a heartbeat: what it does not name is gone, unless the heartbeat named it in a way that could not be read;
 * then it stays as it was. Their room is set afterwards, by who knows the reservations.
 */
export function mergeGpus(
  indexes: Indexes,
  history: HistoryStore,
  hive: HiveRecord,
  heartbeat: Heartbeat,
  replaces: boolean,
  holding: boolean,
  nowMs: number,
): GpuDelta {
  const number = hive.heartbeats;
  let appeared: GpuRecord[] | null = null;
  let removed: GpuRecord[] | null = null;
  let inOrder = heartbeat.gpus.length === hive.gpuOrder.length;
  heartbeat.gpus.forEach((next, index) => {
    let gpu = hive.gpus.get(next.uuid);
    if (!gpu) {
      gpu = new GpuRecord(hive, keepGpu(next), { namedIn: number, ring: history.open(historyKey.gpu(next.uuid)) });
      const first = hive.gpuOrder[0] ?? [...hive.gpus.values()][0];
      if (first) shareGpu(gpu.sample, first.sample);
      indexes.addGpu(gpu);
      appeared ??= [];
      appeared.push(gpu);
    } else mergeGpu(gpu.sample, next);
    gpu.namedIn = number;
    gpu.unseenSinceMs = null;
    if (hive.gpuOrder[index] !== gpu) inOrder = false;
    addGpuHistory(history, gpu, nowMs);
  });
  if (!inOrder) {
    const order = [...new Set(heartbeat.gpus.map((gpu) => hive.gpus.get(gpu.uuid)!))];
    const unread = replaces ? () => false : unreadGpus(heartbeat);
    hive.gpuOrder.forEach((gpu, index) => {
      if (gpu.namedIn === number) return;
      if (!unread(gpu.sample.uuid)) {
        forgetGpu(indexes, history, gpu);
        removed ??= [];
        removed.push(gpu);
        return;
      }
      gpu.unseenSinceMs ??= hive.heardAtMs;
      order.splice(index, 0, gpu);
    });
    hive.gpuOrder = order;
  }
  if (holding || !inOrder) countHolders(hive);
  markParents(hive);
  return appeared === null && removed === null ? sameGpus : { appeared: appeared ?? [], removed: removed ?? [] };
}

/** Which GPUs are cut into MIG devices, listed or not. */
export function markParents(hive: HiveRecord): void {
  let parents: Set<string> | null = null;
  for (const { current } of hive.gpuOrder)
    if (current.parentUuid !== null) {
      parents ??= new Set();
      parents.add(current.parentUuid);
    }
  for (const gpu of hive.gpuOrder) {
    // An older hive has no migMode, and some readers do not list MIG devices: either is enough.
    gpu.isParent = gpu.current.migMode === true || (parents?.has(gpu.current.uuid) ?? false);
  }
}

/** Which GPUs the heartbeat has an entry for that could not be read: any of them, where even the name was unreadable. */
function unreadGpus(heartbeat: Heartbeat): (uuid: string) => boolean {
  const unread = heartbeat.faults.filter(({ source, code }) => source === 'queen' && code === 'MALFORMED_GPU');
  const named = new Set(unread.map(({ gpuUuid }) => gpuUuid));
  return (uuid) => named.has(uuid) || named.has(undefined);
}

/** Counts the workers of each GPU, and lets them refer to its uuid rather than keep their own copy. */
function countHolders(hive: HiveRecord): void {
  for (const gpu of hive.gpuOrder) gpu.workerCount = 0;
  for (const worker of hive.workerOrder)
    for (const use of worker.sample.gpus) {
      const gpu = hive.gpus.get(use.uuid);
      if (!gpu) continue;
      use.uuid = gpu.sample.uuid;
      gpu.workerCount++;
    }
}

export function forgetGpu(indexes: Indexes, history: HistoryStore, gpu: GpuRecord): void {
  indexes.removeGpu(gpu);
  history.close(gpu.ring);
  gpu.ring = -1;
}

/** Once its rows are merged: what they do now, as the history of the fleet has it, and what engines report. */
export function takeFigures({ sums, gpuOrder, workerOrder }: HiveRecord, routing: RequestRouting, nowMs: number): void {
  sums.clearGpus();
  sums.clearWorkers();
  for (const { sample, unseenSinceMs } of gpuOrder)
    if (unseenSinceMs === null) sums.addGpu(sample.parentUuid, sample.utilizationPercent, sample.powerWatts);
  for (const worker of workerOrder) {
    if (worker.unseenSinceMs !== null) continue;
    const serving = worker.sample.serving ?? null;
    sums.addWorker(serving?.generationTokensPerSecond ?? null);
    routing.observe(worker, serving, nowMs);
  }
}

/** Takes the hive's own part of a heartbeat; true where its labels changed, which every worker of it inherits. */
export function mergeHive(hive: HiveRecord, heartbeat: Heartbeat): boolean {
  const relabelled = !sameLabels(hive.info.labels, heartbeat.hive.labels);
  hive.info = heartbeat.hive;
  hive.head.host = heartbeat.host;
  hive.memoryAvailableBytes = heartbeat.host.memoryAvailableBytes;
  hive.faults = heartbeat.faults;
  hive.head.collection = heartbeat.collection;
  hive.gpusKnown = heartbeat.gpusKnown;
  hive.gpusReason = heartbeat.gpusReason;
  hive.workersComplete = heartbeat.workersComplete;
  return relabelled;
}
