/** What a person should look at, worst first, and equal things as one: the same at the queen, on the page and in commands. Pure. */
import type { HiveView, WorkerView } from '../contract/api.js';
import type { Fault, GpuSample } from '../contract/heartbeat.js';
import type { Missing } from '../contract/missing.js';
import { isLost, missingForText, missingName, missingReasonText } from './missing.js';
import { compareNames } from './search.js';
import { plural, sentence } from './sentences.js';
import {
  type Cause,
  type CauseName,
  causeOfHealth,
  causes,
  faultSeverity,
  type Severity,
  severityRank,
} from './severity.js';
import { gpuHealthStyles, styleOf, workerStateStyles } from './status.js';
import { formatAge } from './units.js';

/** One thing that is wrong, in words. */
export interface Attention {
  readonly id: string;
  /** A name of `causes`, or `fault:<source>:<CODE>`. With the hive it says what an acknowledgement is of. */
  readonly cause: string;
  readonly hive: string;
  readonly severity: Severity;
  readonly tone: Cause['tone'];
  /** Hosts, GPUs or workers that it is about. */
  readonly count: number;
  readonly title: string;
  /** What is wrong, and the fix. */
  readonly text: string;
  /** What the panel shows of it. */
  readonly show: string;
}

/** Equal things: one line for people. */
export interface AttentionGroup {
  readonly cause: string;
  readonly severity: Severity;
  readonly tone: Cause['tone'];
  readonly count: number;
  readonly hives: readonly string[];
  readonly title: string;
  readonly text: string;
  readonly items: readonly Attention[];
}

type WorkerOf = Pick<WorkerView, 'key' | 'id' | 'hive' | 'state' | 'liveness'>;
export interface AttentionSource {
  readonly view: HiveView;
  /** Those that are stalled are looked for. */
  readonly workers: readonly WorkerOf[];
}

/** Of one host at most so many things are named, the worst first; of each the same, less where all hosts together have more. */
export const maxOfHive = 100;
const maxInAll = 4000;
const leastOfHive = 1;

const item = (
  name: CauseName,
  { hive, id, title, text, show }: Pick<Attention, 'hive' | 'id' | 'title' | 'text' | 'show'>,
  count = 1,
): Attention => {
  const { severity, tone } = causes[name];
  return { id, cause: name, hive, severity, tone, count, title, text, show };
};

/** What a fault of the whole GPU reader says of the GPUs that it makes unreadable. */
const readerCodes: Readonly<Partial<Record<GpuSample['health'], RegExp>>> = {
  stalled: /STALLED|TIMEOUT/,
  noPermission: /PERMISSION/,
};

/** The GPUs whose health a fault of the reader explains: those its code fits, or all where they are all alike. */
function explainedBy(fault: Fault, gpus: readonly GpuSample[]): readonly GpuSample[] {
  const [first] = gpus;
  if (fault.source !== 'gpu' || fault.gpuUuid || first === undefined) return [];
  const sick = gpus.filter(({ health }) => causeOfHealth(health) !== null);
  if (sick.length === gpus.length && gpus.every(({ health }) => health === first.health)) return gpus;
  return sick.filter(({ health }) => readerCodes[health]?.test(fault.code));
}

const asSentence = (text: string): string => sentence(text.replace(/\.$/, ''));

const placeOf = (view: HiveView, gpu: GpuSample) => ({
  title: `${view.id} GPU ${gpu.index}`,
  show: `gpu:${view.id}/${gpu.uuid}`,
});

/** One line for each GPU that has faults, a bad health, or both. */
function gpuAttention(view: HiveView, gpu: GpuSample, faults: readonly Fault[], isReported: boolean): Attention | null {
  // One that sleeps asks nothing of anybody.
  if (gpu.health === 'suspended') return null;
  const name = causeOfHealth(gpu.health);
  if (faults.length === 0 && (name === null || isReported)) return null;
  const isExplained = isReported || faults.some(({ field }) => field === undefined || field === 'gpus');
  const texts = [
    ...(name === null || isExplained ? [] : [styleOf(gpuHealthStyles, gpu.health).hint]),
    ...new Set(faults.map(({ message }) => message.replace(`GPU ${gpu.index}: `, ''))),
  ];
  const few = texts.slice(0, 3);
  if (texts.length > few.length) few.push(`And ${texts.length - few.length} more.`);
  const text = few.map(asSentence).join(' ');
  // What is wrong with single values of a GPU that works is no outage.
  return item(name ?? 'gpuReadings', { hive: view.id, id: `${view.id}:gpu:${gpu.uuid}`, ...placeOf(view, gpu), text });
}

