import type { GpuView, HiveView, WorkerView } from '../contract/api.js';
import { countVram } from '../contract/counts.js';
import { type FieldTable, placed, type ShareOf, valueAt } from '../contract/fields/field.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { workerFields } from '../contract/fields/worker.js';
import { containerShare } from '../present/container.js';
import { formatField } from '../present/format-field.js';
import { type AbsenceText, hiveGpusText, workerGpusText } from '../present/knowledge.js';
import { moreModels } from '../present/models.js';
import { shortUuid } from '../present/sentences.js';
import {
  ansiOf,
  cordonedStyle,
  gpuHealthStyles,
  gpuStyle,
  hiveStateStyles,
  livenessStyles,
  type StatusStyle,
  styleOf,
  type Tone,
  workerStyle,
} from '../present/status.js';
import { formatAge, formatGib, formatGibOf, formatPercent, formatWatts, unknownText } from '../present/units.js';
import { formatGpuUse, formatMemoryOf, memoryOf } from '../present/worker-figures.js';
import { type Column, type Span, span } from './table.js';

/** The columns of hives, workers and GPUs, shared by the tables that commands print and by `top`. */

export const statusSpan = ({ symbol, word, tone }: StatusStyle): Span => span(`${symbol} ${word}`, ansiOf[tone]);

/** A value, or the sign for one that is not known, which is grey. */
export const value = (text: string, tone?: Tone): Span =>
  text === unknownText ? span(text, ansiOf.unknown) : span(text, tone ? ansiOf[tone] : undefined);

export function fraction(used: number | null, total: number | null): number | null {
  return used === null || total === null || total <= 0 ? null : Math.min(1, used / total);
}

/** Tone of something that is worse the fuller it is. */
export function loadTone(fraction: number | null, warnAt = 0.9, badAt = 0.97): Tone | undefined {
  if (fraction === null) return undefined;
  return fraction >= badAt ? 'bad' : fraction >= warnAt ? 'warning' : undefined;
}

const eighths = ['', '\u258f', '\u258e', '\u258d', '\u258c', '\u258b', '\u258a', '\u2589'] as const;

/** A bar of `width` columns in steps of an eighth of one; an unknown share is a dashed line, never an empty bar. */
export function bar(fraction: number | null, width: number, tone: Tone = 'active'): Span[] {
  if (width < 1) return [];
  if (fraction === null) return [span('\u254c'.repeat(width), ansiOf.unknown)];
  const steps = Math.round(Math.max(0, Math.min(1, fraction)) * width * 8);
  // Something is not nothing: a share above zero shows at least its thinnest sign.
  const shown = steps === 0 && fraction > 0 ? 1 : steps;
  const filled = '\u2588'.repeat(Math.floor(shown / 8)) + (eighths[shown % 8] ?? '');
  const used = Math.ceil(shown / 8);
  return [span(filled, ansiOf[tone]), span('\u00b7'.repeat(width - used), '2')];
}

/** A bar with its value behind it; where there is no room for a bar, the value alone. */
export function gauge(fraction: number | null, text: string, width: number, tone?: Tone): Span[] {
  const room = Number.isFinite(width) ? width - text.length - 1 : 0;
  if (room < 4) return [value(text, tone)];
  return [...bar(fraction, room, tone ?? 'active'), span(' '), value(text, tone)];
}

const padded = (text: string, width: number): string => text.padStart(width);

/** The worst of the three, with its letter: what the host or worker waits for most. */
export function worstPressure({
  cpu,
  memory,
  io,
}: HiveView['host']['pressure']): { what: string; percent: number } | null {
  const known = [
    { what: 'cpu', percent: cpu },
    { what: 'mem', percent: memory },
    { what: 'io', percent: io },
  ].filter((entry): entry is { what: string; percent: number } => entry.percent !== null);
  return known.sort((a, b) => b.percent - a.percent)[0] ?? null;
}

function pressureCell(pressure: HiveView['host']['pressure']): Span[] {
  const worst = worstPressure(pressure);
  if (!worst) return [value(unknownText)];
  const tone: Tone | undefined = worst.percent >= 40 ? 'bad' : worst.percent >= 10 ? 'warning' : undefined;
  return [value(worst.percent < 0.05 ? '0 %' : `${worst.what} ${formatPercent(worst.percent)}`, tone)];
}

/** VRAM of all GPUs of a hive; those whose use is not known count in neither. Slices of a GPU are in their parent. */
export function hiveVram(hive: Pick<HiveView, 'gpus'>): { used: number | null; total: number | null } {
  const { usedBytes, totalBytes } = countVram(hive.gpus);
  return { used: usedBytes, total: totalBytes };
}

