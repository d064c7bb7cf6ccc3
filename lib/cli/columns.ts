import type { GpuView, HiveView, WorkerView } from '../contract/api.js';
import { countVram } from '../contract/counts.js';
import { shortUuid } from '../present/sentences.js';
import {
  ansiOf,
  gpuHealthStyles,
  gpuStyle,
  hiveStateStyles,
  livenessStyles,
  type StatusStyle,
  styleOf,
  type Tone,
  workerStyle,
} from '../present/status.js';
import {
  formatAge,
  formatCelsius,
  formatCores,
  formatDuration,
  formatGibOf,
  formatPercent,
  formatRate,
  formatWatts,
  unknownText,
} from '../present/units.js';
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
  hive.liveness === 'online' && hive.state !== 'ready'
    ? styleOf(hiveStateStyles, hive.state)
    : styleOf(livenessStyles, hive.liveness);

/** One sign per GPU, in its colour: what eight GPUs do, in eight columns. */
export function gpuSigns({ gpus, liveness }: Pick<HiveView, 'gpus' | 'liveness'>): Span[] {
  if (gpus.length === 0) return [span('no GPU', ansiOf.unknown)];
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
    title: 'BEAT',
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
];

const memoryShare = (w: WorkerView): number | null => fraction(w.workingSetBytes ?? w.memoryBytes, w.memoryLimitBytes);

/** `meta-llama/Llama-3-8B` without its owner where there is no room for it. */
const shortModel = (model: string, width: number): string =>
  model.length > width ? model.slice(model.lastIndexOf('/') + 1) || model : model;

export const workerColumns: readonly Column<WorkerView>[] = [
  {
    key: 'worker',
    title: 'WORKER',
    min: 14,
    max: 36,
    rank: 0,
    draw: (w) => [span(w.id, '1'), ...(w.name ? [span(` ${w.name}`, '2')] : [])],
    order: (w) => w.id,
  },
  { key: 'hive', title: 'HIVE', min: 8, max: 24, rank: 4, draw: (w) => [span(w.hive)], order: (w) => w.hive },
  {
    key: 'model',
    title: 'MODEL',
    min: 10,
    max: 34,
    rank: 3,
    draw: (w, width) => [value(shortModel(w.model ?? unknownText, width))],
    order: (w) => w.model,
  },
  {
    key: 'state',
    title: 'STATE',
    min: 10,
    max: 10,
    rank: 0,
    draw: (w) => [statusSpan(workerStyle(w))],
    order: (w) => ['busy', 'starting', 'idle', 'unknown'].indexOf(w.state),
  },
  {
    key: 'ready',
    title: 'READY',
    min: 5,
    max: 5,
    rank: 6,
    draw: (w) => [w.ready === null ? span('\u00b7', '2') : w.ready ? value('yes', 'good') : value('no', 'warning')],
    order: (w) => (w.ready === null ? null : Number(w.ready)),
  },
  {
    key: 'cpu',
    title: 'CORES',
    align: 'right',
    min: 5,
    max: 6,
    rank: 2,
    draw: (w) => [value(formatCores(w.cpuPercent), loadTone(fraction(w.cpuPercent, w.cpuLimitPercent)))],
    order: (w) => w.cpuPercent,
    descending: true,
  },
  {
    key: 'throttled',
    title: 'THROTTLED',
    align: 'right',
    min: 9,
    max: 9,
    rank: 9,
    draw: (w) => [
      value(formatPercent(w.cpuThrottledPercent), loadTone(fraction(w.cpuThrottledPercent, 100), 0.25, 0.5)),
    ],
    order: (w) => w.cpuThrottledPercent,
    descending: true,
  },
  {
    key: 'memory',
    title: 'MEMORY',
    align: 'right',
    min: 16,
    max: 18,
    rank: 2,
    draw: (w) => [
      value(
        w.memoryLimitBytes === null
          ? formatGibOf(w.workingSetBytes ?? w.memoryBytes, null).replace(` / ${unknownText}`, '')
          : formatGibOf(w.workingSetBytes ?? w.memoryBytes, w.memoryLimitBytes),
        loadTone(memoryShare(w)),
      ),
    ],
    order: (w) => w.workingSetBytes ?? w.memoryBytes,
    descending: true,
  },
  {
    key: 'gpu',
    title: 'GPU',
    min: 12,
    max: 18,
    rank: 1,
    draw: (w, width) =>
      w.gpus.length === 0
        ? [span('no GPU', ansiOf.unknown)]
        : gauge(
            fraction(w.gpuUtilizationPercent, w.gpus.length * 100),
            padded(formatPercent(w.gpuUtilizationPercent), 5),
            width,
          ),
    order: (w) => w.gpuUtilizationPercent,
    descending: true,
  },
  {
    key: 'vram',
    title: 'VRAM',
    min: 24,
    max: 36,
    rank: 1,
    draw: (w, width) =>
      w.gpus.length === 0
        ? [span('')]
        : gauge(
            fraction(w.vramUsedBytes, w.vramTotalBytes),
            padded(formatGibOf(w.vramUsedBytes, w.vramTotalBytes), 18),
            width,
          ),
    order: (w) => w.vramUsedBytes,
    descending: true,
  },
  {
    key: 'io',
    title: 'READ',
    align: 'right',
    min: 10,
    max: 12,
    rank: 8,
    draw: (w) => [value(formatRate(w.ioReadBytesPerSecond))],
    order: (w) => w.ioReadBytesPerSecond,
    descending: true,
  },
  {
    key: 'pressure',
    title: 'PRESSURE',
    min: 9,
    max: 10,
    rank: 7,
    draw: (w) => pressureCell(w.pressure),
    order: (w) => worstPressure(w.pressure)?.percent ?? null,
    descending: true,
  },
  {
    key: 'uptime',
    title: 'UP',
    align: 'right',
    min: 9,
    max: 12,
    rank: 5,
    draw: (w) => [value(formatDuration(w.uptimeSeconds))],
    order: (w) => w.uptimeSeconds,
    descending: true,
  },
];

