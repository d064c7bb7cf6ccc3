/** Words for GPUs that are not there, or not known: the one place that distinguishes the two for people. Pure. */
import type { HiveView } from '../contract/api.js';
import { type GpuReaderName, gpuReaderLabels } from '../contract/enums.js';
import type { Collection, WorkerSample } from '../contract/heartbeat.js';
import { formatAge } from './units.js';

export interface AbsenceText {
  /** Some words for a cell. */
  readonly text: string;
  /** A sentence without a capital and a full stop; null where there is nothing to add. */
  readonly reason: string | null;
  readonly unknown: boolean;
  /** Of the text, where it is known: `since 14 s`. */
  readonly since: string | null;
}

type GpuKnowledgeOf = Pick<HiveView, 'gpusKnown' | 'gpusReason'> & { readonly gpus: readonly unknown[] };

/** Of a hive or a snapshot without a row for any GPU; null where there are rows. `ageMs`: of the last answer about GPUs. */
export function hiveGpusText(
  { gpus, gpusKnown, gpusReason }: GpuKnowledgeOf,
  ageMs: number | null = null,
): AbsenceText | null {
  if (gpus.length > 0) return null;
  if (gpusKnown === 'none') return { text: 'no GPU', reason: gpusReason, unknown: false, since: null };
  return unknownGpus(gpusReason, ageMs);
}

/** Of a worker of which no GPU is known, or only inferred; null where it holds some. */
export function workerGpusText(
  { gpus, gpusReason, gpusInferred }: Pick<WorkerSample, 'gpus' | 'gpusReason' | 'gpusInferred'>,
  ageMs: number | null = null,
): AbsenceText | null {
  if (gpusInferred != null && gpus.length > 0)
    return { text: `${gpus.length} inferred`, reason: gpusReason ?? null, unknown: true, since: null };
  if (gpus.length > 0) return null;
  if (gpusReason == null) return { text: 'no GPU', reason: null, unknown: false, since: null };
  return unknownGpus(gpusReason, ageMs);
}

/** Of a fleet without a row for any GPU: `GPUs of host-1: unknown (the driver does not answer)`; null where all hives know. */
export const fleetGpusText = (hives: readonly (GpuKnowledgeOf & Pick<HiveView, 'id'>)[]): string | null =>
  textOfHosts('GPUs', hives, (hive) => {
    const absence = hiveGpusText(hive);
    return absence?.unknown ? `unknown (${absence.reason})` : null;
  });

/** Of a fleet without a worker: `workers of host-1: incomplete (...)`; null where all lists are whole. */
export const fleetWorkersText = (
  hives: readonly Pick<HiveView, 'id' | 'workersComplete' | 'gpusKnown'>[],
): string | null =>
  textOfHosts('workers', hives, (hive) => {
    const missing = missingWorkersText(hive);
    return missing === null ? null : `incomplete (${missing})`;
  });

/** `GPUs of host-1, and of 2 more: ...` of those hosts of which there is something to say; null: of none. */
function textOfHosts<T extends Pick<HiveView, 'id'>>(
  what: string,
  hives: readonly T[],
  textOf: (hive: T) => string | null,
): string | null {
  const found = hives.flatMap((hive) => {
    const text = textOf(hive);
    return text === null ? [] : [{ id: hive.id, text }];
  });
  const [first, ...others] = found;
  if (first === undefined) return null;
  const more = others.length === 0 ? '' : `, and of ${others.length} more`;
  return `${what} of ${first.id}${more}: ${first.text}`;
}

/** Why something of workers is not known where their list is not whole. */
export const unreadTreeText = 'part of the cgroup tree could not be read';

/** Why a list of workers may lack some: a sentence without a capital and a full stop; null where it is whole. */
export function missingWorkersText({
  workersComplete,
  gpusKnown,
}: Pick<HiveView, 'workersComplete' | 'gpusKnown'>): string | null {
  if (!workersComplete) return unreadTreeText;
  return gpusKnown === 'unknown' ? 'workers that only their GPUs show cannot be found' : null;
}

/** `3`, or `3+` where there may be more. */
export const workerCountText = (hive: Pick<HiveView, 'workerCount' | 'workersComplete' | 'gpusKnown'>): string =>
  `${hive.workerCount}${missingWorkersText(hive) === null ? '' : '+'}`;

/** Behind the heading of a list of workers. */
export function incompleteText(list: Pick<HiveView, 'workersComplete' | 'gpusKnown'>): string {
  const missing = missingWorkersText(list);
  return missing === null ? '' : ` (incomplete: ${missing})`;
}

/** Names of the readers at work: one, or that of each vendor whose GPUs are read in another way. */
export const gpuReadersOf = ({ gpuReader, gpuReaders }: Collection): readonly GpuReaderName[] =>
  gpuReaders !== undefined && gpuReaders.length > 0 ? gpuReaders : [gpuReader];

export const gpuReadersText = (collection: Collection): string =>
  gpuReadersOf(collection)
    .map((name) => gpuReaderLabels[name] ?? name)
    .join(', ');

/** How many GPUs there are; unknown, not 0, where those that are listed are none and a hive may have some. */
export const gpuTotal = (listed: number, unknownHives: number): number | null =>
  listed === 0 && unknownHives > 0 ? null : listed;

/** One line of it: `GPUs: unknown since 14 s (the driver does not answer)`. */
export const absenceLine = ({ text, reason }: AbsenceText): string =>
  `GPUs: ${text}${reason === null ? '' : ` (${reason})`}`;

function unknownGpus(reason: string | null, ageMs: number | null): AbsenceText {
  // The last answer is always a little old.
  const since = ageMs === null || ageMs < 2000 ? null : `since ${formatAge(ageMs)}`;
  const text = since === null ? 'unknown' : `unknown ${since}`;
  return { text, reason: reason ?? 'the hive does not say why', unknown: true, since };
}
