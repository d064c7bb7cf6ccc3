/** Which workers and hives are shown, and in which order. Pure. */
import type { FleetEvent, HiveView, WorkerView } from '../../contract/api.js';
import type { Fault, GpuSample } from '../../contract/heartbeat.js';
import { modelsOf, servesModel } from '../../contract/models.js';
import { compareNames, hasWords, wordsOf } from '../../present/search.js';
import { gpuHealthStyles, livenessStyles, styleOf } from '../../present/status.js';
import { formatAge } from '../../present/units.js';
import { memoryOf } from '../../present/worker-figures.js';

export interface WorkerFilter {
  readonly text: string;
  readonly state: string;
  readonly model: string;
  readonly hive: string;
}

/** Id, hive, models, name and labels of a worker, in lower case: made once, and again when one of them changes. */
interface Haystack {
  readonly models: string;
  readonly name: string | null;
  readonly labels: string;
  readonly text: string;
}
const haystacks = new Map<string, Haystack>();
const maxHaystacks = 50_000;

function haystackOf(worker: WorkerView): string {
  let labels = '';
  for (const key in worker.labels) labels += `${key}=${worker.labels[key]}\n`;
  const models = modelsOf(worker).join('\n');
  const known = haystacks.get(worker.key);
  if (known && known.models === models && known.name === worker.name && known.labels === labels) return known.text;
  if (haystacks.size >= maxHaystacks) haystacks.clear();
  const text = [worker.key, models, worker.name, labels].filter(Boolean).join('\n').toLowerCase();
  haystacks.set(worker.key, { models, name: worker.name, labels, text });
  return text;
}

/** The last state of a worker on an offline hive may no longer hold. */
const stateOf = (worker: WorkerView) => (worker.liveness === 'offline' ? 'offline' : worker.state);

/** A test to put to many workers. */
export function workerMatcher(filter: WorkerFilter): (worker: WorkerView) => boolean {
  const words = wordsOf(filter.text);
  return (worker) => {
    if (filter.state !== '' && stateOf(worker) !== filter.state) return false;
    if (filter.model !== '' && !servesModel(worker, filter.model)) return false;
    if (filter.hive !== '' && worker.hive !== filter.hive) return false;
    if (words.length === 0) return true;
    const text = haystackOf(worker);
    return words.every((word) => text.includes(word));
  };
}

export const workerSorts = {
  worker: (worker: WorkerView) => worker.key,
  model: (worker: WorkerView) => worker.model,
  state: stateOf,
  cpu: (worker: WorkerView) => worker.cpuPercent,
  memory: (worker: WorkerView) => memoryOf(worker),
  gpu: (worker: WorkerView) => worker.gpuUtilizationPercent,
  vram: (worker: WorkerView) => worker.vramUsedBytes,
  uptime: (worker: WorkerView) => worker.uptimeSeconds,
  running: ({ serving }: WorkerView) => serving?.running ?? null,
  waiting: ({ serving }: WorkerView) => serving?.waiting ?? null,
  kv: ({ serving }: WorkerView) => serving?.kvPercent ?? null,
  tokens: ({ serving }: WorkerView) => serving?.generationTokensPerSecond ?? null,
} as const;
export type WorkerSort = keyof typeof workerSorts;

/**
 * What is not known comes last in either direction; ties keep the order of names. Ten thousand rows are sorted each second,
 * so keys are taken out once, and numbers are compared in a typed array.
 */
export function sortWorkers(workers: readonly WorkerView[], sort: string, direction: string): WorkerView[] {
  const name = Object.hasOwn(workerSorts, sort) ? (sort as WorkerSort) : 'worker';
  const sign = direction === 'desc' ? -1 : 1;
  const keyOf: (worker: WorkerView) => string | number | null = workerSorts[name];
  const keys = workers.map(keyOf);
  const order = Uint32Array.from(keys, (_, index) => index);
  const byName = (a: number, b: number) => (workers[a]!.key < workers[b]!.key ? -1 : 1);
  if (textSorts.has(name)) {
    order.sort((a, b) => {
      const [left, right] = [keys[a] as string | null, keys[b] as string | null];
      if (left === right) return byName(a, b);
      if (left === null || right === null) return left === null ? 1 : -1;
      return compareNames(left, right) * sign || byName(a, b);
    });
  } else {
    // Unknown is beyond the last number in either direction.
    const numbers = Float64Array.from(keys, (key) =>
      key === null ? Number.POSITIVE_INFINITY : (key as number) * sign,
    );
    order.sort((a, b) => {
      const [left, right] = [numbers[a]!, numbers[b]!];
      return left === right ? byName(a, b) : left < right ? -1 : 1;
    });
  }
  return Array.from(order, (index) => workers[index]!);
}

