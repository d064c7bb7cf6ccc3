import type { GpuItem } from '../../client/mirror.js';
import type { FleetEvent, HiveView, WorkerView } from '../../contract/api.js';
import { modelsOf } from '../../contract/models.js';
import { hasWords, labelTexts, wordsOf } from '../../present/search.js';
import { eventText } from '../../present/sentences.js';
import { gpuColumns, hiveColumns, workerColumns, workerRows } from '../columns.js';
import { type Column, sortRows } from '../table.js';
import type { Key } from './keys.js';

export const views = ['hives', 'workers', 'gpus', 'events'] as const;
export type View = (typeof views)[number];
export type TableView = Exclude<View, 'events'>;

export interface Sort {
  readonly key: string;
  readonly descending: boolean;
}

/** What the person looks at. Changed by keys alone, so that a frame is a function of this and the model. */
export interface Ui {
  readonly view: View;
  readonly sort: Readonly<Record<TableView, Sort>>;
  readonly filter: string;
  /** The filter is being typed. */
  readonly typing: boolean;
  /** Identity of the selected row per view: it stays selected where sorting moves it. */
  readonly selected: Readonly<Record<View, string | null>>;
  /** A hive id or worker key whose detail is shown. */
  readonly detail: { readonly kind: 'hive' | 'worker'; readonly key: string } | null;
  /** First line of a detail that is longer than the screen. */
  readonly scroll: number;
  readonly help: boolean;
  /** The frame stands still. */
  readonly paused: boolean;
  readonly quit: boolean;
}

export const initialUi: Ui = {
  view: 'hives',
  sort: {
    hives: { key: 'hive', descending: false },
    workers: { key: 'vram', descending: true },
    gpus: { key: 'hive', descending: false },
  },
  filter: '',
  typing: false,
  selected: { hives: null, workers: null, gpus: null, events: null },
  detail: null,
  scroll: 0,
  help: false,
  paused: false,
  quit: false,
};

export interface Items {
  readonly hives: readonly HiveView[];
  readonly workers: readonly WorkerView[];
  readonly gpus: readonly GpuItem[];
  /** Newest last. */
  readonly events: readonly FleetEvent[];
}

export type Row = HiveView | WorkerView | GpuItem | FleetEvent;

const columnsOf: { readonly [V in TableView]: readonly Column<never>[] } = {
  hives: hiveColumns,
  workers: workerColumns,
  gpus: gpuColumns,
};

export const viewColumns = (view: TableView): readonly Column<Row>[] =>
  columnsOf[view] as unknown as readonly Column<Row>[];

export function keyOf(view: View, row: Row): string {
  switch (view) {
    case 'hives':
      return (row as HiveView).id;
    case 'workers':
      return (row as WorkerView).key;
    case 'gpus':
      return `${(row as GpuItem).hive}/${(row as GpuItem).uuid}`;
    case 'events':
      return (row as FleetEvent).id;
  }
}

/** What a filter searches in a row. */
function searched(view: View, row: Row): readonly unknown[] {
  switch (view) {
    case 'hives': {
      const { id, hostname, state, liveness, labels, gpus } = row as HiveView;
      return [
        id,
        hostname,
        state,
        liveness,
        ...labelTexts(labels),
        ...gpus.flatMap(({ name, health }) => [name, health]),
      ];
    }
    case 'workers': {
      const { key, name, state, liveness, labels, command, pid } = row as WorkerView;
      return [key, name, ...modelsOf(row as WorkerView), state, liveness, command, pid, ...labelTexts(labels)];
    }
    case 'gpus': {
      const { hive, uuid, name, health, pciBusId } = row as GpuItem;
      return [hive, uuid, name, health, pciBusId];
    }
    case 'events': {
      const event = row as FleetEvent;
      return [event.hive, event.kind, event.workerId, event.gpuUuid, eventText(event)];
    }
  }
}

/** The rows of a view as they stand on the screen; of events the newest first. */
export function visibleRows(ui: Ui, items: Items): Row[] {
  const { view } = ui;
  const rows: readonly Row[] = view === 'workers' ? workerRows(items.workers, items.hives) : items[view];
  const words = wordsOf(ui.filter);
  const kept = words.length > 0 ? rows.filter((row) => hasWords(words, searched(view, row))) : rows;
  if (view === 'events') return [...kept].reverse();
  const { key, descending } = ui.sort[view];
  const column = viewColumns(view).find((candidate) => candidate.key === key);
  // Equal rows in the order of their names, not of arrival: a table must not dance.
  const named = sortRows(kept, byName(view), false);
  return column ? sortRows(named, column, descending) : named;
}

const byName = (view: TableView): Column<Row> => ({
  ...(viewColumns(view)[0] as Column<Row>),
  order: (row) => (view === 'gpus' ? `${(row as GpuItem).hive}/${(row as GpuItem).index}` : keyOf(view, row)),
});

