/** Hosts, GPUs and models as rows of tables, and by what they are grouped. Pure. */
import type { HiveView, Liveness, WorkerView } from '../../contract/api.js';
import type { GpuSample } from '../../contract/heartbeat.js';
import { modelsOf } from '../../contract/models.js';
import { gpuKind } from '../../present/gpu-names.js';
import { type GpuTotals, gpuTotals } from '../../present/host-figures.js';
import { type ModelRow as ModelRowOf, modelRow, saidBy, workersByModel } from '../../present/model-rows.js';
import { hasWords, labelTexts } from '../../present/search.js';
import { cordonedStyle, gpuStyle, hiveStateStyles, livenessStyles, styleOf } from '../../present/status.js';

/** What the GPUs of hosts that are heard do together. */
export const heardGpuTotals = (views: readonly Pick<HiveView, 'gpus' | 'liveness'>[]): GpuTotals =>
  gpuTotals(views.filter(({ liveness }) => liveness !== 'offline'));

/** Whether the words of a filter are in what the screen says of a host. */
export const hiveHasWords = (words: readonly string[], view: HiveView): boolean =>
  words.length === 0 ||
  hasWords(words, [
    view.id,
    view.hostname,
    ...new Set(view.gpus.map(({ name }) => name)),
    ...labelTexts(view.labels),
    livenessStyles[view.liveness].word,
    ...(view.state === 'ready' ? [] : [styleOf(hiveStateStyles, view.state).word]),
    ...(view.cordon === undefined ? [] : [cordonedStyle.word]),
  ]);

export interface GpuRow {
  /** `hive/uuid` */
  readonly key: string;
  readonly hive: string;
  readonly labels: HiveView['labels'];
  readonly gpu: HiveView['gpus'][number];
  readonly host: HiveView['host'];
  readonly liveness: Liveness;
  /** Those that hold it. */
  readonly workers: readonly WorkerView[];
}

export const gpuRowsOf = (view: HiveView, workers: readonly WorkerView[]): GpuRow[] =>
  view.gpus.map((gpu) => ({
    key: `${view.id}/${gpu.uuid}`,
    hive: view.id,
    labels: view.labels,
    gpu,
    host: view.host,
    liveness: view.liveness,
    workers: workers.filter(({ gpus }) => gpus.some(({ uuid }) => uuid === gpu.uuid)),
  }));

/** How many workers hold it; null where its driver does not list its processes now. */
export const holdersOf = ({ gpu, workers }: GpuRow): number | null =>
  workers.length === 0 && gpu.processCount === null ? null : workers.length;

export const gpuHasWords = (words: readonly string[], row: GpuRow): boolean =>
  words.length === 0 ||
  hasWords(words, [
    row.hive,
    `GPU ${row.gpu.index}`,
    row.gpu.uuid,
    row.gpu.name,
    gpuStyle({ health: row.gpu.health, liveness: row.liveness }).word,
    ...labelTexts(row.labels),
    ...row.workers.flatMap((worker) => [worker.id, ...modelsOf(worker)]),
  ]);

export interface ModelRow extends ModelRowOf {
  /** Replicas that say what they have to do. */
  readonly reporting: number;
}

/** One row for each name that clients may ask for. */
export const modelRows = (workers: Iterable<WorkerView>): ModelRow[] =>
  Array.from(workersByModel(workers), ([name, all]) => ({ ...modelRow(name, all), reporting: saidBy(all).length }));

/** Hosts below one heading; a name of '' is that of all, where they are not grouped. */
export interface HiveGroup {
  readonly name: string;
  readonly text: string;
  readonly views: readonly HiveView[];
}

/** `model`, `gpu`, or `label:zone`. */
export type GroupBy = string;
const maxLabelKeys = 30;

/** What rows can be grouped by: keys of labels that any host has. */
export function labelKeysOf(views: Iterable<Pick<HiveView, 'labels'>>): string[] {
  const keys = new Set<string>();
  for (const { labels } of views) for (const key in labels) keys.add(key);
  return [...keys].sort().slice(0, maxLabelKeys);
}

interface Grouped {
  readonly labels: HiveView['labels'];
  readonly gpus: readonly Pick<GpuSample, 'name'>[];
  readonly workers: readonly WorkerView[];
}

/** The groups that a host or a GPU is in. */
export function groupNamesOf(by: GroupBy, { labels, gpus, workers }: Grouped): readonly string[] {
  if (by === 'gpu') return gpus.map(gpuKind);
  if (by === 'model') return workers.flatMap(modelsOf);
  const value = by.startsWith('label:') ? labels[by.slice(6)] : undefined;
  return value === undefined ? [] : [`${by.slice(6)}=${value}`];
}

/** Of rows that are in no group. */
export const noGroupText = (by: GroupBy): string =>
  by === 'gpu' ? 'No GPU' : by === 'model' ? 'No model' : `Without the label ${by.slice(6)}`;
