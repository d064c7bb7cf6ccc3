import type { GpuItem } from '../../client/mirror.js';
import type { FleetEvent, History, HiveView, Liveness, WorkerView } from '../../contract/api.js';
import { type DetailOfField, type FieldTable, placed, valueAt } from '../../contract/fields/field.js';
import { hostFields } from '../../contract/fields/host.js';
import { workerFields } from '../../contract/fields/worker.js';
import type { GpuSample, WorkerGpu } from '../../contract/heartbeat.js';
import { modelsOf } from '../../contract/models.js';
import { containerShare, throttledText } from '../../present/container.js';
import { formatField } from '../../present/format-field.js';
import { type AbsenceText, absenceLine, gpuReadersOf, hiveGpusText, workerGpusText } from '../../present/knowledge.js';
import { noContext, unknownOfWorker, workerNullText } from '../../present/null-text.js';
import { eventText, oldValuesText, sentence, shortUuid } from '../../present/sentences.js';
import { servingText } from '../../present/serving.js';
import { ansiOf, eventStyles, gpuStyle, styleOf, workerStyle } from '../../present/status.js';
import { formatAge, formatBytes, formatCores, formatGibOf, formatPercent, unknownText } from '../../present/units.js';
import { formatMemoryOf, memoryOf } from '../../present/worker-figures.js';
import {
  bar,
  fraction,
  gauge,
  gpuColumns,
  hiveStyle,
  loadTone,
  shareTone,
  statusSpan,
  value,
  type WorkerRow,
  workerColumns,
  workerRows,
} from '../columns.js';
import { type Column, drawRow, fitColumns, fitSpans, type Span, sortRows, span } from '../table.js';
import { columns } from '../text.js';

export type Line = readonly Span[];

const labelWidth = 14;

const title = (text: string): Line => [span(text, '1;4')];
const pair = (label: string, ...spans: readonly Span[]): Line => [span(label.padEnd(labelWidth), '2'), ...spans];

function gaugeLine(
  label: string,
  fraction: number | null,
  text: string,
  width: number,
  tone = loadTone(fraction),
): Line {
  const room = Math.max(8, Math.min(40, width - labelWidth - 28));
  return pair(
    label,
    ...bar(fraction, room, tone ?? 'active'),
    span('  '),
    value(text, tone === 'active' ? undefined : tone),
  );
}

/** Breaks a text at blanks, or where there is none in the middle, into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    let rest = word;
    if (line !== '' && columns(line) + 1 + columns(rest) <= width) {
      line += ` ${rest}`;
      continue;
    }
    if (line !== '') lines.push(line);
    while (columns(rest) > width) {
      const head = [...rest].slice(0, Math.max(1, Math.floor(width / 2))).join('');
      lines.push(head);
      rest = rest.slice(head.length);
    }
    line = rest;
  }
  if (line !== '') lines.push(line);
  return lines;
}

const wrapped = (label: string, text: string, width: number, sgr?: string): Line[] =>
  wrap(text, Math.max(20, width - labelWidth)).map((line, i) => pair(i === 0 ? label : '', span(line, sgr)));

function table<T>(all: readonly Column<T>[], without: readonly string[], rows: readonly T[], width: number): Line[] {
  const fitted = fitColumns(
    all.filter(({ key }) => !without.includes(key)),
    width,
  );
  const heading = fitted.flatMap(({ column, width: w }, i) => [
    ...(i > 0 ? [span('  ')] : []),
    ...fitSpans([span(column.title, '2')], w, column.align),
  ]);
  return [heading, ...rows.map((row) => drawRow(fitted, row))];
}

/** The values of a table of fields that share the line with this label. */
function fieldLine(table: FieldTable, label: string, item: object, ...more: readonly Span[]): Line {
  const values = placed(table, 'detail').filter(({ spec }) => spec.line === label);
  return pair(
    label,
    ...values.flatMap(({ name, spec }, i) => fieldSpans(name, spec, item as Record<string, unknown>, i === 0)),
    ...more,
  );
}