/** `counted`: of `gpus` those that no fault before it has counted. */
function faultAttention(view: HiveView, fault: Fault, gpus: readonly GpuSample[], counted: number): Attention {
  const { id: hive } = view;
  const [gpu] = gpus;
  const place = fault.workerId
    ? { title: `${hive}/${fault.workerId}`, show: `worker:${hive}/${fault.workerId}` }
    : gpu && gpus.length === 1
      ? placeOf(view, gpu)
      : {
          title: gpus.length > 0 ? `${hive}: ${plural(gpus.length, 'GPU')}` : `${hive} ${fault.source}`,
          show: `hive:${hive}`,
        };
  const about = fault.workerId ?? fault.gpuUuid ?? fault.field ?? '';
  const at = { hive, id: `${hive}:${fault.source}:${fault.code}:${about}`, ...place, text: asSentence(fault.message) };
  const name = gpu && causeOfHealth(gpu.health);
  if (name) return item(name, at, counted);
  const severity = faultSeverity(fault.code);
  const tone = severity === 'critical' ? 'bad' : 'warning';
  return { ...at, cause: `fault:${fault.source}:${fault.code}`, severity, tone, count: 1 };
}

function hiveAttention(view: HiveView, faults: readonly Fault[], workers: readonly WorkerOf[]): Attention[] {
  const reported = new Set<GpuSample>();
  const named = new Set<string>();
  const ofGpu = new Map<string, Fault[]>(view.gpus.map(({ uuid }) => [uuid, []]));
  const others = faults.flatMap((fault): Attention[] => {
    const own = fault.gpuUuid === undefined ? undefined : ofGpu.get(fault.gpuUuid);
    if (own !== undefined) {
      own.push(fault);
      return [];
    }
    const gpus = explainedBy(fault, view.gpus);
    // Two readers that fail make the same GPUs unreadable.
    const counted = gpus.filter((gpu) => !reported.has(gpu)).length;
    for (const gpu of gpus) reported.add(gpu);
    if (fault.workerId !== undefined && fault.code === 'ENGINE_STALLED') {
      named.add(fault.workerId);
      const key = `${view.id}/${fault.workerId}`;
      return [stalledWorker(view.id, key, fault.message)];
    }
    return [faultAttention(view, fault, gpus, counted)];
  });
  const gpus = view.gpus
    .map((gpu) => gpuAttention(view, gpu, ofGpu.get(gpu.uuid) ?? [], reported.has(gpu)))
    .filter((each) => each !== null);
  for (const { id, key, state } of workers)
    if (state === 'stalled' && !named.has(id)) others.push(stalledWorker(view.id, key, workerStateStyles.stalled.hint));
  return [...gpus, ...others];
}

const stalledWorker = (hive: string, key: string, text: string): Attention =>
  item('workerStalled', { hive, id: `worker:${key}`, title: `${key} is stalled`, text, show: `worker:${key}` });

const checkHive = 'check that the hive runs and reaches the queen (hivepulse doctor)';

function livenessAttention({ id, hive, liveness, ageMs }: HiveView): Attention {
  return item(liveness === 'late' ? 'hiveLate' : 'hiveOffline', {
    hive,
    id: `${id}:liveness`,
    title: `${id} is ${liveness}`,
    text: `No heartbeat for ${formatAge(ageMs)}: ${liveness === 'late' ? 'it may only be slow' : checkHive}.`,
    show: `hive:${id}`,
  });
}

/** The worst `most`; where there are no more, all as they stand. Each rank is looked for once, since a sort costs more. */
function worst<T>(all: readonly T[], most: number, rank: (item: T) => number): readonly T[] {
  if (all.length <= most) return all;
  const byRank = new Map<number, T[]>();
  for (const each of all) {
    const at = rank(each);
    const known = byRank.get(at);
    if (known === undefined) byRank.set(at, [each]);
    else if (known.length < most) known.push(each);
  }
  const ranks = [...byRank.keys()].sort((a, b) => a - b);
  return ranks.flatMap((at) => byRank.get(at)!).slice(0, most);
}

function ofHive({ view, workers }: AttentionSource, most: number): readonly Attention[] {
  const silent = view.liveness === 'online' ? [] : [livenessAttention(view)];
  // The last faults of an offline host are no news.
  if (view.liveness === 'offline') return silent;
  const faults = worst(view.faults, most, ({ code }) => severityRank(faultSeverity(code)));
  const all = hiveAttention(view, faults, workers.slice(0, most));
  return worst([...silent, ...all], most, attentionRank);
}

/** No fewer than the things that a host has to be looked at for. */
function mostOf({ view, workers }: AttentionSource): number {
  if (view.liveness === 'offline') return 1;
  const sick = view.gpus.reduce((sum, { health }) => sum + (causeOfHealth(health) === null ? 0 : 1), 0);
  return (view.liveness === 'online' ? 0 : 1) + view.faults.length + workers.length + sick;
}

/** As many of one host that of all together there are no more than may be: those that have most have less, and all others all. */
function shareOf(counts: readonly number[]): number {
  let share = maxOfHive;
  const inAll = () => counts.reduce((sum, count) => sum + Math.min(count, share), 0);
  while (share > leastOfHive && inAll() > maxInAll) share = Math.max(leastOfHive, Math.floor(share / 2));
  return share;
}

