import { type Connection, countRows } from '../../client/mirror.js';
import type { FleetEvent, History, MissingCounts } from '../../contract/api.js';
import type { AttentionLine } from '../../contract/silence.js';
import { fleetGpusText, fleetWorkersText, gpuTotal } from '../../present/knowledge.js';
import { missingStyle } from '../../present/missing.js';
import { plural } from '../../present/sentences.js';
import {
  ansiOf,
  gpuHealthStyles,
  livenessStyles,
  type StatusStyle,
  styleOf,
  workerStateStyles,
} from '../../present/status.js';
import { bytesOfWhole, formatAge, formatPercent, unknownText } from '../../present/units.js';
import { bar, fraction, loadTone, value } from '../cells.js';
import { drawRow, fitSpans, type Span, span, titleSpans, toText } from '../table.js';
import { columns, printable } from '../text.js';
import { attentionLines } from './attention.js';
import { helpBody } from './help.js';
import { hiveDetail } from './hive-detail.js';
import { eventLine, type Line } from './lines.js';
import type { Shown, Target } from './press.js';
import { type Items, type Row, selectedIndex, shownColumns, viewColumns, visibleRows } from './rows.js';
import { troubleKey, type Ui, type View, views } from './ui.js';
import { workerDetail } from './worker-detail.js';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** All that a frame shows. */
export interface TopState {
  readonly ui: Ui;
  readonly items: Items;
  /** The address of the queen. */
  readonly source: string;
  readonly connection: Connection;
  readonly warming: boolean;
  /** Hosts and GPUs that were lost. */
  readonly attention: readonly AttentionLine[];
  /** What was seen and is gone; null: not known. */
  readonly missing: MissingCounts | null;
  /** History of the hive or worker whose detail is open; null: none, or not yet had. */
  readonly history: History | null;
  /** Its events that the queen keeps; null: not yet had. */
  readonly past: readonly FleetEvent[] | null;
  readonly nowMs: number;
  /** Wall clock as the person reads it. */
  readonly clock: string;
  readonly colours: boolean;
}

const viewTitles: Readonly<Record<View, string>> = {
  hives: 'Hives',
  workers: 'Workers',
  gpus: 'GPUs',
  events: 'Events',
};

function width(spans: readonly Span[]): number {
  return spans.reduce((sum, { text }) => sum + columns(printable(text)), 0);
}

/** Left and right parts of a line; the left one is cut where both do not fit. */
function ends(left: readonly Span[], right: readonly Span[], total: number): Span[] {
  const rightWidth = Math.min(width(right), Math.max(0, total - 2));
  if (rightWidth === 0) return fitSpans(left, total);
  return [...fitSpans(left, Math.max(0, total - rightWidth - 1)), span(' '), ...fitSpans(right, rightWidth)];
}

/** Whether the stream of the queen is open. */
export function connectionSpans({ connection, warming, nowMs, ui }: TopState): Span[] {
  const pause = ui.paused ? [span(' PAUSED ', '7'), span('  ')] : [];
  return [...pause, ...spansOf(connection, warming, nowMs)];
}

function spansOf(connection: Connection, warming: boolean, nowMs: number): Span[] {
  switch (connection.kind) {
    case 'connecting':
      return [span('\u25d4 connecting', ansiOf.waiting)];
    case 'live':
      return [
        ...(warming ? [span('\u25d4 warming: not all hives have reported yet', ansiOf.waiting), span('  ')] : []),
        span('\u25cf live', ansiOf.good),
      ];
    case 'lost': {
      const age = formatAge(nowMs - connection.sinceMs);
      return [span(`\u25cb disconnected ${age}: ${connection.reason.replace(/\.$/, '')}; retrying`, ansiOf.bad)];
    }
    case 'unauthorized':
      return [span('\u25cb signed out', ansiOf.bad)];
  }
}

/** `12 hives  \u25cf 10 online  \u25d0 1 late`: only what there is. */
function tally(label: string, styles: Readonly<Record<string, StatusStyle>>, counts: Readonly<Record<string, number>>) {
  // A value of a newer version comes last.
  const keys = [...new Set([...Object.keys(styles), ...Object.keys(counts)])].filter((key) => (counts[key] ?? 0) > 0);
  return [
    span(label, '1'),
    ...keys.flatMap((key) => {
      const status = styleOf(styles, key);
      return [span('  '), span(`${status.symbol} ${counts[key]} ${status.word}`, ansiOf[status.tone])];
    }),
  ];
}

