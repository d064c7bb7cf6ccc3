/** Which workers and hives are shown, and in which order. Pure. */
import type { FleetEvent, HiveView, WorkerView } from '../../contract/api.js';
import { modelsOf, servesModel } from '../../contract/models.js';
import { compareNames, hasWords, wordsOf } from '../../present/search.js';
import { eventText } from '../../present/sentences.js';
import { eventStyles, styleOf, workerStyle } from '../../present/status.js';
import { Troubles } from '../../present/trouble.js';
import { memoryOf } from '../../present/worker-figures.js';
import { sortRows } from './rows.js';

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
    const text = `${haystackOf(worker)}\n${workerStyle(worker).word}`;
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

export function sortWorkers(workers: readonly WorkerView[], sort: string, direction: string): WorkerView[] {
  const name = Object.hasOwn(workerSorts, sort) ? (sort as WorkerSort) : 'worker';
  const keyOf: (worker: WorkerView) => string | number | null = workerSorts[name];
  return sortRows(workers, keyOf, ({ key }) => key, direction);
}

/** The worst first, as in the list of what needs attention and in the terminal. */
export function sortHives(hives: readonly HiveView[], workers: readonly WorkerView[] = []): HiveView[] {
  const { ofHive } = new Troubles(hives, workers);
  const ranks = new Map(hives.map((view) => [view.id, ofHive(view)]));
  return [...hives].sort((a, b) => ranks.get(a.id)! - ranks.get(b.id)! || compareNames(a.id, b.id));
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
  const words = wordsOf(filter.text);
  if (words.length === 0) return true;
  // What the screen says of it as well.
  const shown = [styleOf(eventStyles, event.kind).word, eventText(event)];
  return hasWords(words, [
    event.hive === '*' ? 'all hosts' : event.hive,
    event.workerId,
    event.gpuUuid,
    event.kind,
    ...shown,
  ]);
}