/** A GPU of a hive, with what its row needs of the hive. */
export type GpuRow = Omit<GpuView, 'freeBytes'>;

export const gpuColumns: readonly Column<GpuRow>[] = [
  {
    key: 'gpu',
    title: 'GPU',
    min: 12,
    max: 30,
    rank: 0,
    draw: (g) => [
      span(`${g.index} `, '1'),
      span(g.name ?? unknownText, g.name ? undefined : ansiOf.unknown),
      span(g.parentUuid ? ' (MIG)' : '', '2'),
    ],
    order: (g) => g.index,
  },
  { key: 'hive', title: 'HIVE', min: 8, max: 24, rank: 1, draw: (g) => [span(g.hive)], order: (g) => g.hive },
  {
    key: 'health',
    title: 'HEALTH',
    min: 14,
    max: 16,
    rank: 0,
    draw: (g) => [statusSpan(gpuStyle(g))],
    order: (g) => Object.keys(gpuHealthStyles).length - Object.keys(gpuHealthStyles).indexOf(g.health),
  },
  {
    key: 'utilization',
    title: 'BUSY',
    min: 12,
    max: 20,
    rank: 1,
    draw: (g, width) =>
      gauge(fraction(g.utilizationPercent, 100), padded(formatPercent(g.utilizationPercent), 5), width),
    order: (g) => g.utilizationPercent,
    descending: true,
  },
  {
    key: 'vram',
    title: 'VRAM',
    min: 26,
    max: 40,
    rank: 1,
    draw: (g, width) =>
      gauge(
        fraction(g.memoryUsedBytes, g.memoryTotalBytes),
        padded(formatGibOf(g.memoryUsedBytes, g.memoryTotalBytes), 18),
        width,
        loadTone(fraction(g.memoryUsedBytes, g.memoryTotalBytes), 0.95, 1.01),
      ),
    order: (g) => fraction(g.memoryUsedBytes, g.memoryTotalBytes),
    descending: true,
  },
  {
    key: 'temperature',
    title: 'TEMP',
    align: 'right',
    min: 6,
    max: 6,
    rank: 2,
    draw: (g) => [value(formatCelsius(g.temperatureCelsius), loadTone(fraction(g.temperatureCelsius, 100), 0.83, 0.9))],
    order: (g) => g.temperatureCelsius,
    descending: true,
  },
  {
    key: 'power',
    title: 'POWER',
    align: 'right',
    min: 7,
    max: 13,
    rank: 3,
    draw: (g, width) => [
      value(
        g.powerLimitWatts === null || width < 11
          ? formatWatts(g.powerWatts)
          : `${g.powerWatts === null ? unknownText : g.powerWatts.toFixed(0)} / ${formatWatts(g.powerLimitWatts)}`,
      ),
    ],
    order: (g) => g.powerWatts,
    descending: true,
  },
  {
    key: 'processes',
    title: 'PROCS',
    align: 'right',
    min: 5,
    max: 5,
    rank: 5,
    draw: (g) => [value(g.processCount === null ? unknownText : String(g.processCount))],
    order: (g) => g.processCount,
    descending: true,
  },
  {
    key: 'throttle',
    title: 'THROTTLED BY',
    min: 12,
    max: 24,
    rank: 6,
    draw: (g) => [value(g.throttleReasons.filter((reason) => reason !== 'idle').join(' '), 'warning')],
  },
  {
    key: 'uuid',
    title: 'UUID',
    min: 8,
    max: 8,
    rank: 4,
    draw: (g) => [span(shortUuid(g.uuid), '2')],
    order: (g) => g.uuid,
  },
];