export function hiveGpuPercent(hive: Pick<HiveView, 'gpus'>): number | null {
  const known = hive.gpus.map((gpu) => gpu.utilizationPercent).filter((entry): entry is number => entry !== null);
  return known.length === 0 ? null : known.reduce((total, entry) => total + entry, 0) / known.length;
}

const hostCpu = ({ host }: HiveView): number | null => fraction(host.cpuPercent, host.cpuCount * 100);
const hostUsed = ({ host }: HiveView): number | null =>
  host.memoryTotalBytes === null || host.memoryAvailableBytes === null
    ? null
    : host.memoryTotalBytes - host.memoryAvailableBytes;

/** How a hive is: its liveness where it is not heard, else the state it says. */
export const hiveStyle = (hive: HiveView): StatusStyle =>
  hive.liveness === 'online' && hive.cordon !== undefined
    ? cordonedStyle
    : hive.liveness === 'online' && hive.state !== 'ready'
      ? styleOf(hiveStateStyles, hive.state)
      : styleOf(livenessStyles, hive.liveness);

const absenceSpan = ({ text, unknown }: AbsenceText): Span => span(text, ansiOf[unknown ? 'warning' : 'unknown']);

/** One sign per GPU, in its colour: what eight GPUs do, in eight columns. */
export function gpuSigns(
  hive: Pick<HiveView, 'gpus' | 'gpusKnown' | 'gpusReason' | 'collection' | 'liveness'>,
): Span[] {
  const { gpus, liveness } = hive;
  const absence = hiveGpusText(hive, hive.collection.gpuAgeMs);
  if (absence !== null) return [absenceSpan(absence)];
  return gpus.map((gpu) => {
    const status = gpuStyle({ health: gpu.health, liveness });
    if (status !== gpuHealthStyles.ok) {
      return span(status.symbol, ansiOf[status.tone]);
    }
    if (gpu.utilizationPercent === null) return span('?', ansiOf.unknown);
    const level = Math.min(7, Math.floor((gpu.utilizationPercent / 100) * 8));
    return span(
      '\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588'[level] as string,
      ansiOf[level === 0 ? 'good' : 'active'],
    );
  });
}

/** `1 min` for `1 min 05 s` where there is no room for it. */
function shortAge(ageMs: number, width: number): string {
  const age = formatAge(ageMs);
  return age.length > width ? age.split(' ').slice(0, 2).join(' ') : age;
}

export const hiveColumns: readonly Column<HiveView>[] = [
  { key: 'hive', title: 'HIVE', min: 12, max: 32, rank: 0, draw: (h) => [span(h.id, '1')], order: (h) => h.id },
  {
    key: 'state',
    title: 'STATE',
    min: 11,
    max: 11,
    rank: 0,
    draw: (h) => [statusSpan(hiveStyle(h))],
    order: (h) => ['offline', 'late', 'online'].indexOf(h.liveness),
  },
  {
    key: 'age',
    title: 'HEARD',
    align: 'right',
    min: 6,
    max: 12,
    rank: 5,
    draw: (h, width) => [
      value(shortAge(h.ageMs, width), h.liveness === 'online' ? undefined : livenessStyles[h.liveness]?.tone),
    ],
    order: (h) => h.ageMs,
    descending: true,
  },
  {
    key: 'workers',
    title: 'WORKERS',
    align: 'right',
    min: 7,
    max: 7,
    rank: 3,
    draw: (h) => [value(`${h.workerCount}${h.workersComplete ? '' : '+'}`, h.workersComplete ? undefined : 'warning')],
    order: (h) => h.workerCount,
    descending: true,
  },
  {
    key: 'gpus',
    title: 'GPUS',
    min: 8,
    max: 16,
    rank: 4,
    draw: (h) => gpuSigns(h),
    order: (h) => h.gpus.length,
    descending: true,
  },
  {
    key: 'gpu',
    title: 'GPU',
    min: 12,
    max: 18,
    rank: 2,
    draw: (h, width) => gauge(fraction(hiveGpuPercent(h), 100), padded(formatPercent(hiveGpuPercent(h)), 5), width),
    order: hiveGpuPercent,
    descending: true,
  },
  {
    key: 'vram',
    title: 'VRAM',
    min: 26,
    max: 36,
    rank: 1,
    draw: (h, width) => {
      const { used, total } = hiveVram(h);
      return gauge(
        fraction(used, total),
        padded(formatGibOf(used, total), 18),
        width,
        loadTone(fraction(used, total), 0.95, 1.01),
      );
    },
    order: (h) => fraction(hiveVram(h).used, hiveVram(h).total),
    descending: true,
  },
  {
    key: 'cpu',
    title: 'CPU',
    min: 12,
    max: 18,
    rank: 2,
    draw: (h, width) => {
      const used = hostCpu(h);
      return gauge(used, padded(formatPercent(used === null ? null : used * 100), 5), width, loadTone(used));
    },
    order: hostCpu,
    descending: true,
  },
  {
    key: 'memory',
    title: 'MEMORY',
    min: 12,
    max: 18,
    rank: 3,
    draw: (h, width) => {
      const used = fraction(hostUsed(h), h.host.memoryTotalBytes);
      return gauge(used, padded(formatPercent(used === null ? null : used * 100), 5), width, loadTone(used));
    },
    order: (h) => fraction(hostUsed(h), h.host.memoryTotalBytes),
    descending: true,
  },
  {
    key: 'pressure',
    title: 'PRESSURE',
    min: 9,
    max: 10,
    rank: 6,
    draw: (h) => pressureCell(h.host.pressure),
    order: (h) => worstPressure(h.host.pressure)?.percent ?? null,
    descending: true,
  },
  {
    key: 'faults',
    title: 'FAULTS',
    align: 'right',
    min: 6,
    max: 6,
    rank: 4,
    draw: (h) => [h.faults.length === 0 ? span('0', '2') : value(String(h.faults.length), 'warning')],
    order: (h) => h.faults.length,
    descending: true,
  },
  {
    key: 'container',
    title: 'CONTAINER',
    min: 30,
    max: 40,
    rank: 8,
    draw: ({ host }) => [host.container == null ? span('-', '2') : value(containerShare(host.container))],
  },
];