const missingSpans = (count = 0): Span[] =>
  count === 0 ? [] : [span(`  ${missingStyle.symbol} ${count} ${missingStyle.word}`, ansiOf[missingStyle.tone])];

/** The fleet in two to four lines: how many of what in which state, and its VRAM. */
export function fleetLines({ hives, workers }: Items, total: number, missing: MissingCounts | null): Line[] {
  const { offline } = livenessStyles;
  const counts = countRows(hives, workers);
  const known = gpuTotal(counts.gpus, counts.unknownGpuHives);
  const parts = [
    [...tally(plural(hives.length, 'hive'), livenessStyles, counts.liveness), ...missingSpans(missing?.hives)],
    [
      ...tally(
        known === null ? `${unknownText} GPUs` : plural(known, 'GPU'),
        { ...gpuHealthStyles, offline },
        counts.health,
      ),
      ...(counts.unknownGpuHives > 0
        ? [span(`  ? unknown on ${plural(counts.unknownGpuHives, 'hive')}`, ansiOf.warning)]
        : []),
    ],
    tally(plural(workers.length, 'worker'), { ...workerStateStyles, offline }, counts.state),
  ];
  // Side by side where there is room, else below each other.
  const lines: Span[][] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last && width(last) + 4 + width(part) <= total) last.push(span('    '), ...part);
    else lines.push([...part]);
  }
  const used = fraction(counts.usedBytes, counts.totalBytes);
  const percent = formatPercent(used === null ? null : used * 100);
  const notCounted = counts.uncounted > 0 && counts.totalBytes !== null ? `  ${counts.uncounted} not counted` : '';
  const vram = bytesOfWhole(counts.usedBytes, counts.totalBytes);
  const text = `${vram.part} of ${vram.whole}  ${percent}${notCounted}`;
  if (counts.gpus > 0) {
    const room = Math.max(8, Math.min(60, total - 7 - columns(text)));
    lines.push([
      span('VRAM ', '1'),
      ...bar(used, room, loadTone(used, 0.95, 1.01) ?? 'active'),
      span('  '),
      value(text),
    ]);
  }
  return lines;
}

const tabText = (view: View, i: number): string => ` ${i + 1} ${viewTitles[view]} `;

function tabs({ ui }: TopState): Span[] {
  return views.flatMap((view, i) => [span(tabText(view, i), view === ui.view && !ui.detail ? '7;1' : '2'), span(' ')]);
}

function sortSpans({ ui }: TopState, shown: number, total: number): Span[] {
  const filter = ui.filter
    ? [span(`filter "${ui.filter}"`, ansiOf.waiting), span(`  ${shown} of ${total}   `, '2')]
    : [];
  if (ui.view === 'events' || ui.detail) return filter;
  const { key, descending } = ui.sort[ui.view];
  if (key === troubleKey) return [...filter, span(descending ? 'the worst last' : 'the worst first', '2')];
  const column = viewColumns(ui.view).find((candidate) => candidate.key === key);
  return [
    ...filter,
    span('sorted by ', '2'),
    span(`${column?.title.toLowerCase() ?? key} ${descending ? '\u2193' : '\u2191'}`),
  ];
}

/** What keys and the mouse depend on, on a screen of this size. */
export function shownOf(state: TopState, size: Size): Shown {
  const { ui } = state;
  const { body } = layout(state, size);
  const columnsShown = ui.view === 'events' ? [] : shownColumns(ui, ui.view, size.columns);
  return {
    page: Math.max(1, body - 1),
    lastScroll: Math.max(0, longBody(state, size.columns).length - body),
    columns: columnsShown.map(({ column }) => column.key),
  };
}

/** What stands in place of a table, and may be longer than the screen. */
const longBody = (state: TopState, total: number): Line[] =>
  state.ui.help ? helpBody(total) : detailBody(state, total);

/** What is at a place of the screen (both count from 0); null: nothing that can be clicked. */
export function targetAt(
  state: TopState,
  size: Size,
  at: { readonly column: number; readonly line: number },
): Target | null {
  const { ui } = state;
  const { head, body } = layout(state, size);
  if (at.line === head.length) return tabAt(at.column);
  const line = at.line - head.length - 1;
  if (ui.detail || ui.help || line < 0 || line >= body) return null;
  if (ui.view !== 'events' && line === 0) return headingAt(ui, ui.view, size.columns, at.column);
  const rows = visibleRows(ui, state.items);
  const { first, visible } = windowOf(ui, rows, body);
  const index = first + line - (ui.view === 'events' ? 0 : 1);
  return index < rows.length && index < first + visible ? { kind: 'row', index } : null;
}

