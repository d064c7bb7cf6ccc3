/** Words for values that are null: the one place that says of each whether there is none, or why it is not known. Pure. */
import type { EndpointReason, NullReason } from '../contract/enums.js';
import type { FieldTable } from '../contract/fields/field.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { isNullable, known } from '../contract/fields/shape.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Fault, GpuSample, WorkerSample } from '../contract/heartbeat.js';
import { unreadTreeText, workerGpusText } from './knowledge.js';
import { gpuHealthStyles, styleOf } from './status.js';

const words: Readonly<Record<NullReason, string>> = {
  noEarlierReading: 'there is no earlier reading to compare with: it is new, or its counter was reset',
  processesHidden: 'it is summed over processes, and some of them cannot be read',
  processEnded: 'its main process ended while it was read',
  noProcess: 'none of its processes was found',
  uptimeUnknown: 'how long the host is up is not known',
  notInFile: 'the file of its cgroup does not contain it',
  commandUnread: 'its command lines have not been read yet',
  commandWithheld: 'nothing of its command line may be shown',
  engineUnknown: 'no engine is recognized among its processes',
  modelUnnamed: 'the command line of its engine names no model, or several engines name different ones',
  notByGpu: 'a GPU that it holds does not report it per process',
  noCgroup: 'only a worker with a cgroup of its own has it',
  keyNeeded: 'its server asks for a key, which the hive does not have',
  certificateNeeded: 'its server asks for a certificate of its client, which the hive does not have',
  serverUnreachable: 'the hive cannot reach its server, or not it alone',
  serverUnknown: 'its server is not that of a known engine, so the hive cannot ask it',
  socketsUnknown: 'where it listens is not known',
  notListening: 'it listens on no port, so there is nothing to ask',
  onUnixSocket: 'its engine listens on a Unix socket, which is not asked',
  noAnswerYet: 'its server has not answered yet',
  notProbed: 'its readiness is not checked',
};

/** Reasons for which there is no value at all. */
const noValue: ReadonlySet<string> = new Set<NullReason>([
  'serverUnknown',
  'notListening',
  'onUnixSocket',
  'notProbed',
]);

/** Where a value of a worker or GPU was sent, for what explains it. */
export interface NullContext {
  readonly faults: readonly Fault[];
  /** GPUs of the host, for what a worker has of them. */
  readonly gpus: readonly GpuSample[];
  /** Why no GPU is known; null where they are. */
  readonly gpusReason: string | null;
  /** false: a queen keeps workers that this heartbeat did not hold, without the faults of before. */
  readonly workersComplete: boolean;
}

/** Of a worker whose hive is not known. */
export const noContext: NullContext = { faults: [], gpus: [], gpusReason: null, workersComplete: true };

type Values = Readonly<Record<string, unknown>>;

export interface NullText {
  /** false: there is none, and `text` says so. */
  readonly unknown: boolean;
  /** Else why it is not known: a sentence without a capital and a full stop. */
  readonly text: string;
}

const none = (text: string): NullText => ({ unknown: false, text });
const because = (text: string): NullText => ({ unknown: true, text: text.replace(/\.$/, '') });

export const unexplained = 'the hive does not say why';

/** Of a field that is null, by its path: `pressure.cpu`. */
export function workerNullText(worker: WorkerSample, path: string, context: NullContext): NullText {
  const table: FieldTable = workerFields;
  const { absent, reasonIn, otherwise, explainedBy = [] } = table[path.split('.')[0] as string] ?? {};
  const reason = worker.nullReasons?.[path];
  if (reason !== undefined) return (noValue.has(reason) ? none : because)(words[reason as NullReason] ?? reason);
  const other = reasonIn === undefined ? null : (worker as unknown as Values)[reasonIn];
  if (typeof other === 'string') {
    const text = table[reasonIn as string]?.panel?.words?.[other] ?? other;
    return noEndpoint.has(other) ? none(text) : because(text);
  }
  if (absent !== undefined) return none(absent);
  const gpus = reasonIn === 'gpusReason' ? workerGpusText(worker, null) : null;
  if (gpus?.unknown === false) return none(gpus.text);
  const names = [path, ...explainedBy];
  const held = new Set(worker.gpus.map(({ uuid }) => uuid));
  const fault = context.faults.find(({ workerId, gpuUuid, field, code }) => {
    if (workerId !== undefined && workerId !== worker.id) return false;
    if (gpuUuid !== undefined) return held.has(gpuUuid) && isAbout(field, names);
    if (code === 'CGROUP_STALLED') return true;
    return isAbout(field, names);
  });
  if (fault !== undefined) return because(fault.message);
  const lacking = context.gpus.find(
    ({ uuid, unsupported }) => held.has(uuid) && names.some((n) => unsupported.includes(n)),
  );
  if (lacking !== undefined) return because(`GPU ${lacking.index} cannot report it`);
  if (otherwise !== undefined) return none(otherwise);
  return because(context.workersComplete ? unexplained : unreadTreeText);
}

/** Reasons for which a worker has no endpoint; the others leave it open. */
const noEndpoint: ReadonlySet<string> = new Set<EndpointReason>(['notListening', 'loopbackOnly', 'otherNamespace']);