type Item = Readonly<Record<string, unknown>>;

const shareOf = (item: Item, name: string, share: ShareOf | undefined): number | null =>
  share === undefined
    ? null
    : fraction(
        valueAt(item, name) as number | null,
        typeof share.of === 'number' ? share.of : (item[share.of] as number | null),
      );

/** Tone of a field's value; nothing where its row names no threshold. */
export const shareTone = (item: Item, name: string, share: ShareOf | undefined): Tone | undefined =>
  share?.warn === undefined ? undefined : loadTone(shareOf(item, name, share), share.warn, share.bad);

/** How a column is drawn and ordered where that takes more than the format of its row. */
interface Drawing<T> extends Pick<Column<T>, 'draw'> {
  /** Null: nothing is sorted by it. */
  readonly order?: Column<T>['order'] | null;
}

/** The columns of a table of fields, and others among them. */
function columnsOf<T extends object>(
  table: FieldTable,
  drawings: Readonly<Record<string, Drawing<T>>>,
  others: readonly (Column<T> & { readonly place: number })[],
): readonly Column<T>[] {
  const own = placed(table, 'column').map(({ name, spec }) => {
    const { key, title, width, rank, place, right, descending, format, share, bar: padding } = spec;
    const text = (item: Item): string =>
      formatField(
        format,
        valueAt(item, name),
        typeof share?.of === 'string' ? (item[share.of] as number | null) : null,
      );
    const plain: Drawing<Item> =
      padding === undefined
        ? {
            draw: (item) => [value(text(item), shareTone(item, name, share))],
            order: (item) => valueAt(item, name) as number | string | null,
          }
        : {
            draw: (item, room) =>
              gauge(shareOf(item, name, share), padded(text(item), padding), room, shareTone(item, name, share)),
            order: (item) => shareOf(item, name, share),
          };
    const { draw, order } = { ...(plain as Drawing<unknown> as Drawing<T>), ...drawings[key] };
    return {
      ...{ key, title, rank, place, draw, min: width[0], max: width[1] },
      ...(right && { align: 'right' as const }),
      ...(descending && { descending }),
      ...(order && { order }),
    };
  });
  return [...own, ...others].sort((a, b) => a.place - b.place);
}

/** The column of the hive, which every item of a fleet has. */
const hiveColumn = (rank: number) => ({
  ...{ key: 'hive', title: 'HIVE', min: 8, max: 24, rank, place: 20 },
  draw: ({ hive }: { readonly hive: string }) => [span(hive)],
  order: ({ hive }: { readonly hive: string }) => hive,
});

/** A worker, and how old the last answer about the GPUs of its host is: shown where they are not known now. */
export type WorkerRow = WorkerView & { readonly gpuAgeMs?: number | null };