function tabAt(column: number): Target | null {
  let begin = 0;
  for (const [i, view] of views.entries()) {
    const end = begin + columns(tabText(view, i));
    if (column >= begin && column < end) return { kind: 'tab', view };
    begin = end + 1;
  }
  return null;
}

function headingAt(ui: Ui, view: Exclude<View, 'events'>, total: number, at: number): Target | null {
  let begin = 0;
  for (const { column, width: own } of shownColumns(ui, view, total)) {
    // What is between two columns is of the one before it.
    if (at >= begin && at < begin + own + 2) return column.order ? { kind: 'heading', column: column.key } : null;
    begin += own + 2;
  }
  return null;
}

function layout(state: TopState, size: Size): { head: Line[]; body: number; events: number } {
  const head: Line[] = [
    ends(
      [span(' hivepulse ', '7;1'), span(`  ${state.source}`, '2')],
      [...connectionSpans(state), span(`  ${state.clock}`, '2')],
      size.columns,
    ),
    ...fleetLines(state.items, size.columns, state.missing),
    ...attentionLines(state.attention, size.columns),
  ];
  const rest = size.rows - head.length - 2; // tabs, keys
  const events = state.ui.view === 'events' || state.ui.detail || state.ui.help || rest < 16 ? 0 : 5;
  return { head, body: Math.max(1, rest - events), events };
}

function hiveNameWidth({ items }: TopState): number {
  return Math.min(24, Math.max(4, ...items.hives.map((hive) => columns(printable(hive.id)))));
}

function detailBody(state: TopState, total: number): Line[] {
  const { ui, items } = state;
  if (!ui.detail) return [];
  const { kind, key } = ui.detail;
  const past = { events: items.events, past: state.past, history: state.history, span: ui.span };
  if (kind === 'hive') {
    const hive = items.hives.find((candidate) => candidate.id === key);
    if (!hive) return [[span(`${key} is gone`, ansiOf.unknown)]];
    return hiveDetail(
      hive,
      items.workers.filter((worker) => worker.hive === key),
      past,
      total,
    );
  }
  const worker = items.workers.find((candidate) => candidate.key === key);
  if (!worker) return [[span(`${key} is gone`, ansiOf.unknown)]];
  return workerDetail(worker, items.hives.find((hive) => hive.id === worker.hive) ?? null, past, total);
}

export function emptyText(state: TopState): string {
  const { ui, items, connection } = state;
  if (connection.kind === 'connecting') return `Connecting to ${state.source} ...`;
  if (connection.kind === 'lost' && items.hives.length === 0) {
    return `${state.source} does not answer. Is a queen running there? Here, hivepulse up starts one.`;
  }
  if (ui.filter && items[ui.view].length > 0) return `Nothing matches "${ui.filter}". Esc clears the filter.`;
  switch (ui.view) {
    case 'hives':
      return 'No hive has reported yet. On a GPU host: hivepulse hive --queen <this queen>';
    case 'workers':
      return noWorkerText(items.hives);
    case 'gpus':
      return fleetGpusText(items.hives) ?? 'No GPU is reported. hivepulse doctor on the host says why.';
    case 'events':
      return 'No event yet.';
  }
}

/** The rows that have room: the selected one is among them. */
function windowOf(ui: Ui, rows: readonly Row[], height: number): { at: number; first: number; visible: number } {
  const at = selectedIndex(ui, rows);
  const visible = height - (ui.view === 'events' ? 0 : 1);
  return { at, visible, first: Math.max(0, Math.min(at - Math.floor(visible / 2), rows.length - visible)) };
}

