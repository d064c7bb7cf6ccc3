/** The rows of the views: which there are, in which order, and by what they are found. Pure. */
import type { GpuItem } from '../../client/mirror.js';
import type { FleetEvent, HiveView, WorkerView } from '../../contract/api.js';
import { modelsOf } from '../../contract/models.js';
import { hasWords, labelTexts, wordsOf } from '../../present/search.js';
import { eventText } from '../../present/sentences.js';
import { Troubles } from '../../present/trouble.js';
import { gpuColumns, workerColumns, workerRows } from '../columns.js';
import { hiveColumns } from '../hive-columns.js';
import { type Column, type Fitted, fitColumns, sortRows } from '../table.js';
import { type TableView, troubleKey, type Ui, type View } from './ui.js';

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
  // Equal rows in the order of their names, not of arrival: a table must not dance.
  const named = sortRows(kept, byName(view), false);
  const column = key === troubleKey ? byTrouble(view, items) : viewColumns(view).find((each) => each.key === key);
  return column ? sortRows(named, column, descending) : named;
}

const byName = (view: TableView): Column<Row> => ({
  ...(viewColumns(view)[0] as Column<Row>),
  order: (row) => (view === 'gpus' ? `${(row as GpuItem).hive}/${(row as GpuItem).index}` : keyOf(view, row)),
});

function byTrouble(view: TableView, { hives, workers }: Items): Pick<Column<Row>, 'order'> {
  const troubles = new Troubles(hives, workers);
  const ranks = { hives: troubles.ofHive, workers: troubles.ofWorker, gpus: troubles.ofGpu };
  return { order: ranks[view] as (row: Row) => number };
}

/** Columns of a table that is `total` wide. The one that rows are sorted by is always shown. */
export const shownColumns = (ui: Ui, view: TableView, total: number): Fitted<Row>[] =>
  fitColumns(
    viewColumns(view).map((column) => (column.key === ui.sort[view].key ? { ...column, rank: 0 } : column)),
    total,
  );

/** Position of the selected row; the first where it is gone or none was chosen. */
export function selectedIndex(ui: Ui, rows: readonly Row[]): number {
  const key = ui.selected[ui.view];
  const at = key === null ? -1 : rows.findIndex((row) => keyOf(ui.view, row) === key);
  return Math.max(0, at);
}
