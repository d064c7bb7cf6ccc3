/** Which workers and hives are shown, and in which order. Pure. */
import type { FleetEvent, HiveView, Liveness, WorkerView } from '../../contract/api.js';

export interface WorkerFilter {
  readonly text: string;
  readonly state: string;
  readonly model: string;
  readonly hive: string;
}

/** Every word must be found somewhere: in the id, hive, model, name or a label. */
export function matchesText(text: string, fields: readonly (string | null)[]): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const haystack = fields.filter(Boolean).join('\n').toLowerCase();
  return words.every((word) => haystack.includes(word));
}

export function matchesWorker(worker: WorkerView, filter: WorkerFilter): boolean {
  if (filter.state !== '' && worker.state !== filter.state) return false;
  if (filter.model !== '' && worker.model !== filter.model) return false;
  if (filter.hive !== '' && worker.hive !== filter.hive) return false;
  if (filter.text === '') return true;
  const labels = Object.entries(worker.labels).map(([key, value]) => `${key}=${value}`);
  return matchesText(filter.text, [worker.key, worker.model, worker.name, worker.state, ...labels]);
}

export const workerSorts = {
  worker: (worker: WorkerView) => worker.key,
  model: (worker: WorkerView) => worker.model,
  state: (worker: WorkerView) => worker.state,
  cpu: (worker: WorkerView) => worker.cpuPercent,
  memory: (worker: WorkerView) => worker.memoryBytes,
  gpu: (worker: WorkerView) => worker.gpuUtilizationPercent,
  vram: (worker: WorkerView) => worker.vramUsedBytes,
  uptime: (worker: WorkerView) => worker.uptimeSeconds,
} as const;
export type WorkerSort = keyof typeof workerSorts;

const collator = new Intl.Collator('en', { numeric: true });

/** What is not known comes last in either direction; ties keep the order of names. */
export function sortWorkers(workers: WorkerView[], sort: string, direction: string): WorkerView[] {
  const key = workerSorts[Object.hasOwn(workerSorts, sort) ? (sort as WorkerSort) : 'worker'];
  const sign = direction === 'desc' ? -1 : 1;
  const keyed = workers.map((worker) => ({ worker, key: key(worker) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return a.key === b.key ? byName(a.worker, b.worker) : a.key === null ? 1 : -1;
    const order =
      typeof a.key === 'number' && typeof b.key === 'number'
        ? a.key - b.key
        : collator.compare(String(a.key), String(b.key));
    return order * sign || byName(a.worker, b.worker);
  });
  return keyed.map(({ worker }) => worker);
}

const byName = (a: WorkerView, b: WorkerView) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Something that a person should look at, in words. */
export interface Attention {
  readonly id: string;
  readonly hive: string;
  readonly tone: 'warning' | 'bad' | 'unknown';
  readonly title: string;
  /** What is wrong, and the mend. */
  readonly text: string;
  /** What the panel shows of it. */
  readonly show: string;
}

const rank = { bad: 0, unknown: 1, warning: 2 } as const;

export interface HiveNow {
  readonly view: HiveView;
  readonly liveness: Liveness;
}

/** Faults that the hive can live with. */
const warningCode = /ECC|DEGRADED|PERMISSION|UNSUPPORTED|FALLBACK|TIMEOUT|SLOW/;

export function attentionOf(hives: Iterable<HiveNow>, livenessHint: Readonly<Record<Liveness, string>>): Attention[] {
  const all: Attention[] = [];
  for (const { view, liveness } of hives) {
    if (liveness !== 'online') {
      all.push({
        id: `${view.id}:liveness`,
        hive: view.id,
        tone: liveness === 'late' ? 'warning' : 'bad',
        title: `${view.id} is ${liveness}`,
        text: livenessHint[liveness],
        show: `hive:${view.id}`,
      });
    }
    // What an offline host said last is no news.
    if (liveness === 'offline') continue;
    view.faults.forEach((fault, index) => {
      const gpu = fault.gpuUuid ? view.gpus.find((candidate) => candidate.uuid === fault.gpuUuid) : undefined;
      const subject = gpu
        ? `${view.id} GPU ${gpu.index}`
        : fault.workerId
          ? `${view.id}/${fault.workerId}`
          : `${view.id} ${fault.source}`;
      const health = gpu?.health;
      all.push({
        id: `${view.id}:${index}:${fault.code}`,
        hive: view.id,
        tone: health === 'stalled' ? 'unknown' : warningCode.test(fault.code) ? 'warning' : 'bad',
        title: subject,
        text: fault.message,
        show: gpu
          ? `gpu:${view.id}/${gpu.uuid}`
          : fault.workerId
            ? `worker:${view.id}/${fault.workerId}`
            : `hive:${view.id}`,
      });
    });
  }
  return all.sort((a, b) => rank[a.tone] - rank[b.tone] || collator.compare(a.title, b.title));
}

/** How urgent a hive is: what is wrong comes first. */
export function urgencyOf({ view, liveness }: HiveNow): number {
  if (liveness === 'offline') return 0;
  if (liveness === 'late') return 1;
  return view.faults.length > 0 ? 2 : 3;
}

export function sortHives<T extends HiveNow>(hives: T[]): T[] {
  return hives.sort((a, b) => urgencyOf(a) - urgencyOf(b) || collator.compare(a.view.id, b.view.id));
}

export interface EventFilter {
  readonly text: string;
  readonly kind: string;
  readonly hive: string;
}

/** Groups of kinds, as people ask for them. */
export const eventGroups: Readonly<Record<string, readonly string[]>> = {
  trouble: ['oomKill', 'gpuLost', 'xid', 'hiveLate', 'hiveOffline', 'hiveRemoved', 'duplicateHiveId'],
  workers: ['workerStarted', 'workerExited', 'workerAppeared', 'workerGone', 'oomKill'],
  hives: ['hiveJoined', 'hiveOnline', 'hiveLate', 'hiveOffline', 'hiveRemoved', 'hiveRestarted', 'duplicateHiveId'],
  gpus: ['gpuLost', 'gpuRecovered', 'xid'],
  states: ['workerStateChanged'],
};
/** Many and seldom of interest: shown only when asked for. */
const seldom = 'workerStateChanged';

export function matchesEvent(event: FleetEvent, filter: EventFilter): boolean {
  if (filter.hive !== '' && event.hive !== filter.hive) return false;
  if (filter.kind !== '') {
    const group = eventGroups[filter.kind];
    if (group ? !group.includes(event.kind) : event.kind !== filter.kind) return false;
  } else if (event.kind === seldom) return false;
  return matchesText(filter.text, [event.hive, event.workerId ?? null, event.gpuUuid ?? null, event.kind]);
}
