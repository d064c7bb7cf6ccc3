/** The queen's history of a hive or worker as graphs of braille dots. Pure. */
import type { FleetEvent, History, HiveView, WorkerView } from '../../contract/api.js';
import { ansiOf } from '../../present/status.js';
import { formatBytes, formatCores, formatDuration, formatPercent, formatPerSecond } from '../../present/units.js';
import { span } from '../table.js';
import { type Line, labelWidth, pair, title } from './lines.js';

export const historySpans = ['hour', 'day'] as const;
export type HistorySpan = (typeof historySpans)[number];

/** What the queen keeps of what is looked at; null: not (yet) had. */
export interface Past {
  /** Those that came while `top` ran, of the whole fleet. */
  readonly events: readonly FleetEvent[];
  readonly past: readonly FleetEvent[] | null;
  readonly history: History | null;
  readonly span: HistorySpan;
}

/** Nothing of it. @internal */
export const noPast: Past = { events: [], past: null, history: null, span: 'hour' };

interface Graph {
  readonly series: string;
  readonly label: string;
  readonly format: (value: number) => string;
  /** What reaches to the upper edge; else the largest value does. */
  readonly top?: number;
  /** From the value of the series to what is shown. */
  readonly from?: (value: number) => number;
}

const cores = (value: number): string => `${formatCores(value)} cores`;

export const hiveGraphs = ({ host }: HiveView): readonly Graph[] => [
  { series: 'cpuPercent', label: 'CPU', format: cores },
  ...(host.memoryTotalBytes === null ? [] : [memoryGraph(host.memoryTotalBytes)]),
  { series: 'load1', label: 'load', format: (value) => value.toFixed(2) },
  { series: 'workers', label: 'workers', format: (value) => value.toFixed(0) },
];

const memoryGraph = (total: number): Graph => ({
  ...{ series: 'memoryAvailableBytes', label: 'memory', format: formatBytes },
  from: (available) => Math.max(0, total - available),
});

export const workerGraphs = (worker: WorkerView): readonly Graph[] => [
  { series: 'cpuPercent', label: 'CPU', format: cores },
  { series: 'workingSetBytes', label: 'working set', format: formatBytes },
  { series: 'gpuUtilizationPercent', label: 'GPU', format: formatPercent, top: Math.max(1, worker.gpus.length) * 100 },
  { series: 'vramUsedBytes', label: 'VRAM', format: formatBytes },
  { series: 'running', label: 'running', format: (value) => value.toFixed(1) },
  { series: 'waiting', label: 'waiting', format: (value) => value.toFixed(1) },
  { series: 'generationTokensPerSecond', label: 'tokens', format: formatPerSecond },
  { series: 'kvPercent', label: 'KV cache', format: formatPercent, top: 100 },
];

/** Dots of a cell from its lowest to its uppermost, of the left and of the right column (Unicode, Braille Patterns). */
const dots = [
  [0x40, 0x04, 0x02, 0x01],
  [0x80, 0x20, 0x10, 0x08],
] as const;
const dotsPerCell = 4;

/** At most `count` values: of those that share a place the largest, so that no peak is lost. */
function squeeze(values: readonly (number | null)[], count: number): (number | null)[] {
  if (values.length <= count) return [...values];
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * values.length) / count);
    const known = values.slice(from, Math.floor(((i + 1) * values.length) / count)).filter((value) => value !== null);
    return known.length === 0 ? null : Math.max(...known);
  });
}

/**
 * Columns of dots, two in each of at most `width` cells, the newest last, in `height` lines from the upper one down. Whatever is
 * known has at least its lowest dot; what is not known is a gap.
 */
export function braille(values: readonly (number | null)[], width: number, height: number, top?: number): string[] {
  const shown = squeeze(values, width * 2);
  const most = Math.max(top ?? 0, ...shown.map((value) => value ?? 0));
  const levels = shown.map((value) =>
    value === null ? 0 : Math.max(1, most > 0 ? Math.round((Math.max(0, value) / most) * height * dotsPerCell) : 1),
  );
  const cells = Math.ceil(levels.length / 2);
  return Array.from({ length: height }, (_, line) => {
    const below = (height - 1 - line) * dotsPerCell;
    return Array.from({ length: cells }, (_cell, cell) => {
      const bits = dots.map((column, side) => {
        const filled = (levels[cell * 2 + side] ?? 0) - below;
        return column.slice(0, Math.max(0, filled)).reduce((sum, dot) => sum | dot, 0);
      });
      return String.fromCharCode(0x2800 + (bits[0] ?? 0) + (bits[1] ?? 0));
    }).join('');
  });
}

const graphHeight = 2;
const textWidth = 26;

export function historyLines(
  history: History | null,
  graphs: readonly Graph[],
  historySpan: HistorySpan,
  width: number,
): Line[] {
  if (history === null) return [];
  const room = Math.max(10, width - labelWidth - textWidth);
  const lines = graphs.flatMap((graph) => graphLines(history, graph, room));
  const steps = Math.max(0, ...Object.values(history.series).map(({ length }) => length));
  const name = historySpan === 'hour' ? 'Last hour' : 'Last 24 h';
  const kept = formatDuration((steps * history.stepMs) / 1000);
  const heading = [
    ...title(name),
    span(
      `  ${steps === 0 ? 'no history yet' : `${kept} are kept`}; t: ${historySpan === 'hour' ? 'the last 24 h' : 'the last hour'}`,
      '2',
    ),
  ];
  return [heading, ...lines, []];
}

function graphLines({ series }: History, { series: name, label, format, top, from }: Graph, room: number): Line[] {
  const values = (series[name] ?? []).map((value) => (value === null || from === undefined ? value : from(value)));
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return [];
  const newest = values.at(-1) ?? null;
  const notes = [
    newest === null ? 'not known now' : `${format(newest)} now`,
    `${format(Math.min(...known))} to ${format(Math.max(...known))}`,
  ];
  return braille(values, room, graphHeight, top).map((line, i) =>
    pair(i === 0 ? label : '', span(line, ansiOf.active), span(`  ${notes[i] ?? ''}`, '2')),
  );
}