const textSorts: ReadonlySet<WorkerSort> = new Set(['worker', 'model', 'state']);

/** Something that a person should look at, in words. */
export interface Attention {
  readonly id: string;
  readonly hive: string;
  readonly tone: 'warning' | 'bad' | 'unknown';
  readonly title: string;
  /** What is wrong, and the fix. */
  readonly text: string;
  /** What the panel shows of it. */
  readonly show: string;
}

const rank = { bad: 0, unknown: 1, warning: 2 } as const;

/** Faults that the hive can live with. */
const warningCode = /ECC|DEGRADED|PERMISSION|UNSUPPORTED|FALLBACK|TIMEOUT|SLOW/;
const toneOf = (fault: Fault): Attention['tone'] => (warningCode.test(fault.code) ? 'warning' : 'bad');

/** What a health asks of a person: null where all is well, the driver is only waking it, or it sleeps. */
const healthTones: Readonly<Record<GpuSample['health'], Attention['tone'] | null>> = {
  ok: null,
  initializing: null,
  suspended: null,
  degraded: 'warning',
  noPermission: 'warning',
  // Nobody knows how it is: it may be well.
  stalled: 'unknown',
  resetRequired: 'bad',
  lost: 'bad',
};
/** A health of a newer version is not known to be good. */
const healthTone = (health: string): Attention['tone'] | null =>
  Object.hasOwn(healthTones, health) ? healthTones[health as GpuSample['health']] : 'unknown';

/** What a fault of the whole GPU reader says of the GPUs that it makes unreadable. */
const readerCodes: Readonly<Partial<Record<GpuSample['health'], RegExp>>> = {
  stalled: /STALLED|TIMEOUT/,
  noPermission: /PERMISSION/,
};

/** The GPUs whose health a fault of the reader explains: those its code fits, or all where they are all alike. */
function explainedBy(fault: Fault, gpus: readonly GpuSample[]): readonly GpuSample[] {
  const [first] = gpus;
  if (fault.source !== 'gpu' || fault.gpuUuid || first === undefined) return [];
  const sick = gpus.filter(({ health }) => healthTone(health) !== null);
  if (sick.length === gpus.length && gpus.every(({ health }) => health === first.health)) return gpus;
  return sick.filter(({ health }) => readerCodes[health]?.test(fault.code));
}

/** One line for each GPU that has faults, a bad health, or both. */
function gpuAttention(view: HiveView, gpu: GpuSample, isReported: boolean): Attention | null {
  // One that sleeps asks nothing of anybody.
  if (gpu.health === 'suspended') return null;
  const faults = view.faults.filter((fault) => fault.gpuUuid === gpu.uuid);
  const tone = healthTone(gpu.health);
  if (faults.length === 0 && (tone === null || isReported)) return null;
  const isExplained = isReported || faults.some(({ field }) => field === undefined || field === 'gpus');
  const texts = [
    ...(tone === null || isExplained ? [] : [styleOf(gpuHealthStyles, gpu.health).hint]),
    ...new Set(faults.map(({ message }) => message)),
  ];
  const few = texts.slice(0, 3);
  if (texts.length > few.length) few.push(`And ${texts.length - few.length} more.`);
  return {
    id: `${view.id}:gpu:${gpu.uuid}`,
    hive: view.id,
    // What is wrong with single values of a GPU that works is no outage.
    tone: tone ?? 'warning',
    ...placeOf(view, gpu),
    text: few.length === 1 ? few[0]! : few.map((text) => text.replace(/[^.]$/, '$&.')).join(' '),
  };
}

const placeOf = (view: HiveView, gpu: GpuSample) => ({
  title: `${view.id} GPU ${gpu.index}`,
  show: `gpu:${view.id}/${gpu.uuid}`,
});