/** Position of the selected row; the first where it is gone or none was chosen. */
export function selectedIndex(ui: Ui, rows: readonly Row[]): number {
  const key = ui.selected[ui.view];
  const at = key === null ? -1 : rows.findIndex((row) => keyOf(ui.view, row) === key);
  return Math.max(0, at);
}

function select(ui: Ui, rows: readonly Row[], index: number): Ui {
  const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
  return row ? { ...ui, selected: { ...ui.selected, [ui.view]: keyOf(ui.view, row) } } : ui;
}

function sortBy(ui: Ui, step: number): Ui {
  if (ui.view === 'events') return ui;
  const sortable = viewColumns(ui.view).filter((column) => column.order);
  const at = sortable.findIndex((column) => column.key === ui.sort[ui.view as TableView].key);
  const next = sortable[(at + step + sortable.length) % sortable.length] as Column<Row>;
  return { ...ui, sort: { ...ui.sort, [ui.view]: { key: next.key, descending: next.descending ?? false } } };
}

function open(ui: Ui, rows: readonly Row[]): Ui {
  const at = selectedIndex(ui, rows);
  const row = rows[at];
  return row ? { ...select(ui, rows, at), detail: detailOf(ui.view, row), scroll: 0 } : ui;
}

function detailOf(view: View, row: Row): Ui['detail'] {
  if (view === 'hives') return { kind: 'hive', key: (row as HiveView).id };
  if (view === 'workers') return { kind: 'worker', key: (row as WorkerView).key };
  const { hive, workerId } = row as FleetEvent;
  return view === 'events' && workerId ? { kind: 'worker', key: `${hive}/${workerId}` } : { kind: 'hive', key: hive };
}

function typeFilter(ui: Ui, key: Key): Ui {
  switch (key) {
    case 'enter':
      return { ...ui, typing: false };
    case 'escape':
      return { ...ui, typing: false, filter: '' };
    case 'interrupt':
      return { ...ui, quit: true };
    case 'backspace':
      return { ...ui, filter: [...ui.filter].slice(0, -1).join('') };
    case 'clear':
      return { ...ui, filter: '' };
    default:
      return [...key].length === 1 && ui.filter.length < 200 ? { ...ui, filter: ui.filter + key } : ui;
  }
}

/** Lines by which a key moves, where there are `all`. */
const moves = (page: number, all: number): Readonly<Record<string, number>> => ({
  ...{ up: -1, k: -1, down: 1, j: 1, pageUp: -page, pageDown: page },
  ...{ home: -all, g: -all, end: all, G: all },
});

/** What a key makes of it. `page` is the number of rows that a page has. */
export function press(ui: Ui, key: Key, items: Items, page: number): Ui {
  if (ui.typing) return typeFilter(ui, key);
  if (key === 'interrupt' || key === 'q') return { ...ui, quit: true };
  if (ui.help) return { ...ui, help: false };
  if (key === '?' || key === 'h') return { ...ui, help: true };
  if (key === 'p' || key === ' ') return { ...ui, paused: !ui.paused };
  const toView = Number(key) >= 1 && Number(key) <= views.length ? views[Number(key) - 1] : undefined;
  if (toView) return { ...ui, view: toView, detail: null, scroll: 0 };
  if (key === 'tab' || key === 'backTab') {
    const at = views.indexOf(ui.view) + (key === 'tab' ? 1 : views.length - 1);
    return { ...ui, view: views[at % views.length] as View, detail: null, scroll: 0 };
  }
  if (key === '/') return { ...ui, typing: true, detail: null };

  if (ui.detail) {
    const by = moves(page, ui.scroll)[key];
    if (by !== undefined && key !== 'end' && key !== 'G') return { ...ui, scroll: Math.max(0, ui.scroll + by) };
    if (key === 'w' && ui.detail.kind === 'hive') {
      return { ...ui, detail: null, view: 'workers', filter: `${ui.detail.key}/`, scroll: 0 };
    }
    return ['escape', 'enter', 'left', 'backspace'].includes(key) ? { ...ui, detail: null, scroll: 0 } : ui;
  }

  const rows = visibleRows(ui, items);
  const by = moves(page, rows.length)[key];
  if (by !== undefined) return select(ui, rows, selectedIndex(ui, rows) + by);
  switch (key) {
    case 'enter':
      return open(ui, rows);
    case 's':
    case 'right':
      return sortBy(ui, 1);
    case 'S':
    case 'left':
      return sortBy(ui, -1);
    case 'r': {
      if (ui.view === 'events') return ui;
      const sort = ui.sort[ui.view];
      return { ...ui, sort: { ...ui.sort, [ui.view]: { ...sort, descending: !sort.descending } } };
    }
    case 'escape':
      return { ...ui, filter: '' };
    default:
      return ui;
  }
}