function fieldSpans(name: string, detail: DetailOfField, item: Record<string, unknown>, isFirst: boolean): Span[] {
  const { label, after, format, share, badAboveZero } = detail;
  const tone = badAboveZero && Number(valueAt(item, name)) > 0 ? 'bad' : shareTone(item, name, share);
  const before = `${isFirst ? '' : '   '}${label === undefined ? '' : `${label} `}`;
  return [
    ...(before === '' ? [] : [span(before)]),
    value(formatField(format, valueAt(item, name)), tone),
    ...(after === undefined ? [] : [span(after)]),
  ];
}

/** Lines of measures; what a new field names stands below the others. */
const ownLines = ['process', 'throttled', 'memory', 'I/O', 'requests', 'tokens'];
const otherLines = new Set(
  placed(workerFields, 'detail')
    .map(({ spec }) => spec.line)
    .filter((line) => !ownLines.includes(line)),
);

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, text]) => `${key}=${text}`)
    .join('  ');

function insideLine(host: HiveView['host']): Line[] {
  const share = host.container == null ? null : containerShare(host.container);
  const throttled = throttledText(host);
  if (share === null) return [];
  return [pair('container', value(share), ...(throttled === null ? [] : [span(`   ${throttled}`, ansiOf.warning)]))];
}

const pressureLine = ({ cpu, memory, io }: HiveView['host']['pressure']): Line =>
  pair(
    'pressure 10 s',
    span('cpu '),
    value(formatPercent(cpu), loadTone(fraction(cpu, 100), 0.1, 0.4)),
    span('   memory '),
    value(formatPercent(memory), loadTone(fraction(memory, 100), 0.1, 0.4)),
    span('   I/O '),
    value(formatPercent(io), loadTone(fraction(io, 100), 0.1, 0.4)),
  );

function faultLines(faults: HiveView['faults'], width: number): Line[] {
  return faults.flatMap(({ source, code, message, field, workerId, gpuUuid }) => {
    const about = [workerId, gpuUuid, field].filter(Boolean).join(' ');
    const text = `${message}${about ? ` (${about})` : ''}`;
    return [
      [span('\u25c6 ', ansiOf.warning), span(`${source} ${code}`, ansiOf.warning)],
      ...wrap(text, Math.max(20, width - 2)).map((line) => [span(`  ${line}`)]),
    ];
  });
}

export function eventLine(event: FleetEvent, hiveWidth: number): Line {
  const status = styleOf(eventStyles, event.kind);
  const at = new Date(event.at);
  const clock = Number.isNaN(at.getTime()) ? '--:--:--' : at.toTimeString().slice(0, 8);
  return [
    span(`${clock}  `, '2'),
    ...fitSpans([span(`${status.symbol} ${status.word}`, ansiOf[status.tone])], 15),
    span('  '),
    ...fitSpans([span(event.hive)], hiveWidth),
    span('  '),
    span(eventText(event)),
  ];
}

const newestEvents = (
  events: readonly FleetEvent[],
  keep: (event: FleetEvent) => boolean,
  hiveWidth: number,
): Line[] => {
  const lines = events
    .filter(keep)
    .slice(-8)
    .reverse()
    .map((event) => eventLine(event, hiveWidth));
  return lines.length > 0 ? lines : [[span('none since this view was opened', '2')]];
};

const gpuLines = (absence: AbsenceText | null, count: number, rows: () => Line[]): Line[] => [
  ...(absence === null ? [] : [[span(absenceLine(absence), absence.unknown ? ansiOf.warning : '2')]]),
  ...(absence === null || count > 0 ? [title(`GPUs ${count}`), ...rows()] : []),
];

const byName = (rows: readonly WorkerRow[]): readonly WorkerRow[] =>
  sortRows(rows, workerColumns[0] as Column<WorkerRow>, false);

