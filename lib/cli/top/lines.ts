/** Lines that the details of hives and workers are made of. Pure. */
import type { FleetEvent, HiveView } from '../../contract/api.js';
import { type DetailOfField, type FieldTable, placed, valueAt } from '../../contract/fields/field.js';
import { formatField } from '../../present/format-field.js';
import { type AbsenceText, absenceLine } from '../../present/knowledge.js';
import { eventText } from '../../present/sentences.js';
import { ansiOf, eventStyles, styleOf } from '../../present/status.js';
import { formatPercent } from '../../present/units.js';
import { bar, fraction, loadTone, value } from '../cells.js';
import { shareTone } from '../columns.js';
import { type Column, drawRow, fitColumns, fitSpans, type Span, span, titleSpans } from '../table.js';
import { columns } from '../text.js';

export type Line = readonly Span[];

export const labelWidth = 14;

export const title = (text: string): Line => [span(text, '1;4')];
export const pair = (label: string, ...spans: readonly Span[]): Line => [span(label.padEnd(labelWidth), '2'), ...spans];

export function gaugeLine(
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

export const wrapped = (label: string, text: string, width: number, sgr?: string): Line[] =>
  wrap(text, Math.max(20, width - labelWidth)).map((line, i) => pair(i === 0 ? label : '', span(line, sgr)));

export function table<T>(
  all: readonly Column<T>[],
  without: readonly string[],
  rows: readonly T[],
  width: number,
): Line[] {
  const fitted = fitColumns(
    all.filter(({ key }) => !without.includes(key)),
    width,
  );
  const heading = fitted.flatMap((each, i) => [...(i > 0 ? [span('  ')] : []), ...titleSpans(each, '2')]);
  return [heading, ...rows.map((row) => drawRow(fitted, row))];
}

/** The values of a table of fields that share the line with this label. */
export function fieldLine(table: FieldTable, label: string, item: object, ...more: readonly Span[]): Line {
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

export const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, text]) => `${key}=${text}`)
    .join('  ');

export const pressureLine = ({ cpu, memory, io }: HiveView['host']['pressure']): Line =>
  pair(
    'pressure 10 s',
    span('cpu '),
    value(formatPercent(cpu), loadTone(fraction(cpu, 100), 0.1, 0.4)),
    span('   memory '),
    value(formatPercent(memory), loadTone(fraction(memory, 100), 0.1, 0.4)),
    span('   I/O '),
    value(formatPercent(io), loadTone(fraction(io, 100), 0.1, 0.4)),
  );

export function faultLines(faults: HiveView['faults'], width: number): Line[] {
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

export const gpuLines = (absence: AbsenceText | null, count: number, rows: () => Line[]): Line[] => [
  ...(absence === null ? [] : [[span(absenceLine(absence), absence.unknown ? ansiOf.warning : '2')]]),
  ...(absence === null || count > 0 ? [title(`GPUs ${count}`), ...rows()] : []),
];

const shownEvents = 30;

/** The newest events of one hive or worker. `past`: those that the queen keeps; null: not yet had. */
export function eventLines(
  events: readonly FleetEvent[],
  past: readonly FleetEvent[] | null,
  keep: (event: FleetEvent) => boolean,
): Line[] {
  const byId = new Map([...(past ?? []), ...events].filter(keep).map((event) => [event.id, event]));
  const newest = [...byId.values()].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0)).slice(0, shownEvents);
  if (newest.length > 0) return newest.map((event) => eventLine(event, 0));
  return [[span(past === null ? 'asking the queen ...' : 'none kept by the queen', '2')]];
}
