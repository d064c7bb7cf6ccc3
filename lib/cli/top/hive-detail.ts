import type { GpuItem } from '../../client/mirror.js';
import type { HiveView, WorkerView } from '../../contract/api.js';
import { hostFields } from '../../contract/fields/host.js';
import { containerShare, throttledText } from '../../present/container.js';
import { coresOf, usedMemoryOf } from '../../present/host-figures.js';
import { gpuReadersText, hiveGpusText, incompleteText } from '../../present/knowledge.js';
import { ansiOf } from '../../present/status.js';
import { formatAge, formatGibOf, unknownText } from '../../present/units.js';
import { fraction, statusSpan, value } from '../cells.js';
import { gpuColumns, type WorkerRow, workerColumns, workerRows } from '../columns.js';
import { hiveStyle, hostCpu } from '../hive-columns.js';
import { type Column, type Span, sortRows, span } from '../table.js';
import { historyLines, hiveGraphs, type Past } from './history.js';
import {
  eventLines,
  faultLines,
  fieldLine,
  gaugeLine,
  gpuLines,
  type Line,
  labelText,
  pair,
  pressureLine,
  table,
  title,
  wrapped,
} from './lines.js';

function insideLine(host: HiveView['host']): Line[] {
  const share = host.container == null ? null : containerShare(host.container);
  const throttled = throttledText(host);
  if (share === null) return [];
  return [pair('container', value(share), ...(throttled === null ? [] : [span(`   ${throttled}`, ansiOf.warning)]))];
}

const byName = (rows: readonly WorkerRow[]): readonly WorkerRow[] =>
  sortRows(rows, workerColumns[0] as Column<WorkerRow>, false);

export function hiveDetail(
  hive: HiveView,
  workers: readonly WorkerView[],
  { events, past, history, span: historySpan }: Past,
  width: number,
): Line[] {
  const { host, collection } = hive;
  const used = usedMemoryOf(host);
  const gpus: GpuItem[] = hive.gpus.map((gpu) => ({
    ...gpu,
    hive: hive.id,
    liveness: hive.liveness,
    ageMs: hive.ageMs,
  }));
  const absence = hiveGpusText(hive, collection.gpuAgeMs);
  const reader = (name: string, reason: string | null): Span[] => [
    span(name),
    ...(reason ? [span(`  ${reason}`, ansiOf.warning)] : []),
  ];
  return [
    [
      span(hive.id, '1'),
      span('  '),
      statusSpan(hiveStyle(hive)),
      span(`  last heartbeat ${formatAge(hive.ageMs)} ago`, '2'),
    ],
    [span(hiveStyle(hive).hint, '2')],
    pair('host', span(`${hive.hostname}${hive.address ? `  ${hive.address}` : ''}  hivepulse ${hive.version}`)),
    fieldLine(hostFields, 'up', host),
    ...(Object.keys(hive.labels).length > 0 ? wrapped('labels', labelText(hive.labels), width) : []),
    gaugeLine('CPU', hostCpu(hive), `${coresOf(host)} cores`, width),
    gaugeLine('memory', fraction(used, host.memoryTotalBytes), formatGibOf(used, host.memoryTotalBytes), width),
    ...insideLine(host),
    pressureLine(host.pressure),
    pair('cgroups by', ...reader(collection.cgroupReader, collection.cgroupReaderReason)),
    pair('GPUs by', ...reader(gpuReadersText(collection), collection.gpuReaderReason)),
    pair('pass', value(collection.durationMs === null ? unknownText : `${collection.durationMs.toFixed(1)} ms`)),
    [],
    ...gpuLines(absence, gpus.length, () => table(gpuColumns, ['hive'], gpus, width)),
    [],
    ...(hive.faults.length > 0 ? [title(`Faults ${hive.faults.length}`), ...faultLines(hive.faults, width), []] : []),
    title(`Workers ${hive.workerCount}${incompleteText(hive)}`),
    ...(workers.length > 0
      ? table(workerColumns, ['hive'], byName(workerRows(workers, [hive])), width)
      : [[span('none', '2')]]),
    [],
    ...historyLines(history, hiveGraphs(hive), historySpan, width),
    title('Events'),
    ...eventLines(events, past, (event) => event.hive === hive.id),
  ];
}
