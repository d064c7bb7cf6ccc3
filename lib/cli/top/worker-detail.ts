import type { HiveView, Liveness, WorkerView } from '../../contract/api.js';
import { placed } from '../../contract/fields/field.js';
import { workerFields } from '../../contract/fields/worker.js';
import type { GpuSample, WorkerGpu } from '../../contract/heartbeat.js';
import { modelsOf } from '../../contract/models.js';
import { cpusOf } from '../../present/host-figures.js';
import { workerGpusText } from '../../present/knowledge.js';
import { noContext, unknownOfWorker, workerNullText } from '../../present/null-text.js';
import { oldValuesText, sentence, shortUuid } from '../../present/sentences.js';
import { servingText } from '../../present/serving.js';
import { gpuStyle, workerStyle } from '../../present/status.js';
import { formatBytes, formatCores, formatGibOf, formatPercent, unknownText } from '../../present/units.js';
import { formatMemoryOf, memoryOf } from '../../present/worker-figures.js';
import { fraction, gauge, statusSpan, value } from '../cells.js';
import { type Column, type Span, span } from '../table.js';
import { historyLines, type Past, workerGraphs } from './history.js';
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
  wrap,
  wrapped,
} from './lines.js';

/** Lines of measures; what a new field names stands below the others. */
const ownLines = ['process', 'throttled', 'memory', 'I/O', 'requests', 'tokens'];
const otherLines = new Set(
  placed(workerFields, 'detail')
    .map(({ spec }) => spec.line)
    .filter((line) => !ownLines.includes(line)),
);

interface HeldGpu extends WorkerGpu {
  readonly gpu: GpuSample | null;
  readonly liveness: Liveness;
}

/** What a worker has of each GPU that it holds. */
const heldColumns: readonly Column<HeldGpu>[] = [
  {
    key: 'gpu',
    title: 'GPU',
    min: 12,
    max: 30,
    rank: 0,
    draw: ({ gpu, uuid }) => (gpu ? [span(`${gpu.index} `, '1'), span(gpu.name ?? '')] : [span(uuid)]),
  },
  {
    key: 'health',
    title: 'HEALTH',
    min: 14,
    max: 16,
    rank: 1,
    draw: ({ gpu, liveness }) => [gpu ? statusSpan(gpuStyle({ health: gpu.health, liveness })) : value(unknownText)],
  },
  {
    key: 'vram',
    title: 'VRAM OF IT',
    min: 26,
    max: 48,
    rank: 0,
    draw: ({ gpu, memoryUsedBytes }, width) =>
      gauge(
        fraction(memoryUsedBytes, gpu?.memoryTotalBytes ?? null),
        formatGibOf(memoryUsedBytes, gpu?.memoryTotalBytes ?? null).padStart(18),
        width,
      ),
  },
  {
    key: 'busy',
    title: 'BUSY BY IT',
    min: 12,
    max: 30,
    rank: 0,
    draw: ({ utilizationPercent }, width) =>
      gauge(fraction(utilizationPercent, 100), formatPercent(utilizationPercent).padStart(5), width),
  },
  { key: 'uuid', title: 'UUID', min: 8, max: 8, rank: 2, draw: ({ uuid }) => [span(shortUuid(uuid), '2')] },
];

/** What its engine has to do, or why that is not known; then what other fields name. */
function moreLines(worker: WorkerView): Line[] {
  const reason = servingText(worker);
  const lines = [...(reason === null ? ['requests', 'tokens'] : []), ...otherLines];
  return [
    ...(reason === null ? [] : [pair('requests', value(unknownText), span(`   ${reason}`, '2'))]),
    ...lines.map((line) => fieldLine(workerFields, line, worker)),
  ];
}

function endpointSpan(worker: WorkerView, hive: HiveView | null): Span {
  if (worker.endpoint !== null) return value(worker.endpoint);
  const { unknown, text } = workerNullText(worker, 'endpoint', hive ?? noContext);
  const port = worker.port === null ? '' : `port ${worker.port}`;
  return value([port, unknown ? '' : text].filter(Boolean).join(', ') || unknownText);
}