export const missingShown = (item: Missing): string =>
  item.kind === 'gpu' ? `gpu:${item.hive}/${item.key}` : `${item.kind}:${item.key}`;

/** Hosts and GPUs that were lost. `missingMs`: by now, where the list is not of now. */
function ofMissing(lost: Missing, missingMs: number): Attention {
  const name = lost.kind === 'gpu' ? 'gpuMissing' : lost.reason === 'stopped' ? 'hiveStopped' : 'hiveMissing';
  return item(name, {
    id: `missing:${lost.kind}:${lost.hive}:${lost.key}`,
    hive: lost.hive,
    title: `${missingName(lost)} is missing`,
    text: `${sentence(missingReasonText(lost))} ${sentence(missingForText(missingMs))}`,
    show: missingShown(lost),
  });
}

export const missingAttention = (
  missing: Iterable<Missing>,
  missingMs = (item: Missing): number => item.missingMs,
): Attention[] =>
  Array.from(missing)
    .filter(isLost)
    .map((each) => ofMissing(each, missingMs(each)));

export interface AttentionList {
  /** The worst first. */
  readonly items: readonly Attention[];
  /** Hosts of which more is wrong than is listed: what is not there may be wrong still. */
  readonly cut: ReadonlySet<string>;
}

/** What is wrong, within bounds: no host makes it longer than a person or a queen has time for, or hides what is wrong with another. */
export function attentionWithin(given: Iterable<AttentionSource>, missing: readonly Attention[] = []): AttentionList {
  const sources = [...given];
  const counts = sources.map(mostOf);
  const share = shareOf(counts);
  const all = sources.flatMap((source) => ofHive(source, share));
  const cut = new Set(sources.filter((_source, at) => counts[at]! > share).map(({ view }) => view.id));
  return { items: sortAttention([...missing, ...all]), cut };
}

/** What is wrong, the worst first. */
export const attentionOf = (
  sources: Iterable<AttentionSource>,
  missing: readonly Attention[] = [],
): readonly Attention[] => attentionWithin(sources, missing).items;

const toneRank = { bad: 0, unknown: 1, warning: 2 } as const;
/** The lower, the worse. */
export const attentionRank = ({ severity, tone }: Pick<Attention, 'severity' | 'tone'>): number =>
  severityRank(severity) * 3 + toneRank[tone];

const sortAttention = (all: Attention[]): Attention[] =>
  all.sort((a, b) => attentionRank(a) - attentionRank(b) || compareNames(a.title, b.title));

/** The cause as people know it; null: a fault, which has only its own message. */
const causeOf = (name: string): Cause | null =>
  Object.hasOwn(causes, name) ? (causes as Readonly<Record<string, Cause>>)[name]! : null;

const hostsText = (hives: readonly string[]): string => {
  const named = hives.slice(0, 3).join(', ');
  return hives.length > 3 ? `${named} and ${hives.length - 3} more` : named;
};

function groupOf(items: readonly Attention[]): AttentionGroup {
  const [first] = items as readonly [Attention, ...Attention[]];
  const { cause: name, severity, tone, title, text } = first;
  const count = items.reduce((sum, each) => sum + each.count, 0);
  const hives = [...new Set(items.map(({ hive }) => hive))].sort(compareNames);
  const common = { cause: name, severity, tone, count, hives, items };
  const row = causeOf(name);
  if (items.length === 1) {
    const what =
      row !== null && first.count > 1 ? `${plural(count, row.subject)} ${row.words} on ${first.hive}` : title;
    return { ...common, title: what, text };
  }
  const subject = row
    ? `${plural(count, row.subject)} ${row.words}`
    : `${plural(hives.length, 'host')}: ${name.split(':').slice(1).join(' ')}`;
  return {
    ...common,
    title: subject,
    text: `${row?.subject === 'host' ? '' : 'On '}${hostsText(hives)}. ${asSentence(text)}`,
  };
}

/** Equal causes as one, the worst first, then those about most. */
export function groupAttention(all: readonly Attention[]): AttentionGroup[] {
  const byCause = new Map<string, Attention[]>();
  for (const each of all) {
    const known = byCause.get(each.cause);
    if (known) known.push(each);
    else byCause.set(each.cause, [each]);
  }
  return Array.from(byCause.values(), groupOf).sort(
    (a, b) => attentionRank(a) - attentionRank(b) || b.count - a.count || compareNames(a.title, b.title),
  );
}

/** `2 critical, 1 warning` */
export function severityText(groups: readonly Pick<AttentionGroup, 'severity'>[]): string {
  const count = (severity: Severity) => groups.filter((group) => group.severity === severity).length;
  const [critical, warnings] = [count('critical'), count('warning')];
  return [critical > 0 && `${critical} critical`, warnings > 0 && plural(warnings, 'warning')]
    .filter(Boolean)
    .join(', ');
}