/** A fault of `pressure` is about `pressure.cpu` as well. */
const isAbout = (field: string | undefined, names: readonly string[]): boolean =>
  field !== undefined && names.some((name) => name === field || name.startsWith(`${field}.`));

export function gpuNullText(gpu: GpuSample, name: string, { faults, gpusReason }: NullContext): NullText {
  const table: FieldTable = gpuFields;
  const { absent, otherwise = unexplained, explainedBy = [] } = table[name] ?? {};
  if (gpu.unsupported.includes(name)) return none('not supported by this device');
  const names = [name, ...explainedBy];
  const own = faults.filter(
    ({ gpuUuid, source }) => gpuUuid === gpu.uuid || (gpuUuid === undefined && source === 'gpu'),
  );
  const fault = own.find(({ field }) => isAbout(field, names));
  if (fault !== undefined) return because(fault.message);
  if (absent !== undefined) return none(absent);
  if (names.some((each) => gpu.unsupported.includes(each))) return because('not all of its processes report it');
  if (gpusReason !== null) return because(gpusReason);
  if (gpu.health === 'ok' || gpu.health === 'degraded') return because(otherwise);
  // Nothing is known of a GPU that does not answer.
  const ofIt = own.find(({ gpuUuid }) => gpuUuid !== undefined);
  return because(ofIt?.message ?? styleOf(gpuHealthStyles, gpu.health).hint);
}

const acronyms: Readonly<Record<string, string>> = {
  cpu: 'CPU',
  gpu: 'GPU',
  io: 'I/O',
  vram: 'VRAM',
  mig: 'MIG',
  sm: 'SM',
  pci: 'PCI',
  oom: 'OOM',
  ecc: 'ECC',
};

/** `memoryPeakBytes` as `memory peak`. */
export const fieldLabel = (path: string): string =>
  path
    .replace(/(?:BytesPerSecond|Bytes|Percent|Seconds|Celsius|Watts|Mhz)$/, '')
    .split(/\.|(?=[A-Z])/)
    .map((word) => acronyms[word.toLowerCase()] ?? word.toLowerCase())
    .join(' ');

/** Paths of all values that are null now. */
export function nullPaths(table: FieldTable, item: object): readonly string[] {
  const values = item as Values;
  return Object.entries(table).flatMap(([name, { shape }]) => {
    const value = values[name];
    if (value == null) return isNullable(shape) ? [name] : [];
    const parts = known(shape).properties;
    if (parts === undefined || typeof value !== 'object') return [];
    return Object.keys(parts).flatMap((part) => ((value as Values)[part] === null ? [`${name}.${part}`] : []));
  });
}

/** Values that are not known, and why: those with one reason together. */
export interface UnknownValues {
  readonly labels: string;
  readonly reason: string;
}

function grouped(texts: readonly (readonly [path: string, text: NullText])[]): readonly UnknownValues[] {
  const labels = new Map<string, string[]>();
  for (const [path, { unknown, text }] of texts) {
    if (!unknown) continue;
    labels.set(text, [...(labels.get(text) ?? []), fieldLabel(path)]);
  }
  return Array.from(labels, ([reason, names]) => ({ labels: names.join(', '), reason }));
}

export const unknownOfWorker = (worker: WorkerSample, context: NullContext): readonly UnknownValues[] =>
  grouped(nullPaths(workerFields, worker).map((path) => [path, workerNullText(worker, path, context)]));

export const unknownOfGpu = (gpu: GpuSample, context: NullContext): readonly UnknownValues[] =>
  grouped(nullPaths(gpuFields, gpu).map((path) => [path, gpuNullText(gpu, path, context)]));

/** Of the workers of one host: `model of llm/0, llm/1`. What several have is said once. */
export const unknownOfWorkers = (workers: readonly WorkerSample[], context: NullContext): readonly UnknownValues[] =>
  joined(workers.map((worker) => [worker.id, unknownOfWorker(worker, context)]));

/** What a table of workers shows as not known and the worker itself says why; faults stand with its hive. */
export const unknownColumns = (workers: readonly WorkerSample[]): readonly UnknownValues[] =>
  joined(
    workers.map((worker) => {
      const paths = nullPaths(workerFields, worker).filter((path) => 'column' in columnOf(path));
      const texts = paths.map((path) => [path, workerNullText(worker, path, noContext)] as const);
      return [worker.id, grouped(texts.filter(([, { text }]) => text !== unexplained))];
    }),
  );
const columnOf = (path: string): object => (workerFields as FieldTable)[path.split('.')[0] as string] ?? {};

function joined(all: readonly (readonly [id: string, values: readonly UnknownValues[]])[]): readonly UnknownValues[] {
  const ids = new Map<string, { readonly values: UnknownValues; readonly ids: string[] }>();
  for (const [id, unknown] of all)
    for (const values of unknown) {
      const key = `${values.labels}\n${values.reason}`;
      const found = ids.get(key);
      if (found === undefined) ids.set(key, { values, ids: [id] });
      else found.ids.push(id);
    }
  return Array.from(ids.values(), ({ values: { labels, reason }, ids: of }) => {
    const more = of.length > 3 ? ` and ${of.length - 3} more` : '';
    return { labels: `${labels} of ${of.slice(0, 3).join(', ')}${more}`, reason };
  });
}