const givenLines = ({ labels, limitNotes }: WorkerView, width: number): Line[] => [
  ...(Object.keys(labels).length > 0 ? wrapped('labels', labelText(labels), width) : []),
  ...(limitNotes ?? []).flatMap((note, i) => wrapped(i === 0 ? 'limits' : '', note, width)),
];

/** Values that are not known, and why; then the faults of the worker. */
function unknownLines(worker: WorkerView, hive: HiveView | null, width: number): Line[] {
  const values = unknownOfWorker(worker, hive ?? noContext);
  const faults = (hive?.faults ?? []).filter(({ workerId }) => workerId === worker.id);
  const lines = values.flatMap(({ labels, reason }) => [
    ...wrap(labels, Math.max(20, width)).map((line) => [span(line)]),
    ...wrap(sentence(reason), Math.max(20, width - 2)).map((line) => [span(`  ${line}`, '2')]),
  ]);
  return [
    ...(values.length > 0 ? [title('Not known'), ...lines, []] : []),
    ...(faults.length > 0 ? [title(`Faults ${faults.length}`), ...faultLines(faults, width), []] : []),
  ];
}

/** The name of its model, and on lines of their own its other names. */
function modelLines(worker: WorkerView, width: number): Line[] {
  const others = modelsOf(worker).slice(1);
  return [
    pair('model', value(worker.model ?? unknownText)),
    ...(others.length > 0 ? wrapped('also', others.join(', '), width) : []),
  ];
}

export function workerDetail(
  worker: WorkerView,
  hive: HiveView | null,
  { events, past, history, span: historySpan }: Past,
  width: number,
): Line[] {
  const working = memoryOf(worker);
  const absence = workerGpusText(worker, hive?.collection.gpuAgeMs);
  const state = workerStyle(worker);
  const held = worker.gpus.map((own) => ({
    ...own,
    gpu: hive?.gpus.find(({ uuid }) => uuid === own.uuid) ?? null,
    liveness: worker.liveness,
  }));
  const ready =
    worker.ready === null
      ? span(workerNullText(worker, 'ready', noContext).unknown ? 'readiness unknown' : 'not probed', '2')
      : worker.ready
        ? value('ready', 'good')
        : value('not ready', 'warning');
  const cpuText =
    worker.cpuLimitPercent === null
      ? `${formatCores(worker.cpuPercent)} cores, no limit known`
      : `${formatCores(worker.cpuPercent)} of ${formatCores(worker.cpuLimitPercent)} cores`;
  return [
    [
      span(worker.key, '1'),
      ...(worker.name ? [span(`  ${worker.name}`)] : []),
      span('  '),
      statusSpan(state),
      span('  '),
      ready,
    ],
    [span(oldValuesText(worker.liveness) ?? state.hint, '2')],
    ...modelLines(worker, width),
    pair('endpoint', endpointSpan(worker, hive)),
    fieldLine(workerFields, 'process', worker, span(`   ${worker.origin}`)),
    ...wrapped('command', worker.command ?? unknownText, width),
    ...givenLines(worker, width),
    [],
    gaugeLine(
      'CPU',
      fraction(worker.cpuPercent, worker.cpuLimitPercent ?? (hive ? cpusOf(hive.host) * 100 : null)),
      cpuText,
      width,
    ),
    fieldLine(workerFields, 'throttled', worker),
    gaugeLine(
      'working set',
      fraction(working, worker.memoryLimitBytes ?? hive?.host.memoryTotalBytes ?? null),
      worker.memoryLimitBytes === null
        ? `${formatBytes(working)}, no limit known`
        : formatMemoryOf(working, worker.memoryLimitBytes),
      width,
    ),
    fieldLine(workerFields, 'memory', worker, span(`   from ${worker.memorySource}`, '2')),
    fieldLine(workerFields, 'I/O', worker),
    ...moreLines(worker),
    pressureLine(worker.pressure),
    [],
    ...gpuLines(absence, held.length, () => table(heldColumns, [], held, width)),
    [],
    ...unknownLines(worker, hive, width),
    ...historyLines(history, workerGraphs(worker), historySpan, width),
    title('Events'),
    ...eventLines(events, past, (event) => event.hive === worker.hive && event.workerId === worker.id),
  ];
}