function hiveAttention(view: HiveView): Attention[] {
  const reported = new Set<GpuSample>();
  const others = view.faults.flatMap((fault, index): Attention[] => {
    if (fault.gpuUuid && view.gpus.some(({ uuid }) => uuid === fault.gpuUuid)) return [];
    const [gpu, ...more] = explainedBy(fault, view.gpus);
    for (const each of gpu ? [gpu, ...more] : []) reported.add(each);
    const place = fault.workerId
      ? { title: `${view.id}/${fault.workerId}`, show: `worker:${view.id}/${fault.workerId}` }
      : gpu && more.length === 0
        ? placeOf(view, gpu)
        : { title: `${view.id} ${fault.source}`, show: `hive:${view.id}` };
    return [
      {
        id: `${view.id}:${index}:${fault.code}`,
        hive: view.id,
        tone: (gpu && healthTone(gpu.health)) ?? toneOf(fault),
        ...place,
        text: fault.message,
      },
    ];
  });
  const gpus = view.gpus.map((gpu) => gpuAttention(view, gpu, reported.has(gpu))).filter((item) => item !== null);
  return [...gpus, ...others];
}

/** The worst first. */
export function attentionOf(hives: Iterable<HiveView>): Attention[] {
  const all: Attention[] = [];
  for (const view of hives) {
    const { id, liveness } = view;
    if (liveness !== 'online') {
      all.push({
        id: `${id}:liveness`,
        hive: id,
        tone: liveness === 'late' ? 'warning' : 'bad',
        title: `${id} is ${liveness}`,
        text: `No heartbeat for ${formatAge(view.ageMs)}. ${livenessStyles[liveness].hint}`,
        show: `hive:${id}`,
      });
    }
    // The last faults of an offline host are no news.
    if (liveness !== 'offline') all.push(...hiveAttention(view));
  }
  return sortAttention(all);
}

export const sortAttention = (all: Attention[]): Attention[] =>
  all.sort((a, b) => rank[a.tone] - rank[b.tone] || compareNames(a.title, b.title));

/** How urgent a hive is: what is wrong comes first. */
function urgencyOf({ liveness, faults, gpus }: HiveView): number {
  if (liveness === 'offline') return 0;
  if (liveness === 'late') return 1;
  return faults.length > 0 || gpus.some(({ health }) => healthTone(health) !== null) ? 2 : 3;
}

export function sortHives(hives: HiveView[]): HiveView[] {
  return hives.sort((a, b) => urgencyOf(a) - urgencyOf(b) || compareNames(a.id, b.id));
}

export interface EventFilter {
  readonly text: string;
  readonly kind: string;
  readonly hive: string;
}

/** Groups of kinds, as people ask for them. */
export const eventGroups: Readonly<Record<string, { readonly label: string; readonly kinds: readonly string[] }>> = {
  trouble: {
    label: 'Trouble',
    kinds: ['oomKill', 'workerStalled', 'gpuLost', 'xid', 'hiveLate', 'hiveOffline', 'hiveRemoved', 'duplicateHiveId'],
  },
  workers: {
    label: 'Workers',
    kinds: [
      'workerStarted',
      'workerExited',
      'workerStalled',
      'workerRecovered',
      'workerAppeared',
      'workerGone',
      'oomKill',
    ],
  },
  hives: {
    label: 'Hives',
    kinds: ['hiveJoined', 'hiveOnline', 'hiveLate', 'hiveOffline', 'hiveRemoved', 'hiveRestarted', 'duplicateHiveId'],
  },
  gpus: { label: 'GPUs', kinds: ['gpuLost', 'gpuRecovered', 'xid'] },
  states: { label: 'State changes', kinds: ['workerStateChanged'] },
};
/** Many and seldom of interest: shown only when asked for. */
const seldom = 'workerStateChanged';

export function matchesEvent(event: FleetEvent, filter: EventFilter): boolean {
  if (filter.hive !== '' && event.hive !== filter.hive) return false;
  if (filter.kind !== '') {
    const group = eventGroups[filter.kind]?.kinds;
    if (group ? !group.includes(event.kind) : event.kind !== filter.kind) return false;
  } else if (event.kind === seldom) return false;
  return hasWords(wordsOf(filter.text), [event.hive, event.workerId, event.gpuUuid, event.kind]);
}
