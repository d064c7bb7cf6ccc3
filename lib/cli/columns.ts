import type { GpuView, HiveView, WorkerView } from '../contract/api.js';
import { type FieldTable, placed, type ShareOf, valueAt } from '../contract/fields/field.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { workerFields } from '../contract/fields/worker.js';
import { formatField } from '../present/format-field.js';
import { gpuKind } from '../present/gpu-names.js';
import { workerGpusText } from '../present/knowledge.js';
import { moreModels } from '../present/models.js';
import { shortUuid } from '../present/sentences.js';
import { ansiOf, gpuHealthStyles, gpuStyle, type Tone, workerStyle } from '../present/status.js';
import { formatGib, formatGibOf, formatWatts, unknownText } from '../present/units.js';
import { formatGpuUse, formatMemoryOf, memoryOf } from '../present/worker-figures.js';
import {
  absenceSpan,
  fraction,
  gauge,
  loadTone,
  padded,
  pressureCell,
  statusSpan,
  value,
  worstPressure,
} from './cells.js';
import { type Column, span } from './table.js';

/** The columns of workers and GPUs, shared by the tables that commands print and by `top`. */

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
interface Drawing<T> extends Pick<Column<T>, 'draw' | 'compact'> {
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
            compact: Math.max(padding, title.length),
          };
    const { draw, order, compact } = { ...(plain as Drawing<unknown> as Drawing<T>), ...drawings[key] };
    return {
      ...{ key, title, rank, place, draw, min: width[0], max: width[1] },
      ...(right && { align: 'right' as const }),
      ...(descending && { descending }),
      ...(compact !== undefined && { compact }),
      ...(order && { order }),
    };
  });
  return [...own, ...others].sort((a, b) => a.place - b.place);
}

/** The column of the hive, which every item of a fleet has. */
const hiveColumn = (rank: number, min: number) => ({
  ...{ key: 'hive', title: 'HIVE', min, max: 24, rank, place: 20 },
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
        return gauge(busy, padded(formatGpuUse(w.gpuUtilizationPercent, w.gpus.length), 10), width);
      },
      compact: 10,
    },
    vram: {
      draw: (w, width) => {
        const absence = workerGpusText(w, w.gpuAgeMs);
        if (absence !== null)
          return [absence.since === null ? span('') : absenceSpan({ ...absence, text: absence.since })];
        const used = fraction(w.vramUsedBytes, w.vramTotalBytes);
        const text = formatGibOf(w.vramUsedBytes, w.vramTotalBytes);
        // Where both do not fit, what is used stands whole.
        return text.length <= width
          ? gauge(used, padded(text, 18), width)
          : [value(padded(formatGib(w.vramUsedBytes), width))];
      },
      compact: 10,
      order: (w) => w.vramUsedBytes,
    },
    pressure: {
      draw: (w) => pressureCell(w.pressure),
      order: (w) => worstPressure(w.pressure)?.percent ?? null,
    },
  },
  [hiveColumn(1, 10)],
);

/** A GPU of a hive, with what its row needs of the hive. */
export type GpuRow = Omit<GpuView, 'freeBytes'>;

export const gpuColumns = columnsOf<GpuRow>(
  gpuFields,
  {
    gpu: {
      // Where the whole name has no room its brand says the least.
      draw: (g, width) => [
        span(`${g.index} `, '1'),
        span(
          g.name === null ? unknownText : `${g.index} ${g.name}`.length > width ? gpuKind(g) : g.name,
          g.name ? undefined : ansiOf.unknown,
        ),
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
      // A blank is no throttling.
      draw: ({ throttleReasons }) => [
        throttleReasons === null
          ? value(unknownText)
          : value(throttleReasons.filter((reason) => reason !== 'idle').join(' '), 'warning'),
      ],
      order: null,
    },
    uuid: { draw: (g) => [span(shortUuid(g.uuid), '2')] },
  },
  [hiveColumn(1, 8)],
);