function tableBody(state: TopState, rows: readonly Row[], height: number, total: number): string[] {
  const { ui, colours } = state;
  const { at, first, visible } = windowOf(ui, rows, height);
  const shown = rows.slice(first, first + visible);
  if (rows.length === 0) return [toText(fitSpans([span(emptyText(state), '2')], total), colours)];
  if (ui.view === 'events') {
    // On a narrow screen what happened has the room.
    const hiveWidth = Math.min(hiveNameWidth(state), Math.max(10, Math.floor(total / 6)));
    return shown.map((row, i) =>
      toText(
        fitSpans(eventLine(row as Items['events'][number], hiveWidth), total),
        colours,
        first + i === at ? '7' : '',
      ),
    );
  }
  const fitted = shownColumns(ui, ui.view, total);
  const sort = ui.sort[ui.view];
  const heading = fitted.flatMap((each, i) => [
    ...(i > 0 ? [span('  ', '4')] : []),
    ...titleSpans(each, each.column.key === sort.key ? '1;4' : '2;4').map(({ text, sgr }) => span(text, sgr ?? '4')),
  ]);
  return [
    toText(fitSpans(heading, total), colours),
    ...shown.map((row, i) => {
      // What an offline hive said last is drawn faintly: it is old.
      const faint = colours && (row as { liveness?: string }).liveness === 'offline' ? '2' : '';
      return toText(fitSpans(drawRow(fitted, row), total), colours, first + i === at ? '7' : faint);
    }),
  ];
}

function footer(state: TopState, position: string, total: number): Span[] {
  const { ui } = state;
  if (ui.typing)
    return fitSpans(
      [span('filter: ', '1'), span(ui.filter), span('\u2588'), span('   Enter keeps it, Esc clears it', '2')],
      total,
    );
  const keys: readonly (readonly [string, string])[] = ui.help
    ? [
        ['Esc', 'back'],
        ['\u2191\u2193', 'scroll'],
        ['q', 'quit'],
      ]
    : ui.detail
      ? [
          ['Esc', 'back'],
          ['\u2191\u2193', 'scroll'],
          ['t', ui.span === 'hour' ? '24 h' : '1 h'],
          ...(ui.detail.kind === 'hive' ? [['w', 'workers'] as const] : []),
          ['q', 'quit'],
        ]
      : [
          ['\u2191\u2193', 'move'],
          ['Enter', 'detail'],
          ['/', 'filter'],
          ['s', 'sort'],
          ['?', 'help'],
          ['q', 'quit'],
          ['r', 'reverse'],
          ['Space', 'pause'],
        ];
  // Whole keys only: what has no room is in the help.
  const room = total - columns(position) - 3;
  const spans: Span[] = [];
  for (const [key, text] of keys) {
    const next = [span(spans.length === 0 ? '' : '   '), span(key, '1'), span(` ${text}`, '2')];
    if (width(spans) + width(next) > room) break;
    spans.push(...next);
  }
  return ends(spans, [span(position, '2')], total);
}

/** The frame: exactly `size.rows` lines of at most `size.columns` columns. A pure function of its arguments. */
export function render(state: TopState, size: Size): string[] {
  const { ui, colours } = state;
  const total = size.columns;
  const { head, body, events } = layout(state, size);
  const rows = ui.detail || ui.help ? [] : visibleRows(ui, state.items);
  const draw = (line: Line): string => toText(fitSpans(line, total), colours);
  let middle: string[];
  let position = '';
  if (ui.help || ui.detail) {
    const all = longBody(state, total);
    const first = Math.max(0, Math.min(ui.help ? ui.helpScroll : ui.scroll, all.length - body));
    middle = all.slice(first, first + body).map(draw);
    if (all.length > body) position = `lines ${first + 1} to ${Math.min(all.length, first + body)} of ${all.length}`;
  } else {
    middle = tableBody(state, rows, body, total);
    if (rows.length > 0) position = `${selectedIndex(ui, rows) + 1} of ${rows.length}`;
  }
  const pane =
    events > 0
      ? [
          draw([span(`\u2500\u2500 Events ${'\u2500'.repeat(Math.max(0, total - 10))}`, '2')]),
          ...state.items.events
            .slice(1 - events)
            .reverse()
            .map((event) => draw(eventLine(event, hiveNameWidth(state)))),
        ]
      : [];
  const fill = (lines: string[], height: number): string[] => [
    ...lines.slice(0, height),
    ...Array(Math.max(0, height - lines.length)).fill(''),
  ];
  const bar = ends(tabs(state), sortSpans(state, rows.length, state.items[ui.view].length), total);
  const frame = [
    ...head.map(draw),
    toText(bar, colours),
    ...fill(middle, body),
    ...fill(pane, events),
    toText(footer(state, position, total), colours),
  ];
  return fill(frame, size.rows);
}

function noWorkerText(hives: Parameters<typeof fleetWorkersText>[0]): string {
  const missing = fleetWorkersText(hives);
  const known = missing === null ? 'No worker is known' : `No worker is known; ${missing}`;
  return `${known}. Start one with: hivepulse run --group llm --instance 8080 -- <command>`;
}
