/** What keys and the mouse make of what is shown. Pure. */
import type { FleetEvent, HiveView, WorkerView } from '../../contract/api.js';
import type { Key } from './keys.js';
import { type Items, keyOf, type Row, selectedIndex, viewColumns, visibleRows } from './rows.js';
import { type Sort, type TableView, troubleKey, type Ui, type View, views } from './ui.js';

function select(ui: Ui, rows: readonly Row[], index: number): Ui {
  const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
  return row ? { ...ui, selected: { ...ui.selected, [ui.view]: keyOf(ui.view, row) } } : ui;
}

/** What of a frame keys and mouse depend on. */
export interface Shown {
  /** Rows of a page. */
  readonly page: number;
  /** The highest first line of a help or a detail that is longer than the screen; 0: it has room for all. */
  readonly lastScroll: number;
  /** Columns that have room, by key. */
  readonly columns: readonly string[];
}

/** What rows can be sorted by: their trouble, then the columns that are shown. */
function sorts(view: TableView, { columns }: Shown): readonly Sort[] {
  const shown = viewColumns(view).filter(({ key, order }) => order !== undefined && columns.includes(key));
  return [{ key: troubleKey, descending: false }, ...shown.map(({ key, descending = false }) => ({ key, descending }))];
}

const withSort = (ui: Ui, view: TableView, sort: Sort): Ui => ({ ...ui, sort: { ...ui.sort, [view]: sort } });

function sortBy(ui: Ui, step: number, shown: Shown): Ui {
  if (ui.view === 'events') return ui;
  const all = sorts(ui.view, shown);
  const at = all.findIndex(({ key }) => key === ui.sort[ui.view as TableView].key);
  return withSort(ui, ui.view, all[(at + step + all.length) % all.length] as Sort);
}

function reverse(ui: Ui): Ui {
  if (ui.view === 'events') return ui;
  const sort = ui.sort[ui.view];
  return withSort(ui, ui.view, { ...sort, descending: !sort.descending });
}

/** A click on the heading of a column sorts by it, another one the other way. */
function sortByHeading(ui: Ui, column: string, shown: Shown): Ui {
  if (ui.view === 'events') return ui;
  if (ui.sort[ui.view].key === column) return reverse(ui);
  const sort = sorts(ui.view, shown).find(({ key }) => key === column);
  return sort ? withSort(ui, ui.view, sort) : ui;
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

const toView = (ui: Ui, view: View): Ui => ({ ...ui, view, detail: null, scroll: 0 });

/** A key that means the same whatever is shown; null: it is none. */
function pressAnywhere(ui: Ui, key: Key): Ui | null {
  const view = Number(key) >= 1 ? views[Number(key) - 1] : undefined;
  if (view) return toView(ui, view);
  switch (key) {
    case '?':
    case 'h':
      return { ...ui, help: true, helpScroll: 0 };
    case 'p':
    case ' ':
      return { ...ui, paused: !ui.paused };
    case 'm':
      return { ...ui, mouse: !ui.mouse };
    case 'tab':
      return toView(ui, views[(views.indexOf(ui.view) + 1) % views.length] as View);
    case 'backTab':
      return toView(ui, views[(views.indexOf(ui.view) + views.length - 1) % views.length] as View);
    case '/':
      return { ...ui, typing: true, detail: null };
    default:
      return null;
  }
}

const scrolledTo = (from: number, by: number, { lastScroll }: Shown): number =>
  Math.max(0, Math.min(lastScroll, Math.min(lastScroll, from) + by));

/** Keys that move scroll a help that is longer than the screen; any other closes it. */
function pressInHelp(ui: Ui, key: Key, shown: Shown): Ui {
  const by = moves(shown.page, shown.lastScroll)[key];
  return by === undefined ? { ...ui, help: false } : { ...ui, helpScroll: scrolledTo(ui.helpScroll, by, shown) };
}

function pressInDetail(ui: Ui, key: Key, shown: Shown): Ui {
  const by = moves(shown.page, shown.lastScroll)[key];
  if (by !== undefined) return { ...ui, scroll: scrolledTo(ui.scroll, by, shown) };
  if (key === 't') return { ...ui, span: ui.span === 'hour' ? 'day' : 'hour' };
  if (key === 'w' && ui.detail?.kind === 'hive')
    return { ...ui, detail: null, view: 'workers', filter: `${ui.detail.key}/`, scroll: 0 };
  return ['escape', 'enter', 'left', 'backspace'].includes(key) ? { ...ui, detail: null, scroll: 0 } : ui;
}

function pressInTable(ui: Ui, key: Key, items: Items, shown: Shown): Ui {
  const rows = visibleRows(ui, items);
  const by = moves(shown.page, rows.length)[key];
  if (by !== undefined) return select(ui, rows, selectedIndex(ui, rows) + by);
  switch (key) {
    case 'enter':
      return open(ui, rows);
    case 's':
    case 'right':
      return sortBy(ui, 1, shown);
    case 'S':
    case 'left':
      return sortBy(ui, -1, shown);
    case 'r':
      return reverse(ui);
    case 'escape':
      return { ...ui, filter: '' };
    default:
      return ui;
  }
}

/** What a key makes of it. */
export function press(ui: Ui, key: Key, items: Items, shown: Shown): Ui {
  if (ui.typing) return typeFilter(ui, key);
  if (key === 'interrupt' || key === 'q') return { ...ui, quit: true };
  if (ui.help) return pressInHelp(ui, key, shown);
  const anywhere = pressAnywhere(ui, key);
  if (anywhere !== null) return anywhere;
  return ui.detail ? pressInDetail(ui, key, shown) : pressInTable(ui, key, items, shown);
}

/** What the mouse points at. */
export type Target =
  | { readonly kind: 'tab'; readonly view: View }
  | { readonly kind: 'heading'; readonly column: string }
  | { readonly kind: 'row'; readonly index: number };

/** A click selects a row, opens the one that is selected, sorts by a column, or shows a view. */
export function click(given: Ui, target: Target | null, items: Items, shown: Shown): Ui {
  if (given.help) return { ...given, help: false };
  const ui = given.typing ? { ...given, typing: false } : given;
  switch (target?.kind) {
    case 'tab':
      return toView(ui, target.view);
    case 'heading':
      return sortByHeading(ui, target.column, shown);
    case 'row': {
      const rows = visibleRows(ui, items);
      const isSelected = target.index === selectedIndex(ui, rows) && ui.selected[ui.view] !== null;
      return isSelected ? open(ui, rows) : select(ui, rows, target.index);
    }
    default:
      return ui;
  }
}

const wheelLines = 3;

/** Moves the selection, or a help or detail that is longer than the screen. */
export function scroll(ui: Ui, direction: 1 | -1, items: Items, shown: Shown): Ui {
  if (ui.typing) return ui;
  const by = direction * wheelLines;
  if (ui.help) return { ...ui, helpScroll: scrolledTo(ui.helpScroll, by, shown) };
  if (ui.detail) return { ...ui, scroll: scrolledTo(ui.scroll, by, shown) };
  const rows = visibleRows(ui, items);
  return select(ui, rows, selectedIndex(ui, rows) + by);
}