export function workerRows(workers: readonly WorkerView[], hives: Iterable<HiveView>): readonly WorkerRow[] {
  if (!workers.some(isGpuUnknown)) return workers;
  const ages = new Map(Array.from(hives, ({ id, collection }) => [id, collection.gpuAgeMs]));
  return workers.map((w) => (isGpuUnknown(w) ? { ...w, gpuAgeMs: ages.get(w.hive) ?? null } : w));
}

/** Whether the rows of these workers say how long their GPUs have not been known. */
export const isGpuUnknown = (w: WorkerView): boolean => workerGpusText(w)?.unknown ?? false;

/** What wants attention first. */
const stateOrder: readonly string[] = [
  ...['stalled', 'saturated', 'busy', 'loading', 'starting', 'idle', 'sleeping', 'unknown'],
];

/** `meta-llama/Llama-3-8B +1`; without its owner, and without the number of its other names, where there is no room. */
function modelText(worker: WorkerRow, width: number): string {
  const model = worker.model ?? unknownText;
  const name = model.slice(model.lastIndexOf('/') + 1) || model;
  const texts = [model, name].map((text) => `${text}${moreModels(worker)}`);
  return [...texts, model].find((text) => text.length <= width) ?? name;
}

export const workerColumns = columnsOf<WorkerRow>(
  workerFields,
  {
    worker: { draw: (w) => [span(w.id, '1'), ...(w.name ? [span(` ${w.name}`, '2')] : [])] },
    model: { draw: (w, width) => [value(modelText(w, width))] },
    state: {
      draw: (w) => [statusSpan(workerStyle(w))],
      order: (w) => stateOrder.indexOf(w.state),
    },
    ready: {
      draw: (w) => [w.ready === null ? span('\u00b7', '2') : w.ready ? value('yes', 'good') : value('no', 'warning')],
      order: (w) => (w.ready === null ? null : Number(w.ready)),
    },
    memory: {
      draw: (w, width) => {
        const used = memoryOf(w);
        const text = formatMemoryOf(used, w.memoryLimitBytes);
        // Where both do not fit, what is used stands whole.
        return [value(text.length <= width ? text : formatGib(used), loadTone(fraction(used, w.memoryLimitBytes)))];
      },
      order: memoryOf,
    },
    gpu: {
      draw: (w, width) => {
        const absence = workerGpusText(w);
        if (absence !== null) return [absenceSpan(absence)];
        const busy = fraction(w.gpuUtilizationPercent, w.gpus.length * 100);
        return gauge(busy, padded(formatGpuUse(w.gpuUtilizationPercent, w.gpus.length), 5), width);
      },
    },
    vram: {
      draw: (w, width) => {
        const absence = workerGpusText(w, w.gpuAgeMs);
        if (absence !== null)
          return [absence.since === null ? span('') : absenceSpan({ ...absence, text: absence.since })];
        const used = fraction(w.vramUsedBytes, w.vramTotalBytes);
        return gauge(used, padded(formatGibOf(w.vramUsedBytes, w.vramTotalBytes), 18), width);
      },
      order: (w) => w.vramUsedBytes,
    },
    pressure: {
      draw: (w) => pressureCell(w.pressure),
      order: (w) => worstPressure(w.pressure)?.percent ?? null,
    },
  },
  [hiveColumn(4)],
);

/** A GPU of a hive, with what its row needs of the hive. */
export type GpuRow = Omit<GpuView, 'freeBytes'>;

export const gpuColumns = columnsOf<GpuRow>(
  gpuFields,
  {
    gpu: {
      draw: (g) => [
        span(`${g.index} `, '1'),
        span(g.name ?? unknownText, g.name ? undefined : ansiOf.unknown),
        span(g.parentUuid ? ' (MIG)' : '', '2'),
      ],
    },
    health: {
      draw: (g) => [statusSpan(gpuStyle(g))],
      order: (g) => Object.keys(gpuHealthStyles).length - Object.keys(gpuHealthStyles).indexOf(g.health),
    },
    power: {
      draw: (g, width) => [
        value(
          g.powerLimitWatts === null || width < 11
            ? formatWatts(g.powerWatts)
            : `${g.powerWatts === null ? unknownText : g.powerWatts.toFixed(0)} / ${formatWatts(g.powerLimitWatts)}`,
        ),
      ],
    },
    throttle: {
      // A blank is no throttling: of a GPU that cannot tell it is not known.
      draw: (g) => [
        g.unsupported.includes('throttleReasons')
          ? value(unknownText)
          : value(g.throttleReasons.filter((reason) => reason !== 'idle').join(' '), 'warning'),
      ],
      order: null,
    },
    uuid: { draw: (g) => [span(shortUuid(g.uuid), '2')] },
  },
  [hiveColumn(1)],
);