export function hiveDetail(
  hive: HiveView,
  workers: readonly WorkerView[],
  events: readonly FleetEvent[],
  width: number,
): Line[] {
  const { host, collection } = hive;
  const used =
    host.memoryTotalBytes === null || host.memoryAvailableBytes === null
      ? null
      : host.memoryTotalBytes - host.memoryAvailableBytes;
  const cpu = fraction(host.cpuPercent, host.cpuCount * 100);
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
      span(`  last beat ${formatAge(hive.ageMs)} ago`, '2'),
    ],
    [span(hiveStyle(hive).hint, '2')],
    pair('host', span(`${hive.hostname}${hive.address ? `  ${hive.address}` : ''}  hivepulse ${hive.version}`)),
    fieldLine(hostFields, 'up', host),
    ...(Object.keys(hive.labels).length > 0 ? wrapped('labels', labelText(hive.labels), width) : []),
    gaugeLine('CPU', cpu, `${formatCores(host.cpuPercent)} of ${host.cpuCount} cores`, width),
    gaugeLine('memory', fraction(used, host.memoryTotalBytes), formatGibOf(used, host.memoryTotalBytes), width),
    ...insideLine(host),
    pressureLine(host.pressure),
    pair('cgroups by', ...reader(collection.cgroupReader, collection.cgroupReaderReason)),
    pair('GPUs by', ...reader(gpuReadersOf(collection).join(', '), collection.gpuReaderReason)),
    pair('pass', value(collection.durationMs === null ? unknownText : `${collection.durationMs.toFixed(1)} ms`)),
    [],
    ...gpuLines(absence, gpus.length, () => table(gpuColumns, ['hive'], gpus, width)),
    [],
    ...(hive.faults.length > 0 ? [title(`Faults ${hive.faults.length}`), ...faultLines(hive.faults, width), []] : []),
    title(`Workers ${hive.workerCount}${hive.workersComplete ? '' : ' (the tree could not be read whole)'}`),
    ...(workers.length > 0
      ? table(workerColumns, ['hive'], byName(workerRows(workers, [hive])), width)
      : [[span('none', '2')]]),
    [],
    title('Events'),
    ...newestEvents(events, (event) => event.hive === hive.id, 0),
  ];
}

const sparks = '\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588';

/** The newest values in `width` columns, scaled to `top` (or the largest); what is not known is a gap. */
export function sparkline(values: readonly (number | null)[], width: number, top?: number): string {
  const shown = values.slice(-width);
  const most = top ?? Math.max(...shown.map((entry) => entry ?? 0), 0);
  return shown
    .map((entry) => {
      if (entry === null) return ' ';
      const level = most > 0 ? Math.min(7, Math.floor((Math.max(0, entry) / most) * 7.999)) : 0;
      return sparks[level];
    })
    .join('');
}

function historyLines(history: History | null, width: number): Line[] {
  if (!history) return [];
  const room = Math.max(10, width - labelWidth - 30);
  const lines = Object.entries(history.series)
    .filter(([, values]) => values.some((entry) => entry !== null))
    .map(([name, values]) => {
      const known = values.slice(-room).filter((entry): entry is number => entry !== null);
      const show = (entry: number): string =>
        name.endsWith('Bytes')
          ? formatBytes(entry)
          : name.endsWith('Percent')
            ? formatPercent(entry)
            : entry.toFixed(1);
      const label = name.replace(/(Bytes|Percent)$/, '').replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
      return pair(
        label.slice(0, labelWidth - 1),
        span(sparkline(values, room), ansiOf.active),
        span(`  ${show(Math.min(...known))} to ${show(Math.max(...known))}`, '2'),
      );
    });
  if (lines.length === 0) return [];
  const minutes = Math.round(
    (history.stepMs * Math.max(...Object.values(history.series).map((entry) => Math.min(entry.length, room)))) / 60_000,
  );
  return [title(`Last ${Math.max(1, minutes)} min`), ...lines, []];
}

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
  events: readonly FleetEvent[],
  history: History | null,
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
      ? span(workerNullText(worker, 'ready', noContext).unknown ? 'readiness not known' : 'not probed', '2')
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
      fraction(worker.cpuPercent, worker.cpuLimitPercent ?? (hive ? hive.host.cpuCount * 100 : null)),
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
    ...historyLines(history, width),
    title('Events'),
    ...newestEvents(events, (event) => event.hive === worker.hive && event.workerId === worker.id, 0),
  ];
}
