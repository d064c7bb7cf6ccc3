import type { HiveView } from '../contract/api.js';
import { containerShare } from '../present/container.js';
import { coresOf, cpusOf, type GpuTotals, gpuTotals, usedMemoryOf, vramOf } from '../present/host-figures.js';
import { hiveGpusText, missingWorkersText, workerCountText } from '../present/knowledge.js';
import {
  ansiOf,
  cordonedStyle,
  gpuHealthStyles,
  gpuStyle,
  hiveStateStyles,
  livenessStyles,
  type StatusStyle,
  styleOf,
} from '../present/status.js';
import { formatAge, formatGibOf, formatPercent } from '../present/units.js';
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
import { type Column, type Span, span } from './table.js';

const hiveGpuPercent = (hive: HiveView): number | null => gpuTotals([hive]).utilizationPercent;
const vramShare = ({ usedBytes, totalBytes }: GpuTotals): number | null => fraction(usedBytes, totalBytes);

export const hostCpu = ({ host }: Pick<HiveView, 'host'>): number | null =>
  fraction(host.cpuPercent, cpusOf(host) * 100);

/** How a hive is: its liveness where it is not heard, else the state it says. */
export const hiveStyle = (hive: HiveView): StatusStyle =>
  hive.liveness === 'online' && hive.cordon !== undefined
    ? cordonedStyle
    : hive.liveness === 'online' && hive.state !== 'ready'
      ? styleOf(hiveStateStyles, hive.state)
      : styleOf(livenessStyles, hive.liveness);

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
    draw: (h) => [value(workerCountText(h), missingWorkersText(h) === null ? undefined : 'warning')],
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
    compact: 5,
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
    compact: 18,
    rank: 1,
    draw: (h, width) => {
      const totals = gpuTotals([h]);
      const share = vramShare(totals);
      return gauge(share, padded(vramOf(totals), 18), width, loadTone(share, 0.95, 1.01));
    },
    order: (h) => vramShare(gpuTotals([h])),
    descending: true,
  },
  {
    key: 'cpu',
    title: 'CPU',
    min: 14,
    max: 20,
    compact: 9,
    rank: 2,
    draw: (h, width) => gauge(hostCpu(h), padded(coresOf(h.host), 9), width, loadTone(hostCpu(h))),
    order: hostCpu,
    descending: true,
  },
  {
    key: 'memory',
    title: 'MEMORY',
    min: 18,
    max: 32,
    compact: 6,
    rank: 3,
    draw: ({ host }, width) => {
      const used = usedMemoryOf(host);
      const share = fraction(used, host.memoryTotalBytes);
      // Where there is no room for both numbers, what they come to.
      const text =
        width < 18 ? formatPercent(share === null ? null : share * 100) : formatGibOf(used, host.memoryTotalBytes);
      return gauge(share, padded(text, Math.min(18, width)), width, loadTone(share));
    },
    order: ({ host }) => fraction(usedMemoryOf(host), host.memoryTotalBytes),
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
